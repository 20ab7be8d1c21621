"""What several methods share: options, messages, the order of the images."""

from __future__ import annotations

import numpy as np

from ..options import Count, Number, Option

GTOL = Option(
    "gtol",
    Number(minimum=0),
    "tolerance for the largest magnitude of an element of the gradient",
    1e-5,
    metavar="TOL",
)
SEED = Option(
    "seed",
    Count(0),
    "seed of the order of the images, and of what Dropout drops; the same seed gives the same bits",
    default_text="by default another one each time",
    metavar="N",
)
STOPPED = "stopped by the callback"
NO_LOWER_F = "the line search finds no lower f: the limit of the precision"


def iterations_done(count: int) -> str:
    """Return the message after the maximum number of iterations."""
    return f"{count} iteration{'s' if count > 1 else ''} done"


def within_gtol(gtol: float) -> str:
    """Return the message after convergence by the gradient."""
    return f"every entry of the gradient is within gtol = {gtol:g}"


def not_finite(f: float, gradient: np.ndarray) -> str | None:
    """Return what is not finite, as text; None if f and all elements of the gradient are finite."""
    if not np.isfinite(f):
        return f"f is {f}"
    # the sum allocates nothing; it may overflow although all elements are finite
    if np.isfinite(np.dot(gradient, gradient)) or np.isfinite(gradient).all():
        return None
    return "the gradient of f is not finite"


def drawn(seed: int | None) -> int:
    """Return the seed, or a random one if it is None."""
    return int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed


def shuffled(seed: int, epoch: int, l: int) -> np.ndarray:
    """Return the order of l images in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(l)
