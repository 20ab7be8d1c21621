"""Products with second derivatives for one shard, with what is kept of it for later products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .kernels._guard import guarded
from .losses import loss_gradient, loss_hessian_product, position_rows
from .states import States

Array = np.ndarray


class ShardProducts:
    """Passes over the shards of an objective at one theta. Several threads can use this object.

    The arguments ``prepared``, ``block`` and ``passes`` of its methods are those of
    `matconv.evaluation.Evaluation.run`, with the masks of Dropout in ``passes``.

    Parameters
    ----------
    objective : Objective
    theta : ndarray, shape (n,)
    budget : float
        Bytes of the states, and after them of the gradients of all values, that are kept.

    Attributes
    ----------
    states, gradients : States
    """

    def __init__(self, objective: Any, theta: Array, budget: float) -> None:
        self._f, self._theta = objective, theta
        program, images = objective._program, objective.net.shard_size
        image = int(np.prod(program.shape(0))) * theta.dtype.itemsize
        self.states = States(program.state_bytes, images, image, budget)
        budget -= self.states.image_bytes * objective.l
        self.gradients = States(program.gradients_bytes, images, 0, budget)

    def forward(
        self, part: slice, prepared: Array, block: Array, passes: dict[str, Any]
    ) -> tuple[Array | None, Array]:
        """Return the state of a shard, None if it is in the block, and the images of the shard."""
        kept = self.states.get(part)
        if kept is not None:
            return kept
        Z = self._f._shard(part)[0]
        state = self._state(part, Z, prepared, block, passes)
        if state is None:
            self._f._program.forward(self._theta, prepared, Z, block, **passes)
        return state, Z

    def compiled(
        self, part: slice, prepared: Array, direction: tuple[Array, Array],
        blocks: tuple[Array, Array], product: Array, exact: bool, add: bool,
        passes: dict[str, Any],
    ) -> None:  # fmt: skip
        """Compute the product with the Gauss-Newton matrix of a shard, for a compiled loss.

        It is one call without the GIL, unless the state is computed to be kept.

        Parameters
        ----------
        direction : (v, v prepared)
            Prepared for both passes if ``exact``.
        blocks : (block, block for tangents, or for Hessians if ``exact``)
        product : ndarray, shape (n,)
            Overwritten, or added to with ``add``.
        exact : bool
            Whether the matrix is the Hessian.
        """
        f = self._f
        Z, y, weights = f._shard(part)
        state = self._state(part, Z, prepared, blocks[0], passes)
        with self._kept_gradients(part, Z, exact) as (gradients, known):
            f._program.gauss_newton(
                f._code, self._theta, prepared, *direction, Z, y, f.total_weight or 1.0, *blocks,
                product, exact=exact, state=state, gradients=gradients, has_gradients=known,
                weights=weights, parameter=f._parameter, add=add, **passes,
            )  # fmt: skip

    def in_python(
        self, part: slice, prepared: Array, direction: tuple[Array, Array],
        blocks: tuple[Array, Array], product: Array, exact: bool, add: bool,
        passes: dict[str, Any],
    ) -> None:  # fmt: skip
        """Compute the same product for a loss in Python; see `compiled`."""
        f, block = self._f, blocks[0]
        program, divisor = f._program, f.total_weight or 1.0
        state, Z = self.forward(part, prepared, block, passes)
        _, y, weights = f._shard(part)
        z = program.target_of(block if state is None else state, len(Z))
        tz = program.tangent(
            self._theta, prepared, *direction, len(Z), *blocks, state=state, hessian=exact,
            **passes,
        )  # fmt: skip
        if f._positions:
            z, y, weights = position_rows(z, y, weights, f._positions)
        tdz = guarded(loss_hessian_product, f.loss, z, y, tz.reshape(z.shape), divisor, weights)
        if not exact:
            program.backward(
                self._theta, prepared, Z, tdz, block, product, state=state, add=add, **passes
            )
            return
        _, dz = guarded(loss_gradient, f.loss, z, y, divisor, weights)
        dz, tdz = dz.reshape(tz.shape), tdz.reshape(tz.shape)
        with self._kept_gradients(part, Z, exact) as (gradients, known):
            program.tangent_backward(
                self._theta, prepared, *direction, dz, tdz, *blocks, product, state=state,
                gradients=gradients, has_gradients=known, add=add, **passes,
            )  # fmt: skip

    def _state(
        self, part: slice, Z: Array, prepared: Array, block: Array, passes: dict[str, Any]
    ) -> Array | None:
        """Return the state of a shard with the images Z; None if it is not kept."""
        kept = self.states.get(part)
        if kept is not None:
            return kept[0]
        state = self.states.new(part)
        if state is not None:
            self._f._program.forward(self._theta, prepared, Z, block, state=state, **passes)
            self.states.keep(part, state, Z)
        return state

    @contextmanager
    def _kept_gradients(
        self, part: slice, Z: Array, exact: bool
    ) -> Iterator[tuple[Array | None, bool]]:
        """Return an array for the gradients of a shard, and whether they are there; None: neither.

        The pass in this context sets them; they are kept at its end.
        """
        kept = self.gradients.get(part) if exact else None
        if kept is not None:
            yield kept[0], True
            return
        array = self.gradients.new(part) if exact else None
        yield array, False
        # not reached after an error
        if array is not None:
            self.gradients.keep(part, array, Z)
