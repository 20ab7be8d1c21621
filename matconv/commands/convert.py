"""matconv convert: a model file in another format."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ..files.regular import shortened
from ..options import Choice, Option, Text, alternatives
from . import options
from .messages import printable
from .options import Argument, UsageError

if TYPE_CHECKING:
    from ..io import Model

SUMMARY = "a model file in another format"
DESCRIPTION = """\
Convert a model file to another format: matconv's own, an exported network for C, MatConvNet's or
simpleNN's. The format of the first file is recognised by its content, that of the second one by the
ending of its name or by --to. An exported network (.matconv) cannot be the first file.

examples:
  matconv convert net.mat net.npz
  matconv convert digits-model.npz digits.mat
  matconv convert digits-model.npz digits.mat --to simplenn
"""

# format of a file whose name ends so
ENDINGS = {".npz": "model", ".matconv": "exported", ".mat": "matconvnet"}
FORMATS = {
    "model": "matconv's own, to train further",
    "exported": "for C and load_predictor",
    "matconvnet": "MATLAB file of MatConvNet",
    "simplenn": "MATLAB file of simpleNN",
}

SOURCE = Argument(
    "source",
    Text(),
    "file with a model: matconv's own, or a MATLAB file of MatConvNet or simpleNN",
    metavar="IN",
)
TARGET = Argument("target", Text(), "file to write", metavar="OUT")
TO = Option(
    "to",
    Choice(tuple(FORMATS)),
    "; ".join(f"{name}, {text}" for name, text in FORMATS.items()),
    default_text=", ".join(f"{name} for {ending}" for ending, name in ENDINGS.items()),
)
SHAPE = replace(
    options.INPUT_SHAPE,
    help="size of the images, for a file of MatConvNet that does not say it, or another size",
    default_text="that of the file",
)
DTYPE = replace(options.DTYPE, default_text="that of the file")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add(parser, SOURCE, TARGET, TO, SHAPE, DTYPE, options.FORCE, options.DEBUG)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ..io import load_model
    from .outputs import check_output
    from .streams import complain

    chosen = arguments.to or ENDINGS.get(os.path.splitext(arguments.target)[1].lower())
    if chosen is None:
        raise UsageError(
            f"{arguments.target} does not end with {alternatives([*ENDINGS])}; "
            "use --to to choose the format"
        )
    check_output(arguments.target, arguments.force)
    model = load_model(arguments.source, arguments.input_shape, arguments.dtype)
    later = WRITERS[chosen](model, arguments.target)
    imported = (model.training or {}).get("imported")
    notes = imported.get("notes") if isinstance(imported, dict) else None
    for note in [*(notes if isinstance(notes, list) else []), *later]:
        complain(f"note: {printable(str(note))}")
    print(f"{arguments.target}: {FORMATS[chosen]}, {model.theta.size:,} parameters")
    return 0


# Writers: functions that write a model to a file and return notes about what the file does not have


def _save_model(model: Model, path: str) -> list[str]:
    from ..io import save_model

    save_model(
        path,
        model.network,
        model.theta,
        model.labels,
        model.preprocessing,
        model.training,
        model.pixels,
    )
    return []


def _save_exported(model: Model, path: str) -> list[str]:
    model.network.export(model.theta, path)
    notes = _left_out(model, training_only=True)
    if model.labels is not None or model.preprocessing is not None:
        notes.append(
            "an exported network has no labels and no preprocessing: left out; images must be "
            "prepared as `matconv info` of the first file shows"
        )
    return notes


def _save_matconvnet(model: Model, path: str) -> list[str]:
    from .. import io

    pictures = io.simplenn.for_pictures(model)
    how = pictures.preprocessing
    io.save_matconvnet(
        path, pictures.network, pictures.theta, pictures.labels, how, pictures.pixels
    )
    notes = _left_out(model)
    if pictures is not model:
        notes.append("filters are transposed, for images that are not")
    if how is not None and how["scale"] != 1:
        notes.append(
            "MatConvNet subtracts averageImage, but has no scale: its images must then be multiplied "
            f"by {how['scale']:g}"
        )
    range_ = model.pixels
    if range_ is not None and not 100 < range_["max"] <= 255:
        notes.append(
            f"MatConvNet's images are pixels from 0 to 255, those of this model are from "
            f"{range_['min']:g} to {range_['max']:g}"
        )
    return notes


def _save_simplenn(model: Model, path: str) -> list[str]:
    from .. import io

    net, theta = io.simplenn.with_dense_layers(model.network, model.theta)
    how = model.preprocessing or {"shift": 0.0, "scale": 1.0}
    io.save_simplenn(path, net, theta, model.labels, how, model.pixels)
    notes = _left_out(model, training_only=True)
    if model.labels is not None and isinstance(model.labels[0], str):
        notes.append(f"the labels are 1 to {net.n_outputs} for simpleNN")
    order = "columns" if how.get("transpose") else "rows"
    plain = how["shift"] == 0 and how["scale"] == 1 and "mean" not in how
    prepared = "" if plain else ", prepared as `matconv info` shows"
    return [*notes, f"simpleNN needs Z with the pixels of a channel by {order}{prepared}"]


WRITERS = {
    "model": _save_model,
    "exported": _save_exported,
    "matconvnet": _save_matconvnet,
    "simplenn": _save_simplenn,
}


def _left_out(model: Model, training_only: bool = False) -> list[str]:
    """Return notes about what only model files have.

    Parameters
    ----------
    model : Model
    training_only : bool
        Whether layers that act in training only are left out.
    """
    net, record = model.network, model.training or {}
    notes = []
    if training_only:
        notes += [
            f"{name} ({layer.kind}) acts in training only: left out"
            for name, layer in zip(net.names, net.layers, strict=True)
            if layer.training_only
        ]
    settings = record.get("settings")
    if isinstance(settings, dict):
        loss = f", with the loss {shortened(settings['loss'])}" if "loss" in settings else ""
        notes.append(f"the record of the training{loss}: left out")
    imported = record.get("imported")
    if isinstance(imported, dict) and "classes" in imported:
        notes.append("the classes have a second list of names: left out, the labels are kept")
    return notes
