"""Gradients of single images, their norms, and the diagonal of the Gauss-Newton matrix.

Each image is evaluated by passes of its own, so that the results have the same bits for any number of
threads, and for any images beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .evaluation import sum_leaves
from .kernels._guard import guarded
from .kernels.sums import regularise
from .losses import loss_factor, loss_gradient, position_rows

Array = np.ndarray

# images that a thread evaluates at once: a call from Python for several images
RUN = 8


def gradients(objective: Any, theta: Array) -> Array:
    """Return the gradient of xi of each image.

    Parameters
    ----------
    objective : Objective
    theta : ndarray, shape (n,)
        Checked.

    Returns
    -------
    rows : ndarray, shape (l, n)
    """
    rows = np.empty((objective.l, len(theta)), theta.dtype)

    def take(_: Array | None, image: int) -> Array:
        return rows[image]

    _each(objective, theta, take, None, 0)
    return rows


def gradient_norms(objective: Any, theta: Array) -> Array:
    """Return the norm of the gradient of xi of each image, float64; see `gradients`."""
    norms = np.empty(objective.l)

    def take(vector: Array | None, _: int) -> Array:
        return np.empty_like(theta) if vector is None else vector

    def done(row: Array, image: int) -> None:
        norms[image] = np.sqrt(regularise(row, 1.0))

    _each(objective, theta, take, done, theta.nbytes)
    return norms


def _each(
    objective: Any,
    theta: Array,
    take: Callable[[Array | None, int], Array],
    done: Callable[[Array, int], None] | None,
    helper_bytes: int,
) -> None:
    """Compute the gradient of each image into ``take(the last one of the thread or None, image)``."""
    f = objective

    def evaluate(run: range, prepared: Array, block: Array, **sharing: Any) -> None:
        row = None
        for image in run:
            row = take(row, image)
            _gradient(f, theta, slice(image, image + 1), prepared, block, row, sharing)
            if done is not None:
                done(row, image)

    runs = [range(k, min(k + RUN, f.l)) for k in range(0, f.l, RUN)]
    f._evaluation.run(
        theta, runs, evaluate, f.engine.n_threads, shared=False, backward=True,
        helper_bytes=helper_bytes,
    )  # fmt: skip


def _gradient(
    f: Any, theta: Array, part: slice, prepared: Array, block: Array, row: Array,
    sharing: dict[str, Any],
) -> None:  # fmt: skip
    """Compute the gradient of the sum of xi over a part of the images, not weighted."""
    Z, y, _ = f._shard(part)
    sharing = {**sharing, "dropout": f._masks(part)}
    if f._code:
        f._program.loss(
            f._code, theta, prepared, Z, y, 1.0, block, row, parameter=f._parameter, **sharing
        )
        return
    z = f._program.forward(theta, prepared, Z, block, **sharing)
    samples, targets = z, y
    if f._positions:
        samples, targets, _ = position_rows(z, y, None, f._positions)
    _, dz = guarded(loss_gradient, f.loss, samples, targets, 1.0)
    f._program.backward(theta, prepared, Z, dz.reshape(z.shape), block, row, **sharing)


def gauss_newton_diagonal(objective: Any, theta: Array) -> Array:
    """Return the diagonal of the Gauss-Newton matrix of f; see `gradients`.

    With B = S S' for each image, where B is divided by l or multiplied by w_i / sum w_i, it is the sum
    of the squares of J_i's over the images i and the columns s of S_i, and p / C: one backward pass
    for each column.

    Returns
    -------
    diagonal : ndarray, shape (n,)
    """
    f = objective
    leaves = f.net.leaves(f.l)
    helper_bytes = theta.nbytes

    def sum_shard(
        part: slice, prepared: Array, block: Array, total: Array, add: bool,
        sharing: dict[str, Any],
    ) -> float:  # fmt: skip
        row = np.empty_like(theta)
        if not add:
            total[...] = 0
        for image in range(part.start, part.stop):
            one = slice(image, image + 1)
            Z = f._shard(one)[0]
            passes = {**sharing, "dropout": f._masks(one)}
            z = f._program.forward(theta, prepared, Z, block, **passes)
            for dz in _columns(f, one, z):
                f._program.backward(theta, prepared, Z, dz, block, row, **passes)
                np.multiply(row, row, out=row)
                total += row
        return 0.0

    ((_, total),) = sum_leaves(
        f._evaluation, theta, leaves, range(len(leaves)), sum_shard, f.engine.n_threads,
        f._gradients, helper_bytes=helper_bytes,
    ).values()  # fmt: skip
    assert total is not None
    if f.C != np.inf:
        f._regularise(np.ones_like(theta), total)
    return total


def _columns(f: Any, part: slice, z: Array) -> list[Array]:
    """Return the columns of S of one image that are not 0, each with the shape of its outputs z."""
    _, y, weights = f._shard(part)
    weight = (1.0 if weights is None else weights[0]) / (f.total_weight or 1.0)
    if weight == 0:
        return []
    samples, targets = z, y
    if f._positions:
        samples, targets, _ = position_rows(z, y, None, f._positions)
    factors = guarded(loss_factor, f.loss, samples, targets) * z.dtype.type(np.sqrt(weight))
    columns = []
    for sample, factor in enumerate(factors):
        for column in factor.T[factor.any(axis=0)]:
            dz = np.zeros(samples.shape, z.dtype)
            dz[sample] = column
            columns.append(dz.reshape(z.shape))
    return columns
