"""Measure matconv against what else could do the work, on this machine.

    python bench/run.py                                    the core layers, 1 and 2 threads
    python bench/run.py layers alexnet vgg-64 --passes forward --dtypes float32
    python bench/run.py layers all --peers im2col winograd --threads 1
    python bench/run.py nets lenet vgg11 --passes step
    python bench/run.py nets vgg-64 --peers jax            a layer alone, as a network
    python bench/run.py frozen lenet --images 1 8
    python bench/run.py memory                             peak memory of one gradient
    python bench/run.py scaling                            time and memory against images
    python bench/run.py latency                            Python beside the kernels
    python bench/run.py startup --build                    import, wheel, build
    python bench/run.py targets --json results.json        the table of goals, met or not
    python bench/run.py show results.json --markdown       the tables of such a file
    python bench/run.py plot results.json speed.svg        a picture of such a file

Layers: forward is S = W phi(Z) + b; backward is dZ, dW and db from dS; both is the one after the
other, as in a step of training.  Networks: forward, gradient, step (a gradient with an SGD update),
predict (the frozen network).  Peers: "gemm" is the matrix products alone with phi given, so the
limit of what im2col can reach; "torch-f32" and "onnxruntime" compute in float32 whatever the dtype
of the row; "im2col", "winograd" and "1-thread" are matconv itself.

Every result is compared with the truth before it is timed.  A ratio is the peer's time over
matconv's, so more than 1 means that matconv is faster: the median over pairs of samples, and its
quartiles.  `measuring` describes the records of the JSON files.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import journal
import latency
import machine
import measuring
import memory
import nets
import peers
import peers_matconv
import plot
import shapes
import startup
import table
import targets


class Command(NamedTuple):
    """A command that measures: the kind of its jobs, and what it measures unless told."""

    what: str
    help: str
    names: tuple
    passes: tuple
    peers: tuple = (None,)
    dtypes: tuple = ("float64",)
    images: tuple | None = None
    threads: tuple = (1, 2)


_BOTH, _NETS = measuring.DTYPES, ("lenet", "simplenn-4", "simplenn-7", "vgg11")
_STEPS, _GROWING = ("forward", "gradient", "step"), (100, 1_000, 10_000, 100_000)

COMMANDS = {
    name: Command(*row)
    for name, *row in (
        ("layers", "layer", "convolutions", ("core",), tuple(shapes.PASSES), ("gemm", "torch")),
        ("nets", "net", "networks, or layers as networks", _NETS, _STEPS, ("torch", "torch-f32")),
        ("frozen", "net", "frozen networks", ("lenet",), ("predict",), ("onnxruntime",))
        + (_BOTH, (1, 8, 64), (1,)),
        ("memory", "memory", "peak memory of a gradient", ("lenet", "vgg11"), ("gradient",))
        + (memory.PEERS, ("float64",), (1024,)),
        ("scaling", "scaling", "a gradient of more and more images", ("lenet",), ("gradient",))
        + ((None,), ("float64",), _GROWING),
        ("latency", "latency", "Python beside the kernels", ("lenet",), latency.PASSES)
        + ((latency.PEER,), _BOTH, (1, 64), (1,)),
        ("startup", "startup", "import, wheel, build", startup.NAMES, (None,))
        + ((None,), (None,), None, (None,)),
    )
}


def parse(arguments=None):
    """The command line; without a command it is "layers"."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments.insert(0, "layers")
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, command in COMMANDS.items():
        _add_measuring(commands.add_parser(name, help=command.help), command)
    one = commands.add_parser("targets", help="the table of goals")
    names = (*shapes.SETS, *shapes.LAYERS, *nets.NETS, *startup.NAMES)
    _many(one, "--rows", targets.ROWS, targets.ROWS)
    _many(one, "--names", names, None, "these layers and networks only")
    _add_common(one, (1, 2))
    _add_startup(one)
    one = commands.add_parser("show", help="tables and verdicts of results files")
    one.add_argument("results", type=Path, nargs="+", help="JSON files")
    one.add_argument("--markdown", action="store_true")
    one = commands.add_parser("plot", help="a picture of results files")
    one.add_argument("results", type=Path, nargs="+", help="JSON files")
    one.add_argument("picture", type=Path, help="SVG, PNG or PDF, by its suffix")
    one.add_argument("--threads", type=positive, default=1)
    given = parser.parse_args(arguments)
    path = getattr(given, "json", None)
    if path is not None and not path.resolve().parent.is_dir():
        parser.error(f"argument --json: there is no folder {path.parent}")
    given.line = command_line(arguments)
    return given


def command_line(arguments):
    """The command as others would write it: of files only their names.

    Examples
    --------
    >>> command_line(["layers", "--quick", "--json", "/home/me/found.json"])
    'python bench/run.py layers --quick --json found.json'
    """
    words = [Path(word).name if "/" in word else word for word in arguments]
    return shlex.join(["python", "bench/run.py", *words])


def _add_measuring(parser, command):
    kind = measuring.KINDS[command.what]
    parser.add_argument("names", nargs="*", type=one_of(kind.names), help=", ".join(kind.names))
    if command.what == "startup":
        _add_startup(parser)
    else:
        _many(parser, "--passes", kind.passes, command.passes)
        _many(parser, "--dtypes", measuring.DTYPES, command.dtypes)
        _many(parser, "--algorithms", peers_matconv.FORMS, ("auto",))
        if kind.peers:
            _many(parser, "--peers", kind.peers, command.peers)
        parser.add_argument("--images", nargs="+", type=positive, default=command.images)
    _add_common(parser, command.threads)


def _add_common(parser, threads):
    if threads != (None,):
        parser.add_argument("--threads", nargs="+", type=positive, default=threads)
    parser.add_argument("--repeats", type=positive, help="samples of a side")
    parser.add_argument("--quick", action="store_true", help="few short samples of few images")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write each record there")


def _add_startup(parser):
    parser.add_argument("--wheel", type=Path, metavar="PATH", help="the wheel whose size counts")
    parser.add_argument("--build", action="store_true", help="build one, and time it")


def _many(parser, option, choices, default, text=None):
    parser.add_argument(
        option, nargs="+", type=one_of(choices), default=default, help=text or ", ".join(choices)
    )


def one_of(choices):
    """A type for argparse: one of some words."""

    def word(text):
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return word


def positive(text):
    """An integer from 1 on, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def jobs_of(given):
    """The jobs of a command that measures."""
    if given.command == "targets":
        names = given.names and {*given.names, *shapes.select(given.names)}
        if given.quick and names is None:
            names = {*shapes.SETS["quick"], "lenet", "simplenn-4", *startup.NAMES}
        chosen = [target for target in targets.TARGETS if target.row in given.rows]
        return [job for x in chosen for job in x.jobs(given.threads, given.quick, names)]
    command = COMMANDS[given.command]
    given.names = given.names or command.names
    options = ("names", "passes", "dtypes", "threads", "algorithms", "peers", "images")
    usual = {**command._asdict(), "algorithms": (None,)}
    values = (getattr(given, option, usual.get(option)) for option in options)
    return measuring.plan(command.what, *values, given.quick)


def effort(given):
    """The `measuring.Effort` of a command line."""
    many, budget = (9, 3.0) if given.command == "targets" else (15, 10.0)
    cost = (3, 0.002, 0.2) if given.quick else (many, 0.02, budget)
    more = {key: getattr(given, key) for key in ("wheel", "build") if hasattr(given, key)}
    return measuring.Effort(given.repeats or cost[0], *cost[1:], given.quick, **more)


def measure(given):
    """Measure, print, write; returns the process's exit status."""
    jobs = jobs_of(given)
    if not jobs:
        raise ValueError("nothing to measure: no peer has these passes")
    peers.absent({job["peer"] for job in jobs})  # imports them, so that their BLAS are seen
    about = {"command": given.line, "machine": machine.describe()}
    print("\n".join(machine.lines(about["machine"])), flush=True)
    book = journal.Journal(about, given.json)
    measuring.run(jobs, effort(given), book)
    print("\n".join(shown(book.document, given)))
    return 1 if book.refused else 0


def shown(document, given):
    """The lines of a document's tables and, for goals, their verdicts."""
    markdown = getattr(given, "markdown", False)
    lines = table.tables(document["records"], markdown)
    if given.command in ("targets", "show"):
        rows, threads = getattr(given, "rows", targets.ROWS), getattr(given, "threads", (1, 2))
        found = targets.verdicts(document, rows, threads)
        if given.command == "show":
            found = [one for one in found if one["values"]]
        goals = targets.report(found, markdown) if found else []
        lines = [*goals, *lines] if markdown else [*lines, *goals]
    if any(record["quick"] for record in document["records"]):
        lines.append("quick: too few samples and images to judge by")
    return lines


def read(paths):
    """Results files as one document, the machine that of the first."""
    documents = []
    for path in paths:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from None
        except ValueError:
            raise ValueError(f"{path}: not JSON") from None
        if not isinstance(found, dict) or not {"records", "machine", "command"} <= set(found):
            raise ValueError(f"{path}: not a results file of bench/run.py")
        documents.append(found)
    return {**documents[0], "records": [x for one in documents for x in one["records"]]}


def show(given):
    """Print the tables of results files, with where they come from."""
    document = read(given.results)
    lines = machine.lines(document["machine"])
    lines += ["command   " + document["command"]]
    if given.markdown:
        lines = ["```text", *lines, "```"]
    print("\n".join([*lines, *shown(document, given)]))
    return 0


def main(arguments=None):
    """Run a command; returns the process's exit status."""
    given = parse(arguments)
    try:
        if given.command == "show":
            return show(given)
        if given.command == "plot":
            plot.draw(read(given.results), given.picture, given.threads)
            return 0
        return measure(given)
    except (ValueError, RuntimeError, peers.Missing) as error:
        print(f"bench/run.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
