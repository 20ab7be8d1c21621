"""The commands of the command line, a module for each, and modules that they share.

train evaluate predict info check

options     how an option becomes an argument; options that several commands have
datasets    images and labels of the option --data
mnist       the files of MNIST in a directory, with any usual spelling
settings    settings of a training, from the command line or from a model file
split       comparison of training and test images with those of an earlier training
problem     what a training minimises: images, network, f, solver
training    a training: minimise f, save the model
saving      writing the file of a command, and checkpoints of a training
interrupts  signals that end a training
streams     standard streams that may be closed, full or without a reader
messages    warnings as lines
labels      labels of files as indices of outputs, and back
checks      the checks of the command check
outputs     names of output files
tables      text in columns
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import (  # noqa: F401
        check,
        checks,
        datasets,
        evaluate,
        info,
        interrupts,
        labels,
        messages,
        mnist,
        options,
        outputs,
        predict,
        problem,
        saving,
        settings,
        split,
        streams,
        tables,
        train,
        training,
    )

# all loaded at first use
_SUBMODULES = (
    "check",
    "checks",
    "datasets",
    "evaluate",
    "info",
    "interrupts",
    "labels",
    "messages",
    "mnist",
    "options",
    "outputs",
    "predict",
    "problem",
    "saving",
    "settings",
    "split",
    "streams",
    "tables",
    "train",
    "training",
)


if not TYPE_CHECKING:  # type checkers see the imports above, and report names that do not exist

    def __getattr__(name: str) -> object:
        if name in _SUBMODULES:
            return _import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
