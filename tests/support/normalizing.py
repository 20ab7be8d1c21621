"""PReLU, LRN, Softmax, LogSoftmax and Normalize in NumPy, in the dtype of their input.

`FORWARD` and `BACKWARD` list functions by the kind of the layer: of (layer, Z, slope), and of (layer,
dZ_out, Z, slope), which return the gradient for Z and those for the parameters.
"""

import numpy as np


def windows(layer, d):
    """Return a matrix whose row c has ones at the channels of the window of channel c."""
    rows = np.arange(d)[:, None]
    columns = np.arange(d)[None, :]
    first, last = rows - (layer.size - 1) // 2, rows + layer.size // 2
    return (columns >= first) & (columns <= last)


def _window_sums(Z, inside):
    """Return the sums over windows without multiplying elements by 0."""
    return np.stack([Z[..., row].sum(-1, Z.dtype) for row in inside], -1)


def lrn(layer, Z, _=None):
    k, alpha, beta = map(Z.dtype.type, (layer.k, layer.alpha, layer.beta))
    return Z * (k + alpha * _window_sums(Z * Z, windows(layer, Z.shape[-1]))) ** -beta


def lrn_backward(layer, dZ, Z, _=None):
    k, alpha, beta = map(Z.dtype.type, (layer.k, layer.alpha, layer.beta))
    inside = windows(layer, Z.shape[-1])
    t = k + alpha * _window_sums(Z * Z, inside)
    back = _window_sums(dZ * Z * t ** (-beta - 1), inside.T)
    return dZ * t**-beta - 2 * alpha * beta * Z * back, []


def softmax(_layer, Z, _=None):
    e = np.exp(Z - Z.max(-1, keepdims=True))
    return e / e.sum(-1, Z.dtype, keepdims=True)


def softmax_backward(layer, dZ, Z, _=None):
    y = softmax(layer, Z)
    return y * (dZ - (dZ * y).sum(-1, Z.dtype, keepdims=True)), []


def log_softmax(_layer, Z, _=None):
    shifted = Z - Z.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, Z.dtype, keepdims=True))


def log_softmax_backward(layer, dZ, Z, _=None):
    return dZ - softmax(layer, Z) * dZ.sum(-1, Z.dtype, keepdims=True), []


def _norm(layer, Z):
    """Return the axes, sum |z|^p + epsilon, and p."""
    axes = (1, 2) if layer.spatial else -1
    p = Z.dtype.type(layer.p)
    powers = (np.abs(Z) ** p).sum(axes, Z.dtype, keepdims=True)
    return axes, powers + Z.dtype.type(layer.epsilon), p


def normalize(layer, Z, _=None):
    _, t, p = _norm(layer, Z)
    return Z / t ** (1 / p)


def normalize_backward(layer, dZ, Z, _=None):
    axes, t, p = _norm(layer, Z)
    slopes = np.sign(Z) * np.abs(Z) ** (p - 1)
    return t ** (-1 / p) * (dZ - (dZ * Z).sum(axes, Z.dtype, keepdims=True) / t * slopes), []


def prelu(_layer, Z, slope):
    return np.where(Z <= 0, slope * Z, Z)


def prelu_backward(_layer, dZ, Z, slope):
    axes = tuple(range(Z.ndim - 1))
    below = np.where(Z <= 0, Z * dZ, Z.dtype.type(0))
    return np.where(Z <= 0, slope * dZ, dZ), [below.sum(axes, Z.dtype)]


FORWARD = {
    "LRN": lrn,
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
    "Normalize": normalize,
    "PReLU": prelu,
}
BACKWARD = {
    "LRN": lrn_backward,
    "Softmax": softmax_backward,
    "LogSoftmax": log_softmax_backward,
    "Normalize": normalize_backward,
    "PReLU": prelu_backward,
}
