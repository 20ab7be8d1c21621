"""Types of options, and groups of options that several commands have."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn

# a parser or a group of options: argparse has no public name for their base class
Group = Any


class UsageError(Exception):
    """The options contradict each other: exit status 2."""


class Parser(argparse.ArgumentParser):
    """Parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"matconv: error: {message} (see: {self.prog} --help)\n")


def whole(minimum: int) -> Callable[[str], int]:
    """Return a parser of integers that are at least ``minimum``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {minimum}, got {text!r}"
            )
        return value

    return parse


def number(
    above: float = -math.inf,
    minimum: float = -math.inf,
    below: float = math.inf,
    finite: bool = True,
) -> Callable[[str], float]:
    """Return a parser of numbers x with above < x, minimum <= x, x < below."""
    bounds = [
        *([f"above {above:g}"] if above > -math.inf else []),
        *([f"at least {minimum:g}"] if minimum > -math.inf else []),
        *([f"below {below:g}"] if below < math.inf else ["finite"] if finite else []),
    ]

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        beyond = value >= below and (finite or below < math.inf)
        if not (above < value and minimum <= value) or beyond:
            raise argparse.ArgumentTypeError(
                f"expected a number {' and '.join(bounds)}, got {text!r}"
            )
        return value

    return parse


def add_data(parser: Group, default: str) -> None:
    """Add --data and --labels."""
    parser.add_argument(
        "--data",
        metavar="WHAT",
        help="the images: 'digits', which matconv includes; a directory with the files of MNIST "
        "(train-images-idx3-ubyte, t10k-..., also .gz); an .npz file with arrays Z (images, "
        "height, width, channels) and y; or an IDX file of images, with --labels. "
        f"Default: {default}",
    )
    parser.add_argument("--labels", metavar="FILE", help="IDX file with the labels of --data")


def add_images(parser: Group) -> None:
    """Add --data, --labels and --part, for images that a model is used on."""
    add_data(parser, "what the model was trained on")
    parser.add_argument(
        "--part",
        choices=("test", "train"),
        help="the training or the test images, of data that has both. Default: test",
    )


def add_computing(parser: Group) -> None:
    """Add --threads and --algorithm."""
    parser.add_argument(
        "--threads",
        metavar="N",
        type=whole(1),
        help="number of threads; the results have the same bits for any number. Default: all cores",
    )
    parser.add_argument(
        "--algorithm",
        choices=("auto", "im2col", "winograd"),
        help="of the convolutions: im2col, winograd (where there are transforms), or the faster of "
        "both by a fixed rule. Default: auto",
    )


def add_debug(parser: Group) -> None:
    """Add --debug."""
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
