"""Bad arguments of a frozen network and their messages; images of any layout."""

import numpy as np
import pytest
from support.describing import freeze
from support.layouts import LAYOUTS
from support.networks import mixed
from support.tolerances import assert_same_bytes

from matconv import Dense, Network
from matconv.kernels.predictor import Predictor

DTYPES = ("float64", "float32")
SHAPE = (9, 8, 2)


@pytest.fixture(params=DTYPES)
def frozen(request):
    """A predictor, images, what it makes of them."""
    net = mixed(request.param)
    predictor = freeze(net, net.init(0))
    Z = np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(request.param)
    return predictor, Z, predictor(Z)


def check_refused(predictor, error, message, Z, out=None, scratch=None):
    """This exception and message, by `into` and, without out and scratch, by a call."""
    arrays = [array for array in (Z, out, scratch) if isinstance(array, np.ndarray)]
    before = [array.tobytes() for array in arrays]
    with pytest.raises(error) as caught:
        predictor.into(Z, out, scratch)
    assert message in str(caught.value)
    if out is None and scratch is None:
        with pytest.raises(error) as caught:
            predictor(Z)
        assert message in str(caught.value)
    assert [array.tobytes() for array in arrays] == before


def other(dtype):
    return np.dtype("float32" if dtype == "float64" else "float64")


# Images


@pytest.mark.parametrize("layout", LAYOUTS)
def test_predictor_images_of_any_layout(layout, frozen, tmp_path):
    predictor, Z, expected = frozen
    array = layout(Z, tmp_path / "data")
    before, flags = array.tobytes(), str(array.flags)
    assert_same_bytes(predictor(array), expected)
    assert_same_bytes(predictor.into(array, np.empty_like(expected)), expected)
    assert array.tobytes() == before and str(array.flags) == flags


def test_images_repeated_by_broadcasting(frozen):
    predictor, Z, _ = frozen
    assert_same_bytes(
        predictor(np.broadcast_to(Z[:1], Z.shape)), predictor(np.repeat(Z[:1], 3, axis=0))
    )


def test_predictor_images_of_other_dtype_refused(frozen):
    predictor, Z, _ = frozen
    wrong = Z.astype(other(Z.dtype))
    message = f"Predictor: Z is {wrong.dtype}, the network computes in {Z.dtype}"
    check_refused(predictor, TypeError, message, wrong)
    # the bytes are swapped, the dtype is right
    assert predictor(Z.astype(Z.dtype.newbyteorder())).dtype == Z.dtype


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16", "longdouble", "complex128", object])
def test_dtypes_that_nothing_computes_in(frozen, dtype):
    predictor, Z, _ = frozen
    message = f"Predictor: Z must be float64 or float32, got {np.dtype(dtype)}"
    check_refused(predictor, TypeError, message, np.ones(Z.shape).astype(dtype))


@pytest.mark.parametrize(
    ("Z", "message"),
    [
        (None, "Predictor: Z must be an array of float64 or float32, got None"),
        ("images", "Predictor: Z must be an array of float64 or float32, got 'images'"),
        ([[1.0], [1.0, 2.0]], "Predictor: Z is not an array"),
        (np.ma.zeros((1, *SHAPE)), "Predictor: Z is a masked array"),
        ({}, "Predictor: Z must be float64 or float32, got object"),
    ],
)
def test_predictor_images_not_an_array_refused(frozen, Z, message):
    check_refused(frozen[0], TypeError, message, Z)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), "Z must have 4 dimensions, got shape ()"),
        (SHAPE, "Z must have 4 dimensions, got shape (9, 8, 2)"),
        ((1, 1, *SHAPE), "Z must have 4 dimensions, got shape (1, 1, 9, 8, 2)"),
        ((2, 8, 9, 2), "Z must have shape (2, 9, 8, 2), got (2, 8, 9, 2)"),
        ((2, 9, 8, 3), "Z must have shape (2, 9, 8, 2), got (2, 9, 8, 3)"),
        ((2, 9, 7, 2), "Z must have shape (2, 9, 8, 2), got (2, 9, 7, 2)"),
        ((0, 9, 8, 0), "Z must have shape (0, 9, 8, 2), got (0, 9, 8, 0)"),
        ((1, 144, 1, 1), "Z must have shape (1, 9, 8, 2), got (1, 144, 1, 1)"),
    ],
)
def test_images_of_another_shape(frozen, shape, message):
    predictor, Z, _ = frozen
    check_refused(predictor, ValueError, f"Predictor: {message}", np.zeros(shape, Z.dtype))


# out


@pytest.mark.parametrize("shape", [(2, 3), (4, 3), (3, 2), (3, 1, 1, 3), (9,), (3, 3, 1)])
def test_out_of_another_shape(frozen, shape):
    predictor, Z, _ = frozen
    message = "Predictor: out must have shape (3, 3), got ("
    check_refused(predictor, ValueError, message, Z, np.full(shape, 7, Z.dtype))


def test_out_of_another_dtype(frozen):
    predictor, Z, expected = frozen
    for dtype in (other(Z.dtype), Z.dtype.newbyteorder(), np.dtype("int64")):
        message = f"Predictor: out is {dtype} where {Z.dtype} was expected"
        check_refused(predictor, TypeError, message, Z, np.full(expected.shape, 7, dtype))


def test_out_that_cannot_be_written(frozen):
    predictor, Z, expected = frozen
    out = np.full(expected.shape, 7, Z.dtype)
    turned = np.asfortranarray(out)
    misaligned = np.zeros(out.nbytes + 1, np.uint8)[1:].view(Z.dtype).reshape(out.shape)
    gaps = np.full((3, 6), 7, Z.dtype)[:, ::2]
    for bad in (turned, misaligned, gaps):
        message = "Predictor: out must be C-contiguous and aligned"
        check_refused(predictor, ValueError, message, Z, bad)
    out.flags.writeable = False
    check_refused(predictor, ValueError, "Predictor: out is read-only", Z, out)


@pytest.mark.parametrize("out", [[[0.0] * 3] * 3, 5, "out", np.ma.zeros((3, 3))])
def test_out_that_is_no_array(frozen, out):
    predictor, Z, _ = frozen
    name = type(out).__name__
    message = f"Predictor: out must be an ndarray, got {name}"
    check_refused(predictor, TypeError, message, Z, out)


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_that_overlaps_the_images(dtype):
    net = Network((1, 2, 2), [Dense(4)], dtype)
    predictor = freeze(net, net.init(0))
    block = np.random.default_rng(1).standard_normal(24).astype(dtype)
    Z = block[:12].reshape(3, 1, 2, 2)
    for start in (0, 1, 11):
        out = block[start : start + 12].reshape(3, 4)
        check_refused(predictor, ValueError, "Predictor: out overlaps Z", Z, out)
    expected = predictor(Z)
    assert_same_bytes(predictor.into(Z, block[12:].reshape(3, 4)), expected)
    # these are copied, but the original overlaps
    backwards = Z[::-1]
    out = block[:12].reshape(3, 4)
    check_refused(predictor, ValueError, "Predictor: out overlaps Z", backwards, out)


# Scratch


def test_scratch_that_is_too_small(frozen):
    predictor, Z, expected = frozen
    size = predictor.workspace_size(3)
    for less in (size - 1, 1, 0):
        message = f"Predictor: scratch must have at least {size} elements, got {less}"
        out = np.full(expected.shape, 7, Z.dtype)
        check_refused(predictor, ValueError, message, Z, out, np.full(less, 7, Z.dtype))
    out = np.full(expected.shape, 7, Z.dtype)
    assert_same_bytes(predictor.into(Z, out, np.empty(size, Z.dtype)), expected)


def test_scratch_of_another_kind(frozen):
    predictor, Z, expected = frozen
    size = predictor.workspace_size(3)
    good = np.full(2 * size, 7, Z.dtype)
    locked = good.copy()
    locked.flags.writeable = False
    writable = "Predictor: scratch must be a contiguous, writable array"
    for bad, error, message in (
        (good.astype(other(Z.dtype)), TypeError, f"scratch is {other(Z.dtype)} where {Z.dtype}"),
        (good.astype("int64"), TypeError, "scratch must be float64 or float32, got int64"),
        (good.reshape(2, -1), ValueError, "scratch must have 1 dimensions"),
        (good[::2], ValueError, writable),
        (good[::-1], ValueError, writable),
        (good.astype(Z.dtype.newbyteorder()), ValueError, writable),
        (locked, ValueError, writable),
        ("scratch", TypeError, "scratch must be an array of float64 or float32, got 'scratch'"),
    ):
        out = np.full(expected.shape, 7, Z.dtype)
        check_refused(predictor, error, message, Z, out, bad)


def test_scratch_that_overlaps(frozen):
    """By one number, at either end; adjacent arrays in one block of memory are accepted."""
    predictor, Z, expected = frozen
    size = predictor.workspace_size(3)
    for name, array in (("Z", Z), ("out", expected)):
        for after in (False, True):
            block = np.full(size + array.size, 7, Z.dtype)
            one, two = np.split(block, [array.size if after else size])
            own, scratch = (one, two) if after else (two, one)
            own[:] = array.reshape(-1)
            first = array.size - 1 if after else 0
            overlapping = block[first : first + size + 1]
            given = own.reshape(array.shape)
            Z_, out = (given, np.zeros_like(expected)) if name == "Z" else (Z, given)
            message = f"Predictor: scratch overlaps {name}"
            check_refused(predictor, ValueError, message, Z_, out, overlapping)
            assert_same_bytes(predictor.into(Z_, out, scratch), expected)


def test_workspace_size():
    net = mixed()
    predictor = freeze(net, net.init(0))
    assert predictor.workspace_size(0) >= 0
    assert predictor.workspace_size(np.int64(3)) == predictor.workspace_size(3)
    for n in (-1, 1 - 2**63):
        with pytest.raises(ValueError, match=f"^Predictor: n must be at least 0, got {n}$"):
            predictor.workspace_size(n)
    for n in (1.5, "3", None, True):
        with pytest.raises(TypeError, match=f"^Predictor: n must be an integer, got {n!r} "):
            predictor.workspace_size(n)
    for n in (2**63, -(2**63)):
        with pytest.raises(OverflowError, match=f"^Predictor: n {n} does not fit"):
            predictor.workspace_size(n)


# Freezing


def test_predictor_without_bytes_refused():
    with pytest.raises(TypeError):
        Predictor()
    with pytest.raises(TypeError):
        Predictor.__new__(Predictor)


def test_predictor_nan_reaches_its_image_only(frozen):
    predictor, Z, expected = frozen
    Z[1, 4, 4, 0] = np.nan
    out = predictor(Z)
    assert np.isnan(out[1]).any() and np.isfinite(out[[0, 2]]).all()
    assert_same_bytes(out[[0, 2]], expected[[0, 2]])
