"""The buffers of one thread, and the two passes over the layers in them.

Nothing is allocated per shard: every array below is made once, for the largest shard.

    outputs[m]    Z^{m+1}, the output of layer m, kept for the backward pass
    indices[m]    where a max-pooling layer found its numbers
    gradients     two arrays that take turns as dZ^{m+1} and dZ^m
    scratch       what the kernels need, the largest of all layers; one per thread
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .engines.threads import ThreadEngine
from .layers import BoundLayer

# multiply-adds of a layer that are worth the threads of an otherwise idle engine
SHARED_MULTIPLY_ADDS = 1 << 24


class Workspace:
    """Buffers for shards of at most ``l`` images, and the passes over them.

    Parameters
    ----------
    layers : list of BoundLayer
    dtype : numpy dtype
    l : int
        Images of the largest shard.
    """

    def __init__(self, layers: list[BoundLayer], dtype: np.dtype, l: int) -> None:
        self.layers = layers
        self.l = l
        self.outputs = [np.empty((l, *layer.out_shape), dtype) for layer in layers]
        self.indices = [
            np.empty((l, *layer.out_shape), np.intc) if layer.keeps_indices else None
            for layer in layers
        ]
        self.scratch_size = max(layer.scratch_size() for layer in layers)
        self.scratch = np.empty(self.scratch_size, dtype)
        self.gradients: list[np.ndarray] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, also of those that only a backward pass needs."""
        arrays = [*self.outputs, *self.indices, self.scratch]
        kept = sum(array.nbytes for array in arrays if array is not None)
        return kept + 2 * self._largest() * self.scratch.itemsize

    def _largest(self) -> int:
        """Numbers of the largest output that has a gradient of its own."""
        return max((output.size for output in self.outputs[:-1]), default=0)

    def forward(
        self,
        parameters,
        Z: np.ndarray,
        keep: bool,
        engine: ThreadEngine | None = None,
        result: np.ndarray | None = None,
    ) -> np.ndarray:
        """z^{L+1}, in ``result`` or the last buffer; ``keep`` what the backward pass needs.

        An ``engine`` that has nothing else to do shares out each layer's outputs: the same bits.
        """
        l = len(Z)
        for m, layer in enumerate(self.layers):
            W, b = parameters[m]
            out = self.outputs[m][:l]
            if result is not None and m == len(self.layers) - 1:
                out = result
            indices = self.indices[m]
            if indices is not None:
                indices = indices[:l] if keep else None
            if self._worth_sharing(layer, engine, l):
                self._shared(engine, layer, Z, W, b, out)
            else:
                layer.forward(Z, W, b, out, self.scratch, indices)
            Z = out
        return Z

    def _worth_sharing(self, layer: BoundLayer, engine: ThreadEngine | None, l: int) -> bool:
        if engine is None or engine.n_threads == 1:
            return False
        return layer.multiply_adds * l >= SHARED_MULTIPLY_ADDS

    def _shared(self, engine: ThreadEngine | None, layer: BoundLayer, Z, W, b, out) -> None:
        """One layer's outputs in parts, a thread each."""
        assert engine is not None
        spare = [self.scratch]  # list.append and list.pop are atomic
        parts = engine.n_threads

        def evaluate(part: int) -> None:
            try:
                scratch = spare.pop()
            except IndexError:  # also where another thread was faster
                scratch = np.empty_like(self.scratch)
            layer.forward(Z, W, b, out, scratch, None, part, parts)
            spare.append(scratch)

        engine.run(evaluate, range(parts), lambda done: None)

    def backward(
        self,
        parameters,
        Z: np.ndarray,
        dz: np.ndarray,
        dparameters,
        engine: ThreadEngine | None = None,
    ) -> None:
        """The gradients for all W and b into ``dparameters``, after ``forward(..., keep=True)``.

        ``dz``, the gradient for z^{L+1}, is overwritten. ``engine`` as for `forward`.
        """
        l = len(Z)
        inputs = [Z, *(output[:l] for output in self.outputs)]
        dZ_out = dz.reshape(inputs[-1].shape)
        for m in reversed(range(len(self.layers))):
            W, _ = parameters[m]
            dW, db = dparameters[m]
            indices = self.indices[m]
            if indices is not None:
                indices = indices[:l]
            # the images themselves need no gradient
            dZ = self._gradient(m, l) if m > 0 else None
            layer = self.layers[m]
            both = dZ is not None and self._worth_sharing(layer, engine, l)
            arrays = (dZ_out, inputs[m], inputs[m + 1], W, dW, db, dZ)
            if both:
                self._two_gradients(engine, layer, *arrays)
            else:
                layer.backward(*arrays, self.scratch, indices)
            if dZ is not None:
                dZ_out = dZ

    def _two_gradients(
        self, engine: ThreadEngine | None, layer: BoundLayer, dZ_out, Z, Z_out, W, dW, db, dZ
    ) -> None:
        """One layer's dZ on one thread, its dW and db on another."""
        assert engine is not None
        dS = layer.before_activation(dZ_out, Z_out, db)
        tasks = ((dZ, None, self.scratch), (None, dW, np.empty_like(self.scratch)))
        engine.run(
            lambda task: layer.gradients(dS, Z, W, task[1], db, task[0], task[2]),
            tasks,
            lambda done: None,
        )

    def _gradient(self, m: int, l: int) -> np.ndarray:
        """The one of the two gradient buffers that is free at layer m, in its input's shape."""
        if self.gradients is None:
            self.gradients = [np.empty(self._largest(), self.scratch.dtype) for _ in range(2)]
        shape = (l, *self.layers[m].shape)
        return self.gradients[m % 2][: int(np.prod(shape))].reshape(shape)


class Workspaces:
    """Workspaces that no thread is using now.

    Parameters
    ----------
    layers, dtype
        As for `Workspace`.
    most_bytes : int, optional
        Larger ones are not kept for the next call.
    """

    def __init__(
        self, layers: list[BoundLayer], dtype: np.dtype, most_bytes: float = float("inf")
    ) -> None:
        self.layers = layers
        self.dtype = dtype
        self.most_bytes = most_bytes
        # list.append and list.pop are atomic
        self._idle: list[Workspace] = []

    @contextmanager
    def borrow(self, l: int) -> Iterator[Workspace]:
        """One for ``l`` images; it is idle again after the ``with`` block, unless that raised."""
        try:
            workspace = self._idle.pop()
        except IndexError:
            workspace = Workspace(self.layers, self.dtype, l)
        if workspace.l < l:
            workspace = Workspace(self.layers, self.dtype, l)
        yield workspace
        if workspace.nbytes <= self.most_bytes:
            self._idle.append(workspace)
