"""The commands of the command line: a module for each, and modules that they share.

Commands: train, evaluate, predict, convert, info, check, simplenn_train.

options     conversion of options to arguments; options of several commands
datasets    images and labels of the option --data
formats     formats of files of images, and their readers
mnist       search for the files of MNIST in a directory
settings    settings of a training, from the command line or from a model file
split       comparison of training and test images with those of an earlier training
problem     images, network, f and solver of a training
training    minimisation of f, and saving of the model
saving      writing the file of a command, and checkpoints of a training
interrupts  signals that end a training
streams     standard streams that may be closed, full or without a reader
messages    warnings as lines
labels      conversion of labels in files to indices of outputs, and back
checks      checks of derivatives, for the command check
outputs     names of output files
pixels      preprocessing that a training chooses
tables      text in columns
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import (  # noqa: F401
        check,
        checks,
        convert,
        datasets,
        evaluate,
        formats,
        info,
        interrupts,
        labels,
        messages,
        mnist,
        options,
        outputs,
        pixels,
        predict,
        problem,
        saving,
        settings,
        simplenn_train,
        split,
        streams,
        tables,
        train,
        training,
    )

# loaded at first use
_SUBMODULES = (
    "check",
    "checks",
    "convert",
    "datasets",
    "evaluate",
    "formats",
    "info",
    "interrupts",
    "labels",
    "messages",
    "mnist",
    "options",
    "outputs",
    "pixels",
    "predict",
    "problem",
    "saving",
    "settings",
    "simplenn_train",
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
