"""Compiled sums: of two gradients, with theta / C, and theta'theta."""

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from matconv.kernels import built, supported
from matconv.kernels.sums import add, regularise

DTYPES = [np.float64, np.float32]
# around the 8 elements of a SIMD loop, and the 1024 of a block
SIZES = [0, 1, 7, 8, 9, 1023, 1024, 1025, 3 * 1024 + 5, 10_007]
CS = [10.0, 3.0, 1e-5, 1e300, 1e-310, 5e-324, 1.7e308]


def vectors(n, dtype, seed=0):
    random = np.random.default_rng(seed)
    return [random.standard_normal(n).astype(dtype) for _ in range(3)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_add_is_that_of_numpy(n, dtype):
    _, left, right = vectors(n, dtype)
    expected = left + right
    add(left, right)
    np.testing.assert_array_equal(left, expected)


def quotient(theta, C):
    """theta / C as `regularise` rounds it."""
    with np.errstate(all="ignore"):
        scale = np.divide(1.0, C)
        wide = theta.astype(np.float64)
        exact = wide * scale if np.finfo(float).tiny <= scale < np.inf else wide / C
        return exact.astype(theta.dtype)


@pytest.mark.parametrize("C", CS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_regularise_adds_left_right_and_theta_over_C(n, dtype, C):
    theta, left, right = vectors(n, dtype)
    theta[: n // 2] *= dtype(1e-6)
    theta[n // 3 : n // 3 + 1] = 0
    alone = left.copy()
    with np.errstate(all="ignore"):
        expected, expected_alone = (left + right) + quotient(theta, C), left + quotient(theta, C)
    before = theta.tobytes(), right.tobytes()
    squares = regularise(theta, C, left, right)
    np.testing.assert_array_equal(left, expected)
    assert regularise(theta, C, alone) == regularise(theta, C) == squares
    np.testing.assert_array_equal(alone, expected_alone)
    assert (theta.tobytes(), right.tobytes()) == before


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [*SIZES, 60_000])
def test_regularise_squares_are_within_their_bound(n, dtype):
    theta = vectors(n, dtype)[0]
    exact = sum((Fraction(float(x)) ** 2 for x in theta), Fraction(0))
    # additions on the way of an element: 1024/8 in its lane, 8 lanes, a level for each doubling;
    # and a rounded square
    count = 128 + 8 + max(n // 1024, 1).bit_length() + 1 + 1
    assert abs(Fraction(regularise(theta, 1.0)) - exact) <= count * Fraction(2) ** -53 * exact


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 3.0, 1e-300, 5e-324])
@pytest.mark.parametrize("C", CS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_regularise_factor_multiplies_squares_and_gradient(dtype, C, factor):
    theta, left, right = vectors(3 * 1024 + 5, dtype)
    added, alone, array = left.copy(), left.copy(), left.copy()
    squares = regularise(theta, C, left, right, factor)
    assert squares == factor * regularise(theta, C)
    assert regularise(theta, C, alone, None, factor) == squares
    with np.errstate(all="ignore"):
        scale = np.divide(factor, C)
        wide = theta.astype(np.float64)
        normal = np.finfo(float).tiny <= scale < np.inf
        term = (wide * scale if normal else factor * wide / C).astype(dtype)
        np.testing.assert_array_equal(left, (added + right) + term if factor else added + right)
        np.testing.assert_array_equal(alone, added + term if factor else added)
        # a factor for each element: the same up to rounding
        found = regularise(theta, C, array, right, np.full(len(theta), factor))
        term = np.zeros_like(theta) if factor == 0 else (factor * wide / C).astype(dtype)
        np.testing.assert_array_equal(array, (added + right) + term)
    assert abs(found - squares) <= 1024 * 2**-52 * squares + len(theta) * 5e-324


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_regularise_factors_of_integers_are_exact(n, dtype):
    random = np.random.default_rng(n)
    theta, left, right = (random.integers(-50, 50, n).astype(dtype) for _ in range(3))
    factors = random.integers(0, 5, n).astype(float)
    expected = left + right + factors * theta / 2
    squares = regularise(theta, 2.0, left, right, factors)
    assert squares == (factors * theta.astype(float) ** 2).sum()
    np.testing.assert_array_equal(left, expected)
    assert regularise(theta, 2.0, None, None, factors) == squares


def test_regularise_factor_zero_uses_no_theta():
    theta, factors = np.array([np.nan, 2.0, np.inf]), np.array([0, 3.0, 0])
    left, right = np.ones(3), np.full(3, 2.0)
    assert regularise(theta, 4.0, left, right, 0.0) == 0
    np.testing.assert_array_equal(left, 3)
    assert regularise(theta, 4.0, left, right, factors) == 12
    np.testing.assert_array_equal(left, [5, 6.5, 5])


def test_regularise_squares_of_integers_are_exact():
    theta = np.random.default_rng(0).integers(-1000, 1000, 100_003).astype(float)
    assert regularise(theta, 2.0) == int(theta.astype(int) @ theta.astype(int))


def test_regularise_tiny_C_keeps_zero():
    """1 / C is infinite: 0 times it would be NaN."""
    theta, left = np.zeros(20), np.ones(20)
    assert regularise(theta, 5e-324, left) == 0
    np.testing.assert_array_equal(left, 1)


CODE = """
import hashlib, numpy as np
from matconv.kernels.sums import add, regularise
found = hashlib.sha256()
for dtype in (np.float64, np.float32):
    for n in (5, 1000, 100_003):
        random = np.random.default_rng(n)
        theta, left, right = (random.standard_normal(n).astype(dtype) for _ in range(3))
        squares = regularise(theta, 0.3, left, right)
        squares += regularise(theta, 0.7, left, right, np.abs(right).astype(float))
        squares += regularise(theta, 0.7, left, right, 1.7)
        add(right, left)
        found.update(np.float64(squares).tobytes() + left.tobytes() + right.tobytes())
print(found.hexdigest())
"""


def test_sums_any_simd_variant_has_the_same_bits():
    usable = [name for name in supported if name in built]
    digests = {
        subprocess.run(
            [sys.executable, "-P", "-c", CODE], env={**os.environ, "MATCONV_SIMD": name},
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout
        for name in usable
    }  # fmt: skip
    assert len(digests) == 1 and len(usable) >= 1
