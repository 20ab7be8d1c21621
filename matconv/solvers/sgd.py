"""Stochastic gradient descent: mini-batches, momentum, schedules of the learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import factors
from ..engines.threads import ThreadEngine
from ..kernels.sums import descend
from ..options import Choice, Count, Factors, Flag, Number, Option
from .method import Method
from .result import TrainingError
from .run import Run
from .schedules import DESCRIPTIONS, SCHEDULES, Schedule, get_schedule
from .shared import SEED, drawn, not_finite, shuffled

# elements that a thread updates at a time
PIECE = 1 << 18


class _Mean:
    """Means of f and of its gradient over the batches of an epoch, by the weights of their samples.

    Without weights and positions, the weight of a batch is the number of its images.
    """

    def __init__(self, n: int, usual: float) -> None:
        self._f = 0.0
        self.gradient = np.zeros(n)  # sum of gradients times `share`
        self._usual = usual
        self._weight = 0.0

    def add(self, f: float, weight: float) -> None:
        self._f += weight * f
        self._weight += weight

    def share(self, weight: float) -> float:
        return weight / self._usual

    @property
    def f(self) -> float:
        return self._f / self._weight

    @property
    def gradient_norm(self) -> float:
        return float(np.linalg.norm(self.gradient)) * self._usual / self._weight


class _Descent:
    """theta and its velocity.

        v     <- momentum v - rate g
        theta <- theta + v                         (nesterov: theta + momentum v - rate g)

    With factors of the rate, g is first multiplied by them, element by element.

    theta alternates between two vectors. A step overwrites the older of them, so that the theta of
    the last complete step is not changed.
    """

    def __init__(
        self,
        theta: np.ndarray,
        momentum: float,
        nesterov: bool,
        engine: ThreadEngine,
        rates: list[factors.Run] | None = None,
    ) -> None:
        self.theta = theta.copy()
        self.before = theta.copy()
        self._velocity = np.zeros_like(theta)
        self._momentum = momentum
        self._nesterov = nesterov
        self._engine = engine
        self._rates = rates or []

    def move(self, gradient: np.ndarray, rate: float, mean: np.ndarray, share: float) -> np.ndarray:
        """Make a step along ``gradient`` and add ``share`` times it to ``mean``; return theta.

        With factors of the rate, ``gradient`` is overwritten.
        """
        fused = not self._rates
        if not fused:
            mean += gradient * share
        for start, stop, factor in self._rates:
            gradient[start:stop] *= factor

        def move_part(first: int) -> None:
            part = slice(first, first + PIECE)
            descend(
                self.theta[part], gradient[part], self.before[part], rate, self._momentum,
                self._velocity[part], self._nesterov, mean[part] if fused else None, share,
            )  # fmt: skip

        self._engine.run(move_part, range(0, len(gradient), PIECE))
        self.theta, self.before = self.before, self.theta
        return self.theta


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
    rates: factors.Factors,
    seed: int | None,
) -> tuple[str, bool]:
    """Run ``max_iterations`` epochs from ``run.theta``; `METHOD` describes the options.

    A batch without labelled images of positive weight is left out: there is no step.

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
    seed = drawn(seed)
    l = objective.l
    batches = -(-l // batch_size)
    first, last = run.iterations, run.iterations + max_iterations
    engine = getattr(objective, "engine", None) or ThreadEngine()
    net = objective.net
    multiples = factors.runs("rates", rates, net.n, net.layout.arrays())
    descent = _Descent(run.theta, momentum, nesterov, engine, multiples)
    usual = min(batch_size, l) * _weight(objective) / l
    run.progress.begin(max_iterations * batches, "batches")
    for epoch in range(first, last):
        order = shuffled(seed, epoch, l)
        dropping = objective
        if hasattr(objective, "with_dropout"):  # not an objective of the user's own
            dropping = objective.with_dropout(seed % 2**64, epoch)
        mean = _Mean(len(run.theta), usual)
        for k in range(batches):
            part = dropping.subset(order[k * batch_size : (k + 1) * batch_size])
            weight = _weight(part)
            if weight == 0:
                run.progress.advance()
                continue
            f, gradient = part.value_and_gradient(descent.theta)
            what = not_finite(f, gradient)
            if what is not None:
                raise _error(what, f"batch {k + 1} of epoch {epoch + 1}", descent, run)
            mean.add(f, weight)
            rate = learning_rate * schedule((epoch * batches + k) / (last * batches))
            theta = descent.move(gradient, rate, mean.gradient, mean.share(weight))
            run.step(theta, mean.f if epoch == first else None)
            run.progress.advance()
        if not np.isfinite(descent.theta).all():
            raise _error("theta is not finite", f"the end of epoch {epoch + 1}", descent, run)
        if not run.iterate(mean.f, mean.gradient_norm):
            return "stopped by the callback", False
    return f"{max_iterations} epoch{'s' if max_iterations > 1 else ''} done", False


def _weight(objective: Any) -> float:
    """Return the weight of all samples; without `total_weight` each image has the weight 1."""
    return float(getattr(objective, "total_weight", objective.l))


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
            "rates",
            Factors(),
            "factors of the learning rate by layer and kind of parameters, such as "
            "conv1=0.1,biases=2, see matconv.factors; 0: these parameters are not changed",
            1.0,
            metavar="FACTORS",
        ),
        SEED,
    ),
)
