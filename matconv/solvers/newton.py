"""A Newton method with the Gauss-Newton matrix of a subsample, by conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..options import Count, Flag, Number, Option
from .conjugate import Solution, conjugate_gradients
from .method import Method
from .result import TrainingError
from .run import Run
from .shared import (
    GTOL,
    NO_LOWER_F,
    SEED,
    STOPPED,
    drawn,
    iterations_done,
    not_finite,
    shuffled,
    within_gtol,
)

Array = np.ndarray

MAX_HALVINGS = 30


@dataclass(frozen=True)
class Point:
    """theta with f and its gradient in float64."""

    theta: Array
    f: float
    gradient: Array

    @property
    def gradient_norm(self) -> float:
        return float(np.linalg.norm(self.gradient))


@dataclass(frozen=True)
class Step:
    """A step of the method.

    Attributes
    ----------
    point : Point or None
        Where it leads; None if no trial point has a sufficiently smaller f.
    solution : Solution
        Of conjugate gradients.
    alpha, ratio, damping : float
        See `Newton`.
    not_finite : str or None
        What was not finite at the last trial point that was not accepted.
    """

    point: Point | None
    solution: Solution
    alpha: float
    ratio: float
    damping: float
    not_finite: str | None


class Subsamples:
    """The images of the Gauss-Newton matrix: blocks of a permutation, used in turn.

    After all of its blocks comes another permutation. Blocks have equal sizes: the last one is
    completed by the first images of the permutation. They depend on the seed and the number of the
    iteration alone.

    Examples
    --------
    >>> from matconv.solvers.newton import Subsamples
    >>> subsamples = Subsamples(l=5, share=0.4, seed=0)
    >>> first, second, third = subsamples(0), subsamples(1), subsamples(2)
    >>> len(first), len({*first, *second}), len({*first, *second, *third})
    (2, 4, 5)
    >>> Subsamples(l=5, share=1.0, seed=0)(0) is None
    True
    """

    def __init__(self, l: int, share: float, seed: int) -> None:
        self._l, self._seed = l, seed
        self._size = max(1, round(share * l))
        self._blocks = -(-l // self._size)

    def __call__(self, iteration: int) -> Array | None:
        """Return the indices of an iteration, counted from 0; None for all images."""
        if self._size == self._l:
            return None
        cycle, block = divmod(iteration, self._blocks)
        places = np.arange(block * self._size, (block + 1) * self._size) % self._l
        indices: Array = shuffled(self._seed, cycle, self._l)[places]
        return indices


class Newton:
    """Steps of the method.

        (G_S + damping I) s = -g        approximately, by conjugate gradients
        theta_new = theta + alpha s     alpha = 1, 1/2, 1/4, ...
        ratio = (f_new - f) / (alpha g's + alpha^2 s'G_S s / 2)

    where g is the gradient of f over all images, and G_S the Gauss-Newton matrix of f over the
    images S, which contains the regularisation. alpha is the first with
    f_new - f <= eta alpha g's. The ratio of the change of f to that of its quadratic model
    determines the damping of the next step: it is multiplied by ``boost`` if the ratio is below
    1/4, and by ``drop`` if it is at least 3/4.

    Vectors are in float64, whatever the network's dtype.
    """

    def __init__(
        self,
        objective: Any,
        *,
        damping: float,
        drop: float,
        boost: float,
        cg_tolerance: float,
        cg_iterations: int,
        eta: float,
        reorthogonalize: bool,
    ) -> None:
        self.objective = objective
        self.damping = damping
        self._drop, self._boost = drop, boost
        self._cg_tolerance, self._cg_iterations = cg_tolerance, cg_iterations
        self._eta, self._reorthogonalize = eta, reorthogonalize

    def evaluate(self, theta: Array) -> tuple[Point, str | None]:
        """Return a point, and what is not finite there."""
        f, gradient = self.objective.value_and_gradient(theta)
        return Point(theta, float(f), gradient.astype(np.float64)), not_finite(f, gradient)

    def step(self, point: Point, indices: Array | None) -> Step:
        """Make a step from a point with the Gauss-Newton matrix of some images, or of all.

        Raises
        ------
        FloatingPointError
            If a product with this matrix is not finite.
        """
        product = self._product(point.theta, indices)
        damping = self.damping
        found = conjugate_gradients(
            product, point.gradient, damping, self._cg_tolerance, self._cg_iterations,
            reorthogonalize=self._reorthogonalize,
        )  # fmt: skip
        new, alpha, wrong = self._search(point, found)
        ratio = np.nan
        if new is not None:
            # f + alpha g's + alpha^2 s'Gs / 2 is below f, since alpha <= 1 and s'Gs <= -g's
            ratio = (new.f - point.f) / (alpha * found.gs + alpha * alpha * found.sGs / 2)
            if ratio < 0.25:
                self.damping *= self._boost
            elif ratio >= 0.75:
                self.damping *= self._drop
        return Step(new, found, alpha, ratio, damping, wrong)

    def _product(self, theta: Array, indices: Array | None) -> Callable[[Array], Array]:
        part = self.objective if indices is None else self.objective.subset(indices)
        at = part.linearize(theta)

        def product(d: Array) -> Array:
            Gd: Array = at.gauss_newton(d.astype(theta.dtype))
            return Gd.astype(np.float64)

        return product

    def _search(self, point: Point, found: Solution) -> tuple[Point | None, float, str | None]:
        """Return the first trial point that is accepted, its alpha, and what was not finite."""
        alpha, wrong = 1.0, None
        for halvings in range(MAX_HALVINGS + 1 if found.gs < 0 else 0):
            alpha = 0.5**halvings
            # from theta each time: a step that is undone would leave a rounding error
            theta = (point.theta + alpha * found.s).astype(point.theta.dtype)
            limit = self._eta * alpha * found.gs
            if halvings > 0:  # f alone: without the gradient it takes a third of the time
                f = self.objective.value(theta)
                wrong = None if np.isfinite(f) else f"f is {f}"
                if wrong is not None or f - point.f > limit:
                    continue
            new, wrong = self.evaluate(theta)
            if wrong is None and new.f - point.f <= limit:
                return new, alpha, None
        return None, alpha, wrong


def newton(
    objective: Any,
    run: Run,
    max_iterations: int,
    *,
    subsample: float,
    damping: float,
    drop: float,
    boost: float,
    cg_tolerance: float,
    cg_iterations: int,
    eta: float,
    reorthogonalize: bool,
    gtol: float,
    seed: int | None,
) -> tuple[str, bool]:
    """Minimise f from ``run.theta``; `METHOD` describes the options, and `Newton` a step.

    Returns
    -------
    message : str
    converged : bool

    Raises
    ------
    TrainingError
        If f, its gradient or a product is not finite at theta0, or however short the step is.

    References
    ----------
    C.-C. Wang, K. L. Tan, C.-J. Lin, "Newton methods for convolutional neural networks", ACM
    Transactions on Intelligent Systems and Technology 11 (2020).
    """
    method = Newton(
        objective, damping=damping, drop=drop, boost=boost, cg_tolerance=cg_tolerance,
        cg_iterations=cg_iterations, eta=eta, reorthogonalize=reorthogonalize,
    )  # fmt: skip
    subsamples = Subsamples(objective.l, subsample, drawn(seed))
    run.progress.begin(max_iterations, "iterations")
    point, wrong = method.evaluate(run.theta)
    if wrong is not None:
        raise _error(wrong, "at theta0", run)
    run.evaluated(point.f, point.gradient_norm)
    for _ in range(max_iterations):
        if np.abs(point.gradient).max() <= gtol:
            return within_gtol(gtol), True
        where = f"at step {run.iterations + 1}"
        try:
            step = method.step(point, subsamples(run.iterations))
        except FloatingPointError as error:
            raise _error(str(error), where, run) from None
        if step.point is None:
            if step.not_finite is not None:
                raise _error(step.not_finite, where, run)
            return NO_LOWER_F, False
        point, norm = step.point, step.point.gradient_norm
        run.step(point.theta, point.f, norm)
        run.progress.advance()
        details = {
            "products": step.solution.products,
            "alpha": step.alpha,
            "ratio": step.ratio,
            "damping": step.damping,
        }
        if not run.iterate(point.f, norm, details):
            return STOPPED, False
    if np.abs(point.gradient).max() <= gtol:
        return within_gtol(gtol), True
    return iterations_done(max_iterations), False


def _error(what: str, where: str, run: Run) -> TrainingError:
    error = TrainingError(f"{run.method}: {what} {where}")
    error.result = run.result(str(error))
    return error


METHOD = Method(
    "newton",
    newton,
    "Newton's method with Gauss-Newton matrices of subsamples, by conjugate gradients",
    iterations=100,
    max_images=0,
    progress="Newton's method, {count}, Gauss-Newton matrices of {subsample:g} of the images",
    history={
        "products": "number of products with the Gauss-Newton matrix",
        "alpha": "length of the step in terms of the Newton step",
        "ratio": "change of f, divided by that of the quadratic model",
        "damping": "damping of the step",
    },
    options=(
        Option(
            "subsample",
            Number(above=0, maximum=1),
            "share of the images, a different part in each iteration, whose Gauss-Newton matrix is "
            "used",
            0.05,
            metavar="SHARE",
        ),
        Option(
            "damping",
            Number(minimum=0),
            "multiple of the identity that is added to the matrix in the first iteration, also after "
            "--resume",
            1.0,
            metavar="LAMBDA",
        ),
        Option(
            "drop",
            Number(above=0, maximum=1),
            "factor of the damping after a step that f follows as predicted",
            2 / 3,
            metavar="FACTOR",
        ),
        Option(
            "boost",
            Number(minimum=1),
            "factor of the damping after a step that f follows badly",
            1.5,
            metavar="FACTOR",
        ),
        Option(
            "cg_tolerance",
            Number(minimum=0, below=1),
            "residual, relative to the gradient, at which conjugate gradients end",
            0.1,
            metavar="TOL",
        ),
        Option(
            "cg_iterations",
            Count(),
            "maximum number of iterations of conjugate gradients for a step",
            250,
            metavar="N",
        ),
        Option(
            "eta",
            Number(above=0, below=1),
            "share of the linear decrease of f along a step that is demanded of it; otherwise the "
            "step is halved",
            1e-4,
            metavar="SHARE",
        ),
        Option(
            "reorthogonalize",
            Flag(),
            "keep the residuals of conjugate gradients and orthogonalise each against the earlier "
            "ones, which limits the growth of rounding errors; takes up to 1 GiB",
            True,
        ),
        GTOL,
        SEED,
    ),
)
