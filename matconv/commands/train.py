"""matconv train: train a network on images and save it in a model file."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

from . import options
from .settings import CHECKPOINT_SECONDS, LBFGS_IMAGES, SETTINGS

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

EPILOG = """\
a network in a TOML file:
  [[layers]]
  kind = "Conv"        # channels, kernel, activation; stride, pad, dilation, groups
  channels = 16
  kernel = 3
  pad = "same"
  activation = "relu"  # or "none"

  [[layers]]
  kind = "MaxPool"     # or AvgPool: window; stride, pad
  window = 2

  [[layers]]
  kind = "Dense"       # units; activation
  units = 10

A table [network] before them may have dtype, input_shape and outputs. Layers take name and inputs,
the names of the layers that they read. A network that is trained has one output.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    default = {name: value for name, (value, _) in SETTINGS.items()}

    data = parser.add_argument_group("data")
    options.add_data(data, "digits")
    data.add_argument("--test-data", metavar="FILE", help=".npz or IDX file of test images")
    data.add_argument("--test-labels", metavar="FILE", help="IDX file with their labels")
    data.add_argument(
        "--test-fraction",
        metavar="PART",
        type=options.number(minimum=0, below=1),
        help="part of the images, drawn by --seed, that is kept for testing if the data has no "
        "test images. Default: 0.2",
    )
    data.add_argument(
        "--new-split",
        action="store_true",
        help="with --resume: accept other test images than before, of which some may have been "
        "trained on. Without it they are refused",
    )

    network = parser.add_argument_group("network")
    network.add_argument(
        "--network",
        metavar="NAME",
        help="digits, lenet, simplenn-3, or a TOML file with a table [[layers]] for each layer. "
        "Default: digits for images under 16 x 16, else lenet",
    )
    network.add_argument(
        "--dtype", choices=("float64", "float32"), help="of all arrays. Default: float64"
    )
    network.add_argument(
        "--resume",
        metavar="MODEL",
        help="continue from this model file: its network and theta, its settings unless others "
        "are given, its split between training and test images, and its number of iterations (the "
        "velocity of sgd begins with 0)",
    )

    objective = parser.add_argument_group("objective")
    objective.add_argument(
        "--loss", choices=("softmax", "squared"), help=f"default: {default['loss']}"
    )
    objective.add_argument(
        "--C",
        metavar="C",
        type=options.number(above=0, finite=False),
        help=f"regularisation; 'inf' is none. Default: {default['C']:g}",
    )

    _add_solver(parser.add_argument_group("solver"), default)

    rest = parser.add_argument_group("output")
    rest.add_argument(
        "--output",
        metavar="FILE",
        help="model file to write. Default: named after the data, with a number if it exists",
    )
    rest.add_argument("--force", action="store_true", help="replace the output if it exists")
    rest.add_argument(
        "--checkpoint",
        metavar="SECONDS",
        type=options.number(minimum=0),
        default=CHECKPOINT_SECONDS,
        help="save the unfinished model to the output at this interval, to be continued by "
        "--resume; at a longer one if saving takes over a twentieth of it; 0: only at the end. "
        f"Default: {CHECKPOINT_SECONDS:g}",
    )
    rest.add_argument("--quiet", action="store_true", help="show only the result")
    options.add_debug(rest)


def _add_solver(solver: options.Group, default: dict[str, Any]) -> None:
    solver.add_argument(
        "--solver",
        choices=("lbfgs", "sgd"),
        help="L-BFGS on all images, or stochastic gradient on mini-batches. Default: lbfgs for "
        f"up to {LBFGS_IMAGES:,} training images, else sgd",
    )
    solver.add_argument(
        "--iterations",
        "--epochs",
        metavar="N",
        type=options.whole(1),
        help="iterations of lbfgs (default 100) or epochs of sgd (default 10)",
    )
    solver.add_argument(
        "--batch-size",
        metavar="N",
        type=options.whole(1),
        help=f"sgd: images of a batch. Default: {default['batch_size']}",
    )
    solver.add_argument(
        "--learning-rate",
        metavar="RATE",
        type=options.number(above=0),
        help=f"sgd. Default: {default['learning_rate']:g}",
    )
    solver.add_argument(
        "--momentum",
        metavar="M",
        type=options.number(minimum=0, below=1),
        help=f"sgd. Default: {default['momentum']:g}",
    )
    solver.add_argument(
        "--schedule",
        choices=("constant", "step", "cosine"),
        help="sgd: of the learning rate: constant; a tenth after half of the epochs and a "
        "hundredth after three quarters; or half a cosine down to 0. "
        f"Default: {default['schedule']}",
    )
    solver.add_argument(
        "--seed",
        metavar="N",
        type=options.whole(0),
        help="of the first theta, of the order of the images, of --test-fraction (with --resume "
        "only of the order); the same seed gives the same bits. "
        f"Default: {default['seed']}",
    )
    options.add_computing(solver)


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
            print(f"{training.describe()}\n", flush=True)
    result = training.finish(training.minimize(show=not arguments.quiet))
    resume = f"matconv train --resume {shlex.quote(training.output)}"
    saved = f"after {training.part} {result.iterations}, saved; continue with: {resume}"
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
