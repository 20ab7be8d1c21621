"""The SIMD variants of the kernels: each computes the same, and the right one is chosen.

A variant is chosen once for a process, so each runs in one of its own: ``python test_simd.py
RESULTS.npz`` computes, the tests compare.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import TESTS, geometries, reference
from support.operators import results
from support.real_images import real_layer
from support.tolerances import assert_same, assert_within, inner_product_bound

import matconv
from matconv.kernels import built, supported

PACKAGE = Path(matconv.__file__).parent
DTYPES = ("float64", "float32")
LONG = np.longdouble
CASES = 24
USABLE = [name for name in supported if name in built]


def integer_layer(case, k, dtype):
    """Z, W, b, dS of integers, with which every sum is exact."""
    random = np.random.default_rng(k)
    out = (case.l, *case.out_size, case.d_out)
    shapes = (case.shape, case.filter_shape, (case.d_out,), out)
    return [geometries.integers(random, shape, dtype) for shape in shapes]


DATA = {"integers": integer_layer, "digits": real_layer}


def layers():
    """(name, case, dtype, arrays) of every layer that is computed."""
    for k, case in enumerate(geometries.cases(CASES, seed=31)):
        for dtype in DTYPES:
            for data, layer in DATA.items():
                yield f"{data} {k} {dtype}", case, dtype, layer(case, k, dtype)


def computed(operators, case, Z, W, b, dS):
    """What matconv, or the reference, makes of one layer."""
    S = operators.conv2d(Z, W, b, **case.convolution)
    out = operators.bias_relu(S, b)
    phi = operators.im2col(Z, **case.window)
    window = tuple(min(2, n) for n in case.size)
    values = {
        "S": S,
        "bias_relu": out,
        "bias_relu_backward": operators.bias_relu_backward(dS, out)[0],
        "im2col": phi,
        "col2im": operators.col2im(phi, Z.shape, **case.window),
        "max_pool2d": results(operators.max_pool2d(Z, window, stride=1))[0],
        "avg_pool2d": operators.avg_pool2d(Z, window, stride=1),
    }
    gradients = operators.conv2d_backward(dS, Z, W, **case.convolution)
    return values | dict(zip(("dZ", "dW", "db"), gradients))


def python(*arguments, cwd=TESTS, simd=None):
    """Python with MATCONV_SIMD set, or without it."""
    environment = {name: value for name, value in os.environ.items() if name != "MATCONV_SIMD"}
    if simd is not None:
        environment["MATCONV_SIMD"] = simd
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, cwd=cwd, env=environment, check=False,
    )  # fmt: skip


def printed(program, **options):
    result = python("-c", program, **options)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split()


@pytest.fixture(scope="module", params=USABLE)
def variant(request, tmp_path_factory):
    """A usable variant, and what it computed."""
    path = tmp_path_factory.mktemp(request.param) / "results.npz"
    result = python(__file__, str(path), simd=request.param)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{request.param}\n", "")
    with np.load(path) as file:
        return dict(file)


def test_integers_are_exact(variant):
    compared = 0
    for name, case, dtype, arrays in layers():
        if name.startswith("integers"):
            for key, exact in computed(reference, case, *arrays).items():
                actual = variant[f"{name} {key}"]
                assert actual.dtype == dtype
                assert_same(actual, exact.astype(dtype), f"{key} of {case}")
                compared += exact.size > 0
    assert compared > 10 * CASES


def test_real_images_are_within_the_bound(variant):
    """The bounds of tests/kernels/test_real_data.py, for the sums of products."""
    for name, case, dtype, arrays in layers():
        if name.startswith("digits"):
            exact = computed(reference, case, *(array.astype(LONG) for array in arrays))
            size = computed(reference, case, *(np.abs(array).astype(LONG) for array in arrays))
            hh, positions = case.kernel[0] * case.kernel[1], arrays[3].size // case.d_out
            lengths = {
                "S": hh * arrays[1].shape[0],
                "dZ": hh * case.d_out // case.groups,
                "dW": positions,
                "db": positions,
            }
            for key, K in lengths.items():
                bound = inner_product_bound(K, size[key], dtype)
                assert_within(variant[f"{name} {key}"], exact[key], bound, f"{key} of {case}")


FILES = """
import sys
import matconv
print(matconv.kernels.variant)
for name in ("_conv_im2col", "_bias_relu", "_im2col", "_pool_loops", "_arrays", "_geometry", "cpu"):
    print(sys.modules[f"matconv.kernels.{name}"].__file__)
"""


@pytest.mark.parametrize("name", USABLE)
def test_simd_modules_come_from_folder_of_variant(name):
    said, *files = printed(FILES, simd=name)
    folder = PACKAGE / "kernels" if name == "baseline" else PACKAGE / "kernels" / name
    assert said == name
    assert {Path(file).parent for file in files[:4]} == {folder}
    assert {Path(file).parent for file in files[4:]} == {PACKAGE / "kernels"}


def test_simd_default_is_the_best_variant():
    assert supported[-1] == built[-1] == "baseline"
    for simd in (None, ""):
        assert printed(FILES, simd=simd)[0] == USABLE[0]


def test_simd_env_var_invalid_lists_choices(tmp_path):
    result = python("-c", "import matconv", simd="sse9", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"ImportError: MATCONV_SIMD is 'sse9', expected one of {', '.join(USABLE)} "
        f"(built: {', '.join(built)}; this processor runs: {', '.join(supported)})"
    )


@pytest.fixture
def copied(tmp_path):
    """A copy of the package to take modules from; what runs in the folder imports it."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "matconv", ignore=ignored)
    return tmp_path


@pytest.mark.skipif(USABLE == ["baseline"], reason="only the baseline is built and runs here")
def test_simd_missing_module_comes_from_the_next_variant(copied):
    kernels = copied / "matconv" / "kernels"
    best, following = kernels / USABLE[0], kernels / USABLE[1].replace("baseline", "")
    for path in best.glob("_pool_loops.*"):
        path.unlink()
    said, driver, _, _, pool, *_ = printed(FILES, cwd=copied)
    assert said == USABLE[0]
    assert (Path(driver).parent, Path(pool).parent) == (best, following)


@pytest.mark.skipif(USABLE == ["baseline"], reason="only the baseline is built and runs here")
def test_simd_modules_of_another_python_not_used(copied):
    best = copied / "matconv" / "kernels" / USABLE[0]
    for path in best.iterdir():
        path.rename(path.with_name(path.name.partition(".")[0] + ".cpython-27-other.so"))
    assert printed(FILES, cwd=copied)[0] == USABLE[1]
    result = python("-c", "import matconv", simd=USABLE[0], cwd=copied)
    assert f"expected one of {', '.join(USABLE[1:])} (built: " in result.stderr.splitlines()[-1]


def main(path):
    """Compute every layer with the variant that the environment asks for, and save it all."""
    print(matconv.kernels.variant)
    np.savez(
        path,
        **{
            f"{name} {key}": value
            for name, case, _, arrays in layers()
            for key, value in computed(matconv, case, *arrays).items()
        },
    )


if __name__ == "__main__":
    main(sys.argv[1])
