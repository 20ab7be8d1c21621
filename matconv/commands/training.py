"""Training: minimisation of f, with the model saved at intervals and at the end."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
from typing import Any

import numpy as np

from .. import __version__, metrics
from ..io import record as records
from ..io import save_model
from ..objective import Objective
from ..solvers import Result, Run, State, minimize
from .interrupts import Interrupted, Interrupts
from .labels import check_top_k
from .outputs import free_name
from .problem import Problem
from .saving import Checkpoints, OutputFile
from .settings import written
from .tables import facts, per_class


class Training:
    """A training of `matconv train`.

    Parameters
    ----------
    arguments : Namespace
        The options of the command.
    interrupts : Interrupts
        Handler of the signals that may interrupt the training.

    Attributes
    ----------
    problem : Problem
        The minimisation problem.
    accuracies : dict
        "train_accuracy" and "test_accuracy" of the model that was saved last, with --top-k
        "train_top_5_error" and "test_top_5_error", and with --per-class "train_class_errors" and
        "test_class_errors", as far as they are known. Errors by class are a list, with None for a
        class without images.
    """

    def __init__(self, arguments: argparse.Namespace, interrupts: Interrupts) -> None:
        self.problem = Problem(arguments)
        output = arguments.output or _default_output(
            arguments.resume, self.problem.settings["data"]
        )
        self._file = OutputFile(output, arguments.force, "matconv-model.npz")
        self.accuracies: dict[str, Any] = {}
        self._interrupts = interrupts
        self._per_class = arguments.per_class
        self._top_k = arguments.top_k
        if self._top_k is not None:
            check_top_k(self._top_k, self.problem.model.network)
        self._run: Run | None = None
        self._checkpoints = Checkpoints(arguments.checkpoint, self._save_checkpoint)

    def minimize(self, show: bool) -> Result:
        """Minimise f; with ``show`` write a line for each iteration.

        Raises
        ------
        Interrupted
            If a signal arrives before the first step. After it, the result is marked as interrupted.
        """
        problem = self.problem
        try:
            with self._interrupts.raising():
                result = minimize(
                    problem.objective,
                    problem.model.theta,
                    problem.method.name,
                    problem.iterations,
                    callback=self._accuracies if show else None,
                    progress=sys.stdout if show else False,
                    start=problem.start,
                    on_step=self._between_steps,
                    **problem.options,
                )
        except KeyboardInterrupt:
            # not while `minimize` runs, which returns a result
            if self._run is None:
                raise self.interruption("before the first step; nothing is saved") from None
            return self._run.result("interrupted", interrupted=True)
        except Exception as error:
            reached = getattr(error, "result", None)
            if isinstance(reached, Result) and self.moved(reached):
                self._save_despite(error, reached)
            raise
        if result.interrupted and not self.moved(result):
            raise self.interruption("before the first step; nothing is saved")
        return result

    def _between_steps(self, run: Run) -> None:
        self._run = run
        self._interrupts.check()
        self._checkpoints.consider()

    def _save_checkpoint(self) -> None:
        if self._run is not None:
            result = self._run.result("a checkpoint: the training was not finished")
            self.save(result, unfinished=True)

    def _save_despite(self, error: Exception, result: Result) -> None:
        self.save(result)
        error.add_note(f"the result so far is saved in {self.output}")

    def _accuracies(self, state: State) -> dict[str, Any]:
        found = self._measured("train", self.problem.objective, state.theta)
        if self.problem.test is not None:
            found |= self._measured("test", self.problem.test, state.theta)
        return found

    def _measured(self, part: str, objective: Objective, theta: np.ndarray) -> dict[str, Any]:
        """Return the entries of the history about the training or the test images."""
        z = objective.outputs(theta)
        found: dict[str, Any] = {f"{part}_accuracy": _accuracy(z, objective.Y)}
        if self._top_k is not None:
            error = metrics.top_k_error(z, objective.Y, self._top_k)
            found[f"{part}_top_{self._top_k}_error"] = error
        if self._per_class:
            errors = metrics.class_errors(z, objective.Y)
            # JSON has no NaN
            found[f"{part}_class_errors"] = [None if np.isnan(e) else float(e) for e in errors]
        return found

    def finish(self, result: Result) -> Result:
        """Evaluate the test images, if the last iteration has not, and save the model.

        Returns
        -------
        Result
            The argument; with ``interrupted=True`` if the evaluation was interrupted.
        """
        evaluated: dict[str, Any] = {}
        test = self.problem.test
        if not (result.interrupted or test is None or "test_accuracy" in _last_row(result)):
            try:
                with self._interrupts.raising():
                    evaluated = self._measured("test", test, result.theta)
            except KeyboardInterrupt:
                result = dataclasses.replace(result, interrupted=True)
            except Exception as error:
                self._save_despite(error, result)
                raise
        self.save(result, evaluated)
        return result

    def save(
        self,
        result: Result,
        evaluated: dict[str, Any] | None = None,
        *,
        unfinished: bool = False,
    ) -> None:
        """Write the model file, with all signals deferred."""
        last, problem = _last_row(result), self.problem
        self.accuracies = {
            name: value
            for name, value in last.items()
            if name.startswith(("train_", "test_"))
            and name.endswith(("accuracy", "error", "errors"))
        }
        self.accuracies.update(evaluated or {})
        record = {
            "matconv": __version__,
            "network": problem.name,
            "settings": written(problem.settings),
            "images": problem.images,
            "fingerprints": problem.split.parts,
            "iterations": result.iterations,
            "seconds": result.seconds,
            "message": result.message,
            **self.accuracies,
            **records.extended(problem.model.training, result.history),
        }
        if np.isfinite(result.f):  # f is NaN if it was not computed; strict JSON has no NaN
            record["f"] = result.f
        if problem.split.leak:
            record["new_split"] = True
        if unfinished:
            record["unfinished"] = True
        model = problem.model

        def write(path: str) -> None:
            save_model(
                path,
                model.network,
                result.theta,
                model.labels,
                model.preprocessing,
                record,
                pixels=model.pixels,
            )

        with self._interrupts.deferred():
            self._file.write(write, last=not unfinished)

    @property
    def output(self) -> str:
        """Name of the file that `save` writes."""
        return self._file.path

    @property
    def rescued(self) -> bool:
        """Whether another file was written because the output could not be."""
        return self._file.rescued

    def interruption(self, more: str) -> Interrupted:
        """Return the exception for the signal; ``more`` is a text about what was saved."""
        return Interrupted(self._interrupts.received or signal.SIGINT, f" {more}")

    def moved(self, result: Result) -> bool:
        """Return whether a step was made."""
        return not np.array_equal(result.theta, self.problem.model.theta)

    def outcome(self, result: Result, seconds: float) -> str:
        """Return a text that describes the result."""
        test = self.problem.test
        rows = [("ended", result.message)]
        if "test_accuracy" in self.accuracies and test is not None:
            accuracy = self.accuracies["test_accuracy"]
            right = f"{round(accuracy * test.l):,} of {test.l:,} images"
            rows.append(("test accuracy", f"{100 * accuracy:.2f} % ({right})"))
        for name, value in self.accuracies.items():
            if name.startswith("test_top"):
                rows.append((name.replace("_", " "), f"{100 * value:.2f} %"))
        each = result.seconds / max(len(result.history), 1)
        iteration = self.problem.method.iteration
        rows.append(("time", f"{seconds:.1f} s, {each:.2g} s per {iteration}{_peak_memory()}"))
        rows.append(("model", self.output))
        notes = (*self._file.notes, *self.problem.split.notes)
        text = facts([*rows, *(("note", note) for note in notes)])
        return "\n\n".join([text, *self._test_classes()])

    def _test_classes(self) -> list[str]:
        """Return the table of the errors by class of the test images, if they are known."""
        test, model = self.problem.test, self.problem.model
        errors = self.accuracies.get("test_class_errors")
        if errors is None or test is None:
            return []
        labels = [str(label) for label in model.labels or range(len(errors))]
        counts = np.bincount(test.Y, minlength=len(errors))
        return [per_class(counts, np.array(errors, np.float64), labels)]


def _last_row(result: Result) -> dict[str, Any]:
    return result.history[-1] if result.history else {}


def _accuracy(z: np.ndarray, y: np.ndarray) -> float:
    return metrics.accuracy(z, y)


def _default_output(resume: str | None, data: str) -> str:
    """Return a free file name, made from that of the file of --resume or from that of the data."""
    if resume:
        return free_name(*os.path.splitext(resume))
    stem = os.path.splitext(os.path.basename(os.path.abspath(data)))[0]
    return free_name(f"{stem}-model", ".npz")


def _peak_memory() -> str:
    """Return the process's peak memory as text; empty where the system does not report it."""
    try:
        import resource
    except ImportError:
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, the others KiB
    return f"; peak memory {peak / (2**20 if sys.platform == 'darwin' else 2**10):,.0f} MiB"
