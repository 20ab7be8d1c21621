"""The buffers of one thread, and the two passes over the layers in them.

Nothing is allocated per shard: every array below is made once, for the largest shard.

    outputs[m]    Z^{m+1}, the output of layer m, kept for the backward pass
    indices[m]    where a max-pooling layer found its numbers
    gradients     two arrays that take turns as dZ^{m+1} and dZ^m
    scratch       what the kernels need, the largest of all layers
"""

from __future__ import annotations

import numpy as np

from .layers import BoundLayer


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
        self.outputs = [np.empty((l, *layer.out_shape), dtype) for layer in layers]
        self.indices = [
            np.empty((l, *layer.out_shape), np.intc) if layer.keeps_indices else None
            for layer in layers
        ]
        self.scratch = np.empty(max(layer.scratch_size() for layer in layers), dtype)
        self.gradients: list[np.ndarray] | None = None

    def forward(self, parameters, Z: np.ndarray, keep: bool) -> np.ndarray:
        """z^{L+1}, a view of the last buffer; ``keep`` what the backward pass needs."""
        l = len(Z)
        for m, layer in enumerate(self.layers):
            W, b = parameters[m]
            out = self.outputs[m][:l]
            indices = self.indices[m]
            if indices is not None:
                indices = indices[:l] if keep else None
            layer.forward(Z, W, b, out, self.scratch, indices)
            Z = out
        return Z

    def backward(self, parameters, Z: np.ndarray, dz: np.ndarray, dparameters) -> None:
        """The gradients for all W and b into ``dparameters``, after ``forward(..., keep=True)``.

        ``dz``, the gradient for z^{L+1}, is overwritten.
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
            self.layers[m].backward(
                dZ_out, inputs[m], inputs[m + 1], W, dW, db, dZ, self.scratch, indices
            )
            if dZ is not None:
                dZ_out = dZ

    def _gradient(self, m: int, l: int) -> np.ndarray:
        """The one of the two gradient buffers that is free at layer m, in its input's shape."""
        if self.gradients is None:
            largest = max((output.size for output in self.outputs[:-1]), default=0)
            self.gradients = [np.empty(largest, self.scratch.dtype) for _ in range(2)]
        shape = (l, *self.layers[m].shape)
        return self.gradients[m % 2][: int(np.prod(shape))].reshape(shape)
