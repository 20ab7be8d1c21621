"""Bad geometries of the C functions: the documented status, and outputs unchanged."""

import ctypes

import numpy as np
import pytest
from support import capi, capi_calls
from support.capi import DTYPES, OK, Geometry, entry
from support.capi_refusals import calls, check_geometry_refused, check_refused

import matconv

pytestmark = pytest.mark.catalogue(60)

HUGE = (2**31, 2**32, 2**40, 2**62, 2**63 - 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, -8, 8])
def test_struct_size(dtype, size):
    """Not initialised, or of another version: a byte more or less."""
    right = ctypes.sizeof(Geometry)
    assert right == 22 * 8
    for call in calls(dtype, with_geometry=True):
        wrong = size if size in (0, 1) else right + size
        check_geometry_refused(call, capi.STRUCT, struct_size=wrong)


POSITIVE = tuple(name for name in capi.GIVEN if name != "images" and not name.startswith("pad_"))
NOT_NEGATIVE = ("images", "pad_top", "pad_bottom", "pad_left", "pad_right")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", POSITIVE + NOT_NEGATIVE)
def test_sizes_below_minimum_refused(dtype, name):
    for call in calls(dtype, with_geometry=True):
        for value in (*((0,) if name in POSITIVE else ()), -1, -(2**62), -(2**63)):
            if name == "filters" and call.name.startswith(("im2col", "col2im")):
                continue  # ignored there
            check_geometry_refused(call, capi.SIZE, **{name: value})


@pytest.mark.parametrize("dtype", DTYPES)
def test_im2col_number_of_filters_ignored(dtype):
    for call in calls(dtype, with_geometry=True):
        if call.name in ("im2col", "col2im"):
            for d_out in (0, 1, 5, -1, 2**62):
                call.poison()
                g = Geometry.from_buffer_copy(call.arguments["g"])
                g.filters = d_out
                assert call(g=g) == OK
                assert call.results()[0].tobytes() == call.expected[0].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "fields",
    [
        {"kernel_height": 10},
        {"kernel_width": 9},
        {"kernel_height": 10, "kernel_width": 9},
        {"height": 1, "pad_top": 0, "pad_bottom": 0},
        # out_height = 1 + (2 - 3) / 4, and C rounds the quotient to 0
        {"height": 2, "pad_top": 0, "pad_bottom": 0, "stride_down": 4},
    ],
)
def test_kernel_beyond_the_padded_input(dtype, fields):
    for call in calls(dtype, with_geometry=True):
        check_geometry_refused(call, capi.KERNEL, **fields)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dilation_makes_the_kernel_too_large(dtype):
    for call in calls(dtype, with_geometry=True):
        check_geometry_refused(call, capi.KERNEL, dilation_down=5)
        check_geometry_refused(call, capi.KERNEL, dilation_down=2**61)
        check_geometry_refused(call, capi.KERNEL, dilation_right=100)


@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_that_do_not_divide(dtype):
    for call in calls(dtype, with_geometry=True):
        check_geometry_refused(call, capi.GROUPS, groups=3)
        check_geometry_refused(call, capi.GROUPS, groups=5)
        if call.name in ("im2col", "col2im") or "pool" in call.name:
            check_geometry_refused(call, capi.GROUPS, groups=2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", HUGE)
def test_sizes_that_do_not_fit(dtype, value):
    """A window as high as the padding lets it be, and products of the sizes."""
    for call in calls(dtype, with_geometry=True):
        for fields in (
            {"images": value, "height": 2**31, "width": 2**31},
            {"pad_top": value, "pad_left": 2**62, "pad_right": 2**62},
            {"kernel_height": value, "dilation_down": 2**62},
            {"images": 2**60, "height": value // 2, "pad_top": 0},
        ):
            check_geometry_refused(call, capi.OVERFLOW, **fields)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dimensions_beyond_the_integers_of_blas(dtype):
    for call in calls(dtype, with_geometry=True):
        if call.name.startswith(("conv", "geometry")):
            check_geometry_refused(call, capi.BLAS_INT, channels=2**31)
            check_geometry_refused(call, capi.BLAS_INT, filters=2**31)
            check_geometry_refused(call, capi.BLAS_INT, kernel_width=2**31 - 1, pad_right=2**31)
            if call.name == "geometry_init":
                g = Geometry.from_buffer_copy(call.arguments["g"])
                g.channels, g.groups, g.kernel_height, g.kernel_width = 2**31 - 1, 1, 1, 1
                assert call(g=g) == OK and g.column_length == 2**31 - 1
        elif call.name.startswith("dense"):
            check_refused(call, capi.BLAS_INT, inputs=2**31)
            check_refused(call, capi.BLAS_INT, units=2**31)


@pytest.mark.parametrize("dtype", DTYPES)
def test_phi_that_does_not_fit(dtype):
    """The images and the outputs fit, each pixel in 2**17 windows does not."""
    for call in calls(dtype, with_geometry=True):
        if call.name in ("im2col", "col2im"):
            check_geometry_refused(
                call, capi.OVERFLOW, images=2**40, height=2**18, width=1, channels=1, filters=1,
                kernel_height=2**17, kernel_width=1, stride_down=1, stride_right=1,
                pad_right=0, pad_top=2**17, pad_bottom=2**18,
            )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_padding_of_a_pooling_window(dtype):
    for call in calls(dtype, with_geometry=True):
        if "pool" in call.name:
            for size, names in ((3, ("pad_top", "pad_bottom")), (2, ("pad_left", "pad_right"))):
                for name in names:
                    check_geometry_refused(call, capi.PADDING, **{name: size})
                    check_geometry_refused(call, capi.PADDING, **{name: size + 1})


@pytest.mark.parametrize("dtype", DTYPES)
def test_pool_dilation_or_other_filters_refused(dtype):
    for call in calls(dtype, with_geometry=True):
        if "pool" in call.name:
            for name, value in (
                ("filters", 5), ("filters", 8), ("dilation_down", 2), ("dilation_right", 2),
            ):  # fmt: skip
                check_geometry_refused(call, capi.SIZE, **{name: value})
            check_geometry_refused(
                call, capi.OVERFLOW, height=2**16, width=2**15
            )  # indices are of the type int


def test_sizes_too_large_refused_by_python_too():
    """The same arithmetic behind both: what C calls OVERFLOW is Python's OverflowError."""
    with pytest.raises(OverflowError, match="im2col: the sizes overflow"):
        matconv.im2col(np.ones((1, 2, 2, 1)), 1, pad=2**40)
    g = capi_calls.geometry_of((1, 2, 2, 1), 1)
    g.pad_top = g.pad_bottom = g.pad_left = g.pad_right = 2**40
    array = np.ones(4)
    assert entry("im2col", "float64")(g, array, array) == capi.OVERFLOW
    assert array.tolist() == [1] * 4
