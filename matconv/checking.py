"""Checks of derivatives: of an objective, of its products, and of a loss.

Each check compares two ways to compute the same quantity, and has a bound for their difference.
Both are relative to the quantity itself.

Central differences are taken over a short step, and are wrong where the step crosses a kink, which
ReLU and max-pooling cause. Kinks at theta itself are common: the initial biases are 0, so an input of
a ReLU is exactly 0 where a region of an image is. Therefore derivatives of an objective are checked
near theta, not at it: a random vector is added whose elements have a standard deviation of 1e-2 of
the root mean square of theta, or of 1e-2 where theta is 0.

Bounds of central differences contain the rounding errors of the function, and the step is
chosen accordingly; see `matconv.differences`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .arguments import as_count, refuse_masked
from .curvature import Linearization
from .differences import ROUNDING, central
from .losses import (
    Loss,
    get_loss,
    loss_factor,
    loss_gradient,
    loss_hessian_product,
    loss_targets,
    loss_value,
    position_rows,
)
from .objective import Objective

Array = np.ndarray

DIRECTIONS = 4
# standard deviation of what is added to theta, relative to the root mean square of theta
NEARBY = 1e-2
DIFFERENCE_BOUND = 1e-7
# of differences of vectors: their elements have rounding errors of their own
VECTOR_BOUND = 1e-6
# a difference within a wider bound does not show that a derivative is right
WIDEST_BOUND = 0.1
# relative, for sums of up to some thousands of products of either sign
ADJOINT_BOUNDS = {"float64": 1e-12, "float32": 1e-4}


class Check(NamedTuple):
    """Result of a check: a relative difference and its bound.

    A bound above 0.1 means that rounding errors hide the derivative.
    """

    name: str
    difference: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within its bound; False for NaN and for a bound above 0.1."""
        return bool(self.difference <= self.bound <= WIDEST_BOUND)


def check_gradient(f: Objective, theta: Any, seed: int = 0) -> list[Check]:
    """Check the gradient of f against central differences of f along four directions.

    The check is made near theta, at theta plus a random vector, because theta may be at a kink. The
    elements of the vector have a standard deviation of 1e-2 of the root mean square of theta, or of
    1e-2 where theta is 0.

    Parameters
    ----------
    f : Objective
        Of a network in float64.
    theta : array, shape (n,)
    seed : int
        Of the random vectors; the first direction is the gradient.

    Returns
    -------
    checks : list of Check
        Differences are relative to the norm of the gradient. Their bound contains the rounding error
        of f, see `matconv.differences`; where it exceeds 0.1, the check does not hold.

    Raises
    ------
    TypeError, ValueError
        If theta has another dtype or shape, or f computes in float32.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv import Dense, Network, Objective
    >>> from matconv.checking import check_gradient
    >>> net = Network((1, 1, 2), [Dense(3, activation="tanh"), Dense(2)])
    >>> f = Objective(net, np.ones((4, 1, 1, 2)), np.array([0, 1, 1, 0]), "softmax")
    >>> all(check.holds for check in check_gradient(f, net.init(0)))
    True
    """
    theta = _wide_theta(f, theta)
    random = _random(seed)
    theta = _near(random, theta)
    gradient = f.gradient(theta)
    norm = float(np.linalg.norm(gradient))
    found = []
    for k in range(DIRECTIONS):
        v = _direction(random, theta)
        if k == 0 and norm > 0:
            v = gradient / norm
        along = "itself" if k == 0 else f"random direction {k}"
        compared = central(f, theta, v, gradient.dot, DIFFERENCE_BOUND, norm, 1.0)
        found.append(Check(f"gradient along {along}", *compared))
    return found


def check_products(f: Objective, theta: Any, seed: int = 0) -> list[Check]:
    """Check products with the Jacobian, the Gauss-Newton matrix and the Hessian of f.

    <J v, u> = <v, J'u>, and G and H are symmetric. In float64 also G v = J'B J v plus the
    regularisation, where B is the Hessian of the loss, and J v is compared with central differences
    of the outputs, H v with those of the gradient, and B dz with those of the gradient of the loss,
    along four directions of which the best one counts: a step that crosses kinks tells nothing.

    The check is made near theta, at theta plus a random vector, as by `check_gradient`. Differences
    are relative to the norms of the products alone; the bounds of central differences contain
    rounding errors, see `matconv.differences`, and above 0.1 the check does not hold.

    Parameters
    ----------
    f : Objective
    theta : array, shape (n,)
    seed : int
        Of the random vectors.

    Returns
    -------
    checks : list of Check

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        As `Objective.linearize` and the methods of `Linearization`.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv import Dense, Network, Objective
    >>> from matconv.checking import check_products
    >>> net = Network((1, 1, 2), [Dense(3, activation="tanh"), Dense(2)])
    >>> f = Objective(net, np.ones((4, 1, 1, 2)), np.array([0, 1, 1, 0]), "softmax")
    >>> [check.name for check in check_products(f, net.init(0)) if not check.holds]
    []
    """
    random = _random(seed)
    at = f.linearize(_near(random, f.net.as_theta(theta)))
    dtype = at.theta.dtype
    bound = ADJOINT_BOUNDS[dtype.name]
    v, w = (_direction(random, at.theta) for _ in range(2))
    u = random.standard_normal((f.l, f.n_outputs)).astype(dtype)
    found = [Check("J v and J'u, adjoint", _asymmetry(at.jvp(v), u, v, at.vjp(u)), bound)]
    for name, product in (("Gauss-Newton", at.gauss_newton), ("Hessian", at.hessian)):
        difference = _asymmetry(product(v), w, v, product(w))
        found.append(Check(f"{name} products, symmetric", difference, bound))
    if dtype == np.float64:
        z, y, weights = _samples(f, at.theta)
        found.append(_gauss_newton(f, at, v, z, y, weights))
        if weights is not None:
            z, y = z[weights > 0], y[weights > 0]
        found += _product_differences(f, at, random, z, y)
    return found


def check_loss(loss: str | Loss, z: Any, Y: Any, seed: int = 0) -> list[Check]:
    """Check the gradient of a loss against differences of its value, and its Hessian and factor.

    Differences are those of the values of single samples, because a difference of two sums over all
    samples has the rounding errors of large sums; the value must be the sum of these values. The
    check is made at z itself, where the loss must be differentiable.

    Parameters
    ----------
    loss : str or Loss
        Also a user's own. Methods that it does not have are not checked.
    z : array, shape (samples, n_outputs)
        Outputs, real, where the loss is differentiable; computed with in float64.
    Y : array
        Targets, as for `Objective`; samples are images.
    seed : int
        Of the random directions.

    Returns
    -------
    checks : list of Check
        The bounds of central differences contain rounding errors, see `matconv.differences`; where
        one exceeds 0.1, the check does not hold.

    Raises
    ------
    TypeError, ValueError
        If z is masked, not of real numbers or of another shape, or a result of the loss is not what
        `matconv.losses.Loss` describes.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.checking import check_loss
    >>> z = np.random.default_rng(0).standard_normal((5, 3))
    >>> [(check.name, check.holds) for check in check_loss("softmax", z, [0, 1, 2, 1, 0])]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('gradient of the loss', True), ('value of the loss, sum over samples', True),
     ('Hessian of the loss', True), ('Hessian of the loss, symmetric', True),
     ('factor of the Hessian of the loss', True)]
    """
    loss = get_loss(loss)
    z = _real_outputs(z)
    y, _ = loss_targets(loss, Y, len(z), (z.shape[1],), z.dtype)
    random = _random(seed)
    dz, other = random.standard_normal((2, *z.shape))
    found = list(_value_and_gradient(loss, z, y, dz))
    if not callable(getattr(loss, "hessian_product", None)):
        return found
    found.append(Check("Hessian of the loss", *_hessian(loss, z, y, dz)))
    product, second = (loss_hessian_product(loss, z, y, x) for x in (dz, other))
    bound = ADJOINT_BOUNDS["float64"]
    difference = _asymmetry(product, other, dz, second)
    found.append(Check("Hessian of the loss, symmetric", difference, bound))
    if callable(getattr(loss, "factor", None)):
        S = loss_factor(loss, z, y)
        again = np.einsum("ijk,ilk,il->ij", S, S, dz)
        found.append(Check("factor of the Hessian of the loss", _apart(product, again), bound))
    return found


# parts of a check


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(as_count("seed", seed, 0))


def _wide_theta(f: Objective, theta: Any) -> Array:
    """Return theta of an objective in float64, checked."""
    if f.net.dtype != np.float64:
        raise TypeError(
            f"check_gradient: differences need float64, the network computes in {f.net.dtype}"
        )
    return f.net.as_theta(theta)


def _real_outputs(z: Any) -> Array:
    """Return z as a C-contiguous matrix of float64, checked."""
    refuse_masked("check_loss: z", z)
    array = np.asarray(z)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"check_loss: z must be of real numbers, got {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"check_loss: z must have shape (samples, n_outputs), got {array.shape}")
    return np.ascontiguousarray(array, np.float64)


def _near(random: np.random.Generator, theta: Array) -> Array:
    """Return theta plus a random vector that is small."""
    size = np.linalg.norm(theta) / max(len(theta), 1) ** 0.5
    moved = theta + NEARBY * (size or 1.0) * random.standard_normal(len(theta))
    return moved.astype(theta.dtype)


def _direction(random: np.random.Generator, theta: Array) -> Array:
    """Return a random unit vector like theta."""
    v = random.standard_normal(len(theta))
    return (v / np.linalg.norm(v)).astype(theta.dtype)


def _relative(difference: float, scale: float) -> float:
    """Return the difference over the scale; 0 if both are 0."""
    return difference / scale if scale > 0 else difference


def _asymmetry(Av: Array, w: Array, v: Array, Aw: Array) -> float:
    """Return |<A v, w> - <v, A'w>|, relative to the products of the norms."""
    Av, w, v, Aw = (np.asarray(x, np.float64).ravel() for x in (Av, w, v, Aw))
    norm = np.linalg.norm
    return _relative(
        abs(float(Av @ w) - float(v @ Aw)), float(norm(Av) * norm(w) + norm(v) * norm(Aw))
    )


def _gauss_newton(
    f: Objective, at: Linearization, v: Array, z: Array, y: Array, weights: Array | None
) -> Check:
    """Compare G v with J'B J v / sum_i w_i + p v / C, computed by products with J and B."""
    dz = at.jvp(v)
    divisor = f.total_weight or 1.0
    Bdz = loss_hessian_product(f.loss, z, y, dz.reshape(z.shape), divisor, weights)
    again = at.vjp(Bdz.reshape(dz.shape))
    f._squares(v, again)  # adds p v / C
    product = at.gauss_newton(v)
    # B is a difference of intermediate results whose size is 1: B dz has errors of eps |dz|
    error = ROUNDING * np.finfo(dz.dtype).eps * np.linalg.norm(at.vjp(dz)) / len(z)
    bound = ADJOINT_BOUNDS[dz.dtype.name] + _relative(float(error), float(np.linalg.norm(product)))
    return Check("Gauss-Newton products, J'B J v", _apart(product, again), bound)


def _product_differences(
    f: Objective, at: Linearization, random: np.random.Generator, z: Array, y: Array
) -> Iterator[Check]:
    """Compare products of f at a theta, and of its loss at z, with central differences."""
    # an error of 1, of either sign, in each element of the gradient of the loss
    signs = random.choice([-1.0, 1.0], (f.l, f.n_outputs))
    intermediate = float(np.linalg.norm(at.vjp(signs))) / len(z) if len(z) else 0.0
    for name, product, function, size in (
        ("J v along the best of random directions", at.jvp, f.outputs, 0.0),
        ("Hessian along the best of random directions", at.hessian, f.gradient, intermediate),
    ):
        compared = (
            central(
                function, at.theta, _direction(random, at.theta), product, VECTOR_BOUND,
                intermediate=size,
            )
            for _ in range(DIRECTIONS)
        )  # fmt: skip
        yield Check(name, *_best(compared))
    compared = (_hessian(f.loss, z, y, random.standard_normal(z.shape)) for _ in range(DIRECTIONS))
    yield Check("B dz along the best of random directions", *_best(compared))


def _apart(one: Array, other: Array) -> float:
    """Return the norm of the difference of two arrays, relative to that of the first."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    return _relative(float(np.linalg.norm(one - other)), float(np.linalg.norm(one)))


def _samples(f: Objective, theta: Array) -> tuple[Array, Array, Array | None]:
    """Return outputs, targets and weights of all samples of f."""
    z, (y, weights) = f.outputs(theta), f._labels(slice(0, f.l))
    return position_rows(z, y, weights, f._positions) if f._positions else (z, y, weights)


def _value_and_gradient(loss: Loss, z: Array, y: Array, dz: Array) -> Iterator[Check]:
    """Check the gradient of a loss against values of single samples, and their sum."""
    value, gradient = loss_gradient(loss, z, y, 1.0)

    def values(at: Array) -> Array:
        rows = (slice(i, i + 1) for i in range(len(at)))
        return np.array([loss_value(loss, at[row], y[row]) for row in rows])

    def slopes(v: Array) -> Array:
        return np.einsum("ij,ij->i", gradient, v)

    # differences of <g_i, dz_i> are relative to the norm of all |g_i| |dz_i|
    scale = float(np.linalg.norm(_norms(gradient) * _norms(dz)))
    compared = central(values, z, dz, slopes, DIFFERENCE_BOUND, scale, len(z) ** 0.5)
    yield Check("gradient of the loss", *compared)
    each = values(z)
    total, size = float(each.sum()), float(np.abs(each).sum())
    difference = max(abs(value - total), abs(loss_value(loss, z, y) - total))
    # intermediate results of size 1 for each sample
    error = ROUNDING * float(np.finfo(z.dtype).eps) * len(z)
    bound = ADJOINT_BOUNDS[z.dtype.name] + _relative(error, size)
    yield Check("value of the loss, sum over samples", _relative(difference, size), bound)


def _hessian(loss: Loss, z: Array, y: Array, dz: Array) -> tuple[float, float]:
    """Compare B dz with central differences of the gradient of a loss."""
    return central(
        lambda at: loss_gradient(loss, at, y, 1.0)[1],
        z,
        dz,
        lambda v: loss_hessian_product(loss, z, y, v),
        VECTOR_BOUND,
        intermediate=len(z) ** 0.5,
    )


def _best(compared: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return the difference and bound with the smallest ratio, of bounds that are not too wide."""
    return min(compared, key=lambda pair: (pair[1] > WIDEST_BOUND, pair[0] / pair[1]))


def _norms(rows: Array) -> Array:
    """Return the norm of each row."""
    return np.linalg.norm(rows, axis=1)
