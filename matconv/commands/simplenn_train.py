"""matconv simplenn-train: a training as simpleNN's cnn_train does it, with its options."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from typing import Any

from ..options import Choice, Count, Number, Option, Text
from ..solvers import METHODS
from . import options, settings, train
from .options import Argument, Parser, UsageError

SUMMARY = "train as simpleNN's cnn_train does, with its options"
DESCRIPTION = """\
Train the network of a configuration file of simpleNN as its function cnn_train does:

  model = cnn_train(y, Z, y_v, Z_v, CONFIG, options, seed)

The options have simpleNN's names and default values. C is multiplied by the number of training
images, the loss is the squared one, all images of DATA are trained on. The model file is one of
matconv: `matconv convert` makes a file for simpleNN of it, `matconv train --resume` continues.

Differences: an epoch of -s 2 uses each image once, where simpleNN draws the images of each batch
anew; --test-data is evaluated, but does not choose the iteration that is kept.

examples:
  matconv simplenn-train mnist-demo-layer3.config mnist-demo.mat -s 2 -lr 0.01 -epoch_max 20
  matconv convert mnist-demo-model.npz mnist-demo-model.mat --to simplenn
"""


@dataclass(frozen=True)
class SimpleNNOption(Option):
    """An option of cnn_train, which is written with one hyphen.

    Parameters
    ----------
    solver : str
        Value of -s that it goes with; empty for all.
    setting : str
        Option of `matconv train` that gets its value; empty if there is none.
    unused : str
        Reason why a given value changes nothing where the option has no setting, or goes with the
        other solver; empty if that is an error.
    """

    solver: str = ""
    setting: str = ""
    unused: str = ""

    @property
    def flag(self) -> str:
        """The option as it is written on the command line."""
        return f"-{self.name}"


NEWTON, SGD = "1", "2"
# solvers of matconv by the value of -s
SOLVERS = {NEWTON: "newton", SGD: "sgd"}
_TYPES = {"0": "float32", "1": "float64"}
_MEMORY = "matconv chooses itself what is computed at a time and what is kept"

CONFIG = Argument("config", Text(), "configuration of simpleNN", metavar="CONFIG")
IMAGES = Argument(
    "data",
    Text(),
    "the training images: a .mat file with Z (images, height width channels) and y, a text file of "
    "LIBSVM, or any other data of `matconv train`",
    metavar="DATA",
)
SOLVER = SimpleNNOption(
    "s", Choice(SOLVERS), "solver: 1, Newton's method; 2, stochastic gradient", NEWTON
)
GENERAL = (
    SOLVER,
    SimpleNNOption(
        "C",
        Number(above=0),
        "inverse strength of the regularisation, for each training image",
        0.01,
        metavar="C",
        setting="C",
    ),
    SimpleNNOption(
        "ftype", Choice(tuple(_TYPES)), "precision: 0, single; 1, double", "1", setting="dtype"
    ),
    SimpleNNOption("gpu_use", Choice(("0", "1")), "only 0: matconv computes on CPUs", "0"),
)


def _newton(name: str, setting: str, text: str, default: Any, metavar: str) -> SimpleNNOption:
    """Return an option of Newton's method, with the values that the setting of matconv may have."""
    records = {option.name: option for option in METHODS[SOLVERS[NEWTON]].options}
    values = records[setting].values
    return SimpleNNOption(
        name, values, text, default, metavar=metavar, setting=setting, solver=NEWTON
    )


NEWTON_OPTIONS = (
    SimpleNNOption(
        "GNsize",
        Count(),
        "images of a subsample for Gauss-Newton products",
        default_text="5 % of the images",
        metavar="N",
        setting="subsample",
        solver=NEWTON,
    ),
    SimpleNNOption(
        "iter_max", Count(), "iterations", 100, metavar="N", setting="iterations", solver=NEWTON
    ),
    _newton(
        "xi",
        "cg_tolerance",
        "tolerance of the conjugate gradients, relative to |gradient|",
        0.1,
        "X",
    ),
    _newton("CGmax", "cg_iterations", "maximum number of their iterations", 250, "N"),
    _newton("lambda", "damping", "first damping", 1.0, "X"),
    _newton("drop", "drop", "factor that decreases it", 2 / 3, "X"),
    _newton("boost", "boost", "factor that increases it", 3 / 2, "X"),
    _newton("eta", "eta", "decrease that the line search needs", 1e-4, "X"),
    SimpleNNOption(
        "Jacobian",
        Choice(("0", "1")),
        "no effect: " + _MEMORY,
        unused=_MEMORY,
        solver=NEWTON,
    ),
)
SGD_OPTIONS = tuple(
    replace(option, solver=SGD)
    for option in (
        SimpleNNOption("epoch_max", Count(), "epochs", 500, metavar="N", setting="iterations"),
        SimpleNNOption(
            "lr", Number(minimum=0), "learning rate", 0.01, metavar="RATE", setting="learning_rate"
        ),
        SimpleNNOption(
            "decay", Number(minimum=0), "only 0, no decay of the rate", 0.0, metavar="0"
        ),
        SimpleNNOption(
            "momentum",
            Number(minimum=0, below=1),
            "share of the previous step that is added to the next",
            0.0,
            metavar="M",
            setting="momentum",
        ),
        SimpleNNOption(
            "bsize",
            Count(),
            "images of a batch; no effect with -s 1",
            128,
            metavar="N",
            setting="batch_size",
            unused=_MEMORY,
        ),
    )
)
OPTIONS = (*GENERAL, *NEWTON_OPTIONS, *SGD_OPTIONS)

# options of `matconv train` that this command has too
SHARED = (
    *(one for one in settings.DATA_SETTINGS if one.name in ("pixel_order", "test_data")),
    train.PIXELS,
    replace(
        options.SEED,
        help="seed of the first theta and of the order of the images; the same seed gives the same bits",
    ),
    *options.COMPUTING,
    train.OUTPUT,
    options.FORCE,
    train.CHECKPOINT,
    options.TOP_K,
    train.QUIET,
    options.DEBUG,
)
_PIXELS = "unscaled"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add(parser, CONFIG, IMAGES)
    groups = {
        "options of simpleNN": GENERAL,
        "with -s 1": NEWTON_OPTIONS,
        "with -s 2": SGD_OPTIONS,
    }
    for title, group in groups.items():
        options.add_settings(parser.add_argument_group(title), *group)
    shared = (
        replace(one, default_text=_PIXELS) if one.name == train.PIXELS.name else one
        for one in SHARED
    )
    options.add(parser.add_argument_group("options of matconv train"), *shared)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ..io import read_simplenn_config

    made, notes = translated(arguments)
    # raises a precise error about a file that is not one
    read_simplenn_config(arguments.config)
    for note in () if arguments.quiet else notes:
        print(f"note: {note}")
    return train.run(made)


def translated(arguments: argparse.Namespace) -> tuple[argparse.Namespace, list[str]]:
    """Return the arguments of `matconv train`, and notes about options without effect.

    Raises
    ------
    UsageError
        If matconv does not have what an option asks for, or it goes with another solver.
    """
    parser = Parser()
    train.add_options(parser)
    made = parser.parse_args([])
    for option in SHARED:
        setattr(made, option.name, getattr(arguments, option.name))
    chosen = arguments.s or SOLVER.usual
    if arguments.gpu_use == "1":
        raise UsageError("-gpu_use 1: matconv computes on CPUs, only 0")
    if arguments.decay:
        raise UsageError("-decay: the learning rate of matconv has no decay by steps, only 0")
    made.network, made.data, made.test_fraction = arguments.config, arguments.data, 0.0
    made.loss, made.solver = "squared", SOLVERS[chosen]
    made.pixels = arguments.pixels or _PIXELS
    made.by_images = {"C": lambda C, images: C * images}
    if chosen == SGD:
        made.schedule, made.nesterov = "constant", False
    else:
        made.by_images["subsample"] = lambda _, images: _share(arguments.GNsize, images)
        made.gtol = 0.0  # simpleNN always makes all iterations
    notes = [
        note
        for option in OPTIONS
        for note in _set(made, option, getattr(arguments, option.name), chosen)
    ]
    made.dtype = _TYPES[made.dtype]
    return made, notes


def _share(size: int | None, images: int) -> float:
    """Return the share of the images in a subsample of a size, by default that of simpleNN."""
    size = math.ceil(0.05 * images) if size is None else size
    if size > images:
        raise UsageError(f"-GNsize {size}: there are {images} training images")
    return size / images


def _set(made: argparse.Namespace, option: SimpleNNOption, given: Any, chosen: str) -> list[str]:
    """Set the option of `matconv train` that stands for one of simpleNN; return notes."""
    applies = option.solver in ("", chosen)
    if applies and option.setting:
        setattr(made, option.setting, option.usual if given is None else given)
        return []
    if given is None:
        return []
    if option.unused:
        return [f"{option.flag} has no effect: {option.unused}"]
    if not applies:
        raise UsageError(f"{option.flag} goes with -s {option.solver}")
    return []
