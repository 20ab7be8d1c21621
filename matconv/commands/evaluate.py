"""matconv evaluate: accuracy, loss and confusion matrix of a model."""

from __future__ import annotations

import argparse

from ..options import shown
from . import options

SUMMARY = "accuracy, loss and confusion matrix of a model"
DESCRIPTION = """\
Accuracy, loss and confusion matrix of a model.

example:
  matconv evaluate digits-model.npz
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add(parser, options.MODEL, *options.IMAGES, options.FIRST_LABEL)
    options.add(parser, options.TOP_K, options.PER_CLASS)
    options.add(parser, *options.COMPUTING, options.DEBUG)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    import numpy as np

    from .. import metrics
    from ..graph import shape_text
    from ..io import load_model
    from ..layers import Softmax
    from ..losses import usual_loss
    from ..objective import Objective
    from . import datasets, settings, tables
    from .labels import check_scores, check_top_k, image_indices
    from .split import evaluation_notes

    model = load_model(arguments.model)
    check_scores(model, arguments.model)
    if arguments.top_k is not None:
        check_top_k(arguments.top_k, model.network)
    before = settings.recorded(model, arguments.model, settings.EVALUATION)
    images = datasets.chosen(arguments, before, model)
    net = model.network.with_algorithm(arguments.algorithm)
    Z = datasets.prepared(model, images)
    y = image_indices(images, model)
    loss = before.get("loss", usual_loss(net.n_outputs))
    C, factors = before.get("C", float("inf")), before.get("penalty", 1.0)
    objective = Objective(net, Z, y, loss, C, arguments.threads, penalty=factors)
    z = objective.outputs(model.theta)
    found = z.argmax(axis=1)
    right = int((found == y).sum())
    if loss == "softmax" and isinstance(net.layers[-1], Softmax):
        # the outputs are probabilities already
        with np.errstate(divide="ignore"):
            mean = -float(np.log(z[np.arange(len(y)), y].astype(np.float64)).mean())
    else:
        mean = objective.loss.value(z, objective.Y) / len(y)
    rows = [
        ("model", arguments.model),
        ("images", f"{len(y):,} of {shape_text(images.shape)}: {images.name}"),
        ("accuracy", f"{100 * right / len(y):.2f} % ({right:,} of {len(y):,})"),
        ("loss", f"{mean:.6g}, the mean {loss} loss of an image"),
    ]
    if arguments.top_k is not None:
        error = metrics.top_k_error(z, y, arguments.top_k)
        rows.insert(3, (f"top-{arguments.top_k} error", f"{100 * error:.2f} %"))
    if C != float("inf"):
        penalty = objective.regularisation(model.theta)
        term = "theta'theta / 2C"
        if factors != 1:
            term = f"sum p theta^2 / 2C for p: {shown(factors)}"
        rows.append(("f", f"{mean + penalty:.6g}, with {term} = {penalty:.6g}, C = {C:g}"))
    if arguments.data is None:
        notes = evaluation_notes(model, images, arguments.part)
        rows += [("note", note) for note in notes]
    print(tables.facts(rows))
    print()
    labels = [str(label) for label in model.labels or range(net.n_outputs)]
    print(tables.confusion(y, found, labels))
    if arguments.per_class:
        print()
        print(
            tables.per_class(
                metrics.confusion(z, y).sum(axis=1), metrics.class_errors(z, y), labels
            )
        )
    return 0
