"""matconv check: check the derivatives of a network."""

from __future__ import annotations

import argparse

from . import options

SUMMARY = "check a network's gradient and adjoints on this machine"
DESCRIPTION = """\
Check a network on this machine, with random images and a random theta:

  gradient   against central differences of f along random directions
  adjoint    of each linear layer: <Z_out, dZ_out> = <Z, dZ> (= <W, dW>)

Each difference is shown with its bound; exit status 1 if one exceeds it.

example:
  matconv check --network lenet
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--network",
        metavar="NAME",
        default="digits",
        help="digits, lenet, simplenn-3, or a TOML file. Default: digits",
    )
    parser.add_argument(
        "--input-shape",
        metavar=("HEIGHT", "WIDTH", "CHANNELS"),
        nargs=3,
        type=options.whole(1),
        help="of the images. Default: the usual one of the network",
    )
    parser.add_argument(
        "--dtype", choices=("float64", "float32"), help="of all arrays. Default: float64"
    )
    parser.add_argument(
        "--loss", choices=("softmax", "squared"), default="softmax", help="default: softmax"
    )
    parser.add_argument(
        "--images", metavar="N", type=options.whole(1), default=16, help="number. Default: 16"
    )
    parser.add_argument(
        "--seed", metavar="N", type=options.whole(0), default=0, help="of images and theta"
    )
    options.add_computing(parser)
    options.add_debug(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ..presets import make_network
    from . import checks
    from .labels import check_one_output

    net = make_network(arguments.network, arguments.input_shape, 10, arguments.dtype)
    check_one_output(net, arguments.network)
    net = net.with_algorithm(arguments.algorithm)
    print(f"{net.summary()}\n", flush=True)
    print(f"{'check':<44}  {'difference':>10}  {'bound':>8}")
    right = True
    found = checks.checks(net, arguments.loss, arguments.images, arguments.seed, arguments.threads)
    for check in found:
        end = "" if check.holds else "  WRONG"
        print(f"{check.name:<44}  {check.difference:>10.2e}  {check.bound:>8.1e}{end}", flush=True)
        right = right and check.holds
    print("\nall checks passed" if right else "\nsome checks FAILED: see the lines above")
    return 0 if right else 1
