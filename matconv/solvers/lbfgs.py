"""L-BFGS on f over all images: SciPy's L-BFGS-B without bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..options import Count, Number, Option
from .method import Method
from .result import TrainingError
from .run import Run


class _Trials:
    """f and its gradient for SciPy, with the last trial point and the last accepted point.

    SciPy computes in float64 and the network in its own dtype: theta is rounded to this dtype, and
    the gradient is converted to float64.

    A step of the line search may be so long that f overflows. SciPy would end the search after an
    infinity, and try an even longer step after a NaN. In place of such a value it gets that of a
    parabola around the last accepted point x_k,

        p(s) = f_k + r |s|^2 / |x - x_k|^2,   r = max(|f_k|, 1),

    at the step s = x - x_k to the trial point x. As p(s) = f_k + r is above f_k, the trial point is
    not accepted, and the next step is shorter.
    """

    def __init__(self, objective: Any, run: Run) -> None:
        self.objective = objective
        self.run = run
        self.x: np.ndarray | None = None  # the accepted point in float64
        self.f = 0.0
        self.trial: tuple[np.ndarray, float, float, float]  # theta, f, |g|, max |g_i|
        self.largest = 0.0
        self.not_finite: str | None = None  # text: what was not finite at a trial of this iteration
        self.stopped = False

    def value_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        theta = x.astype(self.objective.net.dtype)
        f, gradient = self.objective.value_and_gradient(theta)
        wide = gradient.astype(np.float64)
        largest = float(np.abs(wide).max())
        if np.isfinite(f) and np.isfinite(largest):
            f = float(f)
            norm = float(np.linalg.norm(wide))
            self.trial = theta, f, norm, largest
            if self.x is None:
                self.x, self.f, self.largest = x.copy(), f, largest
                self.run.evaluated(f, norm)
            return f, wide
        self.not_finite = f"f is {f}" if not np.isfinite(f) else "the gradient of f is not finite"
        if self.x is None:
            raise self.error("at theta0")
        return self._turn_back(x)

    def _turn_back(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        s = x - self.x
        squared = float(s @ s)
        # the step overflows, or is too short to be shortened
        if not 0 < squared < np.inf:
            raise self.error(f"at step {self.run.iterations + 1}")
        rise = max(abs(self.f), 1.0)
        return self.f + rise, (2 * rise / squared) * s

    def accept(self, intermediate_result: Any) -> None:
        """Accept the last trial point; SciPy calls this after every iteration."""
        theta, f, norm, self.largest = self.trial
        # the search has gone back to x_k, because f was not finite at the points that it tried
        if self.not_finite is not None and f >= self.f:
            raise self.error(f"at step {self.run.iterations + 1}")
        self.x, self.f = intermediate_result.x.copy(), f
        self.not_finite = None
        self.run.step(theta, f, norm)
        self.run.progress.advance()
        if not self.run.iterate(f, norm):
            self.stopped = True
            raise StopIteration

    def error(self, where: str) -> TrainingError:
        error = TrainingError(f"lbfgs: {self.not_finite} {where}")
        error.result = self.run.result(str(error))
        return error


def lbfgs(
    objective: Any, run: Run, max_iterations: int, *, memory: int, gtol: float, ftol: float
) -> tuple[str, bool]:
    """Minimise f over all images from ``run.theta``; `METHOD` describes the options.

    Returns
    -------
    message : str
    converged : bool

    Raises
    ------
    TrainingError
        If f or its gradient is not finite at theta0, or however short the step is.

    References
    ----------
    R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, "A limited memory algorithm for bound constrained
    optimization", SIAM Journal on Scientific Computing 16 (1995).
    """
    # not at the top, because this import takes longer than the rest of `import matconv`
    from scipy import optimize

    options = {
        "maxcor": memory,
        "gtol": gtol,
        "ftol": ftol,
        "maxiter": max_iterations,
        "maxfun": np.iinfo(np.int32).max,
    }
    trials = _Trials(objective, run)
    run.progress.begin(max_iterations, "iterations")

    # SciPy passes the intermediate result to an argument with this name
    def accept(intermediate_result: Any) -> None:
        trials.accept(intermediate_result)

    found = optimize.minimize(
        trials.value_and_gradient,
        run.theta.astype(np.float64),
        jac=True,
        method="L-BFGS-B",
        callback=accept,
        options=options,
    )
    if trials.stopped:
        return "stopped by the callback", False
    if found.status == 0:
        if trials.largest <= gtol:
            return f"every entry of the gradient is within gtol = {gtol:g}", True
        return f"f decreased by less than ftol = {ftol:g}, relatively", True
    if found.status == 1:
        return f"{max_iterations} iteration{'s' if max_iterations > 1 else ''} done", False
    if trials.not_finite is not None:
        raise trials.error(f"at step {run.iterations + 1}")
    return "the line search finds no lower f: the limit of the precision", False


METHOD = Method(
    "lbfgs",
    lbfgs,
    "L-BFGS on f over all images",
    iterations=100,
    max_images=10_000,
    progress="L-BFGS, {count}",
    options=(
        Option(
            "memory",
            Count(),
            "number of pairs of vectors that approximate the curvature",
            10,
            metavar="N",
        ),
        Option(
            "gtol",
            Number(minimum=0),
            "tolerance for the largest magnitude of an element of the gradient",
            1e-5,
            metavar="TOL",
        ),
        Option(
            "ftol",
            Number(minimum=0),
            "tolerance for the relative decrease of f in an iteration",
            1e-9,
            metavar="TOL",
        ),
    ),
)
