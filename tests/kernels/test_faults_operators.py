"""Bad input to the operators.

Each call raises the documented exception, whose message names the argument that was given and what
is expected; no argument changes and nothing is printed.
"""

import numpy as np
import pytest
from support.operators import OPERATORS, POOL, Index, check_refused, every_array, results

import matconv

ARRAYS = every_array()
REQUIRED = every_array(optional=False)


def ids(value):
    """Readable names for parametrised operators."""
    return getattr(value, "name", None)


class Refusal:
    """Assert that calls of operators raise, and change no argument.

    `algorithm` is the argument of the convolutions.
    """

    def __init__(self, capfd, algorithm):
        self.capfd = capfd
        self.algorithm = algorithm

    def __call__(self, call, error, *parts, unchanged=()):
        """Assert that a function without arguments raises, as `check_refused`."""
        check_refused(self.capfd, call, error, *parts, unchanged=unchanged)

    def arrays(self, operator, arrays, error, *parts, **options):
        """Assert that a call with these arrays and changed options raises."""
        options = {**operator.by(self.algorithm), **options}
        watched = [array for array in arrays.values() if isinstance(array, np.ndarray)]
        watched = [array for array in watched if array.dtype != object]
        self(lambda: operator(arrays, **options), error, operator.name, *parts, unchanged=watched)

    def array(self, operator, name, value, error, *parts, **options):
        """Assert that a valid call with one array replaced raises."""
        arrays = {**operator.arrays(), name: value}
        self.arrays(operator, arrays, error, f"{operator.name}: ", *parts, **options)

    def options(self, operator, error, *parts, **options):
        """Assert that a valid call with options replaced raises."""
        self.arrays(operator, operator.arrays(), error, f"{operator.name}: ", *parts, **options)


@pytest.fixture
def refused(capfd, algorithm):
    return Refusal(capfd, algorithm)


# Arrays


@pytest.mark.catalogue(1)
@pytest.mark.parametrize("value", [None, "Z", b"Z", [[1.0, 2.0], [3.0]], {"Z": 1}, object()])
@pytest.mark.parametrize("operator, name", ARRAYS, ids=ids)
def test_operators_argument_that_is_no_array_refused(operator, name, value, refused, algorithm):
    if value is None and (operator, name) not in REQUIRED:
        arrays = {**operator.arrays(), name: None}
        assert operator(arrays, **operator.by(algorithm)).shape == (2, *operator.out)
        return
    refused.array(operator, name, value, TypeError, name)


@pytest.mark.catalogue(2)
@pytest.mark.parametrize(
    "dtype",
    ["int64", "bool", "float16", "longdouble", "complex128", "complex64", "object", "i4,f8"],
)
@pytest.mark.parametrize("operator, name", ARRAYS, ids=ids)
def test_operators_other_dtypes_refused(operator, name, dtype, refused):
    value = np.zeros(operator.shape(name), dtype)
    refused.array(operator, name, value, TypeError, name, "float64 or float32", value.dtype)


@pytest.mark.catalogue(2)
@pytest.mark.parametrize("dtype", ["float64", "int64", "uint32", "bool"])
def test_operators_other_dtypes_of_indices_refused(dtype, refused):
    operator = OPERATORS["max_pool2d_backward"]
    value = np.zeros(operator.shape("indices"), dtype)
    refused.array(operator, "indices", value, TypeError, "indices", "int32", dtype)


@pytest.mark.catalogue(3)
@pytest.mark.parametrize("operator, name", ARRAYS, ids=ids)
@pytest.mark.parametrize("dtype, other", [("float64", "float32"), ("float32", "float64")])
def test_operators_mixed_dtypes_refused(operator, name, dtype, other, refused):
    arrays = operator.arrays(dtype=dtype)
    if len(operator.floats()) > 1:
        arrays[name] = arrays[name].astype(other)
        refused.arrays(operator, arrays, TypeError, dtype, other)


@pytest.mark.catalogue(4)
@pytest.mark.parametrize("operator, name", every_array(floats_only=False), ids=ids)
@pytest.mark.parametrize("change", ["one more", "one fewer", "none"])
def test_operators_wrong_dimensions_refused(operator, name, change, refused):
    array = operator.arrays()[name]
    value = {"one more": array[np.newaxis], "one fewer": array[0], "none": array.ravel()[0]}[change]
    if change != "none" and name in ("S", "dZ") and operator.name.startswith("bias_relu"):
        return  # channels last: any number of dimensions, one or more
    if operator.name.startswith("lrn") and (change != "none" and len(operator.shapes) == 1):
        return  # the same
    if operator.name.startswith("dense") and name == "Z" and change != "none":
        return  # an image of dense may have any number of dimensions
    value = np.asarray(value)
    given = str(value.shape)
    if name in ("S", "dZ"):
        given = "at least 1 dimension, got a scalar"
    refused.array(operator, name, value, ValueError, name, given)


@pytest.mark.catalogue(5)
@pytest.mark.parametrize("name", ["conv2d", "conv2d_backward"])
def test_operators_different_channels_refused(name, refused):
    operator = OPERATORS[name]
    filters = np.ones((3, 3, 2, 6))
    message = "W has 3 channels where Z has 4"
    refused.array(operator, "W", filters, ValueError, message, "groups of 2")
    filters = np.ones((2, 3, 2, 6))
    refused.array(operator, "W", filters, ValueError, "W has 2", "Z has 4", groups=1)


@pytest.mark.catalogue(5)
@pytest.mark.parametrize("name", ["dense", "dense_backward"])
def test_dense_different_sizes_refused(name, refused):
    refused.array(OPERATORS[name], "W", np.ones((119, 7)), ValueError, "119", "120")


@pytest.mark.catalogue(6)
@pytest.mark.parametrize("name", ["bias_relu", "conv2d", "dense"])
def test_operators_bias_of_wrong_shape_refused(name, refused):
    operator = OPERATORS[name]
    (d,) = operator.shapes["b"]
    for shape in ((d + 1,), (d - 1,), (1,), (0,)):
        refused.array(operator, "b", np.ones(shape), ValueError, f"b must have shape ({d},)", shape)
    for shape in ((1, d), (d, 1), ()):
        refused.array(operator, "b", np.ones(shape), ValueError, "b must have 1 dimension", shape)


@pytest.mark.catalogue(7)
def test_operators_zero_sizes_refused(refused):
    for name in ("conv2d", "conv2d_backward"):
        for shape, word in (
            ((0, 3, 2, 6), "W has 0 channels"),
            ((2, 0, 2, 6), "kernel height and width must be at least 1, got 0 x 2"),
            ((2, 3, 0, 6), "kernel height and width must be at least 1, got 3 x 0"),
            ((2, 3, 2, 0), "output channels must be at least 1, got 0"),
        ):
            refused.array(OPERATORS[name], "W", np.ones(shape), ValueError, word)
    for name in ("im2col", "conv2d", "conv2d_backward", "max_pool2d", "avg_pool2d"):
        for shape, word in (
            ((2, 6, 5, 0), "input channels must be at least 1, got 0"),
            ((2, 0, 5, 4), "input height and width must be at least 1, got 0 x 5"),
            ((2, 6, 0, 4), "input height and width must be at least 1, got 6 x 0"),
        ):
            refused.array(OPERATORS[name], "Z", np.ones(shape), ValueError, word)
    for name, key in (
        ("im2col", "kernel"), ("col2im", "kernel"), ("max_pool2d", "window"),
        ("avg_pool2d", "window"), ("avg_pool2d_backward", "window"),
    ):  # fmt: skip
        for size in (0, (0, 2), (3, 0)):
            options = {key: size}
            refused.options(OPERATORS[name], ValueError, "must be at least 1, got", **options)
    for name in ("bias_relu", "bias_relu_backward"):
        operator = OPERATORS[name]
        first = operator.floats()[0]
        refused.array(operator, first, np.ones((2, 0)), ValueError, "at least 1 channel, got 0")
    for name in ("dense", "dense_backward"):
        refused.array(OPERATORS[name], "W", np.ones((120, 0)), ValueError, "at least 1, got 0")


# Geometry

WINDOWED = [
    ("im2col", "kernel"), ("col2im", "kernel"), ("max_pool2d", "window"), ("avg_pool2d", "window"),
    ("avg_pool2d_backward", "window"),
]  # fmt: skip


@pytest.mark.catalogue(9)
@pytest.mark.parametrize("name, key", WINDOWED)
def test_kernel_beyond_the_padded_input(name, key, refused):
    plain = {"stride": 1, "pad": 0, **({"dilation": 1} if key == "kernel" else {})}
    for size, text in (((7, 2), "7 x 2"), ((2, 6), "2 x 6"), (10, "10 x 10")):
        refused.options(
            OPERATORS[name], ValueError,
            f"padded input (6 x 5) is smaller than the {key} ({text})", **{key: size}, **plain,
        )  # fmt: skip
    refused.options(
        OPERATORS[name], ValueError, "padded input (9 x 5)", "(10 x 2)",
        **{**plain, key: (10, 2), "pad": ((1, 2), (0, 0))},
    )  # fmt: skip


@pytest.mark.catalogue(9)
@pytest.mark.parametrize("name", ["conv2d", "conv2d_backward"])
def test_filter_beyond_the_padded_input(name, refused):
    plain = {"stride": 1, "pad": 0, "dilation": 1}
    for size in ((7, 2), (2, 6), (10, 10)):
        refused.array(
            OPERATORS[name], "W", np.ones((2, *size, 6)), ValueError,
            f"padded input (6 x 5) is smaller than the kernel ({size[0]} x {size[1]})", **plain,
        )  # fmt: skip


@pytest.mark.catalogue(10)
def test_operators_window_beyond_image_refused_despite_stride(refused, algorithm):
    """floor((2 - 3) / 4) + 1 is 0; a division that truncates would make it 1."""
    Z, W = np.ones((1, 2, 2, 1)), np.ones((1, 3, 3, 1))
    phi, dS = np.ones((1, 1, 9)), np.ones((1, 1, 1, 1))
    for name, call in (
        ("im2col", lambda: matconv.im2col(Z, 3, stride=4)),
        ("col2im", lambda: matconv.col2im(phi, (1, 2, 2, 1), 3, stride=4)),
        ("conv2d", lambda: matconv.conv2d(Z, W, stride=4, algorithm=algorithm)),
        (
            "conv2d_backward",
            lambda: matconv.conv2d_backward(dS, Z, W, stride=4, algorithm=algorithm),
        ),
        ("max_pool2d", lambda: matconv.max_pool2d(Z, 3, stride=4)),
        ("avg_pool2d", lambda: matconv.avg_pool2d(Z, 3, stride=4)),
        ("avg_pool2d_backward", lambda: matconv.avg_pool2d_backward(dS, (1, 2, 2, 1), 3, 4)),
    ):
        refused(
            call, ValueError, f"{name}: padded input (2 x 2) is smaller than the ", "(3 x 3)",
            unchanged=(Z, W, phi, dS),
        )  # fmt: skip


@pytest.mark.catalogue(11)
@pytest.mark.parametrize("name", ["im2col", "col2im", "conv2d", "conv2d_backward"])
def test_dilation_makes_the_kernel_too_large(name, refused):
    refused.options(
        OPERATORS[name], ValueError, "padded input (7 x 7)", "3 x 2, dilated 9 x 2",
        dilation=(4, 1),
    )  # fmt: skip


def sized(name):
    """The options of an operator that are sizes."""
    sizes = ("kernel", "window", "stride", "pad", "dilation", "groups")
    return [key for key in OPERATORS[name].options if key in sizes]


SIZED = [(name, key) for name in OPERATORS for key in sized(name)]


@pytest.mark.catalogue(12)
@pytest.mark.parametrize("name, key", SIZED)
def test_operators_small_sizes_refused(name, key, refused):
    minimum = 0 if key == "pad" else 1
    for value in (-1, -(2**40)) if key == "pad" else (0, -1, -(2**40)):
        refused.options(
            OPERATORS[name], ValueError, f"must be at least {minimum}, got", value,
            **{key: value},
        )  # fmt: skip
        if key != "groups":
            refused.options(
                OPERATORS[name], ValueError, f"must be at least {minimum}, got", value,
                **{key: (1, value)},
            )  # fmt: skip


@pytest.mark.catalogue(13)
@pytest.mark.parametrize("name, key", SIZED)
@pytest.mark.parametrize("value", [1.5, 1.0, "2", True, None, 1j, np.float64(1), np.True_])
def test_operators_sizes_not_integers_refused(name, key, value, refused):
    message = f"{key} must be"
    default = value is None and key == "stride" and "pool" in name  # the window
    if not default:
        refused.options(OPERATORS[name], TypeError, message, repr(value), **{key: value})
    if key != "groups":
        refused.options(OPERATORS[name], TypeError, message, repr(value), **{key: (1, value)})


@pytest.mark.catalogue(13)
@pytest.mark.parametrize("name, key", SIZED)
@pytest.mark.parametrize("kind", [Index, np.int8, np.uint64, np.array])
def test_operators_sizes_with_index_method_accepted(name, key, kind, algorithm):
    operator = OPERATORS[name]
    by = operator.by(algorithm)
    value = operator.options[key]

    def convert(size):
        return tuple(map(convert, size)) if isinstance(size, tuple) else kind(size)

    expected = results(operator(operator.arrays(), **by))
    actual = results(operator(operator.arrays(), **by, **{key: convert(value)}))
    for one, other in zip(expected, actual, strict=True):
        assert np.array_equal(one, other)
    if name in ("im2col", "max_pool2d", "avg_pool2d"):  # the output may have any size
        size = 1 if key == "pad" else 2
        one = results(operator(operator.arrays(), **{key: size}))[0]
        assert np.array_equal(one, results(operator(operator.arrays(), **{key: kind(size)}))[0])


@pytest.mark.catalogue(14)
@pytest.mark.parametrize("name, key", [pair for pair in SIZED if pair[1] != "groups"])
@pytest.mark.parametrize("value", [(), (1,), (1, 1, 1), [1, 1, 1]])
def test_operators_pairs_of_wrong_length_refused(name, key, value, refused):
    refused.options(
        OPERATORS[name], ValueError, f"{key} must be", "pair", f"length {len(value)}",
        **{key: value},
    )  # fmt: skip
    if key == "pad":
        for sides in ((value, (1, 1)), ((1, 1), value)):
            refused.options(OPERATORS[name], ValueError, "pad must be", sides, pad=sides)


@pytest.mark.catalogue(16)
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "avg_pool2d_backward"])
def test_pool_padding_of_window_size_refused(name, refused):
    for pad in (3, (3, 0), (0, 2), ((3, 0), (0, 0)), ((0, 0), (0, 2))):
        refused.options(
            OPERATORS[name], ValueError, "must be smaller than the window (3 x 2)", pad=pad
        )
    assert POOL["window"] == (3, 2)


@pytest.mark.catalogue(23)
@pytest.mark.parametrize("name", ["conv2d", "conv2d_backward"])
def test_operators_groups_that_do_not_divide_refused(name, refused):
    for groups, d_out in ((3, 6), (5, 5), (4, 6), (2, 7)):
        W = np.ones((max(4 // groups, 1), 3, 2, d_out))
        refused.array(
            OPERATORS[name], "W", W, ValueError,
            f"groups {groups} must divide the 4 input channels and the {d_out} output channels",
            groups=groups,
        )  # fmt: skip
