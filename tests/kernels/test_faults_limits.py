"""Sizes that cannot be represented or held, outputs that cannot be written into, operands that do
not fit the geometry, and arrays that are not quite arrays. The numbers are those of the catalogue.
"""

import tracemalloc
from functools import partial

import numpy as np
import pytest
from support.operators import OPERATORS, WINDOW, WITH_OUT, check_refused, every_array, results

import matconv
from matconv.kernels import _conv as conv
from matconv.kernels import _geometry as geometry

DTYPES = ("float64", "float32")


@pytest.fixture
def refused(capfd):
    """`operators.check_refused`, watching stdout and stderr."""
    return partial(check_refused, capfd)


def ids(value):
    """Readable names for parametrised operators."""
    return getattr(value, "name", None)


@pytest.fixture
def little_memory():
    """The test allocates less than 4 MB through Python and numpy."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6


# 17 to 19: sizes


@pytest.mark.catalogue(17)
@pytest.mark.parametrize("pad", [2**31, 2**55, 2**62, 2**63 - 2, 2**63, 2**100])
@pytest.mark.parametrize("name", ["im2col", "col2im", "conv2d", "conv2d_backward"])
def test_giant_padding(name, pad, refused, little_memory):
    operator = OPERATORS[name]
    arrays = operator.arrays()
    for sides in (pad, (pad, pad), ((pad, pad), (pad, pad)), ((0, pad), (pad, 0))):
        refused(
            lambda sides=sides: operator(arrays, pad=sides, stride=1), OverflowError, f"{name}: ",
            unchanged=arrays.values(),
        )  # fmt: skip


@pytest.mark.catalogue(17)
@pytest.mark.parametrize("pad", [2**31, 2**55, 2**62, 2**63 - 2])
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "avg_pool2d_backward"])
def test_giant_padding_of_pools(name, pad, refused, little_memory):
    operator = OPERATORS[name]
    arrays = operator.arrays()
    refused(
        lambda: operator(arrays, pad=pad, stride=1), (OverflowError, ValueError), f"{name}: ",
        unchanged=arrays.values(),
    )  # fmt: skip


@pytest.mark.catalogue(17)
@pytest.mark.parametrize("size", [2**32, 2**62, 2**63 - 1, 2**63, 2**100])
@pytest.mark.parametrize(
    "name, key", [("im2col", "kernel"), ("col2im", "kernel"), ("im2col", "dilation"),
                  ("conv2d", "dilation"), ("conv2d_backward", "dilation"), ("max_pool2d", "window"),
                  ("avg_pool2d", "window"), ("avg_pool2d_backward", "window")],
)  # fmt: skip
def test_giant_windows(name, key, size, refused, little_memory):
    operator = OPERATORS[name]
    arrays = operator.arrays()
    for value in (size, (size, 2), (2, size)):
        refused(
            lambda value=value: operator(arrays, **{key: value}), (OverflowError, ValueError),
            f"{name}: ", unchanged=arrays.values(),
        )  # fmt: skip


@pytest.mark.catalogue(17)
@pytest.mark.parametrize("stride", [2**31, 2**62, 2**63 - 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_giant_strides_give_one_window(stride, dtype):
    arrays = OPERATORS["im2col"].arrays(dtype=dtype)
    first = matconv.im2col(**arrays, **WINDOW)[:, :1]
    assert np.array_equal(matconv.im2col(**arrays, **{**WINDOW, "stride": stride}), first)


@pytest.mark.catalogue(17)
def test_giant_sizes_in_a_message_do_not_overflow():
    pad = 2**63 - 1
    with pytest.raises(ValueError, match=rf"padded input \(6 x {2 * pad + 6}\) is smaller"):
        matconv.im2col(np.ones((1, 6, 6, 1)), (9, 3), pad=((0, 0), (pad, pad)))
    with pytest.raises(ValueError, match=rf"\(9 x 3, dilated 9 x {2 * pad + 1}\)"):
        matconv.im2col(np.ones((1, 6, 6, 1)), (9, 3), dilation=(1, pad))


@pytest.mark.catalogue(17)
def test_giant_window_position_does_not_overflow():
    """Two windows of one pixel, 2**62 apart: one on the padding, one on the image."""
    Z = np.ones((1, 2, 2, 1))
    far = {"stride": 2**62, "pad": ((0, 0), (2**62, 0))}
    for dilation in (1, 2**62, 2**63 - 1):  # of no effect on a window of one pixel
        phi = matconv.im2col(Z, 1, dilation=dilation, **far)
        assert phi.tolist() == [[[0.0], [1.0]]]
        S = matconv.conv2d(Z, np.ones((1, 1, 1, 1)), dilation=dilation, **far)
        assert S.tolist() == [[[[0.0], [1.0]]]]
        W = np.ones((1, 1, 1, 1))
        dZ, _, _ = matconv.conv2d_backward(S + 1, Z, W, dilation=dilation, **far)
        assert dZ.ravel().tolist() == [2.0, 0.0, 0.0, 0.0]


@pytest.mark.catalogue(18)
def test_more_pixels_than_32_bits_count(tmp_path):
    """Offsets beyond 2**31 and 2**32 are right: the four corners of an image of 2**32 numbers.

    The image is a file with nothing but holes, so that only the pages touched exist.
    """
    n = 2**16
    Z = np.memmap(tmp_path / "holes", np.float32, "w+", shape=(1, n, n, 1))
    Z[0, 0, 0], Z[0, 0, -1], Z[0, -1, 0], Z[0, -1, -1] = 1, 2, 3, 4
    stride = n - 1
    assert matconv.im2col(Z, 1, stride=stride).ravel().tolist() == [1, 2, 3, 4]
    S = matconv.conv2d(Z, np.full((1, 1, 1, 1), 10, np.float32), stride=stride)
    assert S.ravel().tolist() == [10, 20, 30, 40]
    for pool in (matconv.max_pool2d, matconv.avg_pool2d):
        with pytest.raises(OverflowError, match="pool2d: an image of 65536 x 65536 has too many"):
            pool(Z, 1, stride=stride)
    W = np.memmap(tmp_path / "filter", np.float32, "w+", shape=(1, n, n, 1))
    with pytest.raises(OverflowError, match="conv2d: a matrix dimension exceeds the integers of B"):
        matconv.conv2d(Z, W)


@pytest.mark.catalogue(18)
def test_operators_dimension_beyond_blas_refused():
    for shape, kernel, channels in (
        ((1, 2**16, 2**16, 1), 2**16, 1),
        ((1, 1, 1, 2**31), 1, 1),
        ((1, 1, 1, 1), 1, 2**31),
    ):
        with pytest.raises(OverflowError, match="f: a matrix dimension exceeds .* 2147483647 "):
            geometry.WindowGeometry("f", shape, kernel, channels=channels)
    geometry.WindowGeometry("f", (1, 1, 1, 2**31 - 1), 1, channels=1)


@pytest.mark.catalogue(19)
@pytest.mark.parametrize(
    "name, call",
    [
        ("im2col", lambda: matconv.im2col(np.ones((1, 1, 1, 1)), 1, pad=2**22)),
        ("conv2d", lambda: matconv.conv2d(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1)), pad=2**22)),
        ("col2im", lambda: matconv.col2im(np.ones((1, 1, 1)), (1, 2**23, 2**24, 1), 1, 2**24)),
        ("avg_pool2d_backward", lambda: matconv.avg_pool2d_backward(
            np.ones((1, 1, 1, 2**20)), (1, 2**13, 2**14, 2**20), 1, 2**14)),
        ("max_pool2d_backward", lambda: matconv.max_pool2d_backward(
            np.ones((1, 1, 1, 2**20)), np.zeros((1, 1, 1, 2**20), np.int32),
            (1, 2**13, 2**14, 2**20))),
    ],
)  # fmt: skip
def test_operators_giant_output_raises_memory_error(name, call, refused):
    refused(call, MemoryError, "Unable to allocate", "iB", "shape")


# 20: outputs


def misaligned(shape, dtype):
    """An array whose first number lies one byte beside its place, full of sevens."""
    itemsize = np.dtype(dtype).itemsize
    block = np.zeros(int(np.prod(shape)) * itemsize + itemsize, np.uint8)
    array = block[1 : 1 + block.size - itemsize].view(dtype).reshape(shape)
    array[...] = 7
    assert not array.flags.aligned
    return array


@pytest.mark.catalogue(20)
@pytest.mark.parametrize("dtype, other", [DTYPES, DTYPES[::-1]])
@pytest.mark.parametrize("operator", WITH_OUT, ids=ids)
def test_operators_unwritable_out_refused(operator, dtype, other, refused):
    arrays = operator.arrays(dtype=dtype)
    good = operator.output(dtype=dtype)
    read_only = good.copy()
    read_only.flags.writeable = False
    name, shape = operator.name, good.shape
    strided = np.full((*shape[:-1], 2 * shape[-1]), 7, dtype)[..., ::2]
    bad = [
        (ValueError, good[:1], f"{name}: out must have shape {shape}, got"),
        (ValueError, good[np.newaxis], f"{name}: out must have shape {shape}, got"),
        (ValueError, good.ravel(), f"{name}: out must have shape {shape}, got"),
        (TypeError, good.astype(other), f"{name}: out is {other} where {dtype} was expected"),
        (TypeError, good.astype(np.int64), f"{name}: out is int64 where {dtype}"),
        (TypeError, good.astype(np.dtype(dtype).newbyteorder()), f"{name}: out is"),
        (ValueError, np.asfortranarray(good), f"{name}: out must be C-contiguous and aligned"),
        (ValueError, good[::-1], f"{name}: out must be C-contiguous and aligned"),
        (ValueError, strided, f"{name}: out must be C-contiguous and aligned"),
        (ValueError, read_only, f"{name}: out is read-only"),
        (ValueError, misaligned(shape, dtype), f"{name}: out must be C-contiguous and aligned"),
        (TypeError, np.ma.masked_array(good), f"{name}: out must be an ndarray, got MaskedArray"),
    ]
    for error, out, message in bad:
        refused(
            lambda out=out: operator(arrays, out=out), error, message,
            unchanged=[*arrays.values(), out],
        )  # fmt: skip
    for out in ("out", [[1.0]], 1.0, good.tobytes()):
        message = f"{name}: out must be an ndarray, got {type(out).__name__}"
        refused(lambda out=out: operator(arrays, out=out), TypeError, message)
    assert operator(arrays, out=good) is not None


def overlapping(operator, name, layout):
    """An output and an argument that lie in the same memory, somewhere."""
    arrays = operator.arrays()
    shape, out_shape = arrays[name].shape, operator.output().shape
    size, out_size = int(np.prod(shape)), int(np.prod(out_shape))
    block = np.arange(4.0 * (size + out_size))
    if layout == "same start":
        argument, out = block[:size], block[:out_size]
    elif layout == "last and first number":
        argument, out = block[:size], block[size - 1 : size - 1 + out_size]
    else:  # every second number of a stretch of which the output is the start
        argument, out = block[: 2 * size : 2], block[:out_size]
    arrays[name] = argument.reshape(shape)
    return arrays, out.reshape(out_shape), block


@pytest.mark.catalogue(20)
@pytest.mark.parametrize("layout", ["same start", "last and first number", "every second"])
@pytest.mark.parametrize(
    "operator, name", [(o, name) for o, name in every_array() if o.out is not None], ids=ids
)
def test_operators_out_overlapping_input_refused(operator, name, layout, refused):
    arrays, out, block = overlapping(operator, name, layout)
    assert np.shares_memory(arrays[name], out)
    refused(
        lambda: operator(arrays, out=out), ValueError, f"{operator.name}: out overlaps {name}",
        unchanged=[block, *arrays.values()],
    )  # fmt: skip


OPERANDS = {
    conv.forward: ("Z", "W", "b", "out"),
    conv.backward: ("dS", "Z", "W", "out_dZ", "out_dW", "out_db"),
}


@pytest.mark.catalogue(20)
@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
@pytest.mark.parametrize(
    "function, name", [(f, name) for f, names in OPERANDS.items() for name in names]
)
def test_scratch_that_overlaps_an_operand(function, name, algorithm, refused):
    window = geometry.WindowGeometry("conv2d", (2, 6, 5, 4), 3, channels=7)
    plan = conv.ConvPlan(window, "float64", algorithm)
    shapes = {"Z": (2, 6, 5, 4), "W": (4, 3, 3, 7), "b": (7,), "out": (2, 4, 3, 7)}
    shapes |= {"dS": shapes["out"], "out_dZ": shapes["Z"], "out_dW": shapes["W"], "out_db": (7,)}
    arrays = {key: np.full(shapes[key], 3.0) for key in OPERANDS[function]}
    size = plan.scratch_size(function is conv.backward)
    block = np.full(size + arrays[name].size, 3.0)
    arrays[name] = block[size:].reshape(shapes[name])
    refused(
        lambda: function(plan, **arrays, scratch=block[: size + 1]), ValueError,
        f"conv2d: scratch overlaps {name.removeprefix('out_')}",
        unchanged=[block, *arrays.values()],
    )  # fmt: skip
    assert size > 0 and function(plan, **arrays, scratch=block[:size]) is not None


@pytest.mark.catalogue(20)
@pytest.mark.parametrize("name, argument", [("bias_relu", "S"), ("bias_relu_backward", "dZ")])
def test_operators_in_place_gives_same_result(name, argument):
    operator = OPERATORS[name]
    expected = results(operator(operator.arrays()))
    arrays = operator.arrays()
    actual = results(operator(arrays, out=arrays[argument]))
    assert actual[0] is arrays[argument]
    for one, other in zip(expected, actual, strict=True):
        assert np.array_equal(one, other)


# 21, 22: operands that do not fit the geometry


@pytest.mark.catalogue(21)
@pytest.mark.parametrize(
    "name, argument",
    [("conv2d_backward", "dS"), ("dense_backward", "dS"), ("bias_relu_backward", "Z"),
     ("avg_pool2d_backward", "dZ_out"), ("max_pool2d_backward", "indices")],
)  # fmt: skip
def test_gradients_of_another_shape(name, argument, refused):
    operator = OPERATORS[name]
    expected = operator.shape(argument)
    for axis in range(len(expected)):
        for change in (-1, 1):
            shape = tuple(n + change * (k == axis) for k, n in enumerate(expected))
            arrays = operator.arrays()
            arrays[argument] = np.zeros(shape, arrays[argument].dtype)
            refused(
                lambda arrays=arrays: operator(arrays), ValueError,
                f"{name}: {argument} must have shape {expected}, got {shape}",
                unchanged=arrays.values(),
            )  # fmt: skip


@pytest.mark.catalogue(21)
def test_max_pool_indices_and_shape_that_do_not_fit(refused):
    operator = OPERATORS["max_pool2d_backward"]
    for index in (-1, 30, 2**31 - 1, -(2**31)):
        arrays = operator.arrays()
        arrays["indices"][-1, -1, -1, -1] = index
        refused(
            lambda arrays=arrays: operator(arrays), ValueError,
            "max_pool2d_backward: indices must be from 0 to 29, got", index,
            unchanged=arrays.values(),
        )  # fmt: skip
    arrays = operator.arrays()
    for shape in ((3, 6, 5, 4), (2, 6, 5, 3)):
        refused(
            lambda shape=shape: operator(arrays, shape=shape), ValueError,
            "dZ_out has 2 images of 4 channels", f"{shape[0]} of {shape[3]}",
            unchanged=arrays.values(),
        )  # fmt: skip


@pytest.mark.catalogue(22)
def test_col2im_of_another_geometry(refused):
    phi = np.ones((2, 15, 24))
    for shape in ((2, 14, 24), (2, 16, 24), (2, 15, 23), (2, 15, 25), (1, 15, 24), (2, 24, 15)):
        bad = np.ones(shape)
        refused(
            lambda bad=bad: matconv.col2im(bad, (2, 6, 5, 4), **WINDOW), ValueError,
            f"col2im: phi must have shape (2, 15, 24), got {shape}", unchanged=[bad],
        )  # fmt: skip
    for shape, error, message in (
        ((2, 6, 5), ValueError, "col2im: shape must be (images, height, width, channels), got"),
        (6, TypeError, "col2im: shape must be (images, height, width, channels), got 6 (int)"),
        ("2654", TypeError, "col2im: shape must be"),
        ((2, 6, 5, 4.0), TypeError, "col2im: shape must be an integer, got 4.0 (float)"),
        ((-1, 6, 5, 4), ValueError, "col2im: the number of images must be at least 0, got -1"),
        ((2, 6, 5, 3), ValueError, "col2im: phi must have shape (2, 15, 18), got (2, 15, 24)"),
    ):
        refused(
            lambda shape=shape: matconv.col2im(phi, shape, **WINDOW), error, message,
            unchanged=[phi],
        )  # fmt: skip


# 25: not quite arrays


@pytest.mark.catalogue(25)
@pytest.mark.parametrize("operator, name", every_array(floats_only=False), ids=ids)
def test_masked_arrays(operator, name, refused):
    arrays = operator.arrays()
    arrays[name] = np.ma.masked_array(arrays[name], mask=arrays[name] > 3)
    problem = "got MaskedArray" if name == "indices" else "is a masked array"
    refused(
        lambda: operator(arrays), TypeError, f"{operator.name}: {name}", problem,
        unchanged=[arrays[name].data, *arrays.values()],
    )  # fmt: skip


class Subclass(np.ndarray):
    """An ndarray with a name of its own."""


class Convertible:
    """Not an array, but something that gives one."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


@pytest.mark.catalogue(25)
@pytest.mark.parametrize("convert", [lambda x: x.view(Subclass), Convertible, np.ndarray.tolist])
@pytest.mark.parametrize("operator, name", every_array(), ids=ids)
def test_operators_convert_array_likes(operator, name, convert):
    expected = results(operator(operator.arrays()))
    arrays = operator.arrays()
    original = arrays[name].copy()
    arrays[name] = convert(arrays[name])
    actual = results(operator(arrays))
    assert np.array_equal(np.asarray(arrays[name]), original)
    for one, other in zip(expected, actual, strict=True):
        assert type(other) is np.ndarray
        assert np.array_equal(one, other) and one.shape == other.shape
