"""No access out of bounds, no uninitialised memory in a result, no leak, no harm from threads,
fork or Ctrl-C.
"""

import os
import platform
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import SUPPORT, geometries
from support.operators import OPERATORS, results
from support.tolerances import assert_same_bytes

import matconv
from matconv.kernels import _conv as conv
from matconv.kernels import _geometry as geometry

DTYPES = ("float64", "float32")


def isolated(name, **environment):
    """Run one function of isolated.py: its exit code, its output, its errors."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-X", "faulthandler",
         str(SUPPORT / "isolated.py"), name],
        capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


if sys.platform == "linux":

    def test_operators_stay_within_guard_pages():
        assert isolated("guard_pages") == (0, "600 geometries\n", "")

    def test_convolutions_by_loops_stay_within_guard_pages():
        assert isolated("guard_loops") == (0, "262 convolutions\n", "")

    def test_guard_page_access_ends_process():
        code, out, errors = isolated("touch")
        assert code == -11 and out == "" and "Segmentation fault" in errors


if platform.libc_ver()[0] == "glibc":

    def test_operators_ignore_content_of_fresh_memory():
        """The allocator fills memory with two different bytes; the bits of the results agree."""
        digests = set()
        for perturb, byte in (("165", "0x5a"), ("90", "0xa5")):
            code, out, errors = isolated("digest", MALLOC_PERTURB_=perturb)
            assert (code, errors) == (0, "")
            fresh, digest = out.splitlines()
            assert fresh == f"fresh {byte}"  # the poison works
            digests.add(digest)
        assert len(digests) == 1 and len(digests.pop()) == 64


@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_operators_ignore_content_of_scratch_and_outputs(dtype, algorithm):
    """Scratch and outputs full of NaN, then of the bytes 0xA5, then of zeros."""
    random = np.random.default_rng(0)
    for case in geometries.cases(60, seed=22):
        Z, W = random.standard_normal(case.shape), random.standard_normal(case.filter_shape)
        dS = random.standard_normal((case.l, *case.out_size, case.d_out))
        Z, W, dS = (array.astype(dtype) for array in (Z, W, dS))
        window = geometry.WindowGeometry(
            "conv2d", case.shape, groups=case.groups, channels=case.d_out, **case.window
        )
        plan = conv.ConvPlan(window, dtype, algorithm)
        found = []
        for poison in (0xFF, 0xA5, 0):

            def filled(shape, poison=poison):
                array = np.empty(shape, dtype)
                array.view(np.uint8).fill(poison)
                return array

            scratch = filled((max(map(plan.scratch_size, (False, True))),))
            S = conv.forward(plan, Z, W, None, True, filled(dS.shape), scratch)
            outs = [filled(shape) for shape in (Z.shape, W.shape, (case.d_out,))]
            scratch.view(np.uint8).fill(poison)
            found.append([S, *conv.backward(plan, dS, Z, W, True, True, True, *outs, scratch)])
        for other in found[1:]:
            for one, two in zip(found[0], other, strict=True):
                assert_same_bytes(one, two, str(case))


def test_operators_repeated_calls_leak_nothing():
    """2,000 rounds over all operators, two of three calls refused: less than 1 MiB, no blocks.

    A block lost by one kind of call of one operator would be lost 166 times.
    """
    code, out, errors = isolated("leaks")
    assert (code, errors) == (0, "")
    blocks, kilobytes = map(int, re.fullmatch(r"(-?\d+) blocks (\d+) KiB\n", out).groups())
    assert blocks < 50
    assert kilobytes < 1024


def test_operators_on_threads_share_inputs():
    """10,000 calls of all operators from 8 threads on the same read-only arrays, exact."""
    work = []
    for operator in OPERATORS.values():
        for dtype in DTYPES:
            arrays = operator.arrays(dtype=dtype)
            for array in arrays.values():
                array.flags.writeable = False
            work.append((operator, arrays, results(operator(arrays))))
    start = threading.Barrier(8)

    def calls(worker):
        start.wait()
        wrong = 0
        for k in range(1250):
            operator, arrays, expected = work[(worker + k) % len(work)]
            actual = results(operator(arrays))
            wrong += any(a.tobytes() != b.tobytes() for a, b in zip(actual, expected, strict=True))
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(calls, range(8))) == [0] * 8


def test_threads_share_a_large_layer():
    """Calls that take long enough to overlap, in every thread with its own output."""
    random = np.random.default_rng(1)
    Z = geometries.integers(random, (6, 24, 24, 16), "float64")
    W = geometries.integers(random, (16, 3, 3, 24), "float64")
    S = matconv.conv2d(Z, W)
    expected = matconv.conv2d_backward(S, Z, W)

    def call(_):
        actual = [matconv.conv2d(Z, W), *matconv.conv2d_backward(S, Z, W)]
        return all(np.array_equal(a, b) for a, b in zip(actual, [S, *expected], strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(80)))


if hasattr(os, "fork"):

    def test_fork_between_convolutions():
        assert isolated("forks") == (0, "50 rounds\n", "")


@pytest.mark.catalogue(27)
def test_keyboard_interrupt_of_long_calls():
    assert isolated("interrupted") == (0, "interrupted 20\n", "")
