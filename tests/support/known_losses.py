"""Random problems for each loss that is included: outputs z and targets y of every kind."""

import numpy as np

from matconv.losses import LOSSES, get_loss

# names as Objective takes them; a parameter other than the default too
NAMES = [*LOSSES, "huber:0.3"]
# losses whose Hessian is 0
FLAT = {"absolute", "hinge", "multiclass_hinge", "structured_hinge"}
RESIDUAL = {"squared", "absolute", "huber", "huber:0.3"}
ATTRIBUTE = {"logistic", "hinge", "squared_hinge"}


def kinds(name):
    """The kinds of targets of a loss."""
    if name in RESIDUAL:
        return ("labels", "rows")
    if name in ATTRIBUTE:
        return ("labels", "attributes", *(["probabilities"] if name == "logistic" else []))
    return ("labels", "probabilities") if name == "softmax" else ("labels",)


def targets(kind, random, l, n, unlabelled=True):
    """Random targets of a kind; some are not labelled, if that is possible."""
    if kind == "labels":
        return random.integers(-1 if unlabelled else 0, n, l)
    if kind == "rows":
        return random.standard_normal((l, n))
    if kind == "attributes":
        return random.integers(-1 if unlabelled else 0, 2, (l, n))
    rows = random.random((l, n)) + 0.01
    return rows / rows.sum(axis=1, keepdims=True)


def problem(name, kind, seed, dtype=np.float64, scale=3.0, unlabelled=True):
    """(loss, z, y): y is the result of ``loss.targets``."""
    random = np.random.default_rng(seed)
    l, n = int(random.integers(1, 9)), int(random.integers(2, 8))
    z = (scale * random.standard_normal((l, n))).astype(dtype)
    loss = get_loss(name)
    return loss, z, loss.targets(targets(kind, random, l, n, unlabelled).copy(), l, n, dtype)


CASES = [(name, kind) for name in NAMES for kind in kinds(name)]
