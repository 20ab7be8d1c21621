"""Real images at all magnitudes: every element within the bound that its own operands give.

The truth is the same loops in long double. By im2col; `test_winograd` has the other algorithm.
"""

import numpy as np
import pytest
from support import by_im2col, geometries, reference
from support.real_images import DECADES, digits, real_layer, scales
from support.tolerances import assert_same, assert_within, inner_product_bound

import matconv

SHAPES = 220
LONG = np.longdouble


@pytest.mark.parametrize("dtype", DECADES)
def test_convolution_is_within_the_bound_on_real_images(dtype):
    """Forward with bias, dZ, dW and db: 2 (K + 2) eps times the same sums of absolute values."""
    shapes = 0
    for k, case in enumerate(geometries.cases(SHAPES, seed=12)):
        Z, W, b, dS = real_layer(case, k, dtype)
        exact_operands = [array.astype(LONG) for array in (Z, W, b, dS)]
        z, w, bias, ds = exact_operands
        size_z, size_w, size_b, size_ds = (np.abs(array) for array in exact_operands)
        window, hh = case.convolution, case.kernel[0] * case.kernel[1]

        S = by_im2col.conv2d(Z, W, b, **window)
        exact = reference.conv2d(z, w, bias, **window)
        size = reference.conv2d(size_z, size_w, size_b, **window)
        K = hh * W.shape[0]
        assert_within(S, exact, inner_product_bound(K, size, dtype), f"forward of {case}")

        gradients = by_im2col.conv2d_backward(dS, Z, W, **window)
        exacts = reference.conv2d_backward(ds, z, w, **window)
        magnitudes = reference.conv2d_backward(size_ds, size_z, size_w, **window)
        positions = dS.size // case.d_out
        lengths = (hh * case.d_out // case.groups, positions, positions)
        for name, actual, truth, size, K in zip(
            ("dZ", "dW", "db"), gradients, exacts, magnitudes, lengths
        ):
            assert actual.dtype == dtype
            assert_within(actual, truth, inner_product_bound(K, size, dtype), f"{name} of {case}")
        shapes += S.size > 0
    assert shapes >= 200


@pytest.mark.parametrize("dtype", DECADES)
def test_copies_and_their_adjoint_on_real_images(dtype):
    """im2col moves the very numbers; col2im adds at most hh of them."""
    for k, case in enumerate(geometries.cases(60, seed=13)):
        Z, _, _, _ = real_layer(case, k, dtype)
        phi = matconv.im2col(Z, **case.window)
        assert_same(phi, reference.im2col(Z, **case.window), str(case))
        exact = reference.col2im(phi.astype(LONG), Z.shape, **case.window)
        size = reference.col2im(np.abs(phi).astype(LONG), Z.shape, **case.window)
        bound = inner_product_bound(case.kernel[0] * case.kernel[1], size, dtype)
        assert_within(matconv.col2im(phi, Z.shape, **case.window), exact, bound, str(case))


@pytest.mark.parametrize("dtype", DECADES)
@pytest.mark.parametrize("units", [1, 10, 33])
@pytest.mark.parametrize("kind", ["whole", "channel", "element"])
def test_dense_is_within_the_bound_on_real_images(dtype, units, kind):
    random = np.random.default_rng(14)

    def scaled(array):
        factor = scales(random, kind, array.shape, DECADES[dtype])
        return np.ascontiguousarray(array * factor).astype(dtype)

    Z = scaled(digits((20, 8, 8, 2)))
    W = scaled(random.standard_normal((128, units)))
    b = scaled(random.standard_normal(units))
    dS = scaled(random.standard_normal((20, units)))
    z, w, bias, ds = (array.astype(LONG) for array in (Z, W, b, dS))
    exact = reference.dense(z, w, bias)
    size = reference.dense(np.abs(z), np.abs(w), np.abs(bias))
    assert_within(matconv.dense(Z, W, b), exact, inner_product_bound(128, size, dtype), "dense")
    exacts = reference.dense_backward(ds, z, w)
    magnitudes = reference.dense_backward(np.abs(ds), np.abs(z), np.abs(w))
    for name, actual, truth, size, K in zip(
        ("dZ", "dW", "db"), matconv.dense_backward(dS, Z, W), exacts, magnitudes, (units, 20, 20)
    ):
        assert_within(actual, truth, inner_product_bound(K, size, dtype), name)


@pytest.mark.parametrize("dtype", DECADES)
def test_bias_relu_and_its_gradient_on_real_images(dtype):
    """One addition and a choice: the very bits of numpy; db within the bound of its sum."""
    random = np.random.default_rng(15)
    for d in (1, 3, 8, 17):
        decades = DECADES[dtype]
        S = digits((5, 8, 8, d)) * scales(random, "element", (5, 8, 8, d), decades)
        S = (S * random.choice([-1, 1], S.shape)).astype(dtype)
        b = (random.standard_normal(d) * scales(random, "whole", (d,), decades)).astype(dtype)
        dZ = S[..., ::-1].copy()
        Z = matconv.bias_relu(S, b)
        assert_same(Z, np.maximum(S + b, 0))
        dS, db = matconv.bias_relu_backward(dZ, Z)
        assert_same(dS, np.where(Z > 0, dZ, 0))
        exact, size = (x.astype(LONG).sum(axis=(0, 1, 2)) for x in (dS, np.abs(dS)))
        assert_within(db, exact, inner_product_bound(5 * 64, size, dtype), "db")


@pytest.mark.parametrize("dtype", DECADES)
def test_avg_pool2d_is_within_the_bound_on_real_images(dtype):
    random = np.random.default_rng(16)
    for window, stride, pad in ((2, None, 0), ((3, 2), 1, ((1, 2), (0, 1))), (8, None, 0)):
        options = {"window": window, "stride": stride, "pad": pad}
        Z = digits((4, 8, 8, 5))
        Z = (Z * scales(random, "element", Z.shape, DECADES[dtype])).astype(dtype)
        exact = reference.avg_pool2d(Z.astype(LONG), **options)  # all numbers are positive
        K = int(np.prod(reference.pair(window)))
        bound = inner_product_bound(K, exact, dtype)
        assert_within(matconv.avg_pool2d(Z, **options), exact, bound, str(options))


def test_bound_detects_a_missing_product():
    """A result without one of its 27 products of equal size is far outside the bound."""
    Z, W = np.full((1, 3, 3, 3), 1.0), np.full((3, 3, 3, 1), 1.0)
    lost = W.copy()
    lost[2, 2, 2] = 0
    exact = reference.conv2d(Z, W)
    assert_within(by_im2col.conv2d(Z, W), exact, inner_product_bound(27, exact, "float64"))
    with pytest.raises(AssertionError, match="1 of 1 elements are too far from the truth"):
        assert_within(by_im2col.conv2d(Z, lost), exact, inner_product_bound(27, exact, "float64"))
