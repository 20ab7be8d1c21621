"""Methods of SciPy that use products with the Gauss-Newton matrix, or with the Hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..options import Choice, Number, Option
from .method import Method
from .run import Run
from .shared import GTOL, STOPPED, iterations_done, within_gtol
from .trials import Trial, Trials

Array = np.ndarray

# the matrix, and the method of an objective that multiplies by it
CURVATURES = {"gauss-newton": "gnp", "hessian": "hessp"}
TITLES = {"gauss-newton": "Gauss-Newton matrix", "hessian": "Hessian"}


class _Ended(Exception):
    """The minimisation ends: a message, and whether it converged."""


class _Iterates(Trials):
    """Trial points of a method that may reject them: an iteration may end where it began.

    Parameters
    ----------
    gtol : float
    before : int
        Number of calls of the callback before the first iteration.
    """

    def __init__(self, objective: Any, run: Run, gtol: float, before: int) -> None:
        super().__init__(objective, run)
        self._gtol = gtol
        self._before = before
        self._tried: Array
        self._accepted: Trial

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Return f and its gradient at a trial point."""
        self._tried = x.astype(self.objective.net.dtype)
        return super().value_and_gradient(x)

    def begun(self) -> None:
        self._accepted = self.trial
        self._check_gradient()

    def accept(self, intermediate_result: Any) -> None:
        """End an iteration; SciPy calls this after each, also if it has rejected the trial point.

        Raises
        ------
        StopIteration
            If the callback asks to stop.
        _Ended
            If the gradient is within the tolerance, or steps no longer change theta.
        """
        if self._before > 0:
            self._before -= 1
            return
        x = intermediate_result.x
        theta = x.astype(self.objective.net.dtype)
        moved = not np.array_equal(theta, self._accepted.theta)
        if moved:
            self._accepted = at = self._find(x, theta)
            self.x, self.f, self.not_finite = x.copy(), at.f, None
            self.run.step(at.theta, at.f, at.norm)
        self.iterate(self._accepted)
        self._check_gradient()
        if not moved and np.array_equal(self._tried, theta):
            raise _Ended("the steps do not change theta: the limit of the precision", False)

    def _find(self, x: Array, theta: Array) -> Trial:
        """Return the last trial, or evaluate f again where a line search has gone back."""
        if not np.array_equal(self.trial.theta, theta):
            self.value_and_gradient(x)
        return self.trial

    def _check_gradient(self) -> None:
        if self._accepted.largest <= self._gtol:
            raise _Ended(within_gtol(self._gtol), True)


def _product(
    objective: Any, run: Run, curvature: str, trials: Trials
) -> Callable[[Array, Array], Array]:
    """Return a function of x and p for SciPy, which calls it in float64.

    Where a product is not finite the function raises TrainingError.
    """
    name = CURVATURES[curvature]
    method = getattr(objective, name, None)
    if method is None:
        raise TypeError(
            f"{run.method}: curvature {curvature!r} needs an objective with a method {name}"
        )
    dtype = objective.net.dtype

    def product(x: Array, p: Array) -> Array:
        result: Array = method(x.astype(dtype), p.astype(dtype))
        # the network's dtype may not represent a p that SciPy has extrapolated
        if not np.isfinite(result).all() and np.isfinite(p.astype(dtype)).all():
            matrix = TITLES[curvature]
            trials.not_finite = f"a product with the {matrix} is not finite"
            raise trials.error(f"at step {run.iterations + 1}")
        return result.astype(np.float64)

    return product


def _minimize(
    objective: Any,
    run: Run,
    max_iterations: int,
    gtol: float,
    curvature: str,
    options: dict[str, Any],
    before: int = 0,
) -> tuple[str, bool]:
    """Minimise f over all images from ``run.theta`` by SciPy's method of the run's name.

    Parameters
    ----------
    objective : Objective
    run : Run
    max_iterations : int
    gtol : float
    curvature : str
        A key of `CURVATURES`.
    options : dict
        SciPy's options. Those that are None are left out.
    before : int
        Number of times that SciPy calls the callback before the first iteration.

    Returns
    -------
    message : str
    converged : bool

    Raises
    ------
    TrainingError
        If f or its gradient is not finite at theta0, or SciPy ends where it is not finite.
    TypeError
        If the objective has no product with this matrix.
    """
    # not at the top, because this import takes longer than the rest of `import matconv`
    from scipy import optimize

    trials = _Iterates(objective, run, gtol, before)
    product = _product(objective, run, curvature, trials)
    run.progress.begin(max_iterations, "iterations")

    # SciPy passes the intermediate result to an argument with this name
    def accept(intermediate_result: Any) -> None:
        trials.accept(intermediate_result)

    try:
        found = optimize.minimize(
            trials.value_and_gradient,
            run.theta.astype(np.float64),
            jac=True,
            hessp=product,
            method=run.method,
            callback=accept,
            options={
                **{name: value for name, value in options.items() if value is not None},
                "maxiter": max_iterations + before,
            },
        )
    except _Ended as ended:
        message, converged = ended.args
        return message, converged
    if trials.stopped:
        return STOPPED, False
    if len(run.history) >= max_iterations:
        return iterations_done(max_iterations), False
    if trials.not_finite is not None:
        raise trials.error(f"at step {run.iterations + 1}")
    return f"SciPy: {found.message}", bool(found.success)


def trust_region(
    objective: Any, run: Run, max_iterations: int, *,
    initial_trust_radius: float, max_trust_radius: float, curvature: str, gtol: float,
) -> tuple[str, bool]:  # fmt: skip
    """Minimise f by one of the methods of SciPy that take a maximum of the trust radius.

    Raises
    ------
    ValueError
        If the initial radius is not below the maximum.
    """
    if not initial_trust_radius < max_trust_radius:
        raise ValueError(
            f"{run.method}: initial_trust_radius must be less than max_trust_radius, got "
            f"{initial_trust_radius} and {max_trust_radius}"
        )
    radii = {"initial_trust_radius": initial_trust_radius, "max_trust_radius": max_trust_radius}
    return _minimize(objective, run, max_iterations, gtol, curvature, {**radii, "gtol": 0.0})


def trust_constr(
    objective: Any, run: Run, max_iterations: int, *,
    initial_trust_radius: float, xtol: float | None, curvature: str, gtol: float,
) -> tuple[str, bool]:  # fmt: skip
    """Minimise f by SciPy's method for problems with constraints, without any."""
    options = {"initial_tr_radius": initial_trust_radius, "xtol": xtol, "gtol": 0.0}
    # SciPy calls the callback at theta0 too, and counts this as an iteration
    return _minimize(objective, run, max_iterations, gtol, curvature, options, before=1)


def newton_cg(
    objective: Any, run: Run, max_iterations: int, *,
    xtol: float | None, curvature: str, gtol: float,
) -> tuple[str, bool]:  # fmt: skip
    """Minimise f by SciPy's Newton method with a line search."""
    return _minimize(objective, run, max_iterations, gtol, curvature, {"xtol": xtol})


CURVATURE = Option(
    "curvature",
    Choice(CURVATURES),
    "matrix of the quadratic model, by which vectors are multiplied",
    "gauss-newton",
)
INITIAL_RADIUS = Option(
    "initial_trust_radius", Number(above=0), "trust radius of the first iteration", 1.0,
    metavar="RADIUS",
)  # fmt: skip
MAX_RADIUS = Option(
    "max_trust_radius", Number(above=0), "maximum of the trust radius", 1000.0, metavar="RADIUS"
)
XTOL = Option(
    "xtol",
    Number(minimum=0),
    "tolerance for the mean magnitude of an element of the step, or with a trust region for its "
    "radius",
    default_text="that of SciPy",
    metavar="TOL",
)

TRUST_NCG = Method(
    "trust-ncg",
    trust_region,
    "SciPy's trust region with conjugate gradients, on f over all images",
    iterations=100,
    max_images=0,
    options=(INITIAL_RADIUS, MAX_RADIUS, CURVATURE, GTOL),
)
TRUST_KRYLOV = Method(
    "trust-krylov",
    trust_region,
    "SciPy's trust region with the Lanczos method, on f over all images",
    iterations=100,
    max_images=0,
    options=(INITIAL_RADIUS, MAX_RADIUS, CURVATURE, GTOL),
)
NEWTON_CG = Method(
    "Newton-CG",
    newton_cg,
    "SciPy's Newton method with a line search, on f over all images",
    iterations=100,
    max_images=0,
    options=(XTOL, CURVATURE, GTOL),
)
TRUST_CONSTR = Method(
    "trust-constr",
    trust_constr,
    "SciPy's trust region method for constraints, without any, on f over all images",
    iterations=100,
    max_images=0,
    options=(INITIAL_RADIUS, XTOL, CURVATURE, GTOL),
)
