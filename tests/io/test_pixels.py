"""Pixels: computed in double precision and rounded once; a warning if they differ from those of training."""

import copy
import fractions
import pickle
import re
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matconv import Dense, Network
from matconv.io import Model, describe_pixels, load_model, save_model
from matconv.io import pixels as module
from matconv.io.pixels import mismatch, scaled

REAL = [
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64", "longdouble"),
]


def model(shift=0.0, scale=1.0, dtype=np.float32, shape=(1, 1, 1), **more):
    net = Network(shape, [Dense(2)], dtype=dtype)
    preprocessing = None if shift is None else {"shift": shift, "scale": scale}
    return Model(net, net.init(0), preprocessing=preprocessing, **more)


def one(pixel, shift, scale, dtype=np.float32):
    return model(shift, scale, dtype).prepare(np.array(pixel).reshape(1, 1, 1, 1)).item()


# Values


@pytest.mark.parametrize(
    ("pixel", "shift", "scale", "expected"),
    [
        (np.int32(2**24 + 1), 2.0**24, 1.0, 1.0),
        (np.uint32(2**32 - 1), 2.0**32, 1.0, -1.0),
        (np.float64(1e40), 0.0, 1e-40, 1.0),
        (np.float64(1 + 2**-40), 1.0, 2.0**40, 1.0),
        (np.int64(10**9 + 100), 1e9, 1.0, 100.0),
        (np.int64(2**60 + 3), 2.0**60, 1.0, 3.0),
        (np.int64(-(2**60) - 3), -(2.0**60), 1.0, -3.0),
        (np.int64(-(2**63)), -(2.0**63), 1.0, 0.0),
        (np.int64(2**63 - 1), 2.0**63, 1.0, -1.0),
        (np.uint64(2**64 - 1), 2.0**64, 1.0, -1.0),
        (np.uint64(2**63 + 2**52 + 1), 2.0**63, 1.0, 2.0**52),
        (np.bool_(True), 0.5, 4.0, 2.0),
        (np.float16(0.5), 0.25, 2.0, 0.5),
        (np.longdouble(1) + np.longdouble(2) ** -60, 1.0, 2.0**60, 1.0),
    ],
)
def test_prepare_subtracts_without_rounding(pixel, shift, scale, expected):
    if isinstance(pixel, np.longdouble) and np.finfo(np.longdouble).nmant < 60:
        expected = 0.0
    assert one(pixel, shift, scale) == expected


@given(
    pixel=st.integers(-(2**63), 2**63 - 1),
    shift=st.floats(-(2.0**64), 2.0**64),
    scale=st.floats(1e-10, 1e10),
)
def test_prepare_of_int64_is_the_rounded_difference(pixel, shift, scale):
    found = scaled(np.array([pixel]), shift, scale, np.dtype(np.float64)).item()
    exact = (pixel - fractions.Fraction(shift)) * fractions.Fraction(scale)
    # high - shift, + low, * scale: three roundings, the first exact where high is near to shift
    tolerance = 2**-51 * (abs(exact) + fractions.Fraction(scale) * 2**-10)
    assert abs(fractions.Fraction(found) - exact) <= tolerance


@given(pixel=st.floats(-1e30, 1e30), shift=st.floats(-1e30, 1e30), scale=st.floats(1e-8, 1e8))
def test_prepare_in_float32_rounds_the_double_result_once(pixel, shift, scale):
    assert one(pixel, shift, scale) == np.float32((pixel - shift) * scale)
    assert one(pixel, shift, scale, np.float64) == (pixel - shift) * scale


def test_prepare_without_preprocessing_rounds_once():
    # to double first, it would be a tie and become 2^60
    pixel = 2**60 + 2**36 + 1
    assert one(np.int64(pixel), None, None) == np.float32(2**60 + 2**37)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("size", [0, 1, 5, 3000])
def test_prepare_of_any_layout_is_that_of_a_contiguous_copy(dtype, size):
    pixels = np.random.default_rng(0).integers(0, 2, (size, 5, 6, 2)).astype(dtype)
    prepared = model(0.25, 0.5, np.float64, (5, 6, 2)).prepare
    expected = (pixels.astype(np.float64) - 0.25) * 0.5
    wide = np.repeat(pixels, 2, axis=2)[:, :, ::2]
    swapped = pixels.astype(pixels.dtype.newbyteorder())
    negative = pixels[:, ::-1].copy()[:, ::-1]
    readonly = pixels.copy()
    readonly.flags.writeable = False
    for same in (pixels, wide, swapped, negative, readonly, np.asfortranarray(pixels)):
        before = same.copy()
        Z = prepared(same)
        np.testing.assert_array_equal(Z, expected, strict=True)
        assert Z.flags.c_contiguous and Z.flags.writeable
        np.testing.assert_array_equal(same, before)
    whole = np.broadcast_to(pixels[:1], pixels.shape)
    np.testing.assert_array_equal(prepared(whole), np.broadcast_to(expected[:1], whole.shape))


def test_prepare_needs_bounded_memory():
    pixels = np.zeros((400, 50, 50, 1), np.uint8)
    tested = model(1.0, 2.0, np.float32, (50, 50, 1), pixels=describe_pixels(pixels))
    tested.prepare(pixels[:1])
    tracemalloc.start()
    try:
        Z = tested.prepare(pixels)
        assert tracemalloc.get_traced_memory()[1] - Z.nbytes < 40 * module._CHUNK
    finally:
        tracemalloc.stop()
    assert Z.nbytes > 60 * module._CHUNK


def test_prepare_nan_and_infinities_propagate_in_silence():
    pixels = np.array([np.nan, np.inf, -np.inf, 1e308, -0.0]).reshape(5, 1, 1, 1)
    with np.errstate(all="raise"):
        Z = model(0.0, 10.0, pixels=describe_pixels(pixels)).prepare(pixels).ravel()
        assert model(None).prepare(pixels).ravel()[3] == np.inf
    np.testing.assert_array_equal(Z, [np.nan, np.inf, -np.inf, np.inf, -0.0])
    assert np.signbit(Z[4])


@pytest.mark.parametrize("method", ["prepare", "predict", "convert", "mismatch"])
def test_pixels_masked_array_is_refused(method):
    message = f"^Model.{method}: pixels is a masked array; fill it or drop the mask first$"
    with pytest.raises(TypeError, match=message):
        getattr(model(), method)(np.ma.zeros((2, 1, 1, 1)))


# Description


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([3, 250], np.uint8), ("uint8", 3.0, 250.0)),
        (np.array([-3, 250], ">i2"), ("int16", -3.0, 250.0)),
        (np.array([2**64 - 1], np.uint64), ("uint64", 2.0**64, 2.0**64)),
        (np.array([False, True]), ("bool", 0.0, 1.0)),
        (np.array([[0.5, np.nan], [np.inf, -0.25]]), ("float64", -0.25, 0.5)),
        (np.array([1, 2], np.longlong), ("int64", 1.0, 2.0)),
        ([[1, 2]], ("int64", 1.0, 2.0)),
        (np.arange(200_000.0)[::-1], ("float64", 0.0, 199_999.0)),
    ],
)
def test_describe_pixels(pixels, expected):
    assert describe_pixels(pixels) == dict(zip(("dtype", "min", "max"), expected, strict=True))


@pytest.mark.parametrize("pixels", [np.zeros((0, 2)), np.array([np.nan, np.inf])])
def test_describe_pixels_without_finite_pixels_is_none(pixels):
    assert describe_pixels(pixels) is None


def test_describe_pixels_refuses():
    with pytest.raises(TypeError, match="^describe_pixels: pixels is a masked array; fill it or"):
        describe_pixels(np.ma.zeros(3))
    for dtype in (complex, object, "U3", "M8[s]"):
        with pytest.raises(TypeError, match="^describe_pixels: pixels must be real numbers, got "):
            describe_pixels(np.zeros(3).astype(dtype))


def test_model_copies_keep_the_description():
    tested = model(pixels=describe_pixels(BYTES))
    for same in (pickle.loads(pickle.dumps(tested)), copy.copy(tested), copy.deepcopy(tested)):
        assert same.pixels == tested.pixels and same.pixels is not tested.pixels


@pytest.mark.parametrize("dtype", REAL)
def test_every_description_can_be_saved(tmp_path, dtype):
    tested = model()
    found = describe_pixels(np.array([0, 1], dtype))
    save_model(tmp_path / "m.npz", tested.network, tested.theta, pixels=found)
    assert load_model(tmp_path / "m.npz").pixels == found


# Comparison: trained on, given, whether that is worth a warning

BYTES = np.array([0, 255], np.uint8)
UNIT = np.array([0.0, 1.0])


@pytest.mark.parametrize(
    ("trained", "given", "text"),
    [
        (BYTES, UNIT, "the pixels are float64 from 0 to 1, those of training were uint8 from 0 to"),
        (BYTES, UNIT.astype("f4"), "the pixels are float32 from 0 to 1"),
        (BYTES, BYTES / 1.0, "the pixels are float64 from 0 to 255, those of training were uint8"),
        (BYTES, BYTES.astype("u2") * 257, "uint16 from 0 to 65535, .* uint8 from 0 to 255$"),
        (BYTES, np.array([-128, 127], "i1"), "int8 from -128 to 127"),
        (BYTES, np.array([0, 300]), "int64 from 0 to 300"),
        (np.array([0, 16], "u1"), BYTES, "uint8 from 0 to 255, .* uint8 from 0 to 16$"),
        (BYTES.astype("u2") * 257, BYTES * 0 + UNIT, "float64 from 0 to 1"),
        (UNIT, BYTES, "the pixels are uint8 from 0 to 255, those of training were float64 from 0"),
        (UNIT, BYTES > 0, "the pixels are bool from 0 to 1, those of training were float64"),
        (UNIT, UNIT * 255, "float64 from 0 to 255, .* float64 from 0 to 1$"),
        (UNIT * 255, UNIT, "float64 from 0 to 1, .* float64 from 0 to 255$"),
        (UNIT, UNIT - 5, "float64 from -5 to -4"),
        (UNIT > 0, BYTES, "uint8 from 0 to 255, those of training were bool from 0 to 1$"),
    ],
)
def test_mismatch_names_both(trained, given, text):
    found = mismatch(describe_pixels(trained), given)
    assert found is not None and re.search(text, found)


@pytest.mark.parametrize(
    ("trained", "given"),
    [
        (BYTES, BYTES),
        (BYTES, np.array([0, 1], np.uint8)),
        (BYTES, np.array([7], np.uint8)),
        (np.array([0, 250], np.uint8), BYTES),
        (BYTES, BYTES.astype(np.int64)),
        (BYTES, BYTES.astype(np.uint16)),
        (np.array([0, 250], np.uint8), BYTES.astype(np.int64)),
        (BYTES, BYTES[:0]),
        (UNIT, UNIT.astype(np.float32)),
        (UNIT.astype(np.float32), UNIT),
        (UNIT, UNIT.astype(np.float16)),
        (UNIT, UNIT.astype(np.longdouble)),
        (UNIT, UNIT / 50),
        (UNIT, UNIT * 0),
        (UNIT, UNIT + [0, 0.5]),
        (np.array([-2.0, 3.0]), np.array([-3.5, 5.0])),
        (UNIT, np.array([np.nan, np.inf, 0.5])),
        (UNIT, np.array([np.nan])),
        (UNIT > 0, np.array([0, 1], np.uint8)),
    ],
)
def test_mismatch_of_ordinary_images_is_none(trained, given):
    assert mismatch(describe_pixels(trained), given) is None


def test_mismatch_without_a_description_is_none():
    assert mismatch(None, BYTES) is None


def test_mismatch_of_subsets_of_real_images_is_none():
    from matconv.data import load_digits

    digits = load_digits()
    trained = describe_pixels(digits.Z_train)
    for dtype in (np.float64, np.float32):
        assert all(mismatch(trained, Z.astype(dtype)) is None for Z in digits.Z_test)


@pytest.mark.parametrize("method", ["prepare", "predict"])
def test_model_warns_at_the_callers_line(method):
    tested = model(0.0, 1 / 255, pixels=describe_pixels(BYTES))
    with pytest.warns(UserWarning, match=f"^Model.{method}: the pixels are float64 from") as caught:
        getattr(tested, method)(UNIT.reshape(2, 1, 1, 1))
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(tested, method)(BYTES.reshape(2, 1, 1, 1))
        getattr(model(0.0, 1.0), method)(UNIT.reshape(2, 1, 1, 1))
        tested.convert(UNIT.reshape(2, 1, 1, 1))


def test_model_mismatch_and_convert():
    tested = model(1.0, 2.0, pixels=describe_pixels(BYTES))
    given = UNIT.reshape(2, 1, 1, 1)
    assert tested.mismatch(given) == mismatch(describe_pixels(BYTES), given)
    assert tested.convert(given).ravel().tolist() == [-2.0, 0.0]
    for method in ("convert", "mismatch"):
        with pytest.raises(ValueError, match=rf"^Model.{method}: pixels must have the shape"):
            getattr(tested, method)(UNIT)
