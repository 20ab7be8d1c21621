"""Node cases of the ONNX backend suite, of the operators that matconv has.

Not collected by a plain ``pytest``; run with ``pytest -s tests/peers`` where the package ``onnx`` is
installed, which builds the cases in memory. A case is left out, and counted, only for what the
operator here does not have: other than two dimensions, integer images, padding that differs from
the notes', dilated pools, downsampling.
"""

import warnings
from collections import Counter

import numpy as np
import pytest

import matconv
from matconv import Multiply, Network, Pad, Slice

onnx = pytest.importorskip("onnx")

OPERATORS = {
    *("AveragePool", "Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"),
    *("Mul", "Pad", "Resize", "Slice", "Upsample"),
}


# coordinates and their rounding with which each pixel is repeated
NEAREST = {
    *(("half_pixel", mode) for mode in ("round_prefer_floor", "round_prefer_ceil")),
    ("asymmetric", "floor"),
}


class Unsupported(Exception):
    """A case that asks for something else; the text says what."""


def nhwc(array):
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def nchw(array):
    return np.moveaxis(array, -1, 1)


def cases():
    """Yield (case, node, attributes, inputs, output) of the cases with one node."""
    from onnx.backend.test.loader import load_node_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the suite's own arithmetic
        found = list(load_node_model_tests())
    for case in found:
        nodes = case.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in OPERATORS:
            continue
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in nodes[0].attribute}
        given, outputs = case.data_sets[0]
        # inputs that are left out have an empty name
        values = iter(given)
        inputs = [np.asarray(next(values)) if name else None for name in nodes[0].input]
        yield case, nodes[0], attributes, inputs, np.asarray(outputs[0])


def four(pads):
    """((top, bottom), (left, right)) of ONNX's (top, left, bottom, right)."""
    top, left, bottom, right = map(int, pads)
    return (top, bottom), (left, right)


def images(X):
    if X.ndim != 4:
        raise Unsupported("not two-dimensional")
    if X.dtype not in (np.float32, np.float64):
        raise Unsupported("not floating-point")
    return nhwc(X)


def automatic(attributes, size, kernel, stride, dilation):
    """The padding of a window: explicit, or SAME with the odd pixel below or above."""
    kind = attributes.get("auto_pad", b"NOTSET").decode()
    if kind in ("NOTSET", "VALID"):
        return four(attributes.get("pads", (0, 0, 0, 0)) if kind == "NOTSET" else (0, 0, 0, 0))
    sides = []
    for n, h, s, e in zip(size, kernel, stride, dilation):
        total = max((-(-n // s) - 1) * s + (h - 1) * e + 1 - n, 0)
        less, more = total // 2, total - total // 2
        sides.append((less, more) if kind == "SAME_UPPER" else (more, less))
    return tuple(sides)


def pool(node, attributes, inputs):
    X = images(inputs[0])
    window = attributes["kernel_shape"]
    stride, dilation = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
    if tuple(dilation) != (1, 1):
        raise Unsupported("dilated pool")
    if len(node.output) > 1:
        raise Unsupported("indices in another order")
    pad = automatic(attributes, X.shape[1:3], window, stride, dilation)
    options = {"stride": stride, "pad": pad, "ceil": bool(attributes.get("ceil_mode", 0))}
    if node.op_type == "MaxPool":
        return nchw(matconv.max_pool2d(X, window, **options))
    options["count_pad"] = bool(attributes.get("count_include_pad", 0))
    return nchw(matconv.avg_pool2d(X, window, **options))


def conv(node, attributes, inputs):
    X, W, b = [*inputs, None][:3]
    X, kernel = images(X), W.shape[2:]
    stride, dilation = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
    pad = automatic(attributes, X.shape[1:3], kernel, stride, dilation)
    W = W.transpose(1, 2, 3, 0)
    groups = attributes.get("group", 1)
    return nchw(matconv.conv2d(X, W, b, stride, pad, dilation, groups, algorithm="im2col"))


def conv_transpose(node, attributes, inputs):
    X, W, b = [*inputs, None][:3]
    X, kernel = images(X), W.shape[2:]
    up, dilation = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
    extra, groups = attributes.get("output_padding", (0, 0)), attributes.get("group", 1)
    full = [s * (n - 1) + (h - 1) * e + 1 + x
            for s, n, h, e, x in zip(up, X.shape[1:3], kernel, dilation, extra)]  # fmt: skip
    kind, wanted = attributes.get("auto_pad", b"NOTSET").decode(), attributes.get("output_shape")
    if kind.startswith("SAME"):
        wanted = [n * s for n, s in zip(X.shape[1:3], up)]
    crop = four(attributes.get("pads", (0, 0, 0, 0)))
    if wanted is not None:
        more = [n - m for n, m in zip(full, wanted[-2:])]
        if min(more) < 0:
            extra = tuple(x - min(m, 0) for x, m in zip(extra, more))
            more = [max(m, 0) for m in more]
        halves = [(m // 2, m - m // 2) for m in more]
        crop = tuple(h if kind == "SAME_UPPER" else h[::-1] for h in halves)
    # W (d, channels / groups, h_b, h_a) of ONNX
    W = W.transpose(1, 2, 3, 0)
    return nchw(
        matconv.conv_transpose2d(X, W, b, up, crop, dilation, extra, groups, algorithm="im2col")
    )


def whole_image(node, attributes, inputs):
    X = images(inputs[0])
    function = matconv.max_pool2d if node.op_type == "GlobalMaxPool" else matconv.avg_pool2d
    return nchw(function(X, "image"))


def passed(shape, layers, X, dtype):
    """The output of a network without parameters."""
    net = Network(shape, layers, dtype)
    return net.forward(np.zeros(0, dtype), X)


def mul(node, attributes, inputs):
    one, other = inputs
    if one.dtype not in (np.float32, np.float64):
        raise Unsupported("not floating-point")
    if one.shape != other.shape:
        # both have the last axis, which are the channels here
        if other.shape != one.shape[-1:]:
            raise Unsupported("another broadcast")
        width = one.size // one.shape[-1]
        X = np.concatenate(
            [one.reshape(1, 1, width, -1), np.broadcast_to(other, (1, 1, width, other.size))], -1
        )
        d = other.size
        layers = [
            Slice(0, d, name="a", inputs="input"),
            Slice(d, 2 * d, name="b", inputs="input"),
            matconv.MaxPool("image", name="pixel"),
            Multiply(inputs=("a", "pixel")),
        ]
        return passed(X.shape[1:], layers, X, one.dtype).reshape(one.shape)
    pair = np.stack([one.ravel(), other.ravel()])[None, None]
    rows = one.size
    layers = [
        Slice(0, rows, name="flat", inputs="input"),
        matconv.Crop(((0, 0), (0, 1)), name="a", inputs="flat"),
        matconv.Crop(((0, 0), (1, 0)), name="b", inputs="flat"),
        Multiply(inputs=("a", "b")),
    ]
    return passed(pair.shape[1:], layers, pair, one.dtype).reshape(one.shape)


def pad(node, attributes, inputs):
    X, pads = images(inputs[0]), inputs[1]
    if attributes.get("mode", b"constant") != b"constant":
        raise Unsupported("padding that is not constant")
    # zeros around X - value, plus value
    value = X.dtype.type(0 if len(inputs) < 3 or inputs[2] is None else inputs[2])
    axes = range(4) if len(inputs) < 4 else [int(k) % 4 for k in inputs[3]]
    sides = np.zeros((4, 2), int)
    for axis, before, after in zip(axes, pads[: len(pads) // 2], pads[len(pads) // 2 :]):
        sides[axis] = before, after
    if sides[:2].any() or sides.min() < 0:
        raise Unsupported("padding of channels or images")
    layer = Pad(tuple(map(tuple, sides[2:].tolist())))
    return nchw(passed(X.shape[1:], [layer], X - value, X.dtype) + value)


def slices(node, attributes, inputs):
    """Rows, columns and channels of the three-dimensional cases, as those of one image."""
    X, starts, ends = inputs[:3]
    axes = inputs[3] if len(inputs) > 3 else range(len(starts))
    steps = inputs[4] if len(inputs) > 4 else np.ones(len(starts), int)
    if min(steps) < 1 or X.ndim != 3:
        raise Unsupported("steps")
    ranges = [range(n) for n in X.shape]
    for axis, start, end in zip(axes, starts, ends):
        ranges[axis] = ranges[axis][start:end]
    if min(map(len, ranges)) == 0:
        raise Unsupported("empty")
    (top, bottom), (left, right), (first, last) = ((r[0], r[-1] + 1) for r in ranges)
    borders = (top, X.shape[0] - bottom), (left, X.shape[1] - right)
    layers = [matconv.Crop(borders), Slice(first, last)]
    return passed(X.shape, layers, X[None], X.dtype)[0]


def resize(node, attributes, inputs):
    X = images(inputs[0])
    if node.op_type == "Upsample":
        scales = inputs[1]
    else:
        scales = inputs[2] if len(inputs) > 2 and inputs[2] is not None else None
        if scales is None or scales.size == 0:
            scales = (
                inputs[3] / np.array([X.shape[0], X.shape[3], *X.shape[1:3]])[-inputs[3].size :]
            )
        if "axes" in attributes:
            order = [int(k) for k in attributes["axes"]]
            scales = [1, 1, *(scales[order.index(k)] for k in (2, 3))]
    scales = np.asarray(scales, float)
    scales = np.concatenate([np.ones(4 - scales.size), scales])
    mode = attributes.get("mode", b"nearest").decode()
    where = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    if (scales != np.round(scales)).any() or scales.min() < 1:
        raise Unsupported("factors that are not integers")
    if mode == "cubic" or where.startswith("tf_") or attributes.get("antialias"):
        raise Unsupported("another interpolation")
    factor = tuple(int(scale) for scale in scales[2:])
    if mode == "nearest":
        rounding = attributes.get("nearest_mode", b"round_prefer_floor").decode()
        if (where, rounding) not in NEAREST and node.op_type == "Resize":
            raise Unsupported("another interpolation")
        return nchw(matconv.upsample2d(X, factor))
    aligned = where == "align_corners"
    return nchw(matconv.upsample2d(X, factor, "bilinear", aligned))


FUNCTIONS = {
    "AveragePool": pool, "MaxPool": pool, "Conv": conv, "ConvTranspose": conv_transpose,
    "GlobalAveragePool": whole_image, "GlobalMaxPool": whole_image, "Mul": mul, "Pad": pad,
    "Resize": resize, "Upsample": resize, "Slice": slices,
}  # fmt: skip


def test_onnx_node_cases_agree():
    agreed, left_out = Counter(), Counter()
    for case, node, attributes, inputs, expected in cases():
        try:
            found = FUNCTIONS[node.op_type](node, attributes, inputs)
        except Unsupported as reason:
            left_out[f"{node.op_type}: {reason}"] += 1
            continue
        assert found.shape == expected.shape, case.name
        # the suite's own tolerances, for single precision and outputs given with four digits
        np.testing.assert_allclose(
            found, expected, rtol=case.rtol, atol=case.atol, err_msg=case.name
        )
        agreed[node.op_type] += 1
    print(f"\n{agreed.total()} cases agree:", dict(sorted(agreed.items())))
    print(f"{left_out.total()} left out:", dict(sorted(left_out.items())))
    assert agreed.keys() == OPERATORS
    assert agreed.total() >= 45
