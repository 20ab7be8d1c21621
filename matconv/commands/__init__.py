"""The commands of the command line, one module each, and what they share.

train evaluate predict info check

options     how an option becomes an argument; options that several commands have
datasets    images and labels from what --data names
mnist       the files of MNIST in a directory, however they are spelled
settings    what a model file records of its training; from the command line or from --resume
split       whether the training and test images are those of the training before
problem     what a training minimises: images, network, f, solver
training    a training: minimise f, save the model
saving      where a command writes its file, and when a training saves
interrupts  signals that end a training
streams     standard streams that may be closed, full or without a reader
messages    warnings as lines
labels      labels of files as indices of outputs, and back
outputs     which file to write: not over another one, elsewhere if it cannot be written
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


if not TYPE_CHECKING:  # a checker sees the imports above, and misspelt names

    def __getattr__(name: str) -> object:
        if name in _SUBMODULES:
            return _import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
