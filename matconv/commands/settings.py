"""Settings of a training: from the command line, else from the model file that it continues."""

from __future__ import annotations

import argparse
import os
from typing import Any

from ..files.errors import format_error
from ..io import Model

# up to so many images L-BFGS is the default: it evaluates all of them in every step
LBFGS_IMAGES = 10_000

_TEXT, _NUMBER, _WHOLE = (str,), (int, float), (int,)

# name: (default, types in a file); a default of None depends on the images
SETTINGS: dict[str, tuple[Any, tuple[type, ...]]] = {
    "data": ("digits", _TEXT),
    "labels": (None, _TEXT),
    "test_data": (None, _TEXT),
    "test_labels": (None, _TEXT),
    "test_fraction": (None, _NUMBER),
    "loss": ("softmax", _TEXT),
    "C": (1000.0, (int, float, str)),
    "solver": (None, _TEXT),
    "iterations": (None, _WHOLE),
    "batch_size": (64, _WHOLE),
    "learning_rate": (0.02, _NUMBER),
    "momentum": (0.9, _NUMBER),
    "schedule": ("cosine", _TEXT),
    "seed": (0, _WHOLE),
    # draws the test images; it is kept when --seed changes. None: the same as "seed"
    "split_seed": (None, _WHOLE),
}

DATA = ("data", "labels", "test_data", "test_labels", "test_fraction")
SPLIT = (*DATA, "split_seed")
SGD = ("batch_size", "learning_rate", "momentum", "schedule")
ITERATIONS = {"lbfgs": 100, "sgd": 10}

CHECKPOINT_SECONDS = 60.0


def recorded(model: Model, path: str) -> dict[str, Any]:
    """Return the settings that a model file records.

    Raises
    ------
    FormatError
        If one of them has the wrong type.
    """
    settings = (model.training or {}).get("settings", {})
    if not isinstance(settings, dict):
        raise format_error(path, "'header': training: settings: expected an object")
    settings = {name: settings[name] for name in SETTINGS if settings.get(name) is not None}
    for name, value in settings.items():
        if not isinstance(value, SETTINGS[name][1]) or isinstance(value, bool):
            raise format_error(path, f"'header': training: settings: {name} is {value!r}")
    if "seed" in settings:
        settings.setdefault("split_seed", settings["seed"])
    return settings


def iterations_done(model: Model, path: str) -> int:
    """Return the number of iterations that a model file records; 0 without one."""
    done = (model.training or {}).get("iterations", 0)
    if isinstance(done, bool) or not isinstance(done, int) or done < 0:
        raise format_error(path, f"'header': training: iterations is {done!r}")
    return done


def choose(
    arguments: argparse.Namespace, before: dict[str, Any], new_split: bool = False
) -> dict[str, Any]:
    """Return all settings: those given, else those of ``before``, else the defaults.

    The split between training and test images is kept unless ``new_split``: --seed and --data do
    not change how it is drawn.
    """
    given = {name: getattr(arguments, name, None) for name in SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    if new_split and "seed" in given:
        given["split_seed"] = given["seed"]
    replaced = _replaced(given, new_split)
    defaults = {name: default for name, (default, _) in SETTINGS.items()}
    before = {name: value for name, value in before.items() if name not in replaced}
    chosen = {**defaults, **before, **given}
    if chosen["split_seed"] is None:
        chosen["split_seed"] = chosen["seed"]
    chosen["C"] = float(chosen["C"])
    if chosen["solver"] is None and any(name in given for name in SGD):
        chosen["solver"] = "sgd"
    return chosen


def _replaced(given: dict[str, Any], new_split: bool) -> set[str]:
    """Return the earlier settings that do not apply to the images given now."""
    replaced: set[str] = set()
    if "data" in given:
        replaced.update(DATA if new_split else ("labels",))
        if given["data"] == "digits" or os.path.isdir(given["data"]):
            replaced.add("test_fraction")  # these have test images
    if "test_data" in given:
        replaced.update(("test_labels", "test_fraction"))
    return replaced


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings for a model file, without infinities, which strict JSON does not have."""
    idle = SGD if settings["solver"] == "lbfgs" else ()
    kept = {k: value for k, value in settings.items() if value is not None and k not in idle}
    return {**kept, "C": "inf" if kept["C"] == float("inf") else kept["C"]}
