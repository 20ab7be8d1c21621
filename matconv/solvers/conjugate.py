"""Conjugate gradients for the equation of a Newton step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

# rows of a block of residuals, and maximum bytes of all residuals that are kept
ROWS = 16
MAX_BYTES = 2**30


@dataclass(frozen=True)
class Solution:
    """An approximate solution s of (G + damping I) s = -g.

    Attributes
    ----------
    s : ndarray, shape (n,)
    products : int
        Number of products with G.
    gs, sGs : float
        g's and s'Gs.
    """

    s: Array
    products: int
    gs: float
    sGs: float


class Basis:
    """Orthonormal vectors, the rows of blocks that are allocated as they are needed.

    After ``max_bytes`` no further vectors are kept.
    """

    def __init__(self, n: int, max_bytes: int) -> None:
        self._blocks: list[Array] = []
        self._n = n
        self._count = 0
        self._most = max_bytes // (8 * max(n, 1))

    def add(self, vector: Array, norm: float) -> None:
        """Add a vector of the given norm."""
        if self._count == self._most:
            return
        row = self._count % ROWS
        if row == 0:
            self._blocks.append(np.empty((min(ROWS, self._most - self._count), self._n)))
        np.divide(vector, norm, out=self._blocks[-1][row])
        self._count += 1

    def remove_from(self, vector: Array) -> None:
        """Subtract the projection onto the vectors, in place."""
        left = self._count
        for block in self._blocks:
            Q = block[: min(left, ROWS)]
            # r(n) -= Q'(n,k) Q(k,n) r(n)
            vector -= (Q @ vector) @ Q
            left -= len(Q)


def conjugate_gradients(
    product: Callable[[Array], Array],
    g: Array,
    damping: float,
    tolerance: float,
    max_products: int,
    *,
    reorthogonalize: bool,
) -> Solution:
    """Solve (G + damping I) s = -g by conjugate gradients, starting at s = 0.

        r = -g, d = r
        alpha = r'r / d'(G + damping I) d
        s += alpha d,  r_new = r - alpha (G + damping I) d
        d = r_new + (r_new'r_new / r'r) d

    They end as soon as ||r|| <= tolerance ||g||. In exact arithmetic all r are orthogonal to each
    other. Rounding errors grow from one iteration to the next, and this property is lost;
    ``reorthogonalize`` restores it after each iteration. Where the curvature d'(G + damping I) d is
    not positive they end too; in the first iteration s is -g.

    Parameters
    ----------
    product : callable
        Returns G d, in float64, for d of shape (n,).
    g : ndarray, shape (n,)
        In float64, finite and not 0.
    damping, tolerance : float
    max_products : int
        Maximum number of iterations, at least 1; each has one product.
    reorthogonalize : bool
        Whether to keep all r, up to a total of `MAX_BYTES`, and subtract from each its projection onto the
        earlier ones.

    Returns
    -------
    Solution

    Raises
    ------
    FloatingPointError
        If a product is not finite.
    """
    s, r = np.zeros_like(g), -g
    d, rr = r, float(r @ r)
    bound = tolerance * np.sqrt(rr)
    basis = Basis(len(g), MAX_BYTES if reorthogonalize else 0)
    products, good = 0, True
    while good and products < max_products and np.sqrt(rr) > bound:
        basis.add(r, np.sqrt(rr))
        Ad = product(d) + damping * d
        products += 1
        curvature = float(d @ Ad)
        if not np.isfinite(curvature):
            raise FloatingPointError("a product with the Gauss-Newton matrix is not finite")
        good = curvature > 0
        if not good and products > 1:
            break
        alpha = rr / curvature if good else 1.0
        s += alpha * d
        r = r - alpha * Ad
        if good:
            basis.remove_from(r)
        before, rr = rr, float(r @ r)
        d = r + rr / before * d
    # (G + damping I) s = -g - r
    return Solution(s, products, float(s @ g), float(s @ (-g - r - damping * s)))
