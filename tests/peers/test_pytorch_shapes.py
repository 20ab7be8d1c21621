"""Depthwise and transposed convolutions, pooling and upsampling on random geometries, as PyTorch.

Not collected by a plain ``pytest``; run with ``pytest -s tests/peers`` where PyTorch is installed.
The largest relative difference of an operator and its gradients, in float64, is printed.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.tolerances import assert_same

import matconv

COUNT = 250
# in float64, relative to the largest element of each array; no transcendental function is involved
RELATIVE = 1e-13


def nchw(array):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1)).copy())


def nhwc(tensor):
    return np.ascontiguousarray(tensor.detach().permute(0, 2, 3, 1).numpy())


def relative(one, other):
    assert one.shape == other.shape
    if other.size == 0:
        return 0.0
    return np.abs(one - other).max() / (np.abs(other).max() or 1.0)


def pair(random, low, high):
    return tuple(random.integers(low, high, 2).tolist())


def compared(name, differences):
    """Print the largest difference and require the bound."""
    assert len(differences) == COUNT
    print(f"\n{name}: {COUNT} geometries, largest relative difference {max(differences):.1e}")
    assert max(differences) <= RELATIVE


def small_groups(random):
    """A convolution with few channels per group that fits; None if it does not."""
    groups = int(random.integers(2, 12))
    d_g, d_out_g = (1, 1) if random.random() < 0.5 else pair(random, 1, 9)
    kernel, stride, dilation, pad = (
        pair(random, low, high) for low, high in ((1, 6), (1, 4), (1, 3), (0, 4))
    )
    size = pair(random, 1, 14)
    if any(n + 2 * p <= (h - 1) * e for n, p, h, e in zip(size, pad, kernel, dilation)):
        return None
    shapes = (int(random.integers(1, 4)), *size, groups * d_g), (d_g, *kernel, groups * d_out_g)
    return shapes, {"stride": stride, "dilation": dilation, "groups": groups}, pad


def test_direct_convolution_is_that_of_pytorch():
    random, differences = np.random.default_rng(1), []
    while len(differences) < COUNT:
        case = small_groups(random)
        if case is None:
            continue
        (shape, filters), options, pad = case
        Z, W, b = (random.standard_normal(size) for size in (shape, filters, filters[3]))
        leaves = Z_, W_, b_ = (
            nchw(Z), torch.from_numpy(W.transpose(3, 0, 1, 2).copy()), torch.from_numpy(b.copy())
        )  # fmt: skip
        for leaf in leaves:
            leaf.requires_grad_()
        theirs = F.conv2d(Z_, W_, b_, padding=pad, **options)
        S = matconv.conv2d(Z, W, b, pad=pad, **options)
        dS = random.standard_normal(S.shape)
        theirs.backward(nchw(dS))
        dZ, dW, db = matconv.conv2d_backward(dS, Z, W, pad=pad, **options)
        differences.append(max(
            relative(S, nhwc(theirs)), relative(dZ, nhwc(Z_.grad)),
            relative(dW, W_.grad.permute(1, 2, 3, 0).numpy()), relative(db, b_.grad.numpy()),
        ))  # fmt: skip
    compared("conv2d, few channels per group", differences)


def test_conv_transpose_is_that_of_pytorch():
    random, differences = np.random.default_rng(2), []
    while len(differences) < COUNT:
        groups = int(random.integers(1, 4))
        d, channels = (groups * n for n in pair(random, 1, 6))
        kernel, upsample, dilation, crop = (
            pair(random, low, high) for low, high in ((1, 6), (1, 4), (1, 3), (0, 3))
        )
        extra = tuple(random.integers(0, upsample).tolist())
        size = pair(random, 1, 8)
        if any(
            s * (n - 1) + (h - 1) * e + 1 - 2 * p + x < 1
            for s, n, h, e, p, x in zip(upsample, size, kernel, dilation, crop, extra)
        ):
            continue
        Z = random.standard_normal((int(random.integers(1, 4)), *size, d))
        W, b = (
            random.standard_normal((channels // groups, *kernel, d)),
            random.standard_normal(channels),
        )
        leaves = Z_, W_, b_ = (
            nchw(Z), torch.from_numpy(W.transpose(3, 0, 1, 2).copy()), torch.from_numpy(b.copy())
        )  # fmt: skip
        for leaf in leaves:
            leaf.requires_grad_()
        theirs = F.conv_transpose2d(Z_, W_, b_, upsample, crop, extra, groups, dilation)
        options = {"upsample": upsample, "crop": crop, "dilation": dilation, "extra": extra,
                   "groups": groups}  # fmt: skip
        S = matconv.conv_transpose2d(Z, W, b, **options)
        dS = random.standard_normal(S.shape)
        theirs.backward(nchw(dS))
        dZ, dW, db = matconv.conv_transpose2d_backward(dS, Z, W, **options)
        differences.append(max(
            relative(S, nhwc(theirs)), relative(dZ, nhwc(Z_.grad)),
            relative(dW, W_.grad.permute(1, 2, 3, 0).numpy()), relative(db, b_.grad.numpy()),
        ))  # fmt: skip
    compared("conv_transpose2d", differences)


def test_pooling_with_ceil_and_count_pad_is_that_of_pytorch():
    random, differences = np.random.default_rng(3), []
    while len(differences) < COUNT:
        window, stride, size = (pair(random, 1, high) for high in (5, 5, 12))
        pad = tuple(int(random.integers(0, h // 2 + 1)) for h in window)
        ceil, count_pad = (bool(random.integers(2)) for _ in range(2))
        Z = random.standard_normal((2, *size, 3))
        Z_, other = nchw(Z).requires_grad_(), nchw(Z).requires_grad_()
        try:
            mean = F.avg_pool2d(Z_, window, stride, pad, ceil, count_pad)
        except RuntimeError:  # the window does not fit
            continue
        S = matconv.avg_pool2d(Z, window, stride, pad, ceil=ceil, count_pad=count_pad)
        dS = random.standard_normal(S.shape)
        mean.backward(nchw(dS))
        dZ = matconv.avg_pool2d_backward(dS, Z.shape, window, stride, pad, ceil, count_pad)
        largest, where = F.max_pool2d(other, window, stride, pad, 1, ceil, return_indices=True)
        largest.backward(nchw(dS))
        maxima, indices = matconv.max_pool2d(Z, window, stride, pad, True, ceil=ceil)
        assert_same(maxima, nhwc(largest), "maxima")
        assert_same(indices, nhwc(where), "indices")
        of_max = matconv.max_pool2d_backward(dS, indices, Z.shape)
        differences.append(max(
            relative(S, nhwc(mean)), relative(dZ, nhwc(Z_.grad)), relative(of_max, nhwc(other.grad))
        ))  # fmt: skip
    compared("max_pool2d, avg_pool2d", differences)


@pytest.mark.parametrize("options", [("nearest",), ("bilinear",), ("bilinear", True)])
def test_upsampling_is_that_of_pytorch(options):
    random, differences = np.random.default_rng(4), []
    more = {} if options == ("nearest",) else {"align_corners": len(options) == 2}
    while len(differences) < COUNT:
        factor, size = pair(random, 1, 6), pair(random, 1, 9)
        Z = random.standard_normal((2, *size, 3))
        Z_ = nchw(Z).requires_grad_()
        target = tuple(n * f for n, f in zip(size, factor))
        theirs = F.interpolate(Z_, target, mode=options[0], **more)
        S = matconv.upsample2d(Z, factor, *options)
        dS = random.standard_normal(S.shape)
        theirs.backward(nchw(dS))
        dZ = matconv.upsample2d_backward(dS, Z.shape, factor, *options)
        differences.append(max(relative(S, nhwc(theirs)), relative(dZ, nhwc(Z_.grad))))
    compared(f"upsample2d, {' '.join(map(str, options))}", differences)
