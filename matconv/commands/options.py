"""Conversion of an `Option` to an argument of the command line; options of several commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from ..io import simplenn
from ..kernels import _algorithms as algorithms
from ..losses import LOSSES, get_loss, has_parameter
from ..options import Choice, Count, Flag, Number, Option, Text, Values, alternatives
from ..presets import PRESETS
from ..structure import DTYPES

# a parser or a group of options: argparse has no public name for their base class
Group = Any


class UsageError(Exception):
    """The options contradict each other: exit status 2."""


class Parser(argparse.ArgumentParser):
    """Parser with errors of one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"matconv: error: {message} (see: {self.prog} --help)\n")

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Return no abbreviations: "-seed" is not "-s eed" (allow_abbrev is for "--" alone)."""
        return []


@dataclass(frozen=True)
class LossName(Values):
    """Names of losses, with or without a parameter: "softmax", "huber:0.5"."""

    @property
    def description(self) -> str:
        names = []
        for name, loss in LOSSES.items():
            names.append(name)
            if has_parameter(loss):
                names += [f"{name}:{field.name.upper()}" for field in fields(loss)]  # type: ignore[arg-type]
        return alternatives(names)

    @property
    def type_name(self) -> str:
        return "str"

    def check(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str, got {value!r} ({type(value).__name__})")
        get_loss(value)
        return value


@dataclass(frozen=True)
class Argument(Option):
    """A positional argument of the command line.

    Parameters
    ----------
    required : bool
        Whether it must be given.
    """

    required: bool = True


def add(group: Group, *options: Option) -> None:
    """Add options to a parser or a group; an option that is not given has its default value."""
    for option in options:
        _add(group, option, option.usual)


def add_settings(group: Group, *options: Option) -> None:
    """Add options that a model file may record; an option that is not given is None."""
    for option in options:
        _add(group, option, None)


def _add(group: Group, option: Option, default: Any) -> None:
    settings: dict[str, Any] = {"help": option.full_help.replace("%", "%%"), "default": default}
    if isinstance(option, Argument):
        nargs = None if option.required else "?"
        group.add_argument(option.name, metavar=option.metavar, nargs=nargs, **settings)
        return
    if isinstance(option.values, Flag):
        settings["action"] = "store_true" if default is False else argparse.BooleanOptionalAction
    else:
        settings["type"] = _parser(option.values.parse)
        settings["metavar"] = option.metavar
    if isinstance(option.values, Choice):
        settings.update(type=str, choices=[*option.values.names])
    if isinstance(option.metavar, tuple):
        settings["nargs"] = len(option.metavar)
    flags = (option.flag, *(f"--{alias}" for alias in option.aliases))
    group.add_argument(*flags, dest=option.name, **settings)


def _parser(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a function that raises the errors of `parse` as argparse expects them."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


# Options of several commands ----------------------------------------------------------------------

MODEL = Argument(
    "model",
    Text(),
    "model file, as `matconv train` saves it, or a MATLAB file of MatConvNet or simpleNN",
    metavar="MODEL",
)
DATA = Option(
    "data",
    Text(),
    "the images: 'digits', which matconv includes; a directory with the files of MNIST "
    "(train-images-idx3-ubyte, t10k-..., also .gz); an .npz file with arrays Z (images, height, "
    "width, channels) and y; an IDX or .npy file of images, with --labels; a MATLAB file with X or "
    "Z and y; a PNG or JPEG picture, a directory of them, or one with a subdirectory for each "
    "class; a binary file of CIFAR, or a directory of them; a text file of LIBSVM",
    default_text="what the model was trained on",
    metavar="WHAT",
)
LABELS = Option("labels", Text(), "IDX or .npy file with the labels of --data", metavar="FILE")
PIXEL_ORDER = Option(
    "pixel_order",
    Choice(simplenn.ORDERS),
    "whether the pixels of a channel are stored by columns or by rows, in files with a row of "
    "numbers for each image: of LIBSVM, and .mat files of simpleNN",
    default_text=f"that of the training, else {simplenn.ORDERS[0]}",
)
FIRST_LABEL = Option(
    "first_label",
    Choice(("0", "1")),
    "the label of the first class in --data, for a model whose classes have names that are not "
    "integers",
    default_text="as the labels show",
)
PART = Option(
    "part",
    Choice(("test", "train")),
    "the training or the test images, of data that has both",
    default_text="test",
)
NETWORK = Option(
    "network",
    Text(),
    f"{', '.join(PRESETS)}, a TOML file with a table [[layers]] for each layer, or a configuration "
    "of simpleNN",
    metavar="NAME",
)
INPUT_SHAPE = Option(
    "input_shape",
    Count(),
    "size of the images",
    default_text="the usual one of the network",
    metavar=("HEIGHT", "WIDTH", "CHANNELS"),
)
WIDTH = Option(
    "width",
    Number(above=0),
    "factor of the numbers of channels of a network by name, for instance 0.125",
    default_text="1",
    metavar="FACTOR",
)
DTYPE = Option("dtype", Choice(DTYPES), "type of all arrays", default_text=DTYPES[0])
LOSS = Option(
    "loss", LossName(), f"loss of an image: {LossName().description}", "softmax", metavar="LOSS"
)
TOP_K = Option(
    "top_k",
    Count(),
    "also show the top-k error: the part of the images whose label is not among the K largest outputs",
    metavar="K",
)
PER_CLASS = Option(
    "per_class",
    Flag(),
    "also show the number of images and the error of each class",
    False,
)
SEED = Option("seed", Count(0), "seed of images and theta", 0, metavar="N")
THREADS = Option(
    "threads",
    Count(),
    "number of threads; the results have the same bits for any number",
    default_text="all cores",
    metavar="N",
)
ALGORITHM = Option(
    "algorithm",
    Choice(algorithms.NAMES),
    "algorithm of the convolutions: "
    + "; ".join(f"{name}, {text}" for name, text in algorithms.DESCRIPTIONS.items()),
    default_text=algorithms.NAMES[0],
)
FORCE = Option("force", Flag(), "replace the output if it exists", False)
DEBUG = Option("debug", Flag(), "show the whole traceback of an error", False)

# options about the images that a model is used on, and about the computation
IMAGES = (DATA, LABELS, PIXEL_ORDER, PART)
COMPUTING = (THREADS, ALGORITHM)
