"""Frozen networks: the bits of their layers, any number of images, any number of threads."""

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import geometries, reference
from support.describing import encoded, freeze
from support.small_networks import ALGORITHMS, DTYPES, NETWORKS, network, reals
from support.tolerances import assert_same_bytes, assert_within, inner_product_bound
from support.winograd_bounds import bounds
from threadpoolctl import threadpool_limits

import matconv
from matconv import AvgPool, Conv, Dense, MaxPool, Network, load_predictor
from matconv.kernels import _conv as conv
from matconv.kernels._geometry import WindowGeometry

LONG = np.longdouble
AT_ONCE = 2**19  # elements of the largest value between two steps, of all images at once


def chained(net, theta, Z, images=1):
    """The outputs of one frozen network of one layer after the other."""
    shape, done = net.input_shape, 0
    for layer in net.layers:
        one = Network(shape, [layer], net.dtype, net.algorithm)
        Z = freeze(one, theta[done : done + one.n], images)(Z.reshape(len(Z), *shape))
        done += one.n
        shape = one.output_shape if len(one.output_shape) == 3 else (1, 1, *one.output_shape)
    assert done == len(theta)
    return Z


# Shapes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_and_dtype(name, dtype, tmp_path):
    net = network(name, dtype)
    theta, Z = reals(net, 3)
    (tmp_path / "net").write_bytes(encoded(net, theta))
    for predictor in (freeze(net, theta), load_predictor(tmp_path / "net")):
        assert predictor.input_shape == net.input_shape
        assert predictor.output_shape == net.output_shape
        assert predictor.dtype == dtype
        for l in (0, 1, 3):
            out = predictor(Z[:l])
            assert out.shape == (l, *net.output_shape) == net.forward(theta, Z[:l]).shape
            assert out.dtype == dtype and out.flags.c_contiguous and out.flags.owndata


# Values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("images", [1, 64])
@pytest.mark.parametrize("name", NETWORKS)
def test_integers_are_exact(name, dtype, images):
    """By im2col, where the network's own forward pass is exact as well."""
    net = network(name, dtype, "im2col")
    random = np.random.default_rng(3)
    theta = random.integers(-1, 2, net.n).astype(dtype)
    Z = random.integers(-1, 2, (5, *net.input_shape)).astype(dtype)
    exact = net.forward(theta, Z)
    assert np.count_nonzero(exact) and abs(exact).max() < 2**20
    assert np.array_equal(freeze(net, theta, images)(Z), exact)


def single(case, dtype, algorithm, relu, seed):
    """A network of one convolution, its numbers, images."""
    random = np.random.default_rng(seed)
    layer = Conv(case.d_out, case.kernel, **case.convolution, activation="relu" if relu else None)
    net = Network(case.shape[1:], [layer], dtype, algorithm)
    theta = random.standard_normal(net.n).astype(dtype)
    return net, theta, random.standard_normal((3, *net.input_shape)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_frozen_conv_im2col_has_bits_of_operator(dtype):
    """And so is within 2 (K + 2) eps (|W| |phi| + |b|) of the truth."""
    for k, case in enumerate(geometries.cases(120, seed=60)):
        net, theta, Z = single(case, dtype, "im2col", k % 2, k)
        ((W, b),) = net.unpack(theta)
        S = freeze(net, theta, images=1 + k % 5)(Z)
        with threadpool_limits(1):  # as in the predictor
            expected = matconv.conv2d(Z, W, b, relu=k % 2, algorithm="im2col", **case.convolution)
        assert_same_bytes(S, expected, str(case))
        if k % 2 == 0:
            exact = reference.conv2d(*(x.astype(LONG) for x in (Z, W, b)), **case.convolution)
            size = reference.conv2d(*(abs(x.astype(LONG)) for x in (Z, W, b)), **case.convolution)
            length = case.kernel[0] * case.kernel[1] * W.shape[0]
            bound = inner_product_bound(length, size, dtype)
            assert_within(S, exact, bound, str(case))
            # the network's forward pass is as near
            assert_within(net.forward(theta, Z), exact, bound, str(case))


def tiles(case, dtype):
    """Every plan of a convolution, each with its tile."""
    window = WindowGeometry(
        "conv2d", (3, *case.shape[1:]), groups=case.groups, channels=case.d_out, **case.window
    )
    yield conv.ConvPlan(window, dtype, "im2col")
    yield conv.ConvPlan(window, dtype, "auto")  # the loops for small groups, if anything
    for m_b in range(2, 10):
        for m_a in range(2, 10):
            try:
                yield conv.ConvPlan(window, dtype, "winograd", (m_b, m_a))
            except ValueError:
                continue


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ["auto", "winograd"])
def test_frozen_conv_winograd_has_bits_of_a_tile(dtype, algorithm):
    """And so that tile's bound; the tile may be another than for filters transformed each time."""
    winograd = shapes = 0
    for k, case in enumerate(geometries.cases(500, seed=61)):
        if case.dilation != (1, 1) or max(case.kernel) < 2 or case.d * case.d_out > 400:
            continue
        net, theta, Z = single(case, dtype, algorithm, False, k)
        ((W, b),) = net.unpack(theta)
        S = freeze(net, theta, images=3)(Z)
        with threadpool_limits(1):  # as in the predictor
            found = [
                plan for plan in tiles(case, dtype)
                if conv.forward(plan, Z, W, b).tobytes() == S.tobytes()
            ]  # fmt: skip
        assert found, str(case)
        shapes += 1
        if found[0].tile is None:
            continue
        winograd += 1
        exact = reference.conv2d(*(x.astype(LONG) for x in (Z, W, b)), **case.convolution)
        bound = bounds(Z, W, b, np.zeros_like(S), found[0].tile, dtype, **case.convolution)[0]
        assert_within(S, exact, bound, str(case))
    assert shapes > 15 and winograd > (8 if algorithm == "winograd" else 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_frozen_network_has_bits_of_its_layers(name, algorithm, dtype):
    net = network(name, dtype, algorithm)
    for images in (1, 64):
        theta, Z = reals(net, 4)
        expected = chained(net, theta, Z, images)
        assert_same_bytes(freeze(net, theta, images)(Z), expected, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [MaxPool, AvgPool])
def test_frozen_pool_has_bits_of_operator(kind, dtype):
    function = matconv.max_pool2d if kind is MaxPool else matconv.avg_pool2d
    random = np.random.default_rng(4)
    for window, stride, pad in (
        (2, None, 0), (3, 2, 1), ((3, 2), (1, 3), ((2, 0), (0, 1))), (1, 1, 0), ((1, 4), 4, (0, 3)),
    ):  # fmt: skip
        net = Network((9, 8, 5), [kind(window, stride, pad)], dtype)
        Z = random.standard_normal((4, 9, 8, 5)).astype(dtype)
        Z[0, 3, 3, 1] = np.nan
        predictor = freeze(net, np.zeros(0, dtype))
        assert_same_bytes(predictor(Z), function(Z, window, stride, pad), f"{window}")
        # pointers alone
        assert predictor.workspace_size(4) == predictor.workspace_size(0) < 64


@pytest.mark.parametrize("dtype", DTYPES)
def test_frozen_dense_has_bits_of_operator(dtype):
    for units, activation in ((1, None), (7, "relu"), (300, None)):
        net = Network((5, 4, 3), [Dense(units, activation)], dtype)
        theta, Z = reals(net, 9)
        ((W, b),) = net.unpack(theta)
        expected = matconv.dense(Z.reshape(9, -1), W, b, relu=activation is not None)
        assert_same_bytes(freeze(net, theta)(Z), expected, f"{units}")


def running_bound(net, theta, Z):
    """The outputs in long double, and how far rounding in each layer may take them by im2col.

    A layer's own error is that of its sums; that of its inputs goes through |W|. A ReLU, a
    largest number and a mean of numbers are no further apart than the numbers are.
    """
    z, error, parameters = Z.astype(LONG), np.zeros(Z.shape, LONG), iter(net.unpack(theta))
    for layer in net.layers:
        if layer.kind in ("Conv", "Dense"):
            W, b = (array.astype(LONG) for array in next(parameters))
            options = {}
            if layer.kind == "Dense":
                z, error = (x.reshape(len(Z), 1, 1, -1) for x in (z, error))
                W = W.reshape(-1, 1, 1, layer.units)
            else:
                top, bottom, left, right = layer.words([z.shape[1:]], "Conv", "auto")[6:10]
                options = {
                    "stride": layer.stride, "pad": ((top, bottom), (left, right)),
                    "dilation": layer.dilation, "groups": layer.groups,
                }  # fmt: skip
            length = W.shape[0] * W.shape[1] * W.shape[2]
            size = reference.conv2d(abs(z) + error, abs(W), abs(b), **options)
            error = reference.conv2d(error, abs(W), 0 * b, **options)
            error = error + inner_product_bound(length, size, net.dtype)
            z = reference.conv2d(z, W, b, **options)
            z = np.maximum(z, 0) if layer.activation == "relu" else z
        else:
            window = (layer.window, layer.stride, layer.pad)
            if layer.kind == "MaxPool":
                z, error = (reference.max_pool2d(x, *window)[0] for x in (z, error))
                continue
            sides = layer.window if isinstance(layer.window, tuple) else (layer.window,) * 2
            size = reference.avg_pool2d(abs(z) + error, *window)
            z, error = (reference.avg_pool2d(x, *window) for x in (z, error))
            error = error + inner_product_bound(sides[0] * sides[1] + 1, size, net.dtype)
    return z.reshape(len(Z), *net.output_shape), error.reshape(len(Z), *net.output_shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["mixed", "conv last", "pool last", "dilated", "strided", "deep"])
def test_frozen_network_within_bound_of_forward(name, dtype):
    net = network(name, dtype, "im2col")
    theta, Z = reals(net, 3, seed=5)
    exact, bound = running_bound(net, theta, Z)
    assert_within(freeze(net, theta)(Z), exact, bound, name)
    assert_within(net.forward(theta, Z), exact, bound, name)


# Numbers of images


def test_frozen_many_images_computed_in_parts():
    """4 at once between layers of 2**17 numbers: the same bits as in calls of 4, 4 and 3."""
    layers = [Conv(8, 1, activation=None), MaxPool(4), Conv(2, 3)]
    for algorithm in ALGORITHMS:
        net = Network((128, 128, 1), layers, "float32", algorithm)
        assert AT_ONCE // (128 * 128 * 8) == 4
        theta, Z = reals(net, 11)
        predictor = freeze(net, theta)
        whole = predictor(Z)
        parts = [predictor(Z[k : k + 4]) for k in (0, 4, 8)]
        assert_same_bytes(whole, np.concatenate(parts), algorithm)
        assert predictor.workspace_size(3) < predictor.workspace_size(4)
        assert predictor.workspace_size(4) == predictor.workspace_size(5)
        assert predictor.workspace_size(4) == predictor.workspace_size(2**40)


@pytest.mark.parametrize("dtype", DTYPES)
def test_freeze_auto_chooses_for_usual_number_of_images(dtype):
    """Other tiles for 64 than for 1, whatever number comes."""
    net = Network((8, 8, 64), [Conv(64, 3, pad=1)], dtype, "auto")
    theta, Z = reals(net, 2)
    single, many = (freeze(net, theta, images) for images in (1, 64))
    assert single(Z).tobytes() != many(Z).tobytes()
    # by im2col there is nothing to choose
    net = net.with_algorithm("im2col")
    single, many = (freeze(net, theta, images) for images in (1, 64))
    assert_same_bytes(single(Z), many(Z))


@pytest.mark.parametrize("dtype", DTYPES)
def test_frozen_image_alone_and_in_batch_agree(dtype):
    """Integers by im2col: the same numbers. The bits of sums that are rounded are not promised."""
    net = network("mixed", dtype, "im2col")
    random = np.random.default_rng(7)
    theta = random.integers(-1, 2, net.n).astype(dtype)
    Z = random.integers(-2, 3, (300, *net.input_shape)).astype(dtype)
    predictor = freeze(net, theta)
    alone = np.concatenate([predictor(Z[k : k + 1]) for k in range(len(Z))])
    assert np.array_equal(alone, predictor(Z))


def test_scratch_for_n_is_enough_for_fewer():
    for name in NETWORKS:
        for algorithm in ALGORITHMS:
            net = network(name, "float64", algorithm)
            predictor = freeze(net, net.init(0), images=16)
            sizes = [predictor.workspace_size(n) for n in (*range(40), 1000, 2**50)]
            assert sizes == sorted(sizes)


# What does not change it


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_frozen_network_is_never_modified(algorithm, tmp_path):
    """Neither theta nor the network nor the file afterwards."""
    net = network("mixed", "float64", algorithm)
    theta, Z = reals(net, 3)
    path = tmp_path / "net"
    path.write_bytes(encoded(net, theta))
    predictors = [freeze(net, theta), load_predictor(path)]
    before = theta.tobytes(), Z.tobytes()
    expected = predictors[0](Z).copy()
    assert (theta.tobytes(), Z.tobytes()) == before
    theta[:] = np.nan
    path.write_bytes(b"")
    path.unlink()
    del net
    for predictor in predictors:
        for _ in range(3):
            assert_same_bytes(predictor(Z), expected)
        for name in ("input_shape", "output_shape", "dtype"):
            with pytest.raises(AttributeError):
                setattr(predictor, name, None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_frozen_eight_threads_give_same_bits(algorithm, dtype):
    net = network("deep", dtype, algorithm)
    theta, Z = reals(net, 40)
    predictor = freeze(net, theta)
    cuts = [slice(k, k + 1 + k % 5) for k in range(32)]
    expected = [predictor(Z[cut]) for cut in cuts]
    start = threading.Barrier(8)

    def work(worker):
        start.wait()
        wrong = 0
        for k in range(4 * len(cuts)):
            k = (k + 5 * worker) % len(cuts)
            wrong += predictor(Z[cuts[k]]).tobytes() != expected[k].tobytes()
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [0] * 8


def test_frozen_network_outlives_its_sources():
    """Opened, used and dropped many times: nothing stays."""
    net = network("mixed")
    theta, Z = reals(net, 2)
    freeze(net, theta)(Z)
    tracemalloc.start()
    try:
        for _ in range(3):
            freeze(net, theta)(Z)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            freeze(net, theta)(Z)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4096
