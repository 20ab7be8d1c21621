"""The ImportError for a module of matconv that is not found, with an explanation."""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES

_COMPILED = (".so", ".pyd")


def _files(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def import_error(error: ModuleNotFoundError, package: str) -> ImportError:
    """Return the error to raise in place of a ModuleNotFoundError for a module of matconv.

    Parameters
    ----------
    error : ModuleNotFoundError
        Its ``name`` begins with ``"matconv."``.
    package : str
        The folder of matconv, which may be in a zip file.
    """
    name = str(error.name)
    message = _explanation(name, package)
    return ImportError(message, name=name, path=package)


def _explanation(name: str, package: str) -> str:
    if getattr(sys, "frozen", False):
        return (
            f"{name} is missing from this frozen application: build it with all modules of matconv "
            "(PyInstaller: --collect-all matconv)"
        )
    if not os.path.isdir(package):
        return (
            f"matconv cannot be imported from a zip file ({package}): its compiled modules must "
            "be files of their own; install it with pip"
        )
    parent, _, module = name.rpartition(".")
    folder = os.path.join(package, *parent.split(".")[1:])
    files = _files(folder)
    others = [file for file in files if file.startswith(f"{module}.") and file.endswith(_COMPILED)]
    if others:
        return (
            f"matconv is built for another Python: {folder} has {others[0]} where this one "
            f"({sys.executable}) imports {module}{EXTENSION_SUFFIXES[0]}; install matconv again "
            "with this one"
        )
    if f"{module}.pyx" not in files:
        return f"the installation of matconv in {package} lacks {name}: install it again"
    if any(file.endswith(_COMPILED) for file in files):
        return (
            f"the build of matconv in {package} lacks {name}: run `pip install .`, or "
            "`pip install -e .`, in its source folder again"
        )
    return (
        "matconv is not built: run `pip install .` in its source folder and start Python in "
        "another one, or run `pip install -e .` to work in the source folder itself"
    )
