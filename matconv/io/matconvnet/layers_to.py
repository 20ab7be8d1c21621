"""Layers of matconv as layers of MatConvNet: fields and weights, of SimpleNN and of DagNN alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matconv import layers
from matconv.activations import LeakyReLU
from matconv.graph import Node

__all__ = ["WRITERS", "Written", "activation_written"]


@dataclass
class Written:
    """A layer of MatConvNet.

    Attributes
    ----------
    kind : str
        Its class in DagNN.
    fields : dict
        Fields of its block.
    weights : list of ndarray
    simple : str
        Its type in SimpleNN; empty if SimpleNN does not have it.
    """

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    weights: list[np.ndarray] = field(default_factory=list)
    simple: str = ""


def _row(*values: float) -> np.ndarray:
    return np.array([values], np.float64)


def _filters(W: np.ndarray) -> np.ndarray:
    """Return F(i, j, c, k) for W[c, i, j, k]."""
    return W.transpose(1, 2, 0, 3)


def _bias(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [array.reshape(1, -1) for array in arrays[1:]]


def _conv(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    _, _, *sizes = node.record.words
    F = _filters(arrays[0])
    fields = {
        "size": _row(*F.shape),
        "hasBias": len(arrays) > 1,
        "stride": _row(*sizes[2:4]),
        "pad": _row(*sizes[4:8]),
        "dilate": _row(*sizes[8:10]),
    }
    return Written("dagnn.Conv", fields, [F, *_bias(arrays)], "conv")


def _dense(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    # vec(Z) has the elements of Z[i, j, c] with c fastest
    shape = shapes[0] if len(shapes[0]) == 3 else (1, 1, *shapes[0])
    F = arrays[0].reshape(*shape, -1)
    fields = {"size": _row(*F.shape), "hasBias": len(arrays) > 1}
    fields.update(stride=_row(1, 1), pad=_row(0, 0, 0, 0), dilate=_row(1, 1))
    return Written("dagnn.Conv", fields, [F, *_bias(arrays)], "conv")


def _convt(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    _, groups, *sizes = node.record.words
    (up, right), (top, bottom, left, side), dilation = sizes[2:4], sizes[4:8], sizes[8:10]
    if dilation != [1, 1]:
        raise ValueError("MatConvNet has no dilation of transposed convolutions")
    # rows that are added at the bottom are rows that are not cropped
    bottom, side = bottom - sizes[10], side - sizes[11]
    if min(bottom, side) < 0:
        raise ValueError("extra must be at most the crop at the bottom and at the right")
    F = _filters(arrays[0])
    fields = {
        "size": _row(*F.shape),
        "hasBias": len(arrays) > 1,
        "upsample": _row(up, right),
        "crop": _row(top, bottom, left, side),
        "numGroups": float(groups),
    }
    return Written("dagnn.ConvTranspose", fields, [F, *_bias(arrays)], "convt")


def _pool(method: str) -> Callable[..., Written]:
    def written(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
        sizes = node.record.words
        pad = sizes[4:8]
        if method == "avg" and any(pad) and sizes[8:10] != [-1, -1]:
            raise ValueError("MatConvNet's means are over pixels of the image: no count_pad")
        fields = {
            "method": method,
            "poolSize": _row(*sizes[:2]),
            "stride": _row(*sizes[2:4]),
            "pad": _row(*pad),
        }
        return Written("dagnn.Pooling", fields, [], "pool")

    return written


def _scale(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    gain = arrays[0]
    if len(arrays) == 1:
        fields = {"size": _row(1, 1, gain.size), "hasBias": False}
        return Written("dagnn.Scale", fields, [gain.reshape(1, 1, -1)])
    # mean 0, sigma 1
    moments = np.stack([np.zeros_like(gain), np.ones_like(gain)], 1)
    weights = [gain.reshape(-1, 1), arrays[1].reshape(-1, 1), moments]
    fields = {"numChannels": float(gain.size), "epsilon": 0.0}
    return Written("dagnn.BatchNorm", fields, weights, "bnorm")


def activation_written(activation: Any) -> Written:
    """Return the layer for an activation."""
    if activation == "relu":
        return Written("dagnn.ReLU", {"leak": 0.0}, [], "relu")
    if isinstance(activation, LeakyReLU):
        return Written("dagnn.ReLU", {"leak": activation.slope}, [], "relu")
    if activation == "sigmoid":
        return Written("dagnn.Sigmoid", {}, [], "sigmoid")
    raise ValueError(f"MatConvNet has no activation {activation!r}")


def _activation(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    return activation_written(node.layer.activation)  # type: ignore[attr-defined]


def _lrn(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    return Written(
        "dagnn.LRN", {"param": _row(*node.record.words, *node.record.numbers)}, [], "lrn"
    )


def _dropout(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    return Written("dagnn.DropOut", {"rate": node.record.numbers[0]}, [], "dropout")


def _sum(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    if set(node.record.numbers) != {1.0}:
        raise ValueError("MatConvNet's sum has no factors")
    return Written("dagnn.Sum")


def _product(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    if len(shapes) != 2:
        raise ValueError("MatConvNet's product has 2 inputs")
    return Written("dagnn.Scale", {"hasBias": False})


def _crop(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    top, _, left, _ = node.record.words
    if node.layer.shape_of is None:
        raise ValueError("MatConvNet's crop needs a layer of the size that remains: like")
    return Written("dagnn.Crop", {"crop": _row(top, left)})


def _concat(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    return Written("dagnn.Concat", {"dim": 3.0})


def _softmax(node: Node, shapes: list[Any], arrays: list[np.ndarray]) -> Written:
    return Written("dagnn.SoftMax", {}, [], "softmax")


_Writer = Callable[[Node, list[Any], list[np.ndarray]], Written]
# a layer of matconv that is not here has no counterpart
WRITERS: dict[str, _Writer] = {
    layer.kind: writer
    for layer, writer in (
        (layers.Activation, _activation),
        (layers.Add, _sum),
        (layers.AvgPool, _pool("avg")),
        (layers.Concat, _concat),
        (layers.Conv, _conv),
        (layers.ConvTranspose, _convt),
        (layers.Crop, _crop),
        (layers.Dense, _dense),
        (layers.Dropout, _dropout),
        (layers.LRN, _lrn),
        (layers.MaxPool, _pool("max")),
        (layers.Multiply, _product),
        (layers.Scale, _scale),
        (layers.Softmax, _softmax),
    )
}
