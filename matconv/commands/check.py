"""matconv check: checks of the derivatives of a network."""

from __future__ import annotations

import argparse
from dataclasses import replace

from ..options import Count, Option
from ..presets import PRESETS
from . import options

SUMMARY = "check a network's derivatives and adjoints on this machine"
DESCRIPTION = """\
Check a network on this machine, with random images and a random theta:

  gradient   against central differences of f along random directions
  products   with the Jacobian J of the outputs, the Gauss-Newton matrix and the Hessian of f:
             <J v, u> = <v, J'u>, symmetry, G v = J'B J v, central differences; B is the Hessian of
             the loss
  adjoint    of each linear layer: <Z_out, dZ_out> = <Z, dZ> (= <W, dW>)

Each difference is shown with its bound; exit status 1 if one exceeds it, or if rounding errors
make a bound so wide, above 0.1, that nothing is decided.

example:
  matconv check --network lenet
"""


NETWORK = replace(options.NETWORK, default=next(iter(PRESETS)))
IMAGES = Option("images", Count(), "number of images", 16, metavar="N")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add(
        parser,
        NETWORK,
        options.WIDTH,
        options.INPUT_SHAPE,
        options.DTYPE,
        options.LOSS,
        IMAGES,
        options.SEED,
        *options.COMPUTING,
        options.DEBUG,
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ..presets import make_network
    from . import checks
    from .labels import check_one_output
    from .problem import configured_network

    net = configured_network(arguments)
    if net is None:
        net = make_network(
            arguments.network, arguments.input_shape, 10, arguments.dtype, arguments.width
        )
    check_one_output(net, arguments.network)
    net = net.with_algorithm(arguments.algorithm)
    print(f"{net.summary()}\n", flush=True)
    print(f"{'check':<44}  {'difference':>10}  {'bound':>8}")
    right = True
    found = checks.checks(net, arguments.loss, arguments.images, arguments.seed, arguments.threads)
    for check in found:
        end = "" if check.holds else "  WRONG"
        if not check.holds and check.difference <= check.bound:
            end = "  NOT DECIDED"
        print(f"{check.name:<44}  {check.difference:>10.2e}  {check.bound:>8.1e}{end}", flush=True)
        right = right and check.holds
    print("\nall checks passed" if right else "\nsome checks FAILED: see the lines above")
    return 0 if right else 1
