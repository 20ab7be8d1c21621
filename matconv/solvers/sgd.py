"""Stochastic gradient descent: mini-batches, momentum, schedules of the learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..options import Choice, Count, Flag, Number, Option
from .method import Method
from .result import TrainingError
from .run import Run
from .schedules import DESCRIPTIONS, SCHEDULES, Schedule, get_schedule

# elements that are updated at a time, so that the pieces of four vectors stay in the cache
BLOCK = 1 << 14


class _Mean:
    """Means of f and of its gradient over the batches of an epoch, weighted by their images."""

    def __init__(self, n: int, batch_size: int) -> None:
        self._f = 0.0
        self._gradient = np.zeros(n)  # sum of gradients times images / batch_size
        self._batch_size = batch_size
        self._images = 0

    def add(self, f: float, gradient: np.ndarray, images: int) -> None:
        self._f += images * f
        if images != self._batch_size:
            gradient = gradient * (images / self._batch_size)
        self._gradient += gradient
        self._images += images

    @property
    def f(self) -> float:
        return self._f / self._images

    @property
    def gradient_norm(self) -> float:
        return float(np.linalg.norm(self._gradient)) * self._batch_size / self._images


class _Descent:
    """theta and its velocity.

        v     <- momentum v - rate g
        theta <- theta + v                         (nesterov: theta + momentum v - rate g)

    theta alternates between two vectors. A step overwrites the older of them, so that the theta of
    the last complete step is not changed.
    """

    def __init__(self, theta: np.ndarray, momentum: float, nesterov: bool) -> None:
        self.theta = theta.copy()
        self.before = theta.copy()
        self._velocity = np.zeros_like(theta)
        self._momentum = momentum
        self._nesterov = nesterov

    def move(self, gradient: np.ndarray, rate: float) -> np.ndarray:
        """Make a step along ``gradient``, which is overwritten; return the new theta."""
        for k in range(0, len(gradient), BLOCK):
            part = slice(k, k + BLOCK)
            self._move(gradient[part], self._velocity[part], part, rate)
        self.theta, self.before = self.before, self.theta
        return self.theta

    def _move(self, g: np.ndarray, v: np.ndarray, part: slice, rate: float) -> None:
        g *= -rate
        v *= self._momentum
        v += g
        if self._nesterov:
            g += self._momentum * v
            v = g
        np.add(self.theta[part], v, out=self.before[part])


def _is_finite(gradient: np.ndarray) -> bool:
    """Return whether all elements are finite; allocates a vector only if squares overflow."""
    squares = np.dot(gradient, gradient)
    return bool(np.isfinite(squares) or np.isfinite(gradient).all())


def sgd(
    objective: Any,
    run: Run,
    max_iterations: int,
    *,
    batch_size: int,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    schedule: Schedule,
    seed: int | None,
) -> tuple[str, bool]:
    """Run ``max_iterations`` epochs from ``run.theta``; `METHOD` describes the options.

    Returns
    -------
    message : str
    converged : bool
        Always False: there is no test for convergence.

    Raises
    ------
    TrainingError
        If f of a batch, or its gradient, is not finite.

    References
    ----------
    B. T. Polyak, "Some methods of speeding up the convergence of iteration methods" (1964);
    I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and
    momentum in deep learning" (2013), for Nesterov's method.
    """
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    l = objective.l
    batches = -(-l // batch_size)
    first, last = run.iterations, run.iterations + max_iterations
    descent = _Descent(run.theta, momentum, nesterov)
    run.progress.begin(max_iterations * batches, "batches")
    for epoch in range(first, last):
        order = np.random.default_rng([seed, epoch]).permutation(l)
        dropping = objective.with_dropout(seed % 2**64, epoch)
        mean = _Mean(len(run.theta), min(batch_size, l))
        for k in range(batches):
            part = dropping.subset(order[k * batch_size : (k + 1) * batch_size])
            f, gradient = part.value_and_gradient(descent.theta)
            if not (np.isfinite(f) and _is_finite(gradient)):
                what = "the gradient of f is not finite" if np.isfinite(f) else f"f is {f}"
                raise _error(what, f"batch {k + 1} of epoch {epoch + 1}", descent, run)
            mean.add(f, gradient, part.l)
            rate = learning_rate * schedule((epoch * batches + k) / (last * batches))
            run.step(descent.move(gradient, rate), mean.f if epoch == first else None)
            run.progress.advance()
        if not np.isfinite(descent.theta).all():
            raise _error("theta is not finite", f"the end of epoch {epoch + 1}", descent, run)
        if not run.iterate(mean.f, mean.gradient_norm):
            return "stopped by the callback", False
    return f"{max_iterations} epoch{'s' if max_iterations > 1 else ''} done", False


def _error(what: str, where: str, descent: _Descent, run: Run) -> TrainingError:
    """Return the error after a step that was too long, with the result before this step."""
    if run.moved:
        run.step(descent.before)
    error = TrainingError(f"sgd: {what} at {where}; a smaller learning rate may help")
    error.result = run.result(str(error))
    return error


METHOD = Method(
    "sgd",
    sgd,
    "stochastic gradient descent on f over mini-batches",
    iterations=10,
    iteration="epoch",
    progress="stochastic gradient, {count}, batches of {batch_size}, learning rate "
    "{learning_rate:g} ({schedule}), momentum {momentum:g}",
    options=(
        Option(
            "batch_size",
            Count(),
            "images of a batch; the last one of an epoch may be smaller",
            64,
            metavar="N",
        ),
        Option(
            "learning_rate",
            Number(minimum=0),
            "factor of the gradient in a step",
            0.02,
            metavar="RATE",
        ),
        Option(
            "momentum",
            Number(minimum=0, below=1),
            "share of the previous step that is added to the next; the first step has no previous "
            "one, also after --resume",
            0.9,
            metavar="M",
        ),
        Option("nesterov", Flag(), "use Nesterov's form of momentum", False),
        Option(
            "schedule",
            Choice(SCHEDULES, get_schedule, "a function of t, the part of the training done"),
            "factor of the learning rate: "
            + "; ".join(f"{name}, {text}" for name, text in DESCRIPTIONS.items()),
            "constant",
            command_default="cosine",
        ),
        Option(
            "seed",
            Count(0),
            "seed of the order of the images, and of what Dropout drops; the same seed gives the same "
            "bits",
            default_text="by default another one each time",
            metavar="N",
        ),
    ),
)
