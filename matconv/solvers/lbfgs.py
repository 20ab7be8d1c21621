"""L-BFGS on f over all images: SciPy's L-BFGS-B without bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..options import Count, Number, Option
from .method import Method
from .run import Run
from .shared import GTOL, NO_LOWER_F, STOPPED, iterations_done, within_gtol
from .trials import Trials


class _LineSearch(Trials):
    """Trial points of a line search, which ends at the last one."""

    def accept(self, intermediate_result: Any) -> None:
        """Accept the last trial point; SciPy calls this after every iteration."""
        theta, f, norm, self.largest = trial = self.trial
        # the search has gone back to x_k, because f was not finite at the points that it tried
        if self.not_finite is not None and f >= self.f:
            raise self.error(f"at step {self.run.iterations + 1}")
        self.x, self.f = intermediate_result.x.copy(), f
        self.not_finite = None
        self.run.step(theta, f, norm)
        self.iterate(trial)


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
    trials = _LineSearch(objective, run)
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
        return STOPPED, False
    if found.status == 0:
        if trials.largest <= gtol:
            return within_gtol(gtol), True
        return f"f decreased by less than ftol = {ftol:g}, relatively", True
    if found.status == 1:
        return iterations_done(max_iterations), False
    if trials.not_finite is not None:
        raise trials.error(f"at step {run.iterations + 1}")
    return NO_LOWER_F, False


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
        GTOL,
        Option(
            "ftol",
            Number(minimum=0),
            "tolerance for the relative decrease of f in an iteration",
            1e-9,
            metavar="TOL",
        ),
    ),
)

# the same under SciPy's name
L_BFGS_B = replace(METHOD, name="L-BFGS-B", max_images=0)
