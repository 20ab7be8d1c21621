"""matconv train: train a network on images and save it to a model file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
import textwrap
import time
from typing import TYPE_CHECKING

from ..descriptions import layer_entry
from ..layers import LAYERS
from ..options import Choice, Flag, Number, Option, Text
from ..presets import LARGE, NETWORK_KEYS, make_network, preset_for
from . import options, pixels, settings

if TYPE_CHECKING:
    from .interrupts import Interrupts

SUMMARY = "train a network and save it (without options: on the digits of matconv)"
DESCRIPTION = """\
Train a network by minimising

  f(theta) = theta'theta / (2C) + the mean loss of the training images

and save it. Without options: a small network on the handwritten digits that matconv includes.

Ctrl-C, SIGTERM and SIGHUP end the training at once and save the last complete step (exit status
130, 143, 129); a signal that is ignored at the start remains ignored (nohup). A long training is
also saved at intervals, see --checkpoint. If the reader of the output closes it (| head), the
training is finished and saved, and the exit status is 141.

examples:
  matconv train
  matconv train --data /usr/share/datasets/fashion-mnist --network lenet --dtype float32
  matconv train --resume digits-model.npz --iterations 50
"""


def _example(name: str) -> str:
    """Return the layers of a preset as TOML, without arguments that have their default values."""
    lines = [f"the network {name} as a TOML file:"]
    for k, layer in enumerate(make_network(name, None, 10).layers):
        defaults = {field.name: field.default for field in dataclasses.fields(layer)}
        values = layer_entry(k, layer).items()
        lines.append("  [[layers]]")
        lines += [
            f"  {key} = {json.dumps(value)}" for key, value in values if value != defaults.get(key)
        ]
        lines.append("")
    return "\n".join(lines)


def _kinds() -> str:
    """Return the kinds of layers as text, each with the keys of its table."""
    explicit = " and ".join(kind for kind, layer in LAYERS.items() if layer.explicit_activation)
    lines = [
        "kinds of layers with their keys, in brackets those that may be left out; each may have",
        f'name and inputs as well; {explicit} must have an activation, or "none":',
    ]
    width = max(map(len, LAYERS)) + 1
    for kind, layer in LAYERS.items():
        fields = [one for one in dataclasses.fields(layer) if one.name not in ("name", "inputs")]
        needed = [one.name for one in fields if one.default is dataclasses.MISSING]
        optional = [one.name for one in fields if one.default is not dataclasses.MISSING]
        keys = ", ".join(needed) + (f" [{', '.join(optional)}]" if optional else "")
        line = f"{kind:<{width}}{keys.strip()}".rstrip()
        lines.append(
            textwrap.fill(line, 92, initial_indent="  ", subsequent_indent=" " * (width + 2))
        )
    lines += [
        "",
        f"A table [network] before the layers may have {', '.join(NETWORK_KEYS)}. The inputs of a",
        "layer are the names of the layers that it reads. A network that is trained has one output.",
    ]
    return "\n".join(lines)


EPILOG = f"{_example(preset_for((1, 1)))}\n{_kinds()}"

NETWORK = dataclasses.replace(
    options.NETWORK,
    default_text=f"{preset_for((1, 1))} for images under {LARGE} x {LARGE}, else "
    f"{preset_for((LARGE, LARGE))}",
)
INPUT_SHAPE = dataclasses.replace(
    options.INPUT_SHAPE,
    help="size of the images of the network, whose first layer enlarges the given ones by whole "
    "factors; also that of the given ones in files that do not say it",
    default_text="that of the images",
)
PIXELS = Option(
    "pixels",
    Choice(tuple(pixels.DESCRIPTIONS)),
    "preprocessing of the pixels: "
    + "; ".join(f"{name}, {text}" for name, text in pixels.DESCRIPTIONS.items()),
    default_text="scaled",
)
RESUME = Option(
    "resume",
    Text(),
    "continue from this model file: its network and theta, its settings unless others are given, "
    "its split between training and test images, and its number of iterations",
    metavar="MODEL",
)
NEW_SPLIT = Option(
    "new_split",
    Flag(),
    "with --resume: accept other test images than before, some of which may have been trained on; "
    "without it they are refused",
    False,
)
TRAINING_SEED = dataclasses.replace(
    options.SEED,
    help="seed of the first theta, of the order of the images and of --test-fraction (with "
    "--resume only of the order); the same seed gives the same bits",
)
OUTPUT = Option(
    "output",
    Text(),
    "model file to write",
    default_text="named after the data, with a number if that file exists",
    metavar="FILE",
)
CHECKPOINT = Option(
    "checkpoint",
    Number(minimum=0),
    "save the unfinished model to the output at this interval, to be continued by --resume; less "
    "often if saving would take more than 5 % of the time; 0: only at the end",
    60.0,
    metavar="SECONDS",
)
PER_CLASS = dataclasses.replace(
    options.PER_CLASS,
    help="also save the error of each class in the history, and show that of the test images at the "
    "end",
)
QUIET = Option("quiet", Flag(), "show only the result", False)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    data = parser.add_argument_group("data")
    options.add_settings(data, *settings.DATA_SETTINGS)
    options.add(data, NEW_SPLIT)
    network = parser.add_argument_group("network")
    options.add(network, NETWORK, options.WIDTH, INPUT_SHAPE, options.DTYPE, PIXELS, RESUME)
    objective = parser.add_argument_group("objective")
    options.add_settings(objective, options.LOSS, settings.C, settings.PENALTY)
    solver = parser.add_argument_group("solver")
    options.add_settings(
        solver,
        settings.solver_setting(),
        settings.iterations_setting(),
        *settings.solver_options(),
        TRAINING_SEED,
    )
    options.add(solver, *options.COMPUTING)
    # settings as functions of a given value and the number of training images
    parser.set_defaults(by_images={})
    output = parser.add_argument_group("output")
    options.add(output, OUTPUT, options.FORCE, CHECKPOINT, options.TOP_K, PER_CLASS, QUIET)
    options.add(output, options.DEBUG)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from .interrupts import Interrupts
    from .outputs import check_output

    if arguments.output is not None:
        check_output(arguments.output, arguments.force)
    with Interrupts() as interrupts:
        return _train(arguments, interrupts)


def _train(arguments: argparse.Namespace, interrupts: Interrupts) -> int:
    from .outputs import check_output
    from .streams import Output
    from .training import Training

    began = time.perf_counter()
    if isinstance(sys.stdout, Output):
        sys.stdout.keep_going = True
    with interrupts.raising():
        training = Training(arguments, interrupts)
        check_output(training.output, arguments.force)
        if not arguments.quiet:
            print(f"{training.problem.describe()}\n", flush=True)
    result = training.finish(training.minimize(show=not arguments.quiet))
    resume = f"matconv train --resume {shlex.quote(training.output)}"
    iteration = training.problem.method.iteration
    saved = f"after {iteration} {result.iterations}, saved; continue with: {resume}"
    if result.interrupted:
        raise training.interruption(saved)
    if not arguments.quiet:
        print()
    print(training.outcome(result, time.perf_counter() - began))
    if not arguments.quiet:
        print(f"\nnext: matconv evaluate {shlex.quote(training.output)}")
    sys.stdout.flush()
    if isinstance(sys.stdout, Output) and sys.stdout.error is not None:
        sys.stdout.error.add_note(f"the model is saved in {training.output}")
    if interrupts.received is not None:
        raise training.interruption(saved)
    return 1 if training.rescued else 0
