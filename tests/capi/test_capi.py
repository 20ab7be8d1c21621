"""The C functions give Python's bits, write nothing else, and their scratch is exact."""

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import capi, capi_calls, geometries
from support.capi import ALGORITHMS, DTYPES, OK, Geometry, entry, poisoned
from support.capi_calls import Call, geometry_of
from support.processes import script

from matconv.kernels import _conv as conv
from matconv.kernels._geometry import WindowGeometry


def test_table_version_and_size_match_header():
    assert capi.TABLE.abi_version == 1
    assert capi.TABLE.size == ctypes.sizeof(capi.Table)
    assert len(capi.ENTRIES) == 68
    for name, _, _ in capi.ENTRIES:
        assert ctypes.cast(getattr(capi.TABLE, name), ctypes.c_void_p).value, name


# Shapes


@pytest.mark.parametrize("count", [300])
def test_geometry_init_derives_what_python_does(count):
    for case in geometries.cases(count, seed=40):
        given = {**case.convolution, "kernel": case.kernel, "channels": case.d_out}
        g = geometry_of(case.shape, **given)
        assert g.derived() == (0,) * 5
        before = [getattr(g, name) for name in capi.GIVEN]
        assert capi.TABLE.geometry_init(ctypes.addressof(g)) == OK
        window = WindowGeometry("test", case.shape, **given)
        d_g, h_b, h_a, _ = window.filter_shape
        expected = (*window.out_shape[1:3], d_g, case.d_out // case.groups, h_b * h_a * d_g)
        assert g.derived() == expected
        assert [getattr(g, name) for name in capi.GIVEN] == before


@pytest.mark.parametrize("name", ["dilation_down", "dilation_right"])
def test_geometry_init_single_row_or_column_dilation_is_1(name):
    """Nothing bounds it; the struct says so afterwards, as the product has to fit."""
    g = geometry_of((1, 4, 4, 1), 1)
    setattr(g, name, 2**62)
    assert capi.TABLE.geometry_init(ctypes.addressof(g)) == OK
    found = g.dilation_down, g.dilation_right, g.out_height, g.out_width
    assert found == (1, 1, 4, 4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scratch_sizes_are_those_of_the_plan(dtype):
    for case in geometries.cases(150, seed=42):
        given = {**case.convolution, "kernel": case.kernel, "channels": case.d_out}
        g, window = geometry_of(case.shape, **given), WindowGeometry("test", case.shape, **given)
        for number, algorithm in enumerate(ALGORITHMS):
            plan = conv.ConvPlan(window, dtype, algorithm)
            expected = plan.scratch_size(False), plan.scratch_size(True)
            sizes = ctypes.c_ssize_t(-1), ctypes.c_ssize_t(-1)
            assert entry("conv_scratch", dtype)(g, number, *sizes) == OK
            assert tuple(size.value for size in sizes) == expected
            for k in range(2):  # either may be NULL, or both
                one = [None, None]
                one[k] = ctypes.c_ssize_t(-1)
                assert entry("conv_scratch", dtype)(g, number, *one) == OK
                assert one[k].value == expected[k]
            assert entry("conv_scratch", dtype)(g, number, None, None) == OK


# Values


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_give_bits_of_python(dtype):
    """Groups, strides, dilation, padding, no images: what the grid of geometries has."""
    names, empty, grouped, padded = set(), 0, 0, 0
    for k, case in enumerate(geometries.cases(150, seed=43)):
        for call in capi_calls.every_call(case, dtype, k):
            held = call.held()
            capi_calls.check(call)
            for name, value in call.held().items():
                written = name in call.outs or name in call.scratch
                assert written or value == held[name], f"{call.name} wrote to {name}"
            names.add(call.name)
        empty += case.l == 0
        grouped += case.groups > 1
        padded += case.pad != 0
    taken = {name.removesuffix("_f64") for name, _, kinds in capi.ENTRIES if "_f64" in name}
    others = {"conv_scratch", "conv_transpose_scratch"}
    # networks and objectives have tests of their own
    others |= {name for name in taken if name.startswith(("network_", "objective_"))}
    assert names == taken - others
    assert empty > 10 and grouped > 30 and padded > 50


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_null_output_others_unchanged(dtype):
    """Any of the gradients, and of the pool's indices, may be NULL; the others keep their bits."""
    optional = {"bias_activation_backward", "conv_backward", "conv_transpose_backward"}
    optional |= {"dense_backward", "max_pool"}
    for k, case in enumerate(geometries.cases(30, seed=44)):
        for call in capi_calls.every_call(case, dtype, k):
            if call.name not in optional:
                continue
            assert call() == OK
            whole = call.held()
            outs = [name for name in call.optional if name in call.outs]
            for name in outs:
                call.poison()
                untouched = call.arguments[name].tobytes()
                assert call(**{name: None}) == OK
                found = call.held()
                for out in call.outs:
                    assert found[out] == (untouched if out == name else whole[out]), out
            call.poison()
            everything = dict.fromkeys(outs)
            assert call(**everything) == OK


@pytest.mark.parametrize("dtype", DTYPES)
def test_bias_activation_in_place_gives_same_bits(dtype):
    """bias_activation and its backward pass may write over their first array."""
    random, compared = np.random.default_rng(0), 0
    for case in geometries.cases(20, seed=46):
        for call in capi_calls.layer_calls(case, dtype, random):
            for source, target in (("S", "Z"), ("dZ", "dS")):
                if call.name.startswith("bias_activation") and source in call.arguments:
                    own = call.arguments[source].copy()
                    assert call(**{source: own, target: own}) == OK
                    compared += 1
                    assert own.tobytes() == call.expected[0].tobytes()
                    rest = zip(call.results()[1:], call.expected[1:], strict=True)
                    assert all(db.tobytes() == sums.tobytes() for db, sums in rest)
    assert compared == 20 * 2 * len(capi_calls.FUSED)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_no_images_accept_null(dtype):
    """Outputs that do not depend on the number of images are zero then."""
    cases = (case for case in geometries.cases(200, seed=47) if case.l == 0)
    needed = {"W", "b", "db", "dW", "scratch"}
    compared = 0
    for case in cases:
        for call in capi_calls.every_call(case, dtype):
            nothing = {name: None for name in call.pointers() if name not in needed}
            assert call(**nothing) == OK, call.name
            for name, array in zip(call.outs, call.results()):
                if name in needed:
                    assert not array.any() and array.tobytes() == bytes(array.nbytes)
                    compared += 1
    assert compared > 50


# Edges: scratch and memory


@pytest.mark.skipif(sys.platform != "linux", reason="forbidden pages by mmap and mprotect")
def test_functions_stay_within_guard_pages():
    assert script("capi_calls.py", "guard_pages", timeout=600) == "flush many\n"


@pytest.mark.parametrize("dtype", DTYPES)
def test_scratch_too_small_refused(dtype):
    checked = 0
    for k, case in enumerate(geometries.cases(40, seed=48)):
        for call in capi_calls.every_call(case, dtype, k):
            size = call.arguments.get("scratch_size", 0)
            if not size:
                continue
            for less in (size - 1, 0, -1, -(2**63)):
                call.poison()
                held = call.held()
                assert call(scratch_size=less) == capi.SCRATCH, call.name
                assert call.held() == held
            assert call(scratch=None) == capi.NULL and call.held() == held
            # larger scratch is accepted, and the rest of it is not touched
            more = poisoned(size + 3, dtype)
            tail = more[size:].tobytes()
            assert call(scratch=more, scratch_size=size + 3) == OK
            assert call.results()[0].tobytes() == call.expected[0].tobytes()
            assert more[size:].tobytes() == tail
            checked += 1
    assert checked > 200


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", [1, 2])
def test_scratch_is_enough_for_fewer_images(dtype, algorithm):
    for case in geometries.cases(60, seed=49):
        given = {**case.convolution, "kernel": case.kernel, "channels": case.d_out}
        g = geometry_of((9, *case.shape[1:]), **given)
        most = ctypes.c_ssize_t(), ctypes.c_ssize_t()
        assert entry("conv_scratch", dtype)(g, algorithm, *most) == OK
        for g.images in range(9):
            sizes = ctypes.c_ssize_t(), ctypes.c_ssize_t()
            assert entry("conv_scratch", dtype)(g, algorithm, *sizes) == OK
            assert all(one.value <= two.value for one, two in zip(sizes, most))


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_ignore_content_of_scratch_and_outputs(dtype):
    for k, case in enumerate(geometries.cases(40, seed=50)):
        for call in capi_calls.every_call(case, dtype, k):
            for byte in (0xFF, 0x7F, 0):
                call.poison(byte)
                capi_calls.check(call)


def test_functions_on_threads_share_inputs():
    """Every call at once from 8 threads, each with outputs of its own: the same bits."""
    calls = [
        call
        for k, case in enumerate(geometries.cases(12, seed=51))
        for dtype in DTYPES
        for call in capi_calls.every_call(case, dtype, k)
    ]

    def work(worker):
        for k in range(3 * len(calls)):
            call = calls[(worker * 7 + k) % len(calls)]
            own = {
                name: poisoned(call.arguments[name].shape, call.arguments[name].dtype)
                for name in (*call.outs, *call.scratch)
                if name in call.arguments
            }
            mine = Call(
                call.name, call.dtype, {**call.arguments, **own}, call.outs, call.optional,
                call.expected,
            )  # fmt: skip
            capi_calls.check(mine)
        return k + 1

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [3 * len(calls)] * 8


def test_geometry_wrong_derived_sizes_ignored():
    """Every function derives its own; the caller's struct is read only."""
    case = next(geometries.cases(1, seed=52))
    for call in capi_calls.every_call(case, "float64"):
        if isinstance(call.arguments.get("g"), Geometry):
            g = Geometry.from_buffer_copy(call.arguments["g"])
            for name in capi.DERIVED:
                setattr(g, name, -(2**40))
            held = bytes(g)
            assert call(g=g) == OK
            assert call.results()[0].tobytes() == call.expected[0].tobytes()
            assert bytes(g) == held
