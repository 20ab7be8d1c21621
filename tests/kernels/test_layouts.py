"""Any memory layout of an input gives, bit for bit, what its contiguous native copy gives."""

import numpy as np
import pytest
from support.layouts import LAYOUTS
from support.operators import OPERATORS, every_array, results
from support.tolerances import assert_same_bytes

DTYPES = ("float64", "float32")


def real_arrays(operator, dtype):
    """Arrays of a valid call, with numbers whose sums are rounded, so that the order shows."""
    random = np.random.default_rng(0)
    arrays = operator.arrays(dtype=dtype)
    for name in operator.floats():
        arrays[name] = random.standard_normal(arrays[name].shape).astype(dtype)
    return arrays


def compare(operator, arrays, expected):
    before = {name: array.tobytes() for name, array in arrays.items()}
    flags = {name: str(array.flags) for name, array in arrays.items()}
    for actual, exact in zip(results(operator(arrays)), expected, strict=True):
        assert_same_bytes(actual, exact, operator.name)
        assert actual.flags.c_contiguous and actual.dtype.isnative
    assert {name: array.tobytes() for name, array in arrays.items()} == before
    assert {name: str(array.flags) for name, array in arrays.items()} == flags


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "operator, name", every_array(floats_only=False), ids=lambda v: getattr(v, "name", None)
)
def test_operators_one_array_of_another_layout(operator, name, layout, dtype, tmp_path):
    arrays = real_arrays(operator, dtype)
    expected = results(operator(arrays))
    bent = layout(arrays[name], tmp_path / "array")
    assert np.array_equal(bent, arrays[name])
    compare(operator, {**arrays, name: bent}, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda o: o.name)
def test_operators_all_arrays_of_another_layout(operator, layout, dtype, tmp_path):
    arrays = real_arrays(operator, dtype)
    expected = results(operator(arrays))
    bent = {name: layout(array, tmp_path / name) for name, array in arrays.items()}
    compare(operator, bent, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "operator, name", every_array(floats_only=False), ids=lambda v: getattr(v, "name", None)
)
def test_operators_broadcast_arrays(operator, name, dtype):
    """Zero strides, along the first axis and along all of them."""
    arrays = real_arrays(operator, dtype)
    shape = arrays[name].shape
    for part in (arrays[name][:1], arrays[name].ravel()[:1]):
        bent = np.broadcast_to(part if part.ndim == len(shape) else part[0], shape)
        assert bent.size < 2 or 0 in bent.strides
        expected = results(operator({**arrays, name: bent.copy()}))
        compare(operator, {**arrays, name: bent}, expected)


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=lambda o: o.name)
def test_results_share_no_memory_with_arguments(operator):
    arrays = real_arrays(operator, "float64")
    for result in results(operator(arrays)):
        assert result.flags.writeable
        for array in arrays.values():
            assert not np.shares_memory(result, array)
