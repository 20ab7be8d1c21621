"""Layers of MatConvNet as layers of matconv: descriptions, and parameters in matconv's layout.

MatConvNet's arrays are X(i, j, c, n), F(i, j, c, k) for images and filters; matconv's are
Z[n, i, j, c] and W[c, i, j, k]. Rows remain rows: nothing is transposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from matconv import layers

from .fields import Entry, numbers_of

__all__ = ["KINDS", "Made", "filters_from"]

# a layer without name and inputs, the arrays of its parameters, the number of its output's channels
Made = tuple[layers.Layer, Sequence[np.ndarray], int]


def filters_from(F: np.ndarray) -> np.ndarray:
    """Return W[c, i, j, k] for F(i, j, c, k), whose last dimensions may be missing if they are 1."""
    if F.ndim > 4:
        raise ValueError(f"filters must have at most 4 dimensions, got {F.ndim}")
    return F.reshape(F.shape + (1,) * (4 - F.ndim)).transpose(2, 0, 1, 3)


def _filters(entry: Entry) -> tuple[np.ndarray, np.ndarray | None]:
    """Return W and b; b is None if there is none."""
    if not entry.weights or entry.weights[0].size == 0:
        raise ValueError("it has no filters")
    W = filters_from(entry.weights[0])
    b = entry.weights[1].ravel() if len(entry.weights) > 1 and entry.weights[1].size else None
    return W, b


def _check_bias(b: np.ndarray | None, channels: int) -> list[np.ndarray]:
    if b is None:
        return []
    if b.size != channels:
        raise ValueError(f"{channels} biases expected, got {b.size}")
    return [b]


def _dense(entry: Entry, channels: list[int]) -> Made:
    W, b = _filters(entry)
    d_out = W.shape[3]
    more = _check_bias(b, d_out)
    # W[vec(i, j, c), k] with c fastest, as the elements of Z[i, j, c]
    return (
        layers.Dense(d_out, bias=bool(more)),
        [W.transpose(1, 2, 0, 3).reshape(-1, d_out), *more],
        d_out,
    )


def _conv(entry: Entry, channels: list[int]) -> Made:
    if entry.dense:
        return _dense(entry, channels)
    W, b = _filters(entry)
    depth, height, width, d_out = W.shape
    if channels[0] % depth:
        raise ValueError(f"filters of {depth} channels do not fit {channels[0]} input channels")
    more = _check_bias(b, d_out)
    layer = layers.Conv(
        d_out,
        (height, width),
        stride=entry.pair("stride", 1),
        pad=entry.sides("pad"),
        dilation=entry.pair("dilate", 1),
        groups=channels[0] // depth,
        bias=bool(more),
    )
    return layer, [W, *more], d_out


def _convt(entry: Entry, channels: list[int]) -> Made:
    W, b = _filters(entry)  # F(i, j, k, c) with outputs k and inputs c
    depth, height, width, d_in = W.shape
    if d_in != channels[0]:
        raise ValueError(f"{d_in} filters do not fit {channels[0]} input channels")
    groups = entry.integers("numGroups", 1)[0]
    d_out = depth * groups
    more = _check_bias(b, d_out)
    layer = layers.ConvTranspose(
        d_out,
        (height, width),
        upsample=entry.pair("upsample", 1),
        crop=entry.sides("crop"),
        groups=groups,
        bias=bool(more),
    )
    return layer, [W, *more], d_out


def _pool(entry: Entry, channels: list[int]) -> Made:
    method = entry.text("method", "max")
    kinds: dict[str, Callable[..., layers.Layer]] = {"max": layers.MaxPool, "avg": layers.AvgPool}
    if method not in kinds:
        raise ValueError(f"method {method!r} is neither 'max' nor 'avg'")
    layer = kinds[method](
        entry.pair("pool", 1), stride=entry.pair("stride", 1), pad=entry.sides("pad")
    )
    return layer, [], channels[0]


def _relu(entry: Entry, channels: list[int]) -> Made:
    from matconv.activations import LeakyReLU

    leak = entry.number("leak", 0)
    return layers.Activation("relu" if leak == 0 else LeakyReLU(leak)), [], channels[0]


def _lrn(entry: Entry, channels: list[int]) -> Made:
    param = numbers_of("param", entry.fields.get("param")) or [5, 1, 0.0001 / 5, 0.75]
    if len(param) != 4 or param[0] != int(param[0]):
        raise ValueError(f"param must be [N kappa alpha beta], got {param}")
    return layers.LRN(int(param[0]), *param[1:]), [], channels[0]


def _bnorm(entry: Entry, channels: list[int]) -> Made:
    # (x - mean) g / sigma + b; the second column of moments is sigma, with epsilon inside
    if len(entry.weights) < 3 or any(array.size == 0 for array in entry.weights[:3]):
        raise ValueError("it has no moments, which batch normalisation needs outside training")
    g, b = (array.ravel().astype(np.float64) for array in entry.weights[:2])
    moments = entry.weights[2].astype(np.float64)
    if moments.ndim != 2 or moments.shape != (len(g), 2) or len(b) != len(g):
        raise ValueError(
            f"{len(g)} gains, {len(b)} biases and moments {moments.shape} do not fit each other"
        )
    if len(g) != channels[0]:
        raise ValueError(f"{len(g)} gains do not fit {channels[0]} channels")
    mean = moments[:, 0]
    with np.errstate(all="ignore"):
        gain = g / moments[:, 1]
        return layers.Scale(), [gain, np.where(mean == 0, b, b - mean * gain)], channels[0]


def _scale(entry: Entry, channels: list[int]) -> Made:
    if len(entry.inputs) == 2:
        if any(array.size for array in entry.weights):
            raise ValueError("a product of two inputs with a bias is not supported")
        return layers.Multiply(inputs=("input", "input")), [], channels[0]
    if not entry.weights or entry.weights[0].size != channels[0]:
        raise ValueError("one factor for each channel is needed")
    more = _check_bias(entry.weights[1].ravel() if len(entry.weights) > 1 else None, channels[0])
    gain = entry.weights[0].ravel()
    return layers.Scale(bias=bool(more)), [gain, *more], channels[0]


def _crop(entry: Entry, channels: list[int]) -> Made:
    # reads the image and one of the size that it gets; crop is (top, left)
    return layers.Crop(crop=entry.pair("crop", 0), like="input"), [], channels[0]


def _concat(entry: Entry, channels: list[int]) -> Made:
    if entry.number("dim", 3) != 3:
        raise ValueError(f"dim must be 3, channels, got {entry.number('dim', 3):g}")
    return layers.Concat(inputs=("input", "input")), [], sum(channels)


def _sum(entry: Entry, channels: list[int]) -> Made:
    return layers.Add(inputs=("input", "input")), [], channels[0]


def _dropout(entry: Entry, channels: list[int]) -> Made:
    return layers.Dropout(entry.number("rate", 0.5)), [], channels[0]


def _normalizelp(entry: Entry, channels: list[int]) -> Made:
    layer = layers.Normalize(
        entry.number("p", 2), entry.number("epsilon", 0.01), entry.flag("spatial", False)
    )
    return layer, [], channels[0]


def _plain(make: Callable[[], layers.Layer]) -> Callable[[Entry, list[int]], Made]:
    def made(entry: Entry, channels: list[int]) -> Made:
        return make(), [], channels[0]

    return made


# types of SimpleNN, and those of DagNN under names that SimpleNN would give them
KINDS: dict[str, Callable[[Entry, list[int]], Made]] = {
    "conv": _conv,
    "convt": _convt,
    "pool": _pool,
    "relu": _relu,
    "sigmoid": _plain(lambda: layers.Activation("sigmoid")),
    "tanh": _plain(lambda: layers.Activation("tanh")),
    "normalize": _lrn,
    "lrn": _lrn,
    "normalizelp": _normalizelp,
    "bnorm": _bnorm,
    "dropout": _dropout,
    "softmax": _plain(layers.Softmax),
    "scale": _scale,
    "crop": _crop,
    "concat": _concat,
    "sum": _sum,
}
