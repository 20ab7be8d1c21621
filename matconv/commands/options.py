"""Types of options, and the groups of them that several commands have."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn

# a parser or a group of options of one; argparse does not name what they have in common
Group = Any


class UsageError(Exception):
    """The options do not go together: exit status 2."""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"matconv: error: {message} (see: {self.prog} --help)\n")


def whole(least: int) -> Callable[[str], int]:
    """A whole number of at least ``least``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {least}, got {text!r}"
            )
        return value

    return parse


def number(
    above: float = -math.inf, least: float = -math.inf, below: float = math.inf, finite: bool = True
) -> Callable[[str], float]:
    """A number x with above < x, least <= x, x < below."""
    bounds = [
        *([f"above {above:g}"] if above > -math.inf else []),
        *([f"at least {least:g}"] if least > -math.inf else []),
        *([f"below {below:g}"] if below < math.inf else ["finite"] if finite else []),
    ]

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        beyond = value >= below and (finite or below < math.inf)
        if not (above < value and least <= value) or beyond:
            raise argparse.ArgumentTypeError(
                f"expected a number {' and '.join(bounds)}, got {text!r}"
            )
        return value

    return parse


def add_data(parser: Group, default: str) -> None:
    """--data and --labels."""
    parser.add_argument(
        "--data",
        metavar="WHAT",
        help="the images: 'digits', which ship with matconv; a directory with the files of MNIST "
        "(train-images-idx3-ubyte, t10k-..., also .gz); an .npz file with arrays Z (images, "
        "height, width, channels) and y; or an IDX file of images, with --labels. "
        f"Default: {default}",
    )
    parser.add_argument("--labels", metavar="FILE", help="IDX file with the labels of --data")


def add_images(parser: Group) -> None:
    """The images that a model is used on."""
    add_data(parser, "what the model was trained on")
    parser.add_argument(
        "--part",
        choices=("test", "train"),
        help="which part of data that has two. Default: test",
    )


def add_computing(parser: Group) -> None:
    """--threads and --algorithm: how to compute, not what."""
    parser.add_argument(
        "--threads",
        metavar="N",
        type=whole(1),
        help="threads to compute on; the results have the same bits for any number. "
        "Default: all cores",
    )
    parser.add_argument(
        "--algorithm",
        choices=("auto", "im2col", "winograd"),
        help="of the convolutions: im2col as in the notes, winograd with fewer products where there "
        "are transforms, or whichever is faster by a fixed rule. Default: auto",
    )


def add_debug(parser: Group) -> None:
    """--debug."""
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
