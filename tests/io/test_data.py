"""The digits data set: equal to scikit-learn's, and its split."""

import hashlib
from importlib import resources

import numpy as np
import pytest
from sklearn import datasets

from matconv.data import load_digits


def test_load_digits_shapes_and_types():
    digits = load_digits()
    assert digits.Z_train.shape == (1438, 8, 8, 1) and digits.Z_test.shape == (359, 8, 8, 1)
    assert digits.y_train.shape == (1438,) and digits.y_test.shape == (359,)
    for Z in (digits.Z_train, digits.Z_test):
        assert Z.dtype == np.float64 and Z.flags.c_contiguous and Z.flags.writeable
    for y in (digits.y_train, digits.y_test):
        assert y.dtype == np.int64 and set(y) == set(range(10))
    assert digits._fields == ("Z_train", "y_train", "Z_test", "y_test")


def test_load_digits_same_images_as_scikit_learn():
    theirs = datasets.load_digits()
    digits = load_digits()
    test = [i for i in range(1797) if i % 5 == 4]
    train = [i for i in range(1797) if i % 5 != 4]
    for Z, y, rows in (
        (digits.Z_train, digits.y_train, train),
        (digits.Z_test, digits.y_test, test),
    ):
        np.testing.assert_array_equal(Z[..., 0] * 16, theirs.images[rows])
        np.testing.assert_array_equal(y, theirs.target[rows])


def test_file_is_scikit_learns_byte_for_byte():
    name = "digits.csv.gz"
    ours = resources.files("matconv.data").joinpath(name).read_bytes()
    assert ours == resources.files("sklearn.datasets.data").joinpath(name).read_bytes()
    assert hashlib.sha256(ours).hexdigest() == (
        "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
    )


def test_pixels_are_exact_in_float32():
    double, single = load_digits(), load_digits(np.float32)
    for a, b in zip(double, single, strict=True):
        np.testing.assert_array_equal(a, b)
    assert single.Z_train.dtype == single.Z_test.dtype == np.float32
    assert load_digits("f4").Z_test.dtype == np.float32
    assert set(np.unique(double.Z_train * 16)) == set(range(17))


def test_load_digits_twice_gives_new_arrays():
    first = load_digits()
    first.Z_train[:] = -1
    first.y_test[:] = -1
    second = load_digits()
    assert second.Z_train.min() == 0 and second.y_test.min() == 0


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.longdouble, object])
def test_load_digits_other_dtypes_refused(dtype):
    with pytest.raises(TypeError, match=f"float64 or float32, got {np.dtype(dtype)}"):
        load_digits(dtype)
