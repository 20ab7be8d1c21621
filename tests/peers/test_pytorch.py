"""The same numbers as PyTorch's, which computes them in another layout with other kernels.

Not collected by a plain ``pytest``; run with ``pytest tests/peers`` where PyTorch is installed.

On integers every sum is exact and the demanded difference is zero. On other data two honest
computations differ by rounding only, within the bound of `tolerances`. Of a whole network the
gradient is compared on 256 real images: Fashion-MNIST where the environment variable
MATCONV_FASHION_MNIST names the folder of its IDX files, otherwise the digits that ship.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import winograd_bounds
from support.tolerances import assert_same, assert_within, inner_product_bound

import matconv
from matconv import Conv, Dense, MaxPool, Network, Objective
from matconv.data import load_digits
from matconv.kernels._conv import ConvPlan
from matconv.kernels._geometry import WindowGeometry

DTYPES = [np.float64, np.float32]


def sides(pad):
    """((top, bottom), (left, right)) of an integer, a pair or four sides."""
    vertical, horizontal = (pad, pad) if isinstance(pad, int) else pad
    return tuple((n, n) if isinstance(n, int) else n for n in (vertical, horizontal))


def nchw(array):
    """A tensor (l, d, b, a) of an array (l, b, a, d), sharing nothing with it."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1)).copy())


def nhwc(tensor):
    """The array (l, b, a, d) of a tensor (l, d, b, a)."""
    return np.ascontiguousarray(tensor.detach().permute(0, 2, 3, 1).numpy())


def padded(tensor, pad, value=0.0):
    """The tensor with a frame around its images: PyTorch's own padding has two equal sides."""
    (top, bottom), (left, right) = sides(pad)
    return F.pad(tensor, (left, right, top, bottom), value=value)


def torch_conv(Z, W, b, dS, pad, **options):
    """(S, dZ, dW, db) by PyTorch's convolution and its autograd, in the notes' layout."""
    Z_, b_ = nchw(Z).requires_grad_(), torch.from_numpy(b.copy()).requires_grad_()
    W_ = torch.from_numpy(W.transpose(3, 0, 1, 2).copy()).requires_grad_()
    S = F.conv2d(padded(Z_, pad), W_, b_, **options)
    if dS is None:
        return nhwc(S)
    S.backward(nchw(dS))
    return nhwc(S), nhwc(Z_.grad), W_.grad.permute(1, 2, 3, 0).numpy(), b_.grad.numpy()


# Z's (l, b, a, d), filters, kernel, and the options of conv2d
CONVOLUTIONS = [
    ((2, 7, 6, 3), 4, (3, 3), {}),
    ((3, 9, 9, 1), 5, (5, 5), {}),
    ((2, 8, 5, 16), 17, (1, 1), {}),
    ((2, 8, 9, 5), 6, (1, 1), {"stride": 2}),
    ((2, 9, 11, 4), 6, (3, 3), {"stride": 2, "pad": 1}),
    ((1, 11, 13, 3), 7, (3, 2), {"stride": (2, 3), "pad": (2, 1)}),
    ((2, 6, 7, 4), 8, (4, 3), {"pad": ((3, 0), (1, 2))}),
    ((2, 10, 9, 6), 9, (3, 3), {"groups": 3, "pad": 1}),
    ((2, 9, 8, 8), 8, (3, 3), {"groups": 8, "pad": 1, "stride": 2}),
    ((2, 12, 13, 4), 6, (3, 2), {"dilation": (2, 3), "pad": 2}),
    ((1, 14, 15, 4), 4, (3, 3), {"dilation": 2, "groups": 2, "stride": 2, "pad": ((1, 2), (0, 3))}),
    ((2, 9, 9, 3), 4, (2, 2), {"stride": 4}),
    ((1, 23, 23, 3), 8, (11, 11), {"stride": 4}),
    ((1, 20, 20, 3), 6, (7, 7), {"stride": 2, "pad": 3}),
    ((4, 7, 7, 64), 32, (3, 3), {"pad": 1}),
    ((1, 4, 4, 2), 3, (3, 3), {"pad": 5}),
]


def operands(draw, shape, filters, kernel, options):
    """Z, W, b and a dS that fits, from a function of a shape."""
    options = dict(options)
    Z, b = draw(shape), draw((filters,))
    W = draw((shape[3] // options.get("groups", 1), *kernel, filters))
    return Z, W, b, draw(torch_conv(Z, W, b, None, options.pop("pad", 0), **options).shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "filters", "kernel", "options"), CONVOLUTIONS)
def test_convolution_of_integers_is_the_same(shape, filters, kernel, options, dtype):
    rng = np.random.default_rng(1)
    Z, W, b, dS = operands(
        lambda size: rng.integers(-8, 9, size).astype(dtype), shape, filters, kernel, options
    )
    others = {"pad": 0, **options}
    theirs = torch_conv(Z, W, b, dS, **others)
    options = {**options, "algorithm": "im2col"}
    ours = (matconv.conv2d(Z, W, b, **options), *matconv.conv2d_backward(dS, Z, W, **options))
    for name, one, other in zip(("S", "dZ", "dW", "db"), ours, theirs):
        assert one.dtype == dtype
        assert_same(one, other, name)
    assert_same(
        matconv.conv2d(Z, W, b, relu=True, **options),
        nhwc(F.relu(nchw(theirs[0]))),
        "relu",
    )


@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e12])
@pytest.mark.parametrize(("shape", "filters", "kernel", "options"), CONVOLUTIONS)
def test_convolution_of_real_data_differs_by_rounding(
    shape, filters, kernel, options, scale, dtype, algorithm
):
    rng = np.random.default_rng(2)
    Z, W, b, dS = operands(
        lambda size: (scale * rng.standard_normal(size)).astype(dtype),
        shape, filters, kernel, options,
    )  # fmt: skip
    others = {"pad": 0, **options}
    theirs = torch_conv(Z, W, b, dS, **others)
    by = {**options, "algorithm": algorithm}
    ours = (matconv.conv2d(Z, W, b, **by), *matconv.conv2d_backward(dS, Z, W, **by))
    # |W| |phi| + |b| and its like, in double precision
    wide = [np.abs(x).astype(np.float64) for x in (Z, W, b, dS)]
    sizes = torch_conv(*wide, **others)
    taps = kernel[0] * kernel[1]
    positions = dS.size // filters
    lengths = (taps * W.shape[0] + 1, taps * filters, positions, positions)
    bounds = [inner_product_bound(K, size, dtype) for K, size in zip(lengths, sizes)]
    geometry = WindowGeometry("conv2d", shape, kernel, channels=filters, **options)
    tile = ConvPlan(geometry, dtype, algorithm).tile
    if tile is not None:  # PyTorch has its share of rounding, Winograd's algorithm another
        more = winograd_bounds.bounds(Z, W, b, dS, tile, np.dtype(dtype).name, **options)
        bounds[:3] = [one + other for one, other in zip(bounds, more)]
    for name, one, other, bound in zip(("S", "dZ", "dW", "db"), ours, theirs, bounds):
        assert_within(one, other, bound, name)


# Z's (l, b, a, d), window, and the options of the pooling functions
POOLS = [
    ((2, 8, 6, 3), 2, {}),
    ((2, 9, 7, 5), (3, 2), {}),
    ((3, 9, 10, 1), 3, {"stride": 2}),
    ((2, 9, 10, 17), 3, {"stride": 2, "pad": 1}),
    ((2, 7, 8, 4), (4, 3), {"stride": (1, 2), "pad": (2, 1)}),
    ((1, 11, 11, 6), 2, {"stride": 3}),
    ((1, 5, 5, 2), 5, {}),
]


def torch_pool(pool, Z, window, options, **more):
    """What `pool` of PyTorch gives, and its leaf."""
    Z_ = nchw(Z).requires_grad_()
    return pool(Z_, window, options.get("stride"), options.get("pad", 0), **more), Z_


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "window", "options"), POOLS)
def test_max_pooling_and_its_indices_are_the_same(shape, window, options, dtype):
    rng = np.random.default_rng(3)
    # few values, so that windows have ties, and negative ones, so that padding would show
    Z = rng.integers(-9, 0, shape).astype(dtype)
    (S, where), Z_ = torch_pool(F.max_pool2d, Z, window, options, return_indices=True)
    out, indices = matconv.max_pool2d(Z, window, return_indices=True, **options)
    assert_same(out, nhwc(S), "maxima")
    assert indices.dtype == np.int32
    assert_same(indices, nhwc(where), "indices")
    dS = rng.integers(-9, 10, out.shape).astype(dtype)
    S.backward(nchw(dS))
    assert_same(matconv.max_pool2d_backward(dS, indices, Z.shape), nhwc(Z_.grad), "dZ")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "window", "options"), POOLS)
def test_average_pooling_differs_by_rounding(shape, window, options, dtype):
    rng = np.random.default_rng(4)
    Z = rng.standard_normal(shape).astype(dtype)
    S, Z_ = torch_pool(F.avg_pool2d, Z, window, options, count_include_pad=False)
    out = matconv.avg_pool2d(Z, window, **options)
    K = np.prod((window, window) if isinstance(window, int) else window)
    sizes, _ = torch_pool(
        F.avg_pool2d, np.abs(Z).astype(np.float64), window, options, count_include_pad=False
    )
    assert_within(out, nhwc(S), inner_product_bound(K, nhwc(sizes), dtype), "means")
    dS = rng.standard_normal(out.shape).astype(dtype)
    S.backward(nchw(dS))
    sizes = matconv.avg_pool2d_backward(np.abs(dS).astype(np.float64), Z.shape, window, **options)
    dZ = matconv.avg_pool2d_backward(dS, Z.shape, window, **options)
    assert_within(dZ, nhwc(Z_.grad), inner_product_bound(K, sizes, dtype), "dZ")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("l", "m", "units"), [(5, 12, 7), (1, 1, 1), (33, 65, 10), (64, 800, 500)])
def test_dense_of_integers_is_the_same(l, m, units, dtype):
    rng = np.random.default_rng(5)
    Z, W, b, dS = (
        rng.integers(-8, 9, size).astype(dtype) for size in ((l, m), (m, units), units, (l, units))
    )
    Z_, b_ = (torch.from_numpy(x.copy()).requires_grad_() for x in (Z, b))
    W_ = torch.from_numpy(W.T.copy()).requires_grad_()
    S = F.linear(Z_, W_, b_)
    S.backward(torch.from_numpy(dS))
    assert_same(matconv.dense(Z, W, b), S.detach().numpy(), "S")
    ours = matconv.dense_backward(dS, Z, W)
    for name, one, other in zip(("dZ", "dW", "db"), ours, (Z_.grad, W_.grad.T, b_.grad)):
        assert_same(one, other.numpy(), name)


# ---- a whole network ----------------------------------------------------------------------------


def real_images(count=256):
    """Z (count, 28, 28, 1) in [0, 1] and labels of real images, float64."""
    folder = os.environ.get("MATCONV_FASHION_MNIST")
    if folder:
        names = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
        Z, y = matconv.read_idx_images(*(Path(folder) / name for name in names))
        return Z[:count] / 255.0, y[:count]
    digits = load_digits()
    large = np.kron(digits.Z_train[:count, :, :, 0], np.ones((3, 3)))
    return np.pad(large, ((0, 0), (2, 2), (2, 2)))[..., None], digits.y_train[:count]


def lenet():
    """20 filters of 5x5, pool, 50 of 5x5, pool, 500 units with ReLU, 10 outputs."""
    layers = [
        Conv(20, 5, activation="relu"),
        MaxPool(2),
        Conv(50, 5, activation="relu"),
        MaxPool(2),
        Dense(500, "relu"),
        Dense(10),
    ]
    return Network((28, 28, 1), layers)


def chosen(z):
    """Which of its 2 x 2 pixels each pool takes; -1 where more than one will do.

    Over a plain background all four pixels are the same function of theta and differ by rounding.
    """
    first, second = z.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4).topk(2).values.unbind(-1)
    _, where = F.max_pool2d(z, 2, return_indices=True)
    return torch.where(first - second > 1e-13, where, -1)


def torch_lenet(views, Z, seen=None):
    """The outputs of `lenet` by PyTorch from parameters in the notes' layout.

    ``seen``, a list, receives what decides the derivative: signs before each ReLU, pixels chosen.
    """
    seen = [] if seen is None else seen
    z = nchw(Z)
    for W, b in views[:2]:
        z = F.conv2d(z, W.permute(3, 0, 1, 2), b)
        seen.append(z > 0)
        z = F.relu(z)
        seen.append(chosen(z))
        z = F.max_pool2d(z, 2)
    z = z.permute(0, 2, 3, 1).flatten(1) @ views[2][0] + views[2][1]
    seen.append(z > 0)
    return F.relu(z) @ views[3][0] + views[3][1]


def torch_views(net, theta):
    """(W, b) tensors that are views of the tensor theta, placed as matconv's are."""
    found, start = [], 0
    for W, b in net.unpack(theta.detach().numpy()):
        middle, end = start + W.size, start + W.size + b.size
        found.append((theta[start:middle].view(W.shape), theta[middle:end].view(b.shape)))
        start = end
    assert start == net.n
    return found


def torch_objective(net, theta, Z, y, loss, C):
    """f of the notes by PyTorch, as a tensor."""
    z = torch_lenet(torch_views(net, theta), Z)
    labels = torch.from_numpy(np.asarray(y, dtype=np.int64))
    if loss == "squared":
        total = ((z - F.one_hot(labels, 10)) ** 2).sum()
    else:
        total = F.cross_entropy(z, labels, reduction="sum")
    return theta @ theta / (2 * C) + total / len(y)


@pytest.fixture(scope="module")
def problem():
    """LeNet, a theta with biases that are not zero, images and labels."""
    net = lenet()
    theta = net.init(0)
    rng = np.random.default_rng(6)
    for _, b in net.unpack(theta):
        b[:] = 0.1 * rng.standard_normal(b.shape)
    return net, theta, *real_images()


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_lenet_gradient_is_that_of_autograd(problem, loss):
    net, theta, Z, y = problem
    f, gradient = Objective(net, Z, y, loss=loss, C=50.0).value_and_gradient(theta)
    leaf = torch.from_numpy(theta.copy()).requires_grad_()
    value = torch_objective(net, leaf, Z, y, loss, 50.0)
    value.backward()
    expected = leaf.grad.numpy()
    assert abs(f - value.item()) <= 1e-13 * abs(f)
    assert np.linalg.norm(gradient - expected) <= 1e-12 * np.linalg.norm(expected)
    # and of each W and b by itself, so that a small one cannot hide behind a large one
    for k, (ours, theirs) in enumerate(zip(net.unpack(gradient), net.unpack(expected))):
        for name, one, other in zip("Wb", ours, theirs):
            error = np.linalg.norm(one - other)
            assert error <= 1e-12 * np.linalg.norm(other), f"{name} of layer {k}: {error}"


def same_piece(net, thetas, Z):
    """Whether all thetas give every ReLU the same sign and every pool the same pixel."""
    patterns = []
    for theta in thetas:
        seen = []
        with torch.no_grad():
            torch_lenet(torch_views(net, torch.from_numpy(theta)), Z, seen)
        patterns.append(seen)
    return all(
        torch.equal(one, other)
        for pattern in patterns[1:]
        for one, other in zip(patterns[0], pattern)
    )


@pytest.mark.parametrize("loss", ["squared", "softmax"])
@pytest.mark.parametrize("layer", range(4))
def test_lenet_gradient_is_that_of_differences(problem, layer, loss):
    net, theta, Z, y = problem
    objective = Objective(net, Z, y, loss=loss, C=50.0)
    gradient = objective.gradient(theta)
    rng = np.random.default_rng(10 * layer + 7)
    found = 0
    for _ in range(40):
        direction = np.zeros_like(theta)
        W, b = net.unpack(direction)[layer]
        W[...], b[...] = rng.standard_normal(W.shape), rng.standard_normal(b.shape)
        # half random, half along the gradient, so that the derivative is not itself rounding
        slope = np.where(direction != 0, gradient, 0.0)
        direction /= np.linalg.norm(direction)
        direction += slope / np.linalg.norm(slope)
        h = 5e-7
        ends = [theta - h * direction, theta + h * direction]
        if not same_piece(net, [theta, *ends], Z):
            continue  # a kink lies in between, where differences are not the derivative
        differences = (objective.value(ends[1]) - objective.value(ends[0])) / (2 * h)
        derivative = gradient @ direction
        assert abs(differences - derivative) <= 1e-7 * abs(derivative)
        found += 1
        if found == 3:
            return
    raise AssertionError(f"only {found} of 40 directions were away from kinks")
