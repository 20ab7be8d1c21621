"""Gradients of single images, their norms, and the diagonal of the Gauss-Newton matrix.

The passes are those over shards, except that the gradients of parameters are computed for each image.
Results have the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .evaluation import sum_leaves
from .kernels._guard import guarded
from .losses import loss_factor, loss_gradient, position_rows
from .terms import Terms

Array = np.ndarray


def gradients(objective: Terms, theta: Array) -> Array:
    """Return the gradient of xi of each image.

    Parameters
    ----------
    objective : Terms
        An Objective.
    theta : ndarray, shape (n,)
        Checked.

    Returns
    -------
    rows : ndarray, shape (l, n)
    """
    rows = np.empty((objective.l, len(theta)), theta.dtype)
    _each_shard(objective, theta, lambda part: {"rows": rows[part]}, 0)
    return rows


def gradient_norms(objective: Terms, theta: Array) -> Array:
    """Return the norm of the gradient of xi of each image, float64; see `gradients`."""
    squares = np.empty(objective.l)

    def results(part: slice) -> dict[str, Any]:
        return {"squares": squares[part], "row": np.empty_like(theta)}

    _each_shard(objective, theta, results, theta.nbytes)
    return np.sqrt(squares, out=squares)


def _each_shard(
    objective: Terms, theta: Array, results: Callable[[slice], dict[str, Any]], helper_bytes: int
) -> None:
    """Compute ``results(part)``, arguments of `Program.image_gradients`, of each shard."""
    f = objective
    program = f._program
    shards = f.net.shards(f.l)

    def evaluate(part: slice, prepared: Array, block: Array, **sharing: Any) -> None:
        Z, y, _ = f._shard(part)
        sharing.update(dropout=f._masks(part))
        z = program.forward(theta, prepared, Z, block, **sharing)
        samples, targets = z, y
        if f._positions:
            samples, targets, _ = position_rows(z, y, None, f._positions)
        _, dz = guarded(loss_gradient, f.loss, samples, targets, 1.0)
        program.image_gradients(
            theta, prepared, dz.reshape(z.shape), block, _scratch(program.gradients_bytes),
            **results(part), **sharing,
        )  # fmt: skip

    f._evaluation.run(
        theta, shards, evaluate, f.engine.n_threads, shared=len(shards) == 1, backward=True,
        helper_bytes=helper_bytes + program.gradients_bytes,
    )  # fmt: skip


def gauss_newton_diagonal(objective: Terms, theta: Array) -> Array:
    """Return the diagonal of the Gauss-Newton matrix of f; see `gradients`.

    With B = S S' for each image, where B is divided by l or multiplied by w_i / sum w_i, it is the sum
    of the squares of J_i's over the images i and the columns s of S_i, and p / C: one backward pass
    for each column.

    Returns
    -------
    diagonal : ndarray, shape (n,)
    """
    f = objective
    program = f._program
    leaves = f.net.leaves(f.l)

    def sum_shard(
        part: slice, prepared: Array, block: Array, total: Array, add: bool,
        sharing: dict[str, Any],
    ) -> float:  # fmt: skip
        Z, y, weights = f._shard(part)
        sharing = {**sharing, "dropout": f._masks(part)}
        kept, inputs = map(_scratch, (program.gradients_bytes, program.image_scratch_bytes))
        row = np.empty_like(theta)
        if not add:
            total[...] = 0
        z = program.forward(theta, prepared, Z, block, **sharing)
        for dz in _columns(f, z, y, weights):
            program.image_gradients(
                theta, prepared, dz, block, kept, total=total, row=row, inputs=inputs, **sharing
            )
        return 0.0

    extra = theta.nbytes + program.gradients_bytes + program.image_scratch_bytes
    ((_, total),) = sum_leaves(
        f._evaluation, theta, leaves, range(len(leaves)), sum_shard, f.engine.n_threads,
        f._gradients, helper_bytes=extra,
    ).values()  # fmt: skip
    assert total is not None
    if f.C != np.inf:
        f._regularise(np.ones_like(theta), total)
    return total


def _columns(f: Terms, z: Array, y: Array, weights: Array | None) -> Iterator[Array]:
    """Yield columns of S of all images at once, with the shape of z, without those that are 0.

    Where samples are positions, the columns of an image are those of each position by itself.
    """
    samples, targets, factors = z, y, weights
    if f._positions:
        samples, targets, factors = position_rows(z, y, weights, f._positions)
    S = guarded(loss_factor, f.loss, samples, targets)
    divisor = f.total_weight or 1.0
    scale = np.sqrt(np.full(len(S), 1 / divisor) if factors is None else factors / divisor)
    S = S * scale.astype(z.dtype)[:, np.newaxis, np.newaxis]
    positions = f._positions or 1
    # (image, position, channel, column)
    S = S.reshape(len(z), positions, samples.shape[1], S.shape[2])
    for position in range(positions):
        for column in range(S.shape[3]):
            part = S[:, position, :, column]
            if part.any():
                dz = np.zeros((len(z), positions, S.shape[2]), z.dtype)
                dz[:, position] = part
                yield dz.reshape(z.shape)


def _scratch(nbytes: int) -> Array:
    return np.empty(nbytes, np.uint8)
