"""Winograd's convolution against the plain loops, its bound, and what the plan chooses."""

import dataclasses

import numpy as np
import pytest
from support import geometries, reference
from support.real_images import DECADES, digits, real_layer
from support.tolerances import assert_same_bytes, assert_within, inner_product_bound, rounding_bound
from support.winograd_bounds import bounds

import matconv
from matconv.kernels import _conv as conv
from matconv.kernels import toom_cook
from matconv.kernels._geometry import WindowGeometry

LONG = np.longdouble


def plan_of(case, dtype, algorithm="winograd", tile=None):
    window = WindowGeometry(
        "conv2d", case.shape, groups=case.groups, channels=case.d_out, **case.window
    )
    return conv.ConvPlan(window, dtype, algorithm, tile)


def check(plan, arrays, window, what):
    """S, dZ and dW within the bound; the number of elements checked."""
    Z, W, b, dS = arrays
    dtype = Z.dtype.name
    z, w, bias, ds = (array.astype(LONG) for array in arrays)
    S = conv.forward(plan, Z, W, b)
    dZ, dW, db = conv.backward(plan, dS, Z, W)
    exact_dZ, exact_dW, exact_db = reference.conv2d_backward(ds, z, w, **window)
    exacts = (reference.conv2d(z, w, bias, **window), exact_dZ, exact_dW)
    allowed = bounds(Z, W, b, dS, plan.tile, dtype, **window)
    for name, actual, exact, bound in zip(("S", "dZ", "dW"), (S, dZ, dW), exacts, allowed):
        assert actual.dtype == dtype
        assert_within(actual, exact, bound, f"{name} of {what} by tiles {plan.tile}")
    n = dS.size // len(db)
    size = np.abs(ds).reshape(n, -1).sum(axis=0)
    assert_within(db, exact_db, inner_product_bound(n, size, dtype), f"db of {what}")
    return S.size + dZ.size + dW.size


@pytest.mark.parametrize("dtype", DECADES)
def test_winograd_real_images_within_bound(dtype):
    """Every geometry of the grid that has transforms, until there are 200."""
    shapes = elements = 0
    for k, case in enumerate(geometries.cases(9000, seed=31)):
        if case.l == 0 or (plan := plan_of(case, dtype)).algorithm != "winograd":
            continue
        elements += check(plan, real_layer(case, k, dtype), case.convolution, str(case))
        shapes += 1
        if shapes == 200:
            break
    assert shapes == 200 and elements > 100_000


TILES = [(n, r, dtype) for dtype in DECADES for n, r in toom_cook.pairs(dtype)]


@pytest.mark.parametrize("n, r, dtype", TILES)
def test_winograd_every_tile_within_bound(n, r, dtype):
    """With a different tile the other way, a border of padding, and a partial tile at the end."""
    m, random = n - r + 1, np.random.default_rng(n)
    for kernel, tile in (((r, 3), (m, 4)), ((2, r), (3, m))):
        Z = digits((2, 2 * m + 1, 2 * m + 2, 9)).astype(dtype)
        W = random.standard_normal((9, *kernel, 17)).astype(dtype)
        b = random.standard_normal(17).astype(dtype)
        window = {"stride": 1, "pad": ((1, 0), (0, 2))}
        geometry = WindowGeometry("conv2d", Z.shape, kernel, channels=17, **window)
        dS = random.standard_normal(geometry.out_shape).astype(dtype)
        plan = conv.ConvPlan(geometry, dtype, tile=tile)
        assert plan.tile == tile and plan.algorithm == "winograd"
        check(plan, (Z, W, b, dS), window, f"{kernel}")


@pytest.mark.parametrize("dtype", DECADES)
def test_winograd_many_blocks_within_bound(dtype):
    """Blocks that span images, channels beyond one block of a product, groups, strides."""
    random = np.random.default_rng(5)
    for l, size, d, f, kernel, options in (
        (5, (13, 11), 70, 70, 3, {"pad": 1}),
        (7, (23, 23), 24, 24, 3, {"pad": 1}),  # the last block is shorter
        (3, (12, 12), 144, 16, 5, {"pad": 2, "groups": 2}),
        (40, (7, 7), 8, 16, 3, {"pad": 1}),
        (2, (31, 29), 3, 24, (11, 7), {"stride": (4, 2), "pad": ((2, 1), (0, 3))}),
        (2, (19, 20), 12, 20, 3, {"stride": 2, "groups": 4}),
    ):
        Z = digits((l, *size, d)).astype(dtype)
        window = {"stride": 1, "pad": 0, "groups": 1, **options}
        geometry = WindowGeometry("conv2d", Z.shape, kernel, channels=f, **window)
        W = random.standard_normal(geometry.filter_shape).astype(dtype)
        b = random.standard_normal(f).astype(dtype)
        dS = random.standard_normal(geometry.out_shape).astype(dtype)
        check(conv.ConvPlan(geometry, dtype, "winograd"), (Z, W, b, dS), window, str(options))


def test_winograd_gradients_are_adjoint():
    """<S, dS> = <Z, dZ> = <W, dW>, where the bound of each entry allows no more."""
    random = np.random.default_rng(8)
    Z, dS = digits((3, 14, 14, 16)), random.standard_normal((3, 14, 14, 24))
    W, b = random.standard_normal((16, 3, 3, 24)), np.zeros(24)
    options = {"pad": 1, "algorithm": "winograd"}
    S = matconv.conv2d(Z, W, **options)
    dZ, dW, _ = matconv.conv2d_backward(dS, Z, W, **options)
    plan = conv.ConvPlan(WindowGeometry("x", Z.shape, 3, pad=1, channels=24), float, "winograd")
    errors = bounds(Z, W, b, dS, plan.tile, "float64", pad=1)

    def inner(x, y):
        return (x.astype(LONG) * y).sum()

    allowed = [inner(abs(x), bound) for x, bound in zip((dS, Z, W), errors)]
    values = [inner(x, y) for x, y in ((dS, S), (Z, dZ), (W, dW))]
    assert abs(values[0] - values[1]) <= allowed[0] + allowed[1] < 1e-6 * abs(values[0])
    assert abs(values[0] - values[2]) <= allowed[0] + allowed[2] < 1e-6 * abs(values[0])


@pytest.mark.parametrize("dtype", DECADES)
def test_winograd_fused_bias_and_relu_same_bits_as_separate(dtype):
    random = np.random.default_rng(9)
    Z = random.standard_normal((2, 9, 10, 5)).astype(dtype)
    W, b = random.standard_normal((5, 3, 3, 7)).astype(dtype), np.ones(7, dtype)
    options = {"pad": 1, "algorithm": "winograd"}
    S = matconv.conv2d(Z, W, **options)
    fused = matconv.conv2d(Z, W, b, relu=True, **options)
    assert_same_bytes(fused, np.where(S + b <= 0, 0, S + b).astype(dtype))


@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
@pytest.mark.parametrize("l, size, d", [(1, 40, 5), (3, 21, 3), (70, 4, 16), (20, 2, 32)])
def test_winograd_batch_in_parts_same_bits_as_whole(algorithm, l, size, d):
    random = np.random.default_rng(10)
    Z = random.standard_normal((l, size, size, d))
    W, b = random.standard_normal((d, 3, 3, 8)), random.standard_normal(8)
    geometry = WindowGeometry("conv2d", Z.shape, 3, pad=1, channels=8)
    plan = conv.ConvPlan(geometry, float, algorithm)
    assert plan.algorithm == algorithm and plan.parts() >= 1
    whole = conv.forward(plan, Z, W, b, True)
    for parts in (2, 3, 50):
        out = np.full_like(whole, np.nan)
        for part in reversed(range(parts)):
            conv.forward(plan, Z, W, b, True, out, part=part, parts=parts)
        assert_same_bytes(out, whole, f"{parts} parts")
    with pytest.raises(ValueError, match="conv2d: part must be from 0 to parts - 1, got 2 of 2"):
        conv.forward(plan, Z, W, part=2, parts=2)


def test_winograd_nan_stays_in_its_tiles():
    random = np.random.default_rng(11)
    Z, W = random.standard_normal((2, 24, 24, 3)), random.standard_normal((3, 3, 3, 8))
    options = {"pad": 1, "algorithm": "winograd"}
    clean = matconv.conv2d(Z, W, **options)
    plan = conv.ConvPlan(WindowGeometry("x", Z.shape, 3, pad=1, channels=8), float, "winograd")
    m_b, m_a = plan.tile
    Z[1, 12, 7, 1] = np.nan
    S = matconv.conv2d(Z, W, **options)
    # tile (q, p) reads rows q m - 1, ..., q m + m of the image
    reach = np.zeros(S.shape, bool)
    for q in range(-(-24 // m_b)):
        for p in range(-(-24 // m_a)):
            if q * m_b - 1 <= 12 <= q * m_b + m_b and p * m_a - 1 <= 7 <= p * m_a + m_a:
                reach[1, q * m_b : (q + 1) * m_b, p * m_a : (p + 1) * m_a] = True
    assert np.isnan(S[1, 11:14, 6:9]).all()
    assert not np.isnan(S[~reach]).any()
    assert_same_bytes(S[~reach], clean[~reach])


def test_winograd_no_images_give_empty_result():
    Z, W = np.zeros((0, 9, 9, 4)), np.ones((4, 3, 3, 8))
    assert matconv.conv2d(Z, W, algorithm="winograd").shape == (0, 7, 7, 8)
    dZ, dW, db = matconv.conv2d_backward(np.zeros((0, 7, 7, 8)), Z, W, algorithm="winograd")
    assert dZ.shape == Z.shape and not dW.any() and not db.any()


# (l, size, d, f, kernel, options): what the rule chooses in double precision
CHOICES = {
    "winograd": [
        (8, 56, 64, 64, 3, {"pad": 1}),
        (16, 7, 512, 512, 3, {"pad": 1}),
        (128, 12, 20, 50, 5, {}),
        (16, 27, 96, 256, 5, {"pad": 2, "groups": 2}),
        (16, 227, 3, 96, 11, {"stride": 4}),
    ],
    "im2col": [
        (8, 56, 64, 256, 1, {}),
        (8, 56, 64, 64, 3, {"pad": 2, "dilation": 2}),
        (1, 7, 512, 512, 3, {"pad": 1}),  # one image cannot pay for transformed filters
        (128, 28, 1, 20, 5, {}),
        (64, 2, 512, 512, 3, {"pad": 1}),
        (8, 56, 64, 64, 7, {"pad": 3}),
    ],
}


@pytest.mark.parametrize("algorithm", CHOICES)
def test_auto_has_bits_of_chosen_algorithm(algorithm):
    for l, size, d, f, kernel, options in CHOICES[algorithm]:
        geometry = WindowGeometry("conv2d", (l, size, size, d), kernel, channels=f, **options)
        plan = conv.ConvPlan(geometry, float)
        assert plan.algorithm == algorithm, str(geometry.shape)
        assert (plan.tile is None) == (algorithm == "im2col")
        if l * size * size * d * f <= 1 << 26:
            random = np.random.default_rng(l)
            Z, W = (
                random.standard_normal(geometry.shape),
                random.standard_normal(geometry.filter_shape),
            )
            assert_same_bytes(
                matconv.conv2d(Z, W, algorithm="auto", **options),
                matconv.conv2d(Z, W, algorithm=algorithm, **options),
            )


@pytest.mark.parametrize("kernel, options", [(1, {}), (6, {}), (3, {"dilation": 2}), ((1, 3), {})])
def test_winograd_without_transforms_has_bits_of_im2col(kernel, options):
    random = np.random.default_rng(12)
    Z = random.standard_normal((2, 12, 12, 3))
    h_b, h_a = reference.pair(kernel)
    W = random.standard_normal((3, h_b, h_a, 4))
    assert_same_bytes(
        matconv.conv2d(Z, W, algorithm="winograd", **options),
        matconv.conv2d(Z, W, algorithm="im2col", **options),
    )


@pytest.mark.parametrize("dtype", DECADES)
def test_plan_tile_is_limited_by_dtype(dtype):
    for case in geometries.cases(500, seed=32):
        plan = plan_of(case, dtype)
        if plan.tile is not None:
            for m, h, s in zip(plan.tile, case.kernel, case.stride):
                assert m + -(-h // s) - 1 <= toom_cook.LARGEST[dtype]


@pytest.mark.parametrize("name", ["fft", "", None, 3, "Winograd"])
def test_plan_unknown_algorithm_refused(name):
    words = f"algorithm must be 'auto', 'im2col' or 'winograd', got {name!r}"
    Z, W = np.ones((1, 3, 3, 1)), np.ones((1, 3, 3, 1))
    with pytest.raises(ValueError, match=f"conv2d: {words}"):
        matconv.conv2d(Z, W, algorithm=name)
    with pytest.raises(ValueError, match=f"conv2d_backward: {words}"):
        matconv.conv2d_backward(np.ones((1, 1, 1, 1)), Z, W, algorithm=name)
    with pytest.raises(ValueError, match=f"Network: {words}"):
        matconv.Network((3, 3, 1), [matconv.Conv(1, 3)], algorithm=name)
    if name is not None:
        with pytest.raises(ValueError, match=f"^Conv: {words}"):
            matconv.Conv(1, 3, algorithm=name)


def test_plan_tile_without_transforms_refused():
    geometry = WindowGeometry("conv2d", (1, 20, 20, 1), 3)
    with pytest.raises(ValueError, match="conv2d: no transforms for tiles of 9 x 4 outputs"):
        conv.ConvPlan(geometry, float, tile=(9, 4))
    with pytest.raises(ValueError, match="conv2d: no transforms for tiles of 4 x 7 outputs"):
        conv.ConvPlan(geometry, np.float32, tile=(4, 7))


def test_plan_unsupported_dtype_refused():
    geometry = WindowGeometry("conv2d", (1, 5, 5, 1), 3)
    with pytest.raises(TypeError, match="conv2d: dtype must be float64 or float32, got int64"):
        conv.ConvPlan(geometry, np.int64)
    with pytest.raises(ValueError, match="conv2d: tile must be an integer or a pair"):
        conv.ConvPlan(geometry, float, tile=(1, 2, 3))


def test_plan_arrays_of_another_dtype_refused():
    plan = conv.ConvPlan(WindowGeometry("conv2d", (1, 5, 5, 1), 3), float)
    with pytest.raises(TypeError, match="conv2d: Z is float32 where float64 was planned"):
        conv.forward(plan, np.ones((1, 5, 5, 1), np.float32), np.ones((1, 3, 3, 1), np.float32))


def test_networks_pass_the_algorithm_on():
    layers = [matconv.Conv(8, 3, pad=1), matconv.Conv(8, 3, pad=1, algorithm="im2col")]
    results = []
    for name in ("im2col", "winograd"):
        net = matconv.Network((12, 12, 4), [*layers, matconv.Dense(3)]).with_algorithm(name)
        assert net.algorithm == name
        plain = [dataclasses.replace(layers[0], algorithm=name), layers[1], matconv.Dense(3)]
        theta = net.init(0)
        Z = np.random.default_rng(0).standard_normal((2, 12, 12, 4))
        z = net.forward(theta, Z)
        for other in ("im2col", "winograd"):
            same = matconv.Network((12, 12, 4), plain, algorithm=other).forward(theta, Z)
            assert same.tobytes() == z.tobytes()
        results.append(z)
    assert results[0].tobytes() != results[1].tobytes()
    assert_within(*results, rounding_bound(1000, 1 + np.abs(results[0])))
    f = matconv.Objective(net, np.ones((2, 12, 12, 4)), np.zeros(2, int), algorithm="im2col")
    assert f.net.algorithm == "im2col" and f.net.layers == net.layers
    again = matconv.Network.from_description(net.description())
    usual = matconv.Network((3, 3, 1), [matconv.Dense(1)]).algorithm
    assert again.layers == net.layers and again.algorithm == usual
    assert net.with_algorithm(None) is net
