"""Packages that may be missing, each an extra of matconv."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import NamedTuple

__all__ = ["EXTRAS", "Extra", "need"]


class Extra(NamedTuple):
    """A package that may be missing.

    Attributes
    ----------
    module : str
        Name of the module to import.
    package : str
        Name of the package.
    formats : str
        The formats that it reads.
    """

    module: str
    package: str
    formats: str


# by the names in pyproject.toml
EXTRAS = {
    "matlab": Extra("h5py", "h5py", "MATLAB files of version 7.3"),
    "images": Extra("PIL", "Pillow", "PNG and JPEG files"),
}


def need(extra: str) -> ModuleType:
    """Return the module of an extra.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to install it.

    Examples
    --------
    >>> need("images").__name__
    'PIL'
    """
    module, package, formats = EXTRAS[extra]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{package} is needed for {formats}: pip install 'matconv[{extra}]'"
        ) from error
