"""matconv convert: a model file in another format."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ..options import Choice, Option, Text, alternatives
from . import options
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
DTYPE = replace(options.DTYPE, default_text="that of the file; for a file of MatConvNet")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add(parser, SOURCE, TARGET, TO, SHAPE, DTYPE, options.FORCE, options.DEBUG)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ..io import load_model
    from .outputs import check_output

    chosen = arguments.to or ENDINGS.get(os.path.splitext(arguments.target)[1].lower())
    if chosen is None:
        raise UsageError(
            f"{arguments.target} does not end with {alternatives([*ENDINGS])}; "
            "use --to to choose the format"
        )
    check_output(arguments.target, arguments.force)
    model = load_model(arguments.source, arguments.input_shape, arguments.dtype)
    later = _save(model, arguments.target, chosen)
    imported = (model.training or {}).get("imported")
    notes = imported.get("notes") if isinstance(imported, dict) else None
    for note in [*(notes if isinstance(notes, list) else []), *later]:
        print(f"note: {note}")
    print(f"{arguments.target}: {FORMATS[chosen]}, {model.theta.size:,} parameters")
    return 0


def _save(model: Model, path: str, chosen: str) -> list[str]:
    """Write the file; return notes about what it does not have."""
    from .. import io

    net, theta = model.network, model.theta
    if chosen == "model":
        io.save_model(
            path, net, theta, model.labels, model.preprocessing, model.training, model.pixels
        )
    elif chosen == "exported":
        net.export(theta, path)
        if model.labels is not None or model.preprocessing is not None:
            return ["an exported network has no labels and no preprocessing: left out"]
    elif chosen == "matconvnet":
        pictures = io.simplenn.for_pictures(model)
        found = pictures.network, pictures.theta, pictures.labels, pictures.preprocessing
        io.save_matconvnet(path, *found)
        if pictures is not model:
            return ["filters are transposed, for images that are not"]
    elif chosen == "simplenn":
        return _save_simplenn(model, path)
    return []


def _save_simplenn(model: Model, path: str) -> list[str]:
    """Write a file of simpleNN; return notes about what simpleNN does not know of."""
    from .. import io

    notes = []
    net, theta = io.simplenn.with_dense_layers(model.network, model.theta)
    if any(layer.kind == "Dropout" for layer in model.network.layers):
        notes.append("simpleNN has no Dropout: left out")
    how = model.preprocessing or {"shift": 0.0, "scale": 1.0}
    io.save_simplenn(path, net, theta, model.labels, how)
    if model.labels is not None and isinstance(model.labels[0], str):
        notes.append(f"the labels are 1 to {net.n_outputs} for simpleNN")
    order = "columns" if how.get("transpose") else "rows"
    plain = how["shift"] == 0 and how["scale"] == 1 and "mean" not in how
    prepared = "" if plain else ", prepared as `matconv info` shows"
    return [*notes, f"simpleNN needs Z with the pixels of a channel by {order}{prepared}"]
