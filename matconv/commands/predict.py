"""matconv predict: what a model sees in images."""

from __future__ import annotations

import argparse
import csv
import io
import sys

from . import options

SUMMARY = "the label that a model gives to each image"
DESCRIPTION = """\
The label that a model gives to each image, as CSV: index, label, score.

The score is the label's probability where the loss is softmax (the default), else the network's
output.

example:
  matconv predict digits-model.npz --output labels.csv
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("model", metavar="MODEL", help="model file, as `matconv train` saves it")
    options.add_images(parser)
    parser.add_argument("--output", metavar="FILE", help="where to write. Default: standard output")
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")
    options.add_computing(parser)
    options.add_debug(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it; gives the exit status."""
    import numpy as np

    from ..io import atomic_write, load_model
    from . import datasets, settings
    from .outputs import check_output

    if arguments.output is not None:
        check_output(arguments.output, arguments.force)
    model = load_model(arguments.model)
    before = settings.recorded(model, arguments.model)
    images = datasets.chosen(arguments, before, labelled=False)
    net = model.network.with_algorithm(arguments.algorithm)
    datasets.check_shape(images, net.input_shape)
    z = net.forward(model.theta, model.prepare(images.pixels), arguments.threads)
    z = z.reshape(len(z), net.n_outputs).astype(np.float64)
    if before.get("loss", "softmax") == "softmax":
        with np.errstate(all="ignore"):
            z = np.exp(z - z.max(axis=1, keepdims=True))
            z /= z.sum(axis=1, keepdims=True)
    found = z.argmax(axis=1)
    labels = model.labels or range(net.n_outputs)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("index", "label", "score"))
    for k, (c, score) in enumerate(zip(found, z[np.arange(len(z)), found])):
        writer.writerow((k, labels[c], f"{score:.6g}"))
    if arguments.output is None:
        sys.stdout.write(text.getvalue())
    else:
        with atomic_write(arguments.output) as file:
            file.write(text.getvalue().encode("utf-8"))
    return 0
