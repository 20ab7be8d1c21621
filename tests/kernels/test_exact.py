"""Exactness: on integer data every operator equals the naive six loops, with difference 0.

The grid of `geometries` runs once, in both dtypes; the tests below each look at one
operator. A geometry counts only when its output is no mostly empty affair: at least one element,
at most 70 % zeros.
"""

from collections import Counter

import numpy as np
import pytest
from support import by_im2col, geometries, reference
from support.tolerances import assert_same

import matconv

DTYPES = ("float64", "float32")
GRID = 2750
COUNTED = 2000
MOST_ZEROS = 0.7
CHECKS = (
    "im2col", "col2im", "conv2d", "conv2d with bias", "conv2d with bias and ReLU", "dZ", "dW", "db",
)  # fmt: skip


class Outcome:
    """What the grid found: how many geometries counted, how often each level, every difference."""

    def __init__(self):
        self.counted = dict.fromkeys(DTYPES, 0)
        self.levels = Counter()
        self.differences = {(dtype, check): [] for dtype in DTYPES for check in CHECKS}

    def compare(self, case, dtype, check, actual, exact):
        try:
            assert actual.dtype == dtype
            assert_same(actual, exact, check)
        except AssertionError as error:
            self.differences[dtype, check].append(f"{case}: {error}")

    def count_levels(self, case):
        window = zip(case.size, case.kernel, case.stride, case.dilation)
        for axis, (n, h, s, e) in enumerate(window):
            s = "over" if s > h else s
            self.levels.update(
                [("size", axis, n), ("kernel", axis, h), ("stride", axis, s), ("dilation", axis, e)]
            )
        for sides, h in zip(reference.pads(case.pad), case.kernel):
            self.levels.update(("pad minus kernel", side - h) for side in sides)
        self.levels.update(
            [
                ("images", case.l),
                ("groups", case.groups),
                ("padding", case.padding_kind),
                ("channels", case.d // case.groups),
                ("filters", case.d_out // case.groups),
            ]
        )


def poisoned(shape, dtype):
    return np.full(shape, np.nan, dtype)


def truths(case, random):
    """Integer data for one geometry, and what the loops make of it."""
    Z = geometries.integers(random, case.shape)
    W = geometries.integers(random, case.filter_shape)
    b = geometries.integers(random, case.d_out)
    S = reference.conv2d(Z, W, **case.convolution)
    dS = geometries.integers(random, S.shape)
    phi = reference.im2col(Z, **case.window)
    C = geometries.integers(random, phi.shape)
    dZ, dW, db = reference.conv2d_backward(dS, Z, W, **case.convolution)
    given = {"Z": Z, "W": W, "b": b, "dS": dS, "C": C}
    exact = {
        "im2col": phi,
        "col2im": reference.col2im(C, case.shape, **case.window),
        "conv2d": S,
        "conv2d with bias": S + b,
        "conv2d with bias and ReLU": np.maximum(S + b, 0),
        "dZ": dZ,
        "dW": dW,
        "db": db,
    }
    return given, exact


def results(case, dtype, given):
    """The same from matconv, into outputs full of NaN wherever an output can be given."""
    Z, W, b, dS, C = (given[name].astype(dtype) for name in ("Z", "W", "b", "dS", "C"))
    phi = poisoned(C.shape, dtype)
    yield "im2col", matconv.im2col(Z, out=phi, **case.window)
    back = poisoned(Z.shape, dtype)
    yield "col2im", matconv.col2im(C, Z.shape, out=back, **case.window)
    for check, bias, relu in (
        ("conv2d", None, False),
        ("conv2d with bias", b, False),
        ("conv2d with bias and ReLU", b, True),
    ):
        S = poisoned(dS.shape, dtype)
        yield check, by_im2col.conv2d(Z, W, bias, relu=relu, out=S, **case.convolution)
    yield from zip(("dZ", "dW", "db"), by_im2col.conv2d_backward(dS, Z, W, **case.convolution))


@pytest.fixture(scope="module")
def grid():
    """Every geometry of the grid, through every operator, in both dtypes."""
    outcome = Outcome()
    random = np.random.default_rng(1)
    for case in geometries.cases(GRID):
        given, exact = truths(case, random)
        S = exact["conv2d"]
        counts = S.size > 0 and np.mean(S == 0) <= MOST_ZEROS
        for dtype in DTYPES:
            for check, actual in results(case, dtype, given):
                outcome.compare(case, dtype, check, actual, exact[check])
            outcome.counted[dtype] += counts
        if counts or case.l == 0:
            outcome.count_levels(case)
    return outcome


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("check", CHECKS)
def test_operators_have_no_difference(grid, dtype, check):
    differences = grid.differences[dtype, check]
    assert not differences, f"{len(differences)} geometries differ:\n" + "\n".join(differences[:5])


@pytest.mark.parametrize("dtype", DTYPES)
def test_grid_has_two_thousand_geometries(grid, dtype, capsys):
    found = sum(len(grid.differences[dtype, check]) for check in CHECKS)
    with capsys.disabled():
        print(
            f"\n  exact grid, {dtype}: {grid.counted[dtype]} geometries counted of {GRID} run, "
            f"{len(CHECKS)} results each, {found} differences"
        )
    assert grid.counted[dtype] >= COUNTED


def test_grid_has_every_level(grid):
    """No size, kernel, stride, padding, dilation, group or tail is left out or rare."""
    wanted = [
        (name, axis, level)
        for axis in (0, 1)
        for name, levels in (
            ("size", geometries.SIZES),
            ("kernel", geometries.KERNELS),
            ("stride", geometries.STRIDES),
            ("dilation", geometries.DILATIONS),
        )
        for level in levels
    ]
    wanted += [("pad minus kernel", more) for more in range(-7, 3)]
    wanted += [("images", l) for l in geometries.IMAGES]
    wanted += [("groups", groups) for groups in geometries.GROUPS]
    wanted += [("padding", kind) for kind in geometries.PADDINGS]
    wanted += [("channels", d) for d in geometries.CHANNELS]
    wanted += [("filters", d_out) for d_out in geometries.FILTERS]
    rare = {level: grid.levels[level] for level in wanted if grid.levels[level] < 25}
    assert not rare


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_left_out_do_not_change_the_others(dtype):
    random = np.random.default_rng(2)
    for case in geometries.cases(40, seed=3):
        given, _ = truths(case, random)
        dS, Z, W = (given[name].astype(dtype) for name in ("dS", "Z", "W"))
        whole = by_im2col.conv2d_backward(dS, Z, W, **case.convolution)
        for left_out in range(3):
            flags = {f"need_{name}": k != left_out for k, name in enumerate(("dZ", "dW", "db"))}
            part = by_im2col.conv2d_backward(dS, Z, W, **case.convolution, **flags)
            for k in range(3):
                if k == left_out:
                    assert part[k] is None
                else:
                    assert_same(part[k], whole[k], f"{case} {flags}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_bias_relu_is_exact(dtype):
    random = np.random.default_rng(4)
    for l, b, a, d in [(0, 3, 3, 2), (1, 1, 1, 1), (2, 3, 5, 7), (3, 4, 4, 16), (1, 6, 5, 33)]:
        S = geometries.integers(random, (l, b, a, d))
        bias = geometries.integers(random, d)
        dZ = geometries.integers(random, S.shape)
        exact = reference.bias_relu(S, bias)
        Z = matconv.bias_relu(S.astype(dtype), bias.astype(dtype), out=poisoned(S.shape, dtype))
        assert_same(Z, exact, "bias_relu")
        in_place = S.astype(dtype)
        assert matconv.bias_relu(in_place, bias.astype(dtype), out=in_place) is in_place
        assert_same(in_place, exact, "bias_relu in place")
        exact_dS, exact_db = reference.bias_relu_backward(dZ, exact)
        dS, db = matconv.bias_relu_backward(dZ.astype(dtype), Z)
        assert_same(dS, exact_dS, "dS")
        assert_same(db, exact_db, "db")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("image", [(1,), (5,), (3, 2, 4), (28, 28, 1)])
@pytest.mark.parametrize("units", [1, 2, 7, 10, 33])
def test_dense_is_exact(dtype, image, units):
    random = np.random.default_rng(5)
    m = int(np.prod(image))
    for l in range(5):
        Z = geometries.integers(random, (l, *image))
        W = geometries.integers(random, (m, units))
        b = geometries.integers(random, units)
        S = reference.dense(Z, W)
        dS = geometries.integers(random, S.shape)
        floats = [array.astype(dtype) for array in (Z, W, b)]
        out = poisoned(S.shape, dtype)
        assert_same(matconv.dense(*floats[:2], out=out), S, "dense")
        assert_same(matconv.dense(*floats), S + b, "dense with bias")
        relu = matconv.dense(*floats, relu=True)
        assert_same(relu, np.maximum(S + b, 0), "dense with bias and ReLU")
        exact = reference.dense_backward(dS, Z, W)
        for name, actual, truth in zip(
            ("dZ", "dW", "db"), matconv.dense_backward(dS.astype(dtype), *floats[:2]), exact
        ):
            assert actual.dtype == dtype
            assert_same(actual, truth, name)


# images so small that most of phi is padding: the products are taken tap by tap
TAPS = [
    ((16, 2, 2, 16), 8, {"kernel": 3, "pad": 1}),
    ((19, 1, 1, 24), 5, {"kernel": 3, "pad": 1}),
    ((17, 2, 3, 32), 6, {"kernel": (3, 2), "pad": ((1, 2), (0, 1)), "groups": 2}),
    ((16, 3, 2, 16), 4, {"kernel": 3, "pad": 2, "stride": 2}),
    ((20, 2, 2, 17), 3, {"kernel": 2, "pad": 3, "dilation": 2}),  # some windows are all padding
    ((16, 2, 2, 16), 4, {"kernel": 5, "pad": 2, "stride": 3}),  # some taps meet no pixel
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, d_out, options", TAPS)
def test_small_images_have_no_difference(shape, d_out, options, dtype):
    random = np.random.default_rng(3)
    options = {"stride": 1, "dilation": 1, "groups": 1, **options}
    kernel = reference.pair(options.pop("kernel"))
    Z = geometries.integers(random, shape)
    W = geometries.integers(random, (shape[3] // options["groups"], *kernel, d_out))
    b = geometries.integers(random, d_out)
    S = reference.conv2d(Z, W, b, **options)
    dS = geometries.integers(random, S.shape)
    arrays = [array.astype(dtype) for array in (Z, W, b, dS)]
    assert_same(by_im2col.conv2d(*arrays[:3], **options), S)
    assert_same(by_im2col.conv2d(*arrays[:3], relu=True, **options), np.maximum(S, 0))
    exact = reference.conv2d_backward(dS, Z, W, **options)
    actual = by_im2col.conv2d_backward(arrays[3], *arrays[:2], **options)
    for name, one, truth in zip(("dZ", "dW", "db"), actual, exact, strict=True):
        assert_same(one, truth, name)
    (dZ, _, _) = by_im2col.conv2d_backward(arrays[3], *arrays[:2], need_dW=False, **options)
    assert_same(dZ, exact[0])
