"""``import matconv`` that fails: the message names the cause."""

import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pytest
import scipy
import threadpoolctl

import matconv

PACKAGE = Path(matconv.__file__).parent
SOURCE = Path(__file__).parents[2] / "matconv"
COMPILED = ("*.so", "*.pyd")
DEPENDENCIES = {
    "numpy": Path(np.__file__).parent,
    "scipy": Path(scipy.__file__).parent,
    "threadpoolctl": Path(threadpoolctl.__file__),
}


def copy(folder, source, *without):
    """A copy of the package without some files; the folder to import it from."""
    ignored = shutil.ignore_patterns("__pycache__", *without)
    shutil.copytree(source, folder / "matconv", ignore=ignored)
    return folder


def last_line(*arguments, cwd, path=(), then=""):
    """The last line of stderr of a Python that fails, isolated but for the folders of `path`.

    With a path it imports matconv; `then` is what it does afterwards.
    """
    paths = "".join(f"sys.path.insert({k}, {str(folder)!r}); " for k, folder in enumerate(path))
    code = (f"import sys; {paths}import matconv{then}",) if paths else ()
    flags = ("-I", "-S", "-c") if paths else ()
    result = subprocess.run(
        [sys.executable, *flags, *code, *arguments],
        capture_output=True, text=True, cwd=cwd, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (1, "")
    return result.stderr.splitlines()[-1]


def import_matconv(cwd):
    return last_line("-c", "import matconv", cwd=cwd)


# Not built ----------------------------------------------------------------------------------------


NOT_BUILT = (
    "ImportError: matconv is not built: run `pip install .` in its source folder and start Python "
    "in another one, or run `pip install -e .` to work in the source folder itself"
)


@pytest.mark.parametrize(
    "arguments", [("-c", "import matconv"), ("-c", "import matconv.phi"), ("-m", "matconv", "info")]
)
def test_import_source_that_is_not_built_says_how_to_build(arguments, tmp_path):
    copy(tmp_path, SOURCE, *COMPILED)
    assert last_line(*arguments, cwd=tmp_path) == NOT_BUILT


@pytest.mark.parametrize("module", ["cpu", "_conv", "_geometry"])
def test_import_build_that_lacks_a_module_names_it(module, tmp_path):
    copy(tmp_path, PACKAGE, f"{module}.*.so", f"{module}.*.pyd")
    for path in SOURCE.rglob("*.pyx"):
        shutil.copy(path, tmp_path / "matconv" / path.relative_to(SOURCE))
    assert import_matconv(tmp_path) == (
        f"ImportError: the build of matconv in {tmp_path / 'matconv'} lacks "
        f"matconv.kernels.{module}: run `pip install .`, or `pip install -e .`, in its source "
        "folder again"
    )


# Installed, and not whole or for another Python ---------------------------------------------------


@pytest.mark.parametrize(
    "module, without",
    [("cpu", COMPILED), ("_geometry", ("_geometry.*.so", "_geometry.*.pyd"))],
)
def test_import_installation_that_lacks_a_module_names_it(module, without, tmp_path):
    copy(tmp_path, PACKAGE, "*.pyx", *without)
    assert import_matconv(tmp_path) == (
        f"ImportError: the installation of matconv in {tmp_path / 'matconv'} lacks "
        f"matconv.kernels.{module}: install it again"
    )


@pytest.mark.parametrize("without", [(), ("*.pyx",)], ids=["source", "installed"])
@pytest.mark.parametrize("suffix", [".cpython-27-other.so", ".cp39-win_amd64.pyd"])
def test_import_modules_for_another_python_names_both(without, suffix, tmp_path):
    copy(tmp_path, PACKAGE, *without)
    kernels = tmp_path / "matconv" / "kernels"
    for path in list(kernels.rglob("*.so")):
        path.rename(path.with_name(path.name.partition(".")[0] + suffix))
    assert import_matconv(tmp_path) == (
        f"ImportError: matconv is built for another Python: {kernels} has cpu{suffix} where this "
        f"one ({sys.executable}) imports cpu{EXTENSION_SUFFIXES[0]}; install matconv again with "
        "this one"
    )


def test_import_damaged_module_keeps_the_error(tmp_path):
    copy(tmp_path, PACKAGE)
    for path in (tmp_path / "matconv" / "kernels").glob("_geometry.*"):
        if path.suffix == ".so":
            path.write_bytes(b"not a shared library" * 10)
    line = import_matconv(tmp_path)
    assert line.startswith("ImportError: ") and "geometry" in line and "invalid ELF header" in line


def test_import_module_of_another_build_keeps_the_error(tmp_path):
    """A module without the expected functions, as an undefined symbol or another ABI has."""
    copy(tmp_path, PACKAGE)
    kernels = tmp_path / "matconv" / "kernels"
    for path in kernels.glob("_geometry.*.so"):
        shutil.copy(next(kernels.glob("cpu.*.so")), path)
    assert import_matconv(tmp_path) == (
        "ImportError: dynamic module does not define module export function (PyInit__geometry)"
    )


# Dependencies -------------------------------------------------------------------------------------


def site(folder, names):
    """A folder with links to some of the dependencies, and nothing else of site-packages."""
    folder.mkdir()
    for name in names:
        path = DEPENDENCIES[name]
        for entry in (path, path.parent / f"{name}.libs"):
            if entry.exists():
                (folder / entry.name).symlink_to(entry)
    return folder


@pytest.mark.parametrize("missing", DEPENDENCIES)
def test_import_without_a_dependency_names_it(missing, tmp_path):
    folder = site(tmp_path / "site", DEPENDENCIES.keys() - {missing})
    copied = copy(tmp_path / "copy", PACKAGE)
    # threadpoolctl is imported when the first computation begins
    then = "; matconv.kernels._guard.guarded(int)" if missing == "threadpoolctl" else ""
    assert last_line(cwd=tmp_path, path=(copied, folder), then=then) == (
        f"ModuleNotFoundError: No module named '{missing}'"
    )


def test_import_with_all_dependencies_works(tmp_path):
    """The folder of links is enough: the test above misses what it means to."""
    copied, folder = copy(tmp_path / "copy", PACKAGE), site(tmp_path / "site", DEPENDENCIES)
    code = f"import sys; sys.path[:0] = {[str(copied), str(folder)]!r}; import matconv; print('ok')"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "ok\n", "")


def test_import_dependency_without_a_submodule_names_it(tmp_path):
    """A dependency that is broken: not a matter of matconv's build."""
    copied, folder = copy(tmp_path / "copy", PACKAGE), tmp_path / "site"
    site(folder, ["numpy", "threadpoolctl"])
    (folder / "scipy").mkdir()
    (folder / "scipy" / "__init__.py").touch()
    assert last_line(cwd=tmp_path, path=(copied, folder)) == (
        "ModuleNotFoundError: No module named 'scipy.linalg'"
    )


# Archives -----------------------------------------------------------------------------------------


def archive(path):
    """The whole package in a zip file, as zipapp makes it."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("__main__.py", "import matconv")
        for member in PACKAGE.rglob("*"):
            if member.is_file() and "__pycache__" not in member.parts:
                file.write(member, Path("matconv", member.relative_to(PACKAGE)))
    return path


def test_import_from_a_zip_file_says_that_it_cannot_work(tmp_path):
    path = archive(tmp_path / "application.pyz")
    expected = (
        f"ImportError: matconv cannot be imported from a zip file ({path / 'matconv'}): its "
        "compiled modules must be files of their own; install it with pip"
    )
    assert last_line(str(path), cwd=tmp_path) == expected
    code = f"import sys; sys.path.insert(0, {str(path)!r}); import matconv"
    assert last_line("-c", code, cwd=tmp_path) == expected


# Frozen applications (tests/downstream has a real one) --------------------------------------------


@pytest.mark.parametrize("without", [COMPILED, ("_conv.*.so", "_conv.*.pyd")])
def test_import_frozen_application_that_lacks_a_module_names_it(without, tmp_path):
    copy(tmp_path, SOURCE if without == COMPILED else PACKAGE, *without)
    module = "cpu" if without == COMPILED else "_conv"
    code = "import sys; sys.frozen = True; import matconv"
    assert last_line("-c", code, cwd=tmp_path) == (
        f"ImportError: matconv.kernels.{module} is missing from this frozen application: build it "
        "with all modules of matconv (PyInstaller: --collect-all matconv)"
    )
