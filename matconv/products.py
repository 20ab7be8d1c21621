"""Products with derivatives for one shard, with what is kept of it for later products."""

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
        Bytes of the states of forward passes, and after them of the gradients of all values, that are
        kept.

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
    ) -> tuple[Array, Array]:
        """Return the state of a shard, which is the block unless it is kept, and its images."""
        kept = self.states.get(part)
        if kept is not None:
            return kept
        Z = self._f._shard(part)[0]
        state = self.states.new(part)
        self._f._program.forward(self._theta, prepared, Z, block, state=state, **passes)
        if state is None:
            return block, Z
        self.states.keep(part, state, Z)
        return state, Z

    def curvature(
        self, part: slice, prepared: Array, direction: tuple[Array, Array],
        blocks: tuple[Array, Array], state: Array, Z: Array, product: Array, exact: bool,
        add: bool, passes: dict[str, Any],
    ) -> None:  # fmt: skip
        """Compute the product with the Gauss-Newton matrix of a shard, after `forward`.

        Parameters
        ----------
        direction : (v, v prepared)
            Prepared for both passes if ``exact``.
        blocks : (block, block for tangents, or for Hessians if ``exact``)
        state, Z : ndarray
            As `forward` has returned them.
        product : ndarray, shape (n,)
            Overwritten, or added to with ``add``.
        exact : bool
            Whether the matrix is the Hessian.
        """
        compute = self._compiled if self._f._code else self._in_python
        with self._kept_gradients(part, Z, exact) as (gradients, known):
            compute(
                part, Z, prepared, direction, blocks, product, exact=exact, add=add, state=state,
                gradients=gradients, has_gradients=known, **passes,
            )  # fmt: skip

    def _compiled(
        self, part: slice, Z: Array, prepared: Array, direction: tuple[Array, Array],
        blocks: tuple[Array, Array], product: Array, **passes: Any,
    ) -> None:  # fmt: skip
        """Compute it for a compiled loss, in one call without the GIL."""
        f = self._f
        y, weights = f._labels(part)
        f._program.gauss_newton(
            f._code, self._theta, prepared, *direction, len(Z), y, f.total_weight or 1.0, *blocks,
            product, weights=weights, parameter=f._parameter, **passes,
        )  # fmt: skip

    def _in_python(
        self, part: slice, Z: Array, prepared: Array, direction: tuple[Array, Array],
        blocks: tuple[Array, Array], product: Array, *, exact: bool, add: bool, state: Array,
        gradients: Array | None, has_gradients: bool, **passes: Any,
    ) -> None:  # fmt: skip
        """Compute it for a loss in Python."""
        f, program = self._f, self._f._program
        divisor = f.total_weight or 1.0
        y, weights = f._labels(part)
        z = program.target_of(state, len(Z))
        tz = program.tangent(
            self._theta, prepared, *direction, len(Z), *blocks, state=state, hessian=exact,
            **passes,
        )  # fmt: skip
        if f._positions:
            z, y, weights = position_rows(z, y, weights, f._positions)
        tdz = guarded(loss_hessian_product, f.loss, z, y, tz.reshape(z.shape), divisor, weights)
        if not exact:
            program.backward(
                self._theta, prepared, Z, tdz, blocks[0], product, state=state, add=add, **passes
            )
            return
        _, dz = guarded(loss_gradient, f.loss, z, y, divisor, weights)
        program.tangent_backward(
            self._theta, prepared, *direction, dz.reshape(tz.shape), tdz.reshape(tz.shape),
            *blocks, product, state=state, gradients=gradients, has_gradients=has_gradients,
            add=add, **passes,
        )  # fmt: skip

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
