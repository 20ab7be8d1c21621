"""f and its gradient for SciPy's optimizers, with steps to points where f is not finite."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .result import TrainingError
from .run import Run
from .shared import not_finite

Array = np.ndarray


class Trial(NamedTuple):
    """A point where f is finite: theta, f, |g| and max |g_i|."""

    theta: Array
    f: float
    norm: float
    largest: float


class Trials:
    """f and its gradient for SciPy, with the last trial point and the last accepted point.

    SciPy computes in float64 and the network in its own dtype: theta is rounded to this dtype, and
    the gradient is converted to float64.

    A step may be so long that f overflows. SciPy would end a line search after an infinity, and try
    an even longer step after a NaN. In place of such a value it gets that of a parabola around the
    last accepted point x_k,

        p(s) = f_k + r |s|^2 / |x - x_k|^2,   r = max(|f_k|, 1),

    at the step s = x - x_k to the trial point x. As p(s) = f_k + r is above f_k, the trial point is
    not accepted, and the next step is shorter.
    """

    def __init__(self, objective: Any, run: Run) -> None:
        self.objective = objective
        self.run = run
        self.x: Array | None = None  # the accepted point in float64
        self.f = 0.0
        self.trial: Trial
        self.largest = 0.0
        self.not_finite: str | None = None  # text: what was not finite at a trial of this iteration
        self.stopped = False

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Return f and its gradient at a trial point."""
        theta = x.astype(self.objective.net.dtype)
        f, gradient = self.objective.value_and_gradient(theta)
        wide = gradient.astype(np.float64)
        wrong = not_finite(f, wide)
        if wrong is None:
            norm, largest = float(np.linalg.norm(wide)), float(np.abs(wide).max())
            self.trial = Trial(theta, float(f), norm, largest)
            if self.x is None:
                self.x, self.f, self.largest = x.copy(), float(f), largest
                self.run.evaluated(float(f), norm)
                self.begun()
            return float(f), wide
        self.not_finite = wrong
        if self.x is None:
            raise self.error("at theta0")
        return self._turn_back(x)

    def begun(self) -> None:
        """Called when f is known at theta0."""

    def _turn_back(self, x: Array) -> tuple[float, Array]:
        s = x - self.x
        squared = float(s @ s)
        # the step overflows, or is too short to be shortened
        if not 0 < squared < np.inf:
            raise self.error(f"at step {self.run.iterations + 1}")
        rise = max(abs(self.f), 1.0)
        return self.f + rise, (2 * rise / squared) * s

    def iterate(self, at: Trial) -> None:
        """Record an iteration that ends at an accepted point.

        Raises
        ------
        StopIteration
            If the callback asks to stop.
        """
        self.run.progress.advance()
        if not self.run.iterate(at.f, at.norm):
            self.stopped = True
            raise StopIteration

    def error(self, where: str) -> TrainingError:
        """Return the error about what is not finite."""
        error = TrainingError(f"{self.run.method}: {self.not_finite} {where}")
        error.result = self.run.result(str(error))
        return error
