"""Relations that hold exactly on integers: adjoints, and geometries that are equivalent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import by_im2col, geometries, reference
from support.tolerances import assert_same, assert_same_bytes

import matconv

DTYPES = ("float64", "float32")
ALGORITHMS = ("im2col", "winograd")
GRID = list(geometries.cases(300, seed=7))

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(DTYPES)
sizes = st.integers(1, 12)
kernels = st.integers(1, 5)
few = st.integers(0, 4)


@st.composite
def layers(draw, groups=True):
    """A geometry that fits, with integer data: (Z, W, b, dS, keyword arguments of conv2d)."""
    group = draw(st.integers(1, 3)) if groups else 1
    kernel = draw(st.tuples(kernels, kernels))
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    pad = draw(st.tuples(st.tuples(few, few), st.tuples(few, few)))
    # the smallest image that the window fits, and more
    size = tuple(
        max(1, (h - 1) * e + 1 - sum(sides)) + draw(st.integers(0, 8))
        for h, e, sides in zip(kernel, dilation, pad)
    )
    d, d_out = draw(st.integers(1, 5)) * group, draw(st.integers(1, 5)) * group
    l = draw(st.integers(1, 3))
    dtype = draw(dtypes)
    random = np.random.default_rng(draw(seeds))
    Z = geometries.integers(random, (l, *size, d), dtype)
    W = geometries.integers(random, (d // group, *kernel, d_out), dtype)
    b = geometries.integers(random, d_out, dtype)
    options = {"stride": stride, "pad": pad, "dilation": dilation, "groups": group}
    out_size = reference.output_shape(size, kernel, stride, pad, dilation)
    dS = geometries.integers(random, (l, *out_size, d_out), dtype)
    return Z, W, b, dS, options


def window_of(W, options):
    return {"kernel": W.shape[1:3], **{k: v for k, v in options.items() if k != "groups"}}


def inner(x, y):
    """<x, y>, exactly."""
    return int(np.sum(x.astype(np.int64) * y.astype(np.int64)))


@settings(deadline=None)
@given(layers())
def test_im2col_and_col2im_are_adjoint(layer):
    Z, W, _, _, options = layer
    window = window_of(W, options)
    phi = matconv.im2col(Z, **window)
    C = geometries.integers(np.random.default_rng(0), phi.shape, Z.dtype)
    assert inner(phi, C) == inner(Z, matconv.col2im(C, Z.shape, **window))


@settings(deadline=None)
@given(layers())
def test_conv2d_and_its_gradients_are_adjoint(layer):
    Z, W, _, dS, options = layer
    dZ, dW, db = by_im2col.conv2d_backward(dS, Z, W, **options)
    conv = inner(by_im2col.conv2d(Z, W, **options), dS)
    assert conv == inner(Z, dZ) == inner(W, dW)
    assert_same(db, dS.sum(axis=(0, 1, 2)))


@settings(deadline=None)
@given(layers(groups=False))
def test_conv2d_is_w_times_phi(layer):
    Z, W, b, _, options = layer
    phi = matconv.im2col(Z, **window_of(W, options))
    S = by_im2col.conv2d(Z, W, b, **options)
    product = np.matmul(phi, W.reshape(-1, W.shape[3])) + b
    assert_same(S.reshape(product.shape), product)


@settings(deadline=None)
@given(layers())
def test_stride_equals_a_subsample_of_stride_one(layer):
    Z, W, b, _, options = layer
    dense = by_im2col.conv2d(Z, W, b, **{**options, "stride": 1})
    down, right = options["stride"]
    assert_same(by_im2col.conv2d(Z, W, b, **options), dense[:, ::down, ::right])


@settings(deadline=None)
@given(layers())
def test_pad_equals_an_image_extended_by_zeros(layer):
    Z, W, b, dS, options = layer
    (top, bottom), (left, right) = options["pad"]
    wide = np.pad(Z, ((0, 0), (top, bottom), (left, right), (0, 0)))
    bare = {**options, "pad": 0}
    assert_same(by_im2col.conv2d(Z, W, b, **options), by_im2col.conv2d(wide, W, b, **bare))
    dZ, dW, db = by_im2col.conv2d_backward(dS, Z, W, **options)
    wide_dZ, wide_dW, wide_db = by_im2col.conv2d_backward(dS, wide, W, **bare)
    _, height, width, _ = Z.shape
    assert_same(dZ, wide_dZ[:, top : top + height, left : left + width])
    assert_same(dW, wide_dW)
    assert_same(db, wide_db)


@settings(deadline=None)
@given(layers())
def test_dilation_equals_a_filter_with_zeros_between(layer):
    Z, W, b, _, options = layer
    down, right = options["dilation"]
    channels, h_b, h_a, d_out = W.shape
    spread = (channels, (h_b - 1) * down + 1, (h_a - 1) * right + 1, d_out)
    holes = np.zeros(spread, W.dtype)
    holes[:, ::down, ::right] = W
    assert_same(
        by_im2col.conv2d(Z, W, b, **options),
        by_im2col.conv2d(Z, holes, b, **{**options, "dilation": 1}),
    )


@settings(deadline=None)
@given(layers())
def test_groups_are_a_block_diagonal_filter(layer):
    Z, W, b, dS, options = layer
    groups, d_out = options["groups"], W.shape[3]
    blocks = np.zeros((Z.shape[3], *W.shape[1:]), W.dtype)
    parts = reference.group_slices(Z.shape[3], d_out, groups)
    for channels, filters in parts:
        blocks[channels, ..., filters] = W[..., filters]
    whole = {**options, "groups": 1}
    assert_same(by_im2col.conv2d(Z, W, b, **options), by_im2col.conv2d(Z, blocks, b, **whole))
    dZ, dW, _ = by_im2col.conv2d_backward(dS, Z, W, **options)
    block_dZ, block_dW, _ = by_im2col.conv2d_backward(dS, Z, blocks, **whole)
    assert_same(dZ, block_dZ)
    for channels, filters in parts:
        assert_same(dW[..., filters], block_dW[channels, ..., filters])


@settings(deadline=None)
@given(st.tuples(few, sizes, sizes, sizes), sizes, seeds, dtypes)
def test_conv2d_kernel_1_is_matrix_product(shape, d_out, seed, dtype):
    random = np.random.default_rng(seed)
    Z = geometries.integers(random, shape, dtype)
    W = geometries.integers(random, (shape[3], 1, 1, d_out), dtype)
    dS = geometries.integers(random, (*shape[:3], d_out), dtype)
    assert_same(by_im2col.conv2d(Z, W), Z @ W[:, 0, 0, :])
    dZ, dW, _ = by_im2col.conv2d_backward(dS, Z, W)
    assert_same(dZ, dS @ W[:, 0, 0, :].T)
    assert_same(dW[:, 0, 0, :], Z.reshape(-1, shape[3]).T @ dS.reshape(-1, d_out))


@settings(deadline=None)
@given(st.tuples(few, sizes, sizes, sizes), sizes, seeds, dtypes)
def test_dense_is_a_convolution_with_a_filter_of_the_whole_image(shape, units, seed, dtype):
    """W of dense has its rows in the order of the image, W of conv2d in the notes' order."""
    random = np.random.default_rng(seed)
    l, b, a, d = shape
    Z = geometries.integers(random, shape, dtype)
    W = geometries.integers(random, (b, a, d, units), dtype)
    bias = geometries.integers(random, units, dtype)
    flat = W.reshape(-1, units)
    filters = np.ascontiguousarray(W.transpose(2, 0, 1, 3))
    for relu in (False, True):
        S = by_im2col.conv2d(Z, filters, bias, relu=relu)
        assert_same(matconv.dense(Z, flat, bias, relu=relu), S.reshape(l, units))
    dS = geometries.integers(random, (l, units), dtype)
    dZ, dW, db = matconv.dense_backward(dS, Z, flat)
    conv_dZ, conv_dW, conv_db = by_im2col.conv2d_backward(dS.reshape(l, 1, 1, units), Z, filters)
    assert_same(dZ, conv_dZ)
    assert_same(dW.reshape(W.shape), conv_dW.transpose(1, 2, 0, 3))
    assert_same(db, conv_db)


@settings(deadline=None)
@given(layers())
def test_batch_each_image_has_the_bits_of_itself_alone(layer):
    """A batch gives for every image the bits that the image alone gives, in any order."""
    Z, W, b, dS, options = layer
    S = by_im2col.conv2d(Z, W, b, **options)
    dZ, dW, db = by_im2col.conv2d_backward(dS, Z, W, **options)
    backwards = by_im2col.conv2d(np.ascontiguousarray(Z[::-1]), W, b, **options)
    assert_same(backwards[::-1], S)
    sum_dW, sum_db = np.zeros_like(dW), np.zeros_like(db)
    for i in range(len(Z)):
        one = slice(i, i + 1)
        assert_same(by_im2col.conv2d(Z[one], W, b, **options), S[one])
        one_dZ, one_dW, one_db = by_im2col.conv2d_backward(dS[one], Z[one], W, **options)
        assert_same(one_dZ, dZ[one])
        sum_dW += one_dW
        sum_db += one_db
    assert_same(sum_dW, dW)
    assert_same(sum_db, db)


# Tiles: many images, so that the border between two tiles falls anywhere in an image

LARGE = (
    # (l, b, a, d), (kernel), d_out, options
    ((40, 30, 30, 3), (3, 3), 5, {"pad": 1}),
    ((7, 61, 17, 4), (5, 3), 6, {"pad": ((2, 0), (1, 3)), "stride": (1, 2), "groups": 2}),
    ((150, 5, 5, 9), (3, 3), 17, {}),
    ((2000, 1, 1, 11), (1, 1), 3, {}),
    ((1500, 2, 1, 3), (2, 1), 4, {"pad": (1, 0)}),
    ((6, 20, 24, 70), (4, 4), 8, {"dilation": 2, "pad": 2}),
    ((5, 20, 20, 64), (5, 5), 3, {"pad": 2}),
    ((20, 24, 24, 4), (1, 1), 6, {"groups": 2}),
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, kernel, d_out, options", LARGE)
def test_batch_in_parts_has_the_bits_of_the_whole(shape, kernel, d_out, options, dtype):
    """The whole batch at once equals its parts, cut at sizes that fit no tile; exactly."""
    random = np.random.default_rng(8)
    Z = geometries.integers(random, shape, dtype)
    W = geometries.integers(random, (shape[3] // options.get("groups", 1), *kernel, d_out), dtype)
    b = geometries.integers(random, d_out, dtype)
    S = by_im2col.conv2d(Z, W, b, **options)
    # smaller data: the sums over a large batch must stay below 2**24
    dS = random.integers(-1, 2, S.shape).astype(dtype)
    whole = by_im2col.conv2d_backward(dS, Z, W, **options)
    parts, sums = [], [np.zeros_like(W, np.int64), np.zeros_like(b, np.int64)]
    for start in range(0, len(Z), 3):
        part = slice(start, start + 3)
        assert_same(by_im2col.conv2d(Z[part], W, b, **options), S[part])
        dZ, dW, db = by_im2col.conv2d_backward(dS[part], Z[part], W, **options)
        parts.append(dZ)
        sums = [sums[0] + dW.astype(np.int64), sums[1] + db.astype(np.int64)]
    assert_same(np.concatenate(parts), whole[0])
    assert_same(whole[1], sums[0])
    assert_same(whole[2], sums[1])
    window = window_of(W, {"stride": 1, "pad": 0, "dilation": 1, **options})
    if options.get("groups", 1) == 1:
        phi = matconv.im2col(Z[:4], **window).astype(np.int64)
        exact = phi @ W.reshape(-1, d_out).astype(np.int64) + b.astype(np.int64)
        assert_same(S[:4].reshape(exact.shape), exact)


# Fused and unfused


def misaligned(array, offset):
    """A contiguous copy that begins `offset` numbers into a fresh block of memory."""
    block = np.empty(array.size + offset, array.dtype)
    copy = block[offset:].reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_equals_unfused_for_any_length_and_alignment(dtype):
    """Every inner length that a SIMD loop can end at, every start within a vector, every place."""
    random = np.random.default_rng(9)
    for d in range(1, 68):
        rows = random.standard_normal((5, d)).astype(dtype)
        rows[random.random(rows.shape) < 0.1] = np.nan
        rows[random.random(rows.shape) < 0.1] = 0
        b = random.standard_normal(d).astype(dtype)
        added = rows + b
        Z = np.where(added <= 0, np.zeros(1, dtype), added)
        mask = np.where(Z <= 0, np.zeros(1, dtype), rows)
        for offset in range(8):
            S, bias = misaligned(rows, offset), misaligned(b, 7 - offset)
            out = misaligned(rows, (offset * 3) % 8)
            assert_same_bytes(matconv.bias_relu(S, bias), Z)
            assert_same_bytes(matconv.bias_relu(S, bias, out=out), Z)
            assert_same_bytes(matconv.bias_relu(S, bias, out=S), Z)
            dS, _ = matconv.bias_relu_backward(misaligned(rows, offset), misaligned(Z, 5))
            assert_same_bytes(dS, mask)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@settings(deadline=None)
@given(layer=layers())
def test_relu_inside_conv2d_gives_the_bits_of_relu_after_it(layer, algorithm):
    Z, W, b, _, options = layer
    options = {**options, "algorithm": algorithm}
    Z, W, b = (array / array.dtype.type(7) for array in (Z, W, b))  # not integers
    S = matconv.conv2d(Z, W, **options)
    assert_same_bytes(matconv.conv2d(Z, W, b, **options), S + b)
    fused = matconv.conv2d(Z, W, b, relu=True, **options)
    assert_same_bytes(fused, matconv.bias_relu(S, b))
    without = matconv.conv2d(Z, W, relu=True, **options)
    assert_same_bytes(without, matconv.bias_relu(S, np.zeros_like(b)))


@pytest.mark.parametrize("d_out", [1, 2, 3, 7, 16, 33, 67])
@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_inside_dense_gives_the_bits_of_relu_after_it(d_out, dtype):
    random = np.random.default_rng(10)
    Z = random.standard_normal((9, 3, 5)).astype(dtype)
    W = random.standard_normal((15, d_out)).astype(dtype)
    b = random.standard_normal(d_out).astype(dtype)
    assert_same_bytes(matconv.dense(Z, W, b, relu=True), matconv.bias_relu(matconv.dense(Z, W), b))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_call_twice_gives_the_same_bits(dtype, algorithm):
    random = np.random.default_rng(11)
    for case in GRID[::6]:
        options = {**case.convolution, "algorithm": algorithm}
        Z = random.standard_normal(case.shape).astype(dtype)
        W = random.standard_normal(case.filter_shape).astype(dtype)
        S = matconv.conv2d(Z, W, **options)
        assert_same_bytes(matconv.conv2d(Z.copy(), W.copy(), **options), S)
        first = matconv.conv2d_backward(S, Z, W, **options)
        second = matconv.conv2d_backward(S.copy(), Z.copy(), W.copy(), **options)
        for one, other in zip(first, second):
            assert_same_bytes(one, other)
