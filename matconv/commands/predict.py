"""matconv predict: the labels that a model gives to images."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..layers import Softmax
from ..losses import LOSSES, usual_loss
from ..options import Option, Text
from . import options

if TYPE_CHECKING:
    from ..io import Model

SUMMARY = "the label that a model gives to each image"
DESCRIPTION = """\
The label that a model gives to each image, as CSV: index, label, score.

The score is the label's probability where the loss defines one, as the default does, else the
network's output. For pictures the name of the file is added.

examples:
  matconv predict digits-model.npz --output labels.csv
  matconv predict net.mat --data picture.png
"""


OUTPUT = Option(
    "output",
    Text(),
    "file to write, or '-'",
    default_text="-, standard output",
    metavar="FILE",
)
# a model file may record any loss; the scores of one that is not in LOSSES are the outputs
LOSS = replace(options.LOSS, values=Text())


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add(parser, options.MODEL, *options.IMAGES, OUTPUT, options.FORCE)
    options.add(parser, *options.COMPUTING, options.DEBUG)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ..io import atomic_write, load_model
    from . import datasets, settings
    from .labels import check_scores
    from .outputs import STANDARD, check_output
    from .saving import OutputFile

    to_file = arguments.output not in (None, STANDARD)
    if to_file:
        check_output(arguments.output, arguments.force)
    model = load_model(arguments.model)
    check_scores(model, arguments.model)
    before = settings.recorded(
        model, arguments.model, (*settings.DATA_SETTINGS, *settings.SEEDS, LOSS)
    )
    images = datasets.chosen(arguments, before, model, labelled=False)
    net = model.network.with_algorithm(arguments.algorithm)
    Z = datasets.prepared(model, images)
    z = net.forward(model.theta, Z, arguments.threads)
    text = _table(model, z, before.get("loss", usual_loss(net.n_outputs)), images.files)
    if not to_file:
        sys.stdout.write(text)
        return 0

    def write(path: str) -> None:
        # the encoding of standard output: a label may contain a lone surrogate
        with atomic_write(path) as file:
            file.write(text.encode("utf-8", "backslashreplace"))

    output = OutputFile(arguments.output, arguments.force, "labels.csv")
    output.write(write, last=True)
    for note in output.notes:
        sys.stdout.write(f"{note}\nthe labels are in {output.path}\n")
    return 1 if output.rescued else 0


def _table(model: Model, z: np.ndarray, loss: str, files: tuple[str, ...] | None) -> str:
    """Return the predictions as CSV: index, label, score, and the file of single pictures."""
    z = z.reshape(len(z), model.network.n_outputs).astype(np.float64)
    probabilities = getattr(LOSSES.get(loss), "probabilities", None)
    # the outputs of a network that ends with softmax are probabilities
    if probabilities is not None and not isinstance(model.network.layers[-1], Softmax):
        z = probabilities(z)
    found = z.argmax(axis=1)
    labels = model.labels or range(model.network.n_outputs)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("index", "label", "score", *(["file"] if files else [])))
    for k, (c, score) in enumerate(zip(found, z[np.arange(len(z)), found])):
        writer.writerow((k, labels[c], f"{score:.6g}", *(files[k : k + 1] if files else ())))
    return text.getvalue()
