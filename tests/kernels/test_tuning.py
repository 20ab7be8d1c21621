"""The tuning table: the choice of a row, and results with each row."""

import os
import subprocess
import sys

import numpy as np
import pytest
from support import SUPPORT
from threadpoolctl import threadpool_info

from matconv.kernels import _tuning, tuning

RESULTS = """
import sys
import numpy as np
from matconv import Conv, Dense, MaxPool, Network, Objective, conv2d
from matconv.kernels import tuning

results = {"row": tuning}
for dtype in (np.float64, np.float32):
    random = np.random.default_rng(0)
    Z = random.integers(-8, 9, (3, 20, 21, 70)).astype(dtype)
    W = random.integers(-8, 9, (70, 3, 3, 80)).astype(dtype)
    results[f"conv {dtype.__name__}"] = conv2d(Z, W, pad=1, algorithm="im2col")
    net = Network((32, 32, 3), [Conv(40, 3, pad=1, activation="relu"), MaxPool(2),
                                Conv(50, 5, activation="relu"), Dense(4)], dtype)
    images = random.standard_normal((70, 32, 32, 3)).astype(dtype)
    theta, labels = net.init(1), random.integers(0, 4, 70)
    for n_threads in (1, 2, 3):
        f = Objective(net, images, labels, "softmax", n_threads=n_threads)
        value, gradient = f.value_and_gradient(theta)
        results[f"{dtype.__name__} {n_threads}"] = np.append(gradient, dtype(value))
np.savez(sys.argv[1], **results)
"""


def run(row, *arguments):
    environment = {**os.environ, "MATCONV_TUNING": row}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=SUPPORT,
        env=environment, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module", params=_tuning.NAMES)
def forced(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "results.npz"
    done = run(request.param, "-c", RESULTS, str(path))
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(path) as file:
        results = dict(file)
    assert results.pop("row") == request.param
    return results


def expected():
    """Formula (1) on the integers of RESULTS, by numpy's integers."""
    random = np.random.default_rng(0)
    Z = random.integers(-8, 9, (3, 20, 21, 70))
    W = random.integers(-8, 9, (70, 3, 3, 80))
    padded = np.pad(Z, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return np.einsum("lqpcuv,cuvf->lqpf", windows, W)


def test_im2col_integers_exact_with_each_row(forced):
    # |S| <= 64 * 630 < 2^24: exact in single precision as well
    assert np.array_equal(forced["conv float64"], expected())
    assert np.array_equal(forced["conv float32"], expected())


def test_gradient_each_row_same_bits_for_any_number_of_threads(forced):
    for dtype in ("float64", "float32"):
        one = forced[f"{dtype} 1"]
        assert np.isfinite(one).all() and np.any(one)
        assert np.array_equal(forced[f"{dtype} 2"], one)
        assert np.array_equal(forced[f"{dtype} 3"], one)


def test_tuning_default_row_is_that_of_the_blas_kernel():
    kernels = {
        info["architecture"] for info in threadpool_info()
        if info["internal_api"] == "openblas" and "scipy" in info["filepath"].lower()
    }  # fmt: skip
    if kernels:
        assert _tuning.kernel in kernels
    done = run("", "-c", "from matconv.kernels import tuning; print(tuning)")
    rows = {"SkylakeX": "skylakex", "Haswell": "haswell", "Zen": "haswell"}
    assert done.stdout == rows.get(_tuning.kernel, "default") + "\n"


def test_tuning_env_var_invalid_lists_choices():
    done = run("fastest", "-c", "import matconv")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: MATCONV_TUNING is 'fastest', expected one of skylakex, haswell, default"
    )


def test_tuning_of_this_process_is_a_row():
    assert tuning in _tuning.NAMES
