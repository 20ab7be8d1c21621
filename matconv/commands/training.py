"""A training, from its options to its model file."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import warnings

import numpy as np

from .. import __version__
from ..io import Model, describe_pixels, load_model, save_model
from ..io.header import make_header
from ..io.record import extended
from ..objective import Objective
from ..presets import make_network, preset_for
from ..solvers import Result, State, minimize
from . import datasets, settings
from .labels import as_indices, class_labels
from .options import UsageError
from .outputs import free_name, write_or_rescue
from .tables import counted, facts


class Training:
    """What `matconv train` was told to do, with all that it takes loaded and checked.

    Attributes
    ----------
    output : str
        The file that `save` writes; when it has appeared meanwhile, another name is taken.
    rescued : bool
        Whether `save` could not write it, and has written another.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        if arguments.resume and (arguments.network or arguments.dtype):
            raise UsageError("--network and --dtype come from the file of --resume")
        before = load_model(arguments.resume) if arguments.resume else None
        found = settings.recorded(before, arguments.resume) if before else {}
        self.settings = settings.choose(arguments, found)
        self.start = 0
        if before:
            self.start = settings.iterations_done(before, arguments.resume)
            if arguments.data is None:
                datasets.check_recorded(found, arguments.resume)
        names = {name: self.settings[name] for name in (*settings.DATA, "seed")}
        data = datasets.load(**names)
        self._told = _told(data)
        self.images = len(data.train)
        self.name = arguments.network or preset_for(data.train.shape)
        self.model = before or self._fresh(data.train, arguments.dtype)
        if self.model.pixels is None:
            pixels = describe_pixels(data.train.pixels)
            self.model = dataclasses.replace(self.model, pixels=pixels)
        # What a save refuses is refused before the training, whose record it never refuses.
        make_header(
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
        self.force = arguments.force
        self.rescued = False
        self.output = arguments.output or _default_output(arguments.resume, self.settings["data"])

    def _fresh(self, train: datasets.Images, dtype: str | None) -> Model:
        """The network at its random theta."""
        labels = class_labels(train.truth) if len(train) else []
        net = make_network(self.name, train.shape, len(labels), dtype)
        labels = class_labels(train.truth, net.n_outputs)
        theta = net.init(self.settings["seed"])
        return Model(net, theta, tuple(labels), datasets.scaling(train.pixels))

    def _set_solver(self, iterations: int | None) -> None:
        """The solver by the number of images, and what is left of its iterations."""
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
        """What will be done, for the screen."""
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
        return f"{facts(told)}\n\n{net.summary()}"

    def minimize(self, show: bool) -> Result:
        """Minimise f; ``show`` a line per iteration."""
        names = (*settings.SGD, "seed") if self.settings["solver"] == "sgd" else ()
        return minimize(
            self.objective,
            self.model.theta,
            self.settings["solver"],
            self.iterations,
            callback=self._accuracies if show else None,
            progress=sys.stdout if show else False,
            start=self.start,
            **{name: self.settings[name] for name in names},
        )

    def _accuracies(self, state: State) -> dict[str, float]:
        accuracies = {"train_accuracy": _accuracy(self.objective, state.theta)}
        if self.test is not None:
            accuracies["test_accuracy"] = _accuracy(self.test, state.theta)
        return accuracies

    def save(self, result: Result) -> Result:
        """Write the model file; gives the result, interrupted if the last evaluation was."""
        last = result.history[-1] if result.history else {}
        names = ("train_accuracy", "test_accuracy")
        self.accuracies = {name: last[name] for name in names if name in last}
        if not self.accuracies and not result.interrupted:
            try:
                if self.test is not None:
                    self.accuracies["test_accuracy"] = _accuracy(self.test, result.theta)
            except KeyboardInterrupt:
                result = dataclasses.replace(result, interrupted=True)
            except Exception as error:  # noqa: BLE001 - theta is saved whatever it is
                warnings.warn(f"no test accuracy: {error}", UserWarning, stacklevel=2)
        record = {
            "matconv": __version__,
            "network": self.name,
            "settings": settings.plain(self.settings),
            "images": self.images,
            "iterations": result.iterations,
            "f": result.f,
            "seconds": result.seconds,
            "message": result.message,
            **self.accuracies,
            **extended(self.model.training, result.history),
        }
        model = self.model

        def write(path: str) -> None:
            save_model(
                path,
                model.network,
                result.theta,
                model.labels,
                model.preprocessing,
                record,
                model.pixels,
            )

        self.output, self.rescued = write_or_rescue(
            self.output, self.force, write, "matconv-model.npz"
        )
        return result

    @property
    def part(self) -> str:
        """What an iteration of the solver is called."""
        return "iteration" if self.settings["solver"] == "lbfgs" else "epoch"

    def moved(self, result: Result) -> bool:
        """Whether any step was made."""
        return not np.array_equal(result.theta, self.model.theta)

    def outcome(self, result: Result, seconds: float) -> str:
        """What it came to, for the screen."""
        told = [("ended", result.message)]
        if "test_accuracy" in self.accuracies and self.test is not None:
            accuracy = self.accuracies["test_accuracy"]
            right = f"{round(accuracy * self.test.l):,} of {self.test.l:,} images"
            told.append(("test accuracy", f"{100 * accuracy:.2f} % ({right})"))
        each = result.seconds / max(len(result.history), 1)
        told.append(("time", f"{seconds:.1f} s, {each:.2g} s per {self.part}{_peak_memory()}"))
        told.append(("model", self.output))
        return facts(told)


def _told(data: datasets.DataSet) -> list[tuple[str, str]]:
    """The images in words, so that their pixels need not be kept."""
    shape = datasets.shape_text(data.train.shape)
    told = [("data", f"{len(data.train):,} training images of {shape}: {data.train.name}")]
    if data.test is not None:
        told.append(("", f"{len(data.test):,} test images: {data.test.name}"))
    return told


def _accuracy(objective: Objective, theta: np.ndarray) -> float:
    """The part of the images whose largest output is the one of their label."""
    return float((objective.outputs(theta).argmax(axis=1) == objective.Y).mean())


def _default_output(resume: str | None, data: str) -> str:
    """A free name in the working directory, after the data or the model before."""
    if resume:
        return free_name(*os.path.splitext(resume))
    stem = os.path.splitext(os.path.basename(os.path.abspath(data)))[0]
    return free_name(f"{stem}-model", ".npz")


def _peak_memory() -> str:
    """The most memory that the process has used, where the system tells."""
    try:
        import resource
    except ImportError:
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, the others KiB
    return f"; peak memory {peak / (2**20 if sys.platform == 'darwin' else 2**10):,.0f} MiB"
