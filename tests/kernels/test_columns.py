"""Products with few columns, which BLAS does not compute: exact, in all forms."""

import numpy as np
import pytest

from matconv import Dense, Network, dense, dense_backward
from matconv.kernels import _tuning

DTYPES = (np.float64, np.float32)
# inputs, units: multiples of what the loops take at a time, one more, one less; more than a block
SIZES = [(64, 32), (63, 33), (257, 130), (5, 301), (1, 700), (3, 4100), (18, 15)]


def integers(random, shape, dtype):
    return random.integers(-8, 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_few_columns_have_no_difference_on_integers(size, dtype):
    K, units = size
    random = np.random.default_rng(K)
    W = integers(random, (K, units), dtype)
    b = integers(random, (units,), dtype)
    for l in range(1, 19):
        Z, dS = integers(random, (l, K), dtype), integers(random, (l, units), dtype)
        np.testing.assert_array_equal(dense(Z, W, b), Z @ W + b)
        dZ, dW, db = dense_backward(dS, Z, W)
        np.testing.assert_array_equal(dZ, dS @ W.T)
        np.testing.assert_array_equal(dW, Z.T @ dS)
        np.testing.assert_array_equal(db, dS.sum(0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_not_finite_elements_go_where_their_products_go(dtype):
    W = np.ones((40, 50), dtype)
    Z = np.ones((3, 40), dtype)
    Z[1, 39], W[7, 5] = np.inf, np.nan
    S = dense(Z, W)
    assert np.isnan(S[:, 5]).all()
    assert np.isinf(np.delete(S[1], 5)).all() and (np.delete(S[[0, 2]], 5, 1) == 40).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("l", [1, 2, 3, 7])
def test_bits_are_those_of_any_number_of_threads(l, dtype):
    net = Network((1, 1, 900), [Dense(1700, activation="relu"), Dense(30)], dtype=dtype)
    theta = net.init(0)
    Z = np.random.default_rng(1).standard_normal((l, 1, 1, 900)).astype(dtype)
    one = net.forward(theta, Z, n_threads=1)
    for n_threads in (2, 3, 5):
        assert net.forward(theta, Z, n_threads=n_threads).tobytes() == one.tobytes()


def test_every_row_of_the_table_has_such_products():
    assert all(row["columns"] >= 4 for rows in _tuning._ROWS.values() for row in rows)
