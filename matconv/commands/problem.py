"""Problem: the images, the network, f and the solver of a training, made from the options."""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import Any

import numpy as np

from ..graph import shape_text
from ..io import Model, describe_pixels, header, load_model, read_simplenn_config, simplenn
from ..network import Network
from ..objective import Objective
from ..options import shown
from ..presets import PRESETS, for_smaller_images, make_network, preset_for
from . import datasets, settings
from .labels import check_one_output, class_labels, image_indices, numbering
from .options import UsageError
from .pixels import preprocessing
from .split import Split, compare, fingerprints
from .tables import counted, facts


class Problem:
    """The minimisation problem of a `matconv train` command, with all files loaded and checked.

    Parameters
    ----------
    arguments : Namespace
        The options of the command.

    Attributes
    ----------
    settings : dict
        The settings that the model file will record.
    method : Method
        The solver.
    start, iterations : int
        Number of iterations before this training, and in it.
    model : Model
        The network and the initial theta.
    name : str
        Name of the network: a preset, or a file.
    images : int
        Number of training images.
    split : Split
        Comparison of the training and test images with those of the file of --resume.
    objective : Objective
        f of the training images.
    test : Objective or None
        f of the test images; None if there are none.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        _check_usage(arguments)
        before = load_model(arguments.resume) if arguments.resume else None
        known = settings.all_settings()
        found = settings.recorded(before, arguments.resume, known) if before else {}
        self.settings = settings.choose(arguments, found, arguments.new_split)
        self.start = settings.iterations_done(before, arguments.resume) if before else 0
        self._configured = configured_network(arguments)
        data = self._load(arguments, found, before)
        self._data_rows = _data_rows(data)
        self.images = len(data.train)
        self.name = arguments.network or preset_for(data.train.shape)
        if before:
            check_one_output(before.network, arguments.resume)
            datasets.check_shape(data.train, before.pixel_shape)
            self.split = compare(
                data, self.settings, arguments.resume, before, found, arguments.new_split
            )
            self.model = before
        else:
            self.split = Split(fingerprints(data))
            self.model = self._fresh(data, arguments)
        if self.model.pixels is None:
            pixels = describe_pixels(data.train.pixels)
            self.model = dataclasses.replace(self.model, pixels=pixels)
        # raises errors now rather than when the model is saved; a training record never raises any
        header.make_header(
            self.model.network, self.model.labels, self.model.preprocessing, self.model.pixels
        )
        self.method = settings.choose_solver(self.settings, arguments, self.images)
        for name, function in arguments.by_images.items():
            self.settings[name] = function(self.settings[name], self.images)
        self.iterations = self._iterations(arguments.iterations)
        self.settings["iterations"] = self.start + self.iterations
        data = self._numbered(data)
        self.objective = self._objective(data.train, arguments)
        self.test = None
        if data.test is not None and len(data.test):
            self.test = self._objective(data.test, arguments)

    @property
    def options(self) -> dict[str, Any]:
        """The solver's options."""
        return {name: self.settings[name] for name in self.method.names}

    def _load(
        self, arguments: argparse.Namespace, found: dict[str, Any], before: Model | None
    ) -> datasets.DataSet:
        """Load the images; ``found`` has the settings of the file of --resume, ``before`` its model."""
        names = {name: self.settings[name] for name in settings.DATA_NAMES}
        recorded = {
            name: value
            for name, value in names.items()
            if getattr(arguments, name) is None and value == found.get(name)
        }
        datasets.check_recorded(recorded, arguments.resume)
        shape = arguments.input_shape
        if self._configured is not None:
            shape = _picture_shape(self._configured)
        return datasets.load(
            **names, seed=self.settings["split_seed"], model=before, shape=shape and tuple(shape)
        )

    def _fresh(self, data: datasets.DataSet, arguments: argparse.Namespace) -> Model:
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
        shape = arguments.input_shape or train.shape
        if self._configured is not None:
            net = self._configured
            datasets.check_shape(train, _picture_shape(net))
        else:
            classes = len(class_labels(y))
            net = make_network(self.name, shape, classes, arguments.dtype, arguments.width)
            net = for_smaller_images(net, train.shape)
        check_one_output(net, self.name)
        labels: list[Any] = class_labels(y, net.n_outputs)
        if train.classes is not None:
            if len(train.classes) != net.n_outputs:
                raise ValueError(
                    f"the network has {net.n_outputs} outputs, but {train.name} has "
                    f"{len(train.classes)} directories of classes"
                )
            labels = [*train.classes]
        unseen = np.setdiff1d(y, found)
        if len(unseen):
            more = ", ..." if len(unseen) > 5 else ""
            named = ", ".join(map(str, unseen[:5]))
            self.split.notes.append(f"no training image has the label {named}{more}")
        theta = net.init(self.settings["seed"])
        how = preprocessing(train.pixels, arguments.pixels, self._configured is not None)
        return Model(net, theta, tuple(labels), how)

    def _numbered(self, data: datasets.DataSet) -> datasets.DataSet:
        """Return the images with the label of the first class, which all of them decide; record it."""
        train, test = data.train, data.test
        if train.classes is not None:
            return data
        first = train.first_label
        if first is None:
            y = [train.truth, *([test.truth] if test is not None else [])]
            first = numbering(np.concatenate(y), self.model, train.name)
        if first is not None:
            self.settings["first_label"] = str(first)
        train = dataclasses.replace(train, first_label=first)
        if test is not None:
            test = dataclasses.replace(test, first_label=first)
        return datasets.DataSet(train, test)

    def _iterations(self, given: int | None) -> int:
        """Return the given number, else the remaining part of the planned one, else the default."""
        if given is not None:
            return given
        usual = self.method.iterations
        left: int = (self.settings["iterations"] or usual) - self.start
        return left if left > 0 else usual

    def _objective(self, images: datasets.Images, arguments: argparse.Namespace) -> Objective:
        net = self.model.network
        Z = datasets.prepared(self.model, images)
        y = image_indices(images, self.model)
        return Objective(
            net,
            Z,
            y,
            self.settings["loss"],
            self.settings["C"],
            arguments.threads,
            arguments.algorithm,
            penalty=self.settings["penalty"],
        )

    def describe(self) -> str:
        """Return a text that describes the training."""
        chosen, rows = self.settings, [*self._data_rows]
        C = chosen["C"]
        end = "no regularisation" if C == float("inf") else f"C = {C:g}"
        if C != float("inf") and chosen["penalty"] != 1:
            end += f", factors of the regularisation {shown(chosen['penalty'])}"
        rows.append(("objective", f"{chosen['loss']} loss, {end}"))
        count = counted(self.iterations, self.method.iteration)
        solver = self.method.describe(count, self.options)
        if self.start:
            solver += f", after {self.start} before"
        rows.append(("solver", solver))
        net, threads = self.objective.net, self.objective.engine.n_threads
        rows.append(("computing", f"{net.dtype}, {counted(threads, 'thread')}"))
        rows += [("note", note) for note in self.split.notes]
        return f"{facts(rows)}\n\n{net.summary()}"


def _check_usage(arguments: argparse.Namespace) -> None:
    """Raise UsageError if options contradict each other."""
    own = ("network", "width", "input_shape", "dtype", "pixels")
    if arguments.resume and any(getattr(arguments, name) is not None for name in own):
        raise UsageError(
            "--network, --width, --input-shape, --dtype and --pixels come from the file of --resume"
        )
    if arguments.new_split and not arguments.resume:
        raise UsageError("--new-split goes with --resume")


def configured_network(arguments: argparse.Namespace) -> Network | None:
    """Return the network of a configuration of simpleNN; None for another --network."""
    path = arguments.network
    if path is None or path in PRESETS or not os.path.isfile(path) or not simplenn.is_config(path):
        return None
    if arguments.width is not None or arguments.input_shape is not None:
        raise UsageError(f"--width and --input-shape do not go with {path}, which has the sizes")
    return read_simplenn_config(path, arguments.dtype or "float64")


def _picture_shape(net: Network) -> tuple[int, ...]:
    """Return the shape of the pictures of a configured network, whose images are transposed."""
    width, height, channels = net.input_shape
    return height, width, channels


def _data_rows(data: datasets.DataSet) -> list[tuple[str, str]]:
    """Return lines that describe the images, made early so that their pixels can be freed."""
    shape = shape_text(data.train.shape)
    rows = [("data", f"{len(data.train):,} training images of {shape}: {data.train.name}")]
    if data.test is not None:
        rows.append(("", f"{len(data.test):,} test images: {data.test.name}"))
    return rows
