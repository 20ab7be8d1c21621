"""matconv evaluate: accuracy, loss and confusion matrix of a model."""

from __future__ import annotations

import argparse

from . import options

SUMMARY = "accuracy, loss and confusion matrix of a model"
DESCRIPTION = """\
Accuracy, loss and confusion matrix of a model.

example:
  matconv evaluate digits-model.npz
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add(parser, options.MODEL, *options.IMAGES, *options.COMPUTING, options.DEBUG)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    import numpy as np

    from ..graph import shape_text
    from ..io import load_model
    from ..losses import get_loss, usual_loss
    from ..objective import Objective
    from . import datasets, settings, tables
    from .labels import as_indices, check_one_output
    from .split import evaluation_notes

    model = load_model(arguments.model)
    check_one_output(model.network, arguments.model)
    before = settings.recorded(model, arguments.model, settings.EVALUATION)
    images = datasets.chosen(arguments, before)
    net = model.network.with_algorithm(arguments.algorithm)
    Z = datasets.prepared(model, images)
    y = as_indices(images.truth, model.labels, net.n_outputs, images.name)
    loss = before.get("loss", usual_loss(net.n_outputs))
    objective = Objective(net, Z, y, loss, n_threads=arguments.threads)
    z = objective.outputs(model.theta)
    found = z.argmax(axis=1)
    right = int((found == y).sum())
    mean = get_loss(loss).value(z, objective.Y) / len(y)
    rows = [
        ("model", arguments.model),
        ("images", f"{len(y):,} of {shape_text(images.shape)}: {images.name}"),
        ("accuracy", f"{100 * right / len(y):.2f} % ({right:,} of {len(y):,})"),
        ("loss", f"{mean:.6g}, the mean {loss} loss of an image"),
    ]
    C = before.get("C", float("inf"))
    if C != float("inf"):
        theta = model.theta.astype(np.float64)
        penalty = float(theta @ theta) / (2 * C)
        rows.append(
            ("f", f"{mean + penalty:.6g}, with theta'theta / 2C = {penalty:.6g}, C = {C:g}")
        )
    if arguments.data is None:
        notes = evaluation_notes(model, images, arguments.part)
        rows += [("note", note) for note in notes]
    print(tables.facts(rows))
    print()
    labels = model.labels or range(net.n_outputs)
    print(tables.confusion(y, found, [str(label) for label in labels]))
    return 0
