"""A training, from its options to its model file."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
from typing import Any

import numpy as np

from .. import __version__
from ..io import Model, describe_pixels, header, load_model, save_model
from ..io import record as records
from ..objective import Objective
from ..presets import make_network, preset_for
from ..solvers import Result, Run, State, minimize
from . import datasets, settings
from .interrupts import Interrupted, Interrupts
from .labels import as_indices, check_one_output, class_labels
from .options import UsageError
from .outputs import free_name
from .saving import Checkpoints, OutputFile
from .split import Split, compare, fingerprints
from .tables import counted, facts


class Training:
    """A training of `matconv train`, with everything loaded and checked.

    Parameters
    ----------
    arguments : Namespace
        The options of the command.
    interrupts : Interrupts
        When signals may interrupt the training.
    """

    def __init__(self, arguments: argparse.Namespace, interrupts: Interrupts) -> None:
        if arguments.resume and (arguments.network or arguments.dtype):
            raise UsageError("--network and --dtype come from the file of --resume")
        if arguments.new_split and not arguments.resume:
            raise UsageError("--new-split goes with --resume")
        before = load_model(arguments.resume) if arguments.resume else None
        found = settings.recorded(before, arguments.resume) if before else {}
        self.settings = settings.choose(arguments, found, arguments.new_split)
        self.start = settings.iterations_done(before, arguments.resume) if before else 0
        data = self._load(arguments, found)
        self._told = _told(data)
        self.images = len(data.train)
        self.name = arguments.network or preset_for(data.train.shape)
        if before:
            check_one_output(before.network, arguments.resume)
            datasets.check_shape(data.train, before.network.input_shape)
            self.split = compare(
                data, self.settings, arguments.resume, before, found, arguments.new_split
            )
            self.model = before
        else:
            self.split = Split(fingerprints(data))
            self.model = self._fresh(data, arguments.dtype)
        if self.model.pixels is None:
            pixels = describe_pixels(data.train.pixels)
            self.model = dataclasses.replace(self.model, pixels=pixels)
        # Fail now rather than when the model is saved; the training record is always accepted.
        header.make_header(
            self.model.network, self.model.labels, self.model.preprocessing, self.model.pixels
        )
        self._set_solver(arguments.iterations)
        if self.settings["solver"] == "lbfgs":
            idle = [name for name in settings.SGD if getattr(arguments, name) is not None]
            if idle:
                raise UsageError(f"--{idle[0].replace('_', '-')} goes with --solver sgd")
        self.objective = self._objective(data.train, arguments)
        self.test = None
        if data.test is not None and len(data.test):
            self.test = self._objective(data.test, arguments)
        output = arguments.output or _default_output(arguments.resume, self.settings["data"])
        self._file = OutputFile(output, arguments.force, "matconv-model.npz")
        self.accuracies: dict[str, float] = {}
        self._interrupts = interrupts
        self._run: Run | None = None
        self._checkpoints = Checkpoints(arguments.checkpoint, self._save_checkpoint)

    def _load(self, arguments: argparse.Namespace, found: dict[str, Any]) -> datasets.DataSet:
        """Load the images; ``found`` are the settings of the file that is continued."""
        names = {name: self.settings[name] for name in settings.DATA}
        recorded = {
            name: value
            for name, value in names.items()
            if getattr(arguments, name) is None and value == found.get(name)
        }
        datasets.check_recorded(recorded, arguments.resume)
        return datasets.load(**names, seed=self.settings["split_seed"])

    def _fresh(self, data: datasets.DataSet, dtype: str | None) -> Model:
        """Return the network with its initial theta."""
        train, truth = data.train, [data.train.truth]
        found = np.unique(train.truth)
        if len(found) < 2:
            raise ValueError(
                f"the training images have {len(found)} different labels, 2 are needed"
            )
        if data.test is not None:
            truth.append(data.test.truth)
        y = np.concatenate(truth)
        net = make_network(self.name, train.shape, len(class_labels(y)), dtype)
        check_one_output(net, self.name)
        labels = class_labels(y, net.n_outputs)
        unseen = np.setdiff1d(y, found)
        if len(unseen):
            more = ", ..." if len(unseen) > 5 else ""
            named = ", ".join(map(str, unseen[:5]))
            self.split.notes.append(f"no training image has the label {named}{more}")
        theta = net.init(self.settings["seed"])
        return Model(net, theta, tuple(labels), datasets.scaling(train.pixels))

    def _set_solver(self, iterations: int | None) -> None:
        """Choose the solver by the number of images, and the number of iterations left."""
        chosen = self.settings
        if chosen["solver"] is None:
            few = self.images <= settings.LBFGS_IMAGES
            chosen["solver"] = "lbfgs" if few else "sgd"
        if chosen["solver"] not in settings.ITERATIONS:
            raise ValueError(f"no solver is called {chosen['solver']!r}")
        usual = settings.ITERATIONS[chosen["solver"]]
        if iterations is None:
            iterations = (chosen["iterations"] or usual) - self.start
            iterations = iterations if iterations > 0 else usual
        self.iterations = iterations
        chosen["iterations"] = self.start + iterations

    def _objective(self, images: datasets.Images, arguments: argparse.Namespace) -> Objective:
        net = self.model.network
        Z = datasets.prepared(self.model, images)
        y = as_indices(images.truth, self.model.labels, net.n_outputs, images.name)
        return Objective(
            net,
            Z,
            y,
            self.settings["loss"],
            self.settings["C"],
            arguments.threads,
            arguments.algorithm,
        )

    def describe(self) -> str:
        """Return a text about what will be done."""
        chosen, told = self.settings, [*self._told]
        C = chosen["C"]
        end = "no regularisation" if C == float("inf") else f"C = {C:g}"
        told.append(("objective", f"{chosen['loss']} loss, {end}"))
        if chosen["solver"] == "lbfgs":
            solver = f"L-BFGS, {counted(self.iterations, 'iteration')}"
        else:
            solver = (
                f"stochastic gradient, {counted(self.iterations, 'epoch')}, batches of "
                f"{chosen['batch_size']}, learning rate {chosen['learning_rate']:g} "
                f"({chosen['schedule']}), momentum {chosen['momentum']:g}"
            )
        if self.start:
            solver += f", after {self.start} before"
        told.append(("solver", solver))
        net, threads = self.objective.net, self.objective.engine.n_threads
        told.append(("computing", f"{net.dtype}, {counted(threads, 'thread')}"))
        told += [("note", note) for note in self.split.notes]
        return f"{facts(told)}\n\n{net.summary()}"

    def minimize(self, show: bool) -> Result:
        """Minimise f; ``show`` a line for each iteration.

        Raises
        ------
        Interrupted
            By a signal before the first step. After it, the result is marked as interrupted.
        """
        names = (*settings.SGD, "seed") if self.settings["solver"] == "sgd" else ()
        try:
            with self._interrupts.raising():
                result = minimize(
                    self.objective,
                    self.model.theta,
                    self.settings["solver"],
                    self.iterations,
                    callback=self._accuracies if show else None,
                    progress=sys.stdout if show else False,
                    start=self.start,
                    on_step=self._between_steps,
                    **{name: self.settings[name] for name in names},
                )
        except KeyboardInterrupt:
            # outside of the steps; inside, `minimize` returns a result
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

    def _accuracies(self, state: State) -> dict[str, float]:
        accuracies = {"train_accuracy": _accuracy(self.objective, state.theta)}
        if self.test is not None:
            accuracies["test_accuracy"] = _accuracy(self.test, state.theta)
        return accuracies

    def finish(self, result: Result) -> Result:
        """Evaluate the test images if the last iteration did not, and save.

        Returns
        -------
        Result
            Marked as interrupted if the evaluation was.
        """
        evaluated = {}
        if not (result.interrupted or self.test is None or "test_accuracy" in _last_row(result)):
            try:
                with self._interrupts.raising():
                    evaluated["test_accuracy"] = _accuracy(self.test, result.theta)
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
        evaluated: dict[str, float] | None = None,
        *,
        unfinished: bool = False,
    ) -> None:
        """Write the model file; signals are deferred meanwhile."""
        last = _last_row(result)
        names = ("train_accuracy", "test_accuracy")
        self.accuracies = {name: last[name] for name in names if name in last}
        self.accuracies.update(evaluated or {})
        record = {
            "matconv": __version__,
            "network": self.name,
            "settings": settings.plain(self.settings),
            "images": self.images,
            "fingerprints": self.split.parts,
            "iterations": result.iterations,
            "seconds": result.seconds,
            "message": result.message,
            **self.accuracies,
            **records.extended(self.model.training, result.history),
        }
        if np.isfinite(result.f):  # f is NaN if it was not computed, which strict JSON cannot hold
            record["f"] = result.f
        if self.split.leak:
            record["new_split"] = True
        if unfinished:
            record["unfinished"] = True
        model = self.model

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
        """Whether the output could not be written and another file was."""
        return self._file.rescued

    def interruption(self, more: str) -> Interrupted:
        """Return the exception for the signal; ``more`` says what was saved."""
        return Interrupted(self._interrupts.received or signal.SIGINT, f" {more}")

    @property
    def part(self) -> str:
        """The word for an iteration of the solver."""
        return "iteration" if self.settings["solver"] == "lbfgs" else "epoch"

    def moved(self, result: Result) -> bool:
        """Whether theta has changed."""
        return not np.array_equal(result.theta, self.model.theta)

    def outcome(self, result: Result, seconds: float) -> str:
        """Return a text about the result."""
        told = [("ended", result.message)]
        if "test_accuracy" in self.accuracies and self.test is not None:
            accuracy = self.accuracies["test_accuracy"]
            right = f"{round(accuracy * self.test.l):,} of {self.test.l:,} images"
            told.append(("test accuracy", f"{100 * accuracy:.2f} % ({right})"))
        each = result.seconds / max(len(result.history), 1)
        told.append(("time", f"{seconds:.1f} s, {each:.2g} s per {self.part}{_peak_memory()}"))
        told.append(("model", self.output))
        for name in self._file.avoided:
            told.append(
                ("note", f"{name} was written by another program meanwhile and is not replaced")
            )
        return facts([*told, *(("note", note) for note in self.split.notes)])


def _told(data: datasets.DataSet) -> list[tuple[str, str]]:
    """Describe the images, so that their pixels need not be kept."""
    shape = datasets.shape_text(data.train.shape)
    told = [("data", f"{len(data.train):,} training images of {shape}: {data.train.name}")]
    if data.test is not None:
        told.append(("", f"{len(data.test):,} test images: {data.test.name}"))
    return told


def _last_row(result: Result) -> dict[str, Any]:
    return result.history[-1] if result.history else {}


def _accuracy(objective: Objective, theta: np.ndarray) -> float:
    """Return the part of the images whose largest output is that of their label."""
    return float((objective.outputs(theta).argmax(axis=1) == objective.Y).mean())


def _default_output(resume: str | None, data: str) -> str:
    """Return a free file name, made from that of the model that is continued or of the data."""
    if resume:
        return free_name(*os.path.splitext(resume))
    stem = os.path.splitext(os.path.basename(os.path.abspath(data)))[0]
    return free_name(f"{stem}-model", ".npz")


def _peak_memory() -> str:
    """Return a text about the peak memory of the process; "" if it is not known."""
    try:
        import resource
    except ImportError:
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, the others KiB
    return f"; peak memory {peak / (2**20 if sys.platform == 'darwin' else 2**10):,.0f} MiB"
