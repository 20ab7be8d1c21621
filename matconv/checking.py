"""Checks of derivatives: of an objective, of its products, and of a loss.

Each check compares two ways to compute the same number, and has a bound for their difference that is
relative to the numbers that are compared. Central differences are taken over a short step. They are
wrong where the step crosses a kink of f, which ReLU and max-pooling cause; this is rare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .arguments import as_count
from .losses import Loss, get_loss, loss_factor, loss_gradient, loss_hessian_product, loss_value
from .losses.calls import loss_targets
from .objective import Objective

Array = np.ndarray

DIRECTIONS = 4
# Length of the step of central differences: short enough to cross few kinks, long enough for the
# rounding error of the difference, eps / STEP, to be small.
STEP = 1e-7
DIFFERENCE_BOUND = 1e-7
# of differences of vectors: their elements have rounding errors of their own
VECTOR_BOUND = 1e-6
# relative, for sums of up to some thousands of products of either sign
ADJOINT_BOUNDS = {"float64": 1e-12, "float32": 1e-4}


class Check(NamedTuple):
    """Result of a check: a relative difference and its bound."""

    name: str
    difference: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within its bound; False for NaN."""
        return bool(self.difference <= self.bound)


def check_gradient(f: Objective, theta: Any, seed: int = 0) -> list[Check]:
    """Check the gradient of f against central differences of f along four directions.

    Parameters
    ----------
    f : Objective
        Of a network in float64.
    theta : array, shape (n,)
    seed : int
        Of the random directions; the first direction is the gradient.

    Returns
    -------
    checks : list of Check
        Differences are relative to the norm of the gradient.

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
    gradient = f.gradient(theta)
    norm = float(np.linalg.norm(gradient))
    found = []
    for k in range(DIRECTIONS):
        v = _direction(random, theta)
        if k == 0 and norm > 0:
            v = gradient / norm
        slope = (f(theta + STEP * v) - f(theta - STEP * v)) / (2 * STEP)
        along = "itself" if k == 0 else f"random direction {k}"
        difference = _relative(abs(slope - float(v @ gradient)), norm)
        found.append(Check(f"gradient along {along}", difference, DIFFERENCE_BOUND))
    return found


def check_products(f: Objective, theta: Any, seed: int = 0) -> list[Check]:
    """Check products with the Jacobian, the Gauss-Newton matrix and the Hessian of f.

    <J v, u> = <v, J'u>, and G and H are symmetric. In float64 J v is also compared with central
    differences of the outputs, and H v with those of the gradient, along four directions of which
    the best one counts: a step that crosses kinks tells nothing.

    Parameters
    ----------
    f : Objective
    theta : array, shape (n,)
    seed : int
        Of the random directions.

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
    at = f.linearize(theta)
    theta, dtype = at.theta, at.theta.dtype
    bound = ADJOINT_BOUNDS[dtype.name]
    v, w = (_direction(random, theta) for _ in range(2))
    u = random.standard_normal((f.l, f.n_outputs)).astype(dtype)
    found = [Check("J v and J'u, adjoint", _asymmetry(at.jvp(v), u, v, at.vjp(u)), bound)]
    for name, product in (("Gauss-Newton", at.gauss_newton), ("Hessian", at.hessian)):
        difference = _asymmetry(product(v), w, v, product(w))
        found.append(Check(f"{name} products, symmetric", difference, bound))
    if dtype == np.float64:
        for name, product, function in (
            ("J v along the best of random directions", at.jvp, f.outputs),
            ("Hessian along the best of random directions", at.hessian, f.gradient),
        ):
            difference = _best_difference(random, theta, product, function)
            found.append(Check(name, difference, VECTOR_BOUND))
    return found


def check_loss(loss: str | Loss, z: Any, Y: Any, seed: int = 0) -> list[Check]:
    """Check the gradient of a loss against differences of its value, and its Hessian and factor.

    Parameters
    ----------
    loss : str or Loss
        Also a user's own. Methods that it does not have are not checked.
    z : array, shape (samples, n_outputs)
        Outputs, float64, where the loss is differentiable.
    Y : array
        Targets, as for `Objective`; samples are images.
    seed : int
        Of the random directions.

    Returns
    -------
    checks : list of Check

    Raises
    ------
    TypeError, ValueError
        If a result of the loss is not what `matconv.losses.Loss` describes.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv.checking import check_loss
    >>> z = np.random.default_rng(0).standard_normal((5, 3))
    >>> [(check.name, check.holds) for check in check_loss("softmax", z, [0, 1, 2, 1, 0])]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('gradient of the loss', True), ('Hessian of the loss', True),
     ('Hessian of the loss, symmetric', True), ('factor of the Hessian of the loss', True)]
    """
    loss = get_loss(loss)
    z = np.ascontiguousarray(z, np.float64)
    if z.ndim != 2:
        raise ValueError(f"check_loss: z must have shape (samples, n_outputs), got {z.shape}")
    y, _ = loss_targets(loss, Y, len(z), (z.shape[1],), z.dtype)
    random = _random(seed)
    dz, other = random.standard_normal((2, *z.shape))
    _, gradient = loss_gradient(loss, z, y, 1.0)
    values = [loss_value(loss, z + side * STEP * dz, y) for side in (1, -1)]
    slope = (values[0] - values[1]) / (2 * STEP)
    scale = float(np.linalg.norm(gradient) * np.linalg.norm(dz)) + abs(values[0])
    difference = _relative(abs(slope - float(np.vdot(gradient, dz))), scale)
    found = [Check("gradient of the loss", difference, DIFFERENCE_BOUND)]
    if not callable(getattr(loss, "hessian_product", None)):
        return found
    product, second = (loss_hessian_product(loss, z, y, x) for x in (dz, other))
    ends = [loss_gradient(loss, z + side * STEP * dz, y, 1.0)[1] for side in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * STEP)
    scale = float(np.linalg.norm(product) + np.linalg.norm(gradient))
    difference = _relative(float(np.linalg.norm(product - expected)), scale)
    found.append(Check("Hessian of the loss", difference, VECTOR_BOUND))
    bound = ADJOINT_BOUNDS["float64"]
    difference = _asymmetry(product, other, dz, second)
    found.append(Check("Hessian of the loss, symmetric", difference, bound))
    if callable(getattr(loss, "factor", None)):
        S = loss_factor(loss, z, y)
        again = np.einsum("ijk,ilk,il->ij", S, S, dz)
        difference = _relative(
            float(np.linalg.norm(product - again)), float(np.linalg.norm(product))
        )
        found.append(Check("factor of the Hessian of the loss", difference, bound))
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


def _best_difference(
    random: np.random.Generator,
    theta: Array,
    product: Callable[[Array], Array],
    function: Callable[[Array], Array],
) -> float:
    """Return the smallest difference between products and central differences of a function."""
    scale = float(np.linalg.norm(function(theta)))
    found = []
    for _ in range(DIRECTIONS):
        v = _direction(random, theta)
        expected = (function(theta + STEP * v) - function(theta - STEP * v)) / (2 * STEP)
        Av = product(v)
        difference = float(np.linalg.norm(Av - expected))
        found.append(_relative(difference, scale + float(np.linalg.norm(Av))))
    return min(found)
