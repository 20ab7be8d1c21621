"""Frozen networks through the C functions: the bits of Python's Predictor, and every status."""

import ctypes
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support import TESTS, capi, exported_values
from support.capi import DTYPES, NULL, OK, TABLE, Shape, entry, pointers, poisoned
from support.describing import encoded
from support.exported_files import SHAPE, graph, small, with_word
from support.networks import mixed
from support.opened import CANARY, Opened

from matconv.kernels.predictor import Predictor


def check_not_opened(source, status):
    """This status, and NULL for a network."""
    opened = Opened(source)
    assert (opened.status, opened.pointer) == (status, None)


@pytest.fixture(params=DTYPES)
def case(request):
    """dtype, the bytes of a network, images, and what a Predictor makes of them."""
    net = mixed(request.param)
    data = encoded(net, net.init(0), 4)
    Z = np.random.default_rng(0).standard_normal((5, *net.input_shape)).astype(request.param)
    return request.param, data, Z, Predictor(data)(Z)


# Shapes and values


def test_shape(case):
    dtype, data, _, _ = case
    with Opened(data) as network:
        assert network.outputs() == 1
        assert network.shape() == ((9, 8, 2), (1, 1, 3), np.dtype(dtype).itemsize)
        shape = Shape()
        assert entry("network_get_shape")(network.pointer, 0, shape) == OK
        assert shape.struct_size == ctypes.sizeof(Shape)


def test_file_and_bytes_give_bits_of_predictor(case, tmp_path):
    dtype, data, Z, expected = case
    path = tmp_path / "nét"
    path.write_bytes(data)
    predictor = Predictor(data)
    for source in (data, path):
        with Opened(source) as network:
            for n in (0, 1, 5):
                size = network.workspace(n)
                assert size == predictor.workspace_size(n)
                out, scratch = poisoned((n, 3), dtype), poisoned(size, dtype)
                held = Z.tobytes()
                assert network.predict(Z[:n], out, scratch) == OK
                assert out.tobytes() == predictor(Z[:n]).tobytes()
                assert Z.tobytes() == held
            assert out.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_network_with_two_outputs_gives_the_predictors_bits(dtype):
    data = graph(dtype)
    predictor = Predictor(data)
    Z = np.random.default_rng(3).integers(-9, 10, (600, *SHAPE)).astype(dtype)
    with Opened(data) as network:
        assert network.outputs() == 2
        assert network.shape(0) == (SHAPE, (1, 1, 3), np.dtype(dtype).itemsize)
        assert network.shape(1) == (SHAPE, (4, 4, 6), np.dtype(dtype).itemsize)
        for n in (0, 1, 5, 600):
            outs = [poisoned((n, *network.shape(k)[1]), dtype) for k in (0, 1)]
            scratch = poisoned(network.workspace(n), dtype)
            assert network.predict(Z[:n], outs, scratch) == OK
            for out, expected in zip(outs, predictor(Z[:n]), strict=True):
                assert out.tobytes() == expected.tobytes()


def test_scratch_may_begin_at_any_element(case):
    """Pointers lie in it, on cache lines wherever it begins."""
    dtype, data, Z, expected = case
    with Opened(data) as network:
        size = network.workspace(5)
        for shift in range(17):
            block = poisoned(size + 33, dtype)
            out = poisoned((5, 3), dtype)
            assert network.predict(Z, out, block[shift : shift + size]) == OK
            assert out.tobytes() == expected.tobytes()
            rest = np.delete(block, slice(shift, shift + size))
            assert rest.tobytes() == poisoned(33, dtype).tobytes()


def test_predict_no_images_accepts_null(case):
    dtype, data, _, _ = case
    with Opened(data) as network:
        assert entry("network_predict", dtype)(network.pointer, 0, None, None, None, 0) == OK


def test_predict_128_threads_give_same_bits(case):
    dtype, data, Z, expected = case
    with Opened(data) as network:
        size = network.workspace(5)
        start = threading.Barrier(128)

        def work(_):
            out, scratch = poisoned((5, 3), dtype), poisoned(size, dtype)
            start.wait()
            wrong = 0
            for _ in range(20):
                wrong += network.predict(Z, out, scratch) != OK
                wrong += out.tobytes() != expected.tobytes()
            return wrong

        with ThreadPoolExecutor(128) as pool:
            assert not any(pool.map(work, range(128)))


def guard_pages():
    """In a process of its own: every operand, and the file, flush against a forbidden page."""
    from support.guarded import Guard

    for dtype in DTYPES:
        net = mixed(dtype)
        data = np.frombuffer(encoded(net, net.init(0), 4), np.uint8)
        Z = np.random.default_rng(0).standard_normal((5, *net.input_shape)).astype(dtype)
        predictor = Predictor(data)
        expected = predictor(Z)
        for at_end in (False, True):
            with Guard(at_end) as guard:
                pointer = ctypes.c_void_p()
                file = guard.copy(data)
                assert entry("network_open_memory")(file, len(data), pointer) == OK
                for length in range(0, len(data), 8):
                    cut, none = guard.copy(data[:length]), ctypes.c_void_p()
                    assert entry("network_open_memory")(cut, length, none) == capi.FORMAT
                for n in range(1, 6):
                    size = predictor.workspace_size(n)
                    images, out = guard.copy(Z[:n]), guard.empty((n, 3), dtype)
                    scratch = guard.empty((size,), dtype)
                    call = entry("network_predict", dtype)
                    outs = pointers(out)
                    assert call(pointer.value, n, images, outs, scratch, size) == OK
                assert out.tobytes() == expected.tobytes()
                entry("network_close")(pointer.value)
    print("flush")


@pytest.mark.skipif(sys.platform != "linux", reason="forbidden pages by mmap and mprotect")
def test_predict_stays_within_guard_pages():
    assert alone("guard_pages") == (0, "flush\n", "")


def alone(name, *arguments):
    """Run a function of this module in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, name, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, cwd=TESTS,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


# Errors


@pytest.mark.catalogue(60)
def test_open_and_predict_each_null_refused(case):
    dtype, data, Z, _ = case
    network_open, from_memory = entry("network_open"), entry("network_open_memory")
    pointer = ctypes.c_void_p(CANARY)
    assert network_open(b"path", None) == NULL
    assert network_open(None, pointer) == NULL and pointer.value is None
    held = np.frombuffer(data, np.uint8)
    assert from_memory(held, len(data), None) == NULL
    pointer.value = CANARY
    assert from_memory(None, len(data), pointer) == NULL and pointer.value is None
    assert entry("network_close")(None) is None

    with Opened(data) as network:
        shape, size = Shape(), ctypes.c_ssize_t(-7)
        before = bytes(shape)
        assert entry("network_get_shape")(None, 0, shape) == NULL and bytes(shape) == before
        assert entry("network_get_shape")(network.pointer, 0, None) == NULL
        assert entry("network_outputs")(None, size) == NULL and size.value == -7
        assert entry("network_outputs")(network.pointer, None) == NULL
        assert entry("network_workspace_size")(None, 1, size) == NULL and size.value == -7
        assert entry("network_workspace_size")(network.pointer, 1, None) == NULL
        needed = network.workspace(5)
        arrays = [network.pointer, 5, Z, poisoned((5, 3), dtype), poisoned(needed, dtype), needed]
        for k in (0, 2, 3, 4):
            check_nothing_predicted(dtype, arrays, NULL, {k: None})


@pytest.mark.catalogue(60)
@pytest.mark.parametrize("dtype", DTYPES)
def test_predict_one_output_null(dtype):
    """None of several may be NULL; nothing is written to the others."""
    with Opened(graph(dtype)) as network:
        Z, needed = np.ones((2, *SHAPE), dtype), network.workspace(2)
        outs, scratch = (
            [poisoned((2, 3), dtype), poisoned((2, 4, 4, 6), dtype)],
            poisoned(needed, dtype),
        )
        held = [array.tobytes() for array in (*outs, scratch)]
        call = entry("network_predict", dtype)
        for given in ([outs[0], None], [None, outs[1]], [None, None]):
            assert call(network.pointer, 2, Z, pointers(*given), scratch, needed) == NULL
        assert [array.tobytes() for array in (*outs, scratch)] == held


@pytest.mark.catalogue(60)
@pytest.mark.parametrize("output", [-1, 2, 2**62, -(2**63)])
def test_shape_of_an_output_that_is_not_there(output):
    with Opened(graph()) as network:
        shape = Shape()
        before = bytes(shape)
        assert entry("network_get_shape")(network.pointer, output, shape) == capi.INDEX
        assert bytes(shape) == before


def check_nothing_predicted(dtype, arguments, status, changes):
    """Argument 3 is the array of the only output."""
    held = [array.tobytes() for array in arguments if isinstance(array, np.ndarray)]
    bent = [changes.get(k, value) for k, value in enumerate(arguments)]
    bent[3] = None if bent[3] is None else pointers(bent[3])
    assert entry("network_predict", dtype)(*bent) == status
    assert [array.tobytes() for array in arguments if isinstance(array, np.ndarray)] == held


@pytest.mark.catalogue(60)
def test_predict_refuses(case):
    """The other dtype, sizes that are none or do not fit, scratch one too small."""
    dtype, data, Z, _ = case
    other = DTYPES[dtype == "float64"]
    with Opened(data) as network:
        needed = network.workspace(5)
        assert needed > 0
        good = [network.pointer, 5, Z, poisoned((5, 3), dtype), poisoned(needed, dtype), needed]
        check_nothing_predicted(other, good, capi.DTYPE, {})
        for n in (-1, -(2**63)):
            check_nothing_predicted(dtype, good, capi.SIZE, {1: n})
        for n in (2**63 - 1, 2**62, 2**60, 2**56):
            check_nothing_predicted(dtype, good, capi.OVERFLOW, {1: n, 5: 2**62})
        for size in (needed - 1, 0, -1):
            check_nothing_predicted(dtype, good, capi.SCRATCH, {5: size})
        assert network.predict(Z, *good[3:5]) == OK


@pytest.mark.catalogue(60)
@pytest.mark.parametrize("size", [0, 8, 56, 63, 65, 72])
def test_shape_of_another_struct_size(case, size):
    with Opened(case[1]) as network:
        shape = Shape()
        shape.struct_size = size
        before = bytes(shape)
        assert entry("network_get_shape")(network.pointer, 0, shape) == capi.STRUCT
        assert bytes(shape) == before


@pytest.mark.catalogue(60)
@pytest.mark.parametrize("n", [-1, -(2**63)])
def test_workspace_size_invalid_number_refused(case, n):
    with Opened(case[1]) as network:
        size = ctypes.c_ssize_t(-7)
        assert entry("network_workspace_size")(network.pointer, n, size) == capi.SIZE
        assert size.value == -7


@pytest.mark.catalogue(44, 49, 50)
def test_open_damaged_bytes_refused(tmp_path):
    good = small()
    for data, status in (
        (None, NULL),
        (b"", capi.FORMAT),
        (good[:-8], capi.FORMAT),
        (good + bytes(8), capi.FORMAT),
        (b"\0" * len(good), capi.FORMAT),
        (with_word(good, 4, 3), capi.FORMAT),
        (with_word(good, 1, 1), capi.VERSION),
        (with_word(good, 1, 3), capi.VERSION),
        (with_word(good, 1, 2**63 - 1), capi.VERSION),
        (with_word(good, 1, 0), capi.FORMAT),
    ):
        check_not_opened(data, status)
        if data is not None:
            path = tmp_path / "net"
            path.write_bytes(data)
            check_not_opened(path, status)


@pytest.mark.catalogue(43)
def test_open_unreadable_file_refused(tmp_path):
    """A FIFO, and a device, are not waited for."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    link = tmp_path / "link"
    link.symlink_to(fifo)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nothing")
    for path in (tmp_path / "missing", tmp_path, fifo, link, dangling, Path("/dev/zero"), "", b""):
        done = []
        thread = threading.Thread(
            target=lambda path=path, done=done: done.append(Opened(Path(os.fsdecode(path)))),
            daemon=True,
        )
        thread.start()
        thread.join(10)
        assert done, f"{path} is waited for"
        assert (done[0].status, done[0].pointer) == (capi.UNREADABLE, None)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_open_without_permission_refused(tmp_path):
    path = tmp_path / "net"
    path.write_bytes(small())
    path.chmod(0)
    check_not_opened(path, capi.UNREADABLE)


def no_memory(path):
    """In a process of its own: a file of holes that is larger than what may be allocated."""
    import resource

    with open(path, "wb") as file:
        file.truncate(2**33)
    resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
    opened = Opened(Path(path))
    print(opened.status, opened.pointer)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS")
def test_open_without_memory_refused(tmp_path):
    assert alone("no_memory", tmp_path / "huge") == (0, f"{capi.MEMORY} None\n", "")


def test_dtypes_of_the_format(tmp_path):
    for dtype in DTYPES:
        with Opened(small(dtype)) as network:
            Z = np.arange(np.prod(SHAPE)).reshape(1, *SHAPE) % 11 - 5
            out, scratch = poisoned((1, 3), dtype), poisoned(network.workspace(1), dtype)
            assert network.predict(Z.astype(dtype), out, scratch) == OK
            assert out.tolist() == exported_values.computed(small(dtype), Z)[0].tolist()


if __name__ == "__main__":
    assert TABLE.abi_version
    globals()[sys.argv[1]](*sys.argv[2:])
