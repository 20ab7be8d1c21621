"""An application frozen by PyInstaller finds every module and file of matconv.

Not collected by a plain ``pytest``; needs a wheel, a package index and a Python with a shared
library, and takes about a minute:

    MATCONV_WHEEL=dist/matconv-....whl pytest -s tests/downstream/test_pyinstaller.py

The application is built by the hook that the wheel brings, without an option, and runs in an empty
folder with an empty environment, once from a folder and once from a single file.
"""

import fnmatch
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from downstream.running import environment_with, run

HERE = Path(__file__).parent
PRINTED = ("convolved", "built", "trained", "predicted", "submodules")


@pytest.fixture(scope="module")
def dist(wheel, tmp_path_factory):
    """The folder with both applications; the environment that built them is gone."""
    top = tmp_path_factory.mktemp("frozen")
    environment, source = top / "environment", top / "source"
    environment.mkdir()
    source.mkdir()
    python = environment_with(environment, wheel, "pyinstaller")
    for path in (HERE / "pyinstaller").glob("app.*"):
        shutil.copy(path, source)
    command = ("-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR")
    cache = {"PYINSTALLER_CONFIG_DIR": str(environment / "cache")}
    run(python, *command, "app.spec", cwd=source, environment=cache)
    shutil.rmtree(environment)
    return source / "dist"


@pytest.fixture(scope="module", params=["folder", "single"])
def application(request, dist):
    return dist / request.param / "app" if request.param == "folder" else dist / "single"


def frozen(application, empty, **environment):
    return subprocess.run(
        [str(application)],
        capture_output=True, text=True, cwd=empty, env=environment, check=False, timeout=300,
    )  # fmt: skip


def test_application_in_an_empty_environment_works(application, tmp_path):
    result = frozen(application, tmp_path)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    print(f"\n{result.stdout}")
    for topic in PRINTED:
        line = re.search(rf"^{topic}: .*", result.stdout, re.MULTILINE)
        assert line and re.search(r"[1-9]", line[0]), f"nothing of {topic!r}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.matconv", "m.npz"]


def test_application_has_every_variant_of_the_wheel(application, wheel, tmp_path):
    result = frozen(application, tmp_path)
    built = re.search(r"^built: \d+ (.*)", result.stdout, re.MULTILINE)[1].split()
    modules = fnmatch.filter(zipfile.ZipFile(wheel).namelist(), "*/_winograd.*.so")
    folders = {Path(name).parent.name for name in modules}
    assert set(built) == folders - {"kernels"} | {"baseline"}
    for variant in built:
        result = frozen(application, tmp_path, MATCONV_SIMD=variant)
        module = re.search(r"^module: (.*)", result.stdout, re.MULTILINE)
        if module is None:  # this processor does not run it
            assert f"ImportError: MATCONV_SIMD is '{variant}', expected one of" in result.stderr
            continue
        folder = Path(module[1]).parent.name
        assert folder == ("kernels" if variant == "baseline" else variant)


@pytest.mark.parametrize("module", ["cpu", "_conv", "_winograd"])
def test_application_without_a_module_says_so(module, dist, tmp_path):
    copy, empty = tmp_path / "folder", tmp_path / "empty"
    shutil.copytree(dist / "folder", copy, symlinks=True)
    empty.mkdir()
    removed = list(copy.rglob(f"matconv/kernels/**/{module}.*.so"))
    assert removed
    for path in removed:
        path.unlink()
    result = frozen(copy / "app", empty)
    assert result.returncode == 1
    assert (
        f"ImportError: matconv.kernels.{module} is missing from this frozen application: build it "
        "with all modules of matconv (PyInstaller: --collect-all matconv)\n"
    ) in result.stderr
