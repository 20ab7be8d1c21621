"""Settings of a training, from the command line or from the model file that it continues.

A setting is an `Option` whose value the model file records. Solvers have settings of their own, the
options of `matconv.solvers.METHODS`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..files.errors import format_error
from ..files.regular import shortened
from ..io import Model, simplenn
from ..options import Choice, Count, Factors, Number, Option, Text, alternatives
from ..solvers import METHODS, Method, merged_options, usual_method
from .options import DATA, FIRST_LABEL, LABELS, LOSS, PIXEL_ORDER, SEED, UsageError

# name, in place of a path, of the images that are included in matconv
DIGITS = "digits"
# part of the images that is used for testing if the data has no test images
TEST_FRACTION = 0.2

DATA_SETTINGS = (
    replace(DATA, default=DIGITS, default_text=""),
    LABELS,
    replace(PIXEL_ORDER, default_text=simplenn.ORDERS[0]),
    FIRST_LABEL,
    Option("test_data", Text(), "file or directory of test images, as for --data", metavar="FILE"),
    Option("test_labels", Text(), "IDX or .npy file with their labels", metavar="FILE"),
    Option(
        "test_fraction",
        Number(minimum=0, below=1),
        "part of the images, drawn by --seed, that is kept for testing if the data has no test "
        "images",
        default_text=f"{TEST_FRACTION:g}",
        metavar="PART",
    ),
)
C = Option(
    "C",
    Number(above=0, infinite=True),
    "inverse strength of the regularisation, 'inf' for none",
    1000.0,
    metavar="C",
)
PENALTY = Option(
    "penalty",
    Factors(),
    "factors of the regularisation by layer and kind of parameters, such as biases=0,conv1=2",
    1.0,
    metavar="FACTORS",
)
# seed that draws the test images; --seed does not change it when a training is continued
SPLIT_SEED = Option("split_seed", Count(0), "seed of the split")

DATA_NAMES = tuple(option.name for option in DATA_SETTINGS)
SPLIT_NAMES = (*DATA_NAMES, SPLIT_SEED.name)

# settings of a training that `matconv evaluate` uses
SEEDS = (SEED, SPLIT_SEED)
EVALUATION = (*DATA_SETTINGS, C, PENALTY, LOSS, *SEEDS)


def solver_setting() -> Option:
    """Return the option --solver."""
    usual: list[str] = []
    for method in METHODS.values():
        if method.max_images is None:
            usual.append(f"else {method.name}" if usual else method.name)
            break
        usual.append(f"{method.name} for up to {method.max_images:,} training images")
    return Option(
        "solver",
        Choice(METHODS),
        "; ".join(f"{method.name}, {method.summary}" for method in METHODS.values()),
        default_text="the solver that an option is for, or " + ", ".join(usual),
        metavar="NAME",
    )


def iterations_setting() -> Option:
    """Return the option --iterations, with an alias such as --epochs for each other name."""
    methods = METHODS.values()
    names = dict.fromkeys(f"{method.iteration}s" for method in methods)
    usual: dict[int, list[str]] = {}
    for method in methods:
        usual.setdefault(method.iterations, []).append(method.name)
    return Option(
        "iterations",
        Count(),
        f"number of {' or '.join(names)}",
        default_text="; ".join(f"{count} with {alternatives(of)}" for count, of in usual.items()),
        metavar="N",
        aliases=tuple(name for name in names if name != "iterations"),
    )


def solver_options() -> list[Option]:
    """Return the options of all solvers, without the seed, which is that of the training."""
    return [
        replace(option, help=f"with {alternatives(names)}: {option.help}")
        for option, names in merged_options(METHODS.values()).values()
        if option.name != SEED.name
    ]


def all_settings() -> list[Option]:
    """Return all settings that a model file records."""
    return [*EVALUATION, solver_setting(), iterations_setting(), *solver_options()]


def recorded(model: Model, path: str, options: Iterable[Option]) -> dict[str, Any]:
    """Return the values of the given options that a model file records.

    Raises
    ------
    FormatError
        If one of them has a wrong type or is out of range.
    """
    settings = (model.training or {}).get("settings", {})
    if not isinstance(settings, dict):
        raise format_error(path, "'header': training: settings: expected an object")
    found = {}
    for option in options:
        value = settings.get(option.name)
        if value is None:
            continue
        try:
            found[option.name] = option.values.read(value)
        except (TypeError, ValueError, OverflowError):
            raise format_error(
                path,
                f"'header': training: settings: {option.name} is {shortened(repr(value))}, "
                f"expected {option.values.description}",
            ) from None
    if SEED.name in found:
        found.setdefault(SPLIT_SEED.name, found[SEED.name])
    return found


def iterations_done(model: Model, path: str) -> int:
    """Return the number of iterations that a model file records; 0 if it records none."""
    done = (model.training or {}).get("iterations", 0)
    if isinstance(done, bool) or not isinstance(done, int) or done < 0:
        raise format_error(path, f"'header': training: iterations is {done!r}")
    return done


def choose(
    arguments: argparse.Namespace, before: dict[str, Any], new_split: bool = False
) -> dict[str, Any]:
    """Return the settings: given values, else those of ``before``, else the defaults.

    The split between training and test images is kept unless ``new_split`` is True: --seed and
    --data do not change how it is drawn. `choose_solver` completes the settings when the number of
    images is known.
    """
    given = {option.name: getattr(arguments, option.name, None) for option in all_settings()}
    given = {name: value for name, value in given.items() if value is not None}
    if new_split and "seed" in given:
        given["split_seed"] = given["seed"]
    replaced = _replaced(given, new_split)
    own = (*EVALUATION, solver_setting(), iterations_setting())
    defaults = {option.name: option.usual for option in own}
    before = {name: value for name, value in before.items() if name not in replaced}
    chosen = {**defaults, **before, **given}
    if chosen["split_seed"] is None:
        chosen["split_seed"] = chosen["seed"]
    return chosen


def _replaced(given: dict[str, Any], new_split: bool) -> set[str]:
    """Return the names of earlier settings that do not apply to the images given now."""
    replaced: set[str] = set()
    if "data" in given:
        replaced.update(DATA_NAMES if new_split else ("labels", "first_label"))
        if given["data"] == DIGITS or os.path.isdir(given["data"]):
            replaced.add("test_fraction")  # these have test images
    if "test_data" in given:
        replaced.update(("test_labels", "test_fraction"))
    return replaced


def choose_solver(chosen: dict[str, Any], arguments: argparse.Namespace, images: int) -> Method:
    """Add the solver and its options to the settings, and remove those of other solvers.

    By default the solver is the default for the number of images among those that have all given
    options.

    Raises
    ------
    UsageError
        If the solver does not have a given option.
    """
    options = {option.name: option for option in solver_options()}
    given = [name for name in options if getattr(arguments, name) is not None]
    if chosen["solver"] is None:
        able = [method for method in METHODS.values() if set(given) <= set(method.names)]
        chosen["solver"] = usual_method(able or METHODS.values(), images).name
    method = METHODS[chosen["solver"]]
    for name in given:
        if name not in method.names:
            names = alternatives([one.name for one in METHODS.values() if name in one.names])
            raise UsageError(f"{options[name].flag} goes with --solver {names}")
    for name in options.keys() - set(method.names):
        chosen.pop(name, None)
    for option in method.options:
        chosen.setdefault(option.name, option.usual)
    return method


def written(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings for a model file, without those whose value is None."""
    options = {option.name: option for option in all_settings()}
    return {
        name: options[name].values.written(value)
        for name, value in settings.items()
        if value is not None
    }
