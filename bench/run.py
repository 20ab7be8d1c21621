"""Measure matconv and other libraries on this machine.

    python bench/run.py                                    the core layers, 1 and 2 threads
    python bench/run.py --layers alexnet vgg-64 --passes forward --dtypes float32
    python bench/run.py nets --nets lenet vgg11 --passes step
    python bench/run.py gradient                           peak memory of one gradient of a network
    python bench/run.py algorithms                         im2col against Winograd, and what auto takes
    python bench/run.py latency                            one image, and how much of it is Python
    python bench/run.py frozen                             frozen LeNet against ONNX Runtime
    python bench/run.py epoch --data DIR                   epochs of LeNet on (Fashion-)MNIST
    python bench/run.py targets --json results.json        the table of targets, met or not
    python bench/run.py plot results.json speed.png        a picture of such a file
    python bench/run.py readme results.json                its numbers as tables for bench/README.md
    python bench/compare.py old.json new.json              what became slower

Layers: forward is S = W phi(Z) + b; backward is dZ, dW and db from dS; both is one after the other,
as in a step of training.  Nets: forward, gradient, and step, a gradient with an SGD update.
Peers: "gemm" is the matrix products alone with phi given, a limit of im2col; "torch" and "jax"
compute in the dtype of the row, "torch-f32" and "onnxruntime" (forward only) always in float32; of
two memory formats the faster one.
Every result is compared with numpy's (layers) or matconv's (nets) before it is timed.  A ratio is
the peer's time over matconv's, so more than 1 means that matconv is faster: the median over pairs
of samples, its quartiles, and under "best" the ratio of the two shortest times, which other
processes affect least.
"""

import argparse
import json
import shlex
import sys
from contextlib import suppress
from pathlib import Path

import algorithms
import epoch
import frozen
import latency
import layers
import machine
import measuring
import memory
import peers
import plot
import readme
import shapes
import wholenets
from table import aligned

DTYPES = ["float64", "float32"]


def parse(arguments=None):
    """Parse the command line; without a command it is "layers"."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments.insert(0, "layers")
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True, metavar="command")
    _add_layers(commands)
    _add_nets(commands)
    _add_gradient(commands)
    _add_algorithms(commands)
    _many(_command(commands, "latency", "one image"), "--dtypes", DTYPES, DTYPES)
    _many(_command(commands, "frozen", "a frozen network", quick=True), "--dtypes", DTYPES, DTYPES)
    _add_epoch(commands)
    measuring.add_command(_command(commands, "targets", "the table of targets", quick=True))
    plot.add_command(commands.add_parser("plot", help="a picture of results"))
    readme.add_command(commands.add_parser("readme", help="tables for bench/README.md"))
    given = parser.parse_args(arguments)
    for option in ("json", "plot"):
        path = getattr(given, option, None)
        if path is not None and not path.resolve().parent.is_dir():
            parser.error(f"argument --{option}: there is no folder {path.parent}")
    given.command = _command_line(arguments)
    return given


def _command_line(arguments):
    """Return the command line, with the names of files without their folders.

    Examples
    --------
    >>> _command_line(["layers", "--quick", "--json", "/home/me/found.json"])
    'python bench/run.py layers --quick --json found.json'
    """
    words = [Path(word).name if "/" in word else word for word in arguments]
    return shlex.join(["python", "bench/run.py", *words])


def _command(commands, name, text, quick=False):
    """Add a command that measures, with the options of all such commands."""
    parser = commands.add_parser(name, help=text)
    parser.add_argument("--threads", nargs="+", type=positive, default=[1, 2])
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write everything there")
    if quick:
        full = layers.FULL["repeats"]
        parser.add_argument("--repeats", type=positive, help=f"samples of a side ({full})")
        parser.add_argument("--quick", action="store_true", help="few and short samples")
    return parser


def _many(parser, option, default, choices):
    parser.add_argument(option, nargs="+", default=list(default), choices=choices)


def _add_layers(commands):
    parser = _command(commands, "layers", "single convolutions (the default)", quick=True)
    _add_layer_names(parser)
    _many(parser, "--passes", shapes.PASSES, shapes.PASSES)
    _many(parser, "--dtypes", ["float64"], DTYPES)
    _many(parser, "--algorithms", ["auto"], peers.ALGORITHMS)
    _add_peers(parser, layers.PEERS, ["gemm", "torch"])
    parser.add_argument("--plot", type=Path, metavar="PATH", help="also draw the speeds there")


def _add_layer_names(parser):
    names = ", ".join([*shapes.SETS, *shapes.LAYERS])
    parser.add_argument("--layers", nargs="+", default=["core"], help=f"of: {names}")


def _add_peers(parser, known, default):
    parser.add_argument("--peers", nargs="*", default=default, choices=known)


def _add_nets(commands):
    parser = _command(commands, "nets", "whole networks", quick=True)
    _many(parser, "--nets", shapes.NETS, list(shapes.NETS))
    _many(parser, "--passes", wholenets.PASSES, wholenets.PASSES)
    _many(parser, "--dtypes", ["float64"], DTYPES)
    _many(parser, "--algorithms", ["auto"], peers.ALGORITHMS)
    _add_peers(parser, wholenets.PEERS, ["torch", "torch-f32"])
    parser.add_argument("--batch", type=positive, help="images (each network's usual batch)")


def _add_gradient(commands):
    parser = _command(commands, "gradient", "peak memory of one gradient")
    _many(parser, "--dtypes", ["float64"], DTYPES)
    parser.add_argument("--net", default="lenet", choices=sorted(shapes.NETS))
    parser.add_argument("--images", type=positive, default=10_000, help="(10000)")


def _add_algorithms(commands):
    parser = _command(commands, "algorithms", "im2col against Winograd", quick=True)
    _add_layer_names(parser)
    parser.set_defaults(layers=["all"], threads=[1])
    _many(parser, "--passes", ["forward", "both"], shapes.PASSES)
    _many(parser, "--dtypes", DTYPES, DTYPES)


def _add_epoch(commands):
    parser = _command(commands, "epoch", "epochs of LeNet on real images")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="four IDX files")
    parser.add_argument("--epochs", type=positive, default=3, help="(3)")


def positive(text):
    """Return an integer of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def run_gradient(given, say):
    """Measure memory and time of a gradient in fresh processes, by dtype and threads."""
    found, lines = [], []
    for dtype in given.dtypes:
        for threads in given.threads:
            one = memory.measure(given.net, dtype, threads, given.images)
            about = {"net": given.net, "images": given.images, "dtype": dtype, "threads": threads}
            found.append({**about, "sides": one})
            images = f"{given.images} images, {dtype}, {layers.count(threads)}"
            lines += ["", f"one gradient, {given.net}, {images}", *aligned(memory.rows(one))]
            lines += [f"  skipped {x['who']}: {x['missing']}" for x in one if "missing" in x]
            say(f"{given.net}, {images}")
    return {"gradient": found}, lines


MEASURES = {
    "layers": layers.run,
    "nets": wholenets.run,
    "gradient": run_gradient,
    "algorithms": algorithms.run,
    "latency": latency.run,
    "frozen": frozen.run,
    "epoch": epoch.run,
    "targets": measuring.run,
}


def main(arguments=None):
    """Measure, print and write; return the exit status."""
    given = parse(arguments)
    try:
        if given.what in MEASURES:
            return _measure(given)
        return {"plot": plot.main, "readme": readme.main}[given.what](given)
    except (ValueError, ArithmeticError, RuntimeError, peers.Missing) as error:
        print(f"bench/run.py: {error}", file=sys.stderr)
        return 1


def _measure(given):
    def say(text):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    if getattr(given, "plot", None) is not None:
        plot.require()
    before = machine.load()
    results, lines = MEASURES[given.what](given, say)
    say("")
    about = {**machine.describe(), "load": before}
    options = {k: v.name if isinstance(v, Path) else v for k, v in vars(given).items()}
    document = {"machine": about, "command": given.command, "options": options, **results}
    skipped = [f"skipped   {k}: {why}" for k, why in results.get("skipped", {}).items()]
    with suppress(BrokenPipeError):
        print("\n".join([*machine.lines(about), *skipped, *lines]))
    if given.json is not None:
        given.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if getattr(given, "plot", None) is not None:
        plot.draw(document, given.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
