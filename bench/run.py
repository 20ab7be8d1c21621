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
from contextlib import suppress
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
    names: tuple
    passes: tuple
    peers: tuple = (None,)
    dtypes: tuple = ("float64",)
    images: tuple | None = None
    threads: tuple = (1, 2)
    algorithms: tuple = ("auto",)


_BOTH, _GROWING = measuring.DTYPES, (100, 1_000, 10_000, 100_000)
_NETS = ("lenet", "simplenn-4", "simplenn-7", "vgg11")

COMMANDS = {
    "layers": Command("layer", ("core",), tuple(shapes.PASSES), ("gemm", "torch")),
    "nets": Command("net", _NETS, ("forward", "gradient", "step"), ("torch", "torch-f32")),
    "frozen": Command("net", ("lenet",), ("predict",), ("onnxruntime",), _BOTH, (1, 8, 64), (1,)),
    "memory": Command("memory", ("lenet", "vgg11"), ("gradient",), memory.PEERS, images=(1024,)),
    "scaling": Command("scaling", ("lenet",), ("gradient",), images=_GROWING),
    "latency": Command(
        *("latency", ("lenet",), latency.PASSES, (latency.PEER,), _BOTH, (1, 64), (1,))
    ),
    "startup": Command("startup", startup.NAMES, *[(None,)] * 3, None, (None,), (None,)),
}


def parse(arguments=None):
    """The command line; without a command it is "layers"."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = (*COMMANDS, "targets", "show", "plot")
    parser.add_argument("command", nargs="?", choices=commands, default="layers")
    parser.add_argument("names", nargs="*", help="of layers or networks; files for show and plot")
    for option in ("passes", "dtypes", "algorithms", "peers", "rows"):
        parser.add_argument(f"--{option}", nargs="+", help=f"{', '.join(CHOICES[option])}")
    for option in ("images", "threads"):
        parser.add_argument(f"--{option}", nargs="+", type=positive)
    parser.add_argument("--repeats", type=positive, help="samples of a side")
    parser.add_argument("--quick", action="store_true", help="few short samples of few images")
    parser.add_argument("--wheel", type=Path, metavar="PATH", help="the wheel whose size counts")
    parser.add_argument("--build", action="store_true", help="build one, and time it")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write each record there")
    parser.add_argument("--markdown", action="store_true", help="tables as Markdown")
    given = parser.parse_args(arguments)
    if given.command not in ("show", "plot"):
        _check(given, parser.error)
    given.line = command_line(arguments)
    return given


CHOICES = {
    "passes": tuple(
        dict.fromkeys(x for kind in measuring.KINDS.values() for x in kind.passes if x)
    ),
    "dtypes": measuring.DTYPES,
    "algorithms": peers_matconv.FORMS,
    "peers": tuple(dict.fromkeys(x for kind in measuring.KINDS.values() for x in kind.peers)),
    "rows": targets.ROWS,
}


def _check(given, error):
    """Refuse what a command cannot measure."""
    choices = {**CHOICES, "names": (*shapes.SETS, *shapes.LAYERS, *nets.NETS, *startup.NAMES)}
    if given.command in COMMANDS:
        kind = measuring.KINDS[COMMANDS[given.command].what]
        choices |= {"names": kind.names, "passes": kind.passes, "peers": kind.peers}
    for option, known in choices.items():
        for value in getattr(given, option) or ():
            if value not in known:
                name = option if option == "names" else f"--{option}"
                error(f"argument {name}: {value!r} is none of {', '.join(map(str, known))}")
    if given.json is not None and not given.json.resolve().parent.is_dir():
        error(f"argument --json: there is no folder {given.json.parent}")


def command_line(arguments):
    """The command as others would write it: of files only their names.

    Examples
    --------
    >>> command_line(["layers", "--quick", "--json", "/home/me/found.json"])
    'python bench/run.py layers --quick --json found.json'
    """
    words = [Path(word).name if "/" in word else word for word in arguments]
    return shlex.join(["python", "bench/run.py", *words])


def positive(text):
    """An integer from 1 on, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def jobs_of(given):
    """The jobs of a command that measures."""
    if given.command == "targets":
        names = {*given.names, *shapes.select(given.names)} or None
        if given.quick and names is None:
            names = {*shapes.SETS["quick"], "lenet", "simplenn-4", *startup.NAMES}
        chosen = [
            target for target in targets.TARGETS if target.row in (given.rows or targets.ROWS)
        ]
        return [job for x in chosen for job in x.jobs(given.threads or (1, 2), given.quick, names)]
    command = COMMANDS[given.command]
    options = ("names", "passes", "dtypes", "threads", "algorithms", "peers", "images")
    values = (getattr(given, option) or getattr(command, option) for option in options)
    return measuring.plan(command.what, *values, given.quick)


def measure(given):
    """Measure, print, write; returns the process's exit status."""
    many, budget = (9, 3.0) if given.command == "targets" else (15, 10.0)
    cost = (3, 0.002, 0.2) if given.quick else (many, 0.02, budget)
    repeats = given.repeats or cost[0]
    how = measuring.Effort(repeats, *cost[1:], given.quick, given.wheel, given.build)
    jobs = jobs_of(given)
    if not jobs:
        raise ValueError("nothing to measure: no peer has these passes")
    peers.absent({job["peer"] for job in jobs})  # imports them, so that their BLAS are seen
    about = {"command": given.line, "machine": machine.describe()}
    say(machine.lines(about["machine"]))
    book = journal.Journal(about, given.json)
    measuring.run(jobs, how, book)
    say(shown(book.document, given))
    return 1 if book.refused else 0


def say(lines):
    """Print lines; a reader such as ``head`` may have had enough."""
    with suppress(BrokenPipeError):
        print("\n".join(lines), flush=True)


def shown(document, given):
    """The lines of a document's tables and, for goals, their verdicts."""
    lines, goals = table.tables(document["records"], given.markdown), []
    if given.command in ("targets", "show"):
        found = targets.verdicts(document, given.rows or targets.ROWS, given.threads or (1, 2))
        found = [one for one in found if one["values"] or given.command == "targets"]
        goals = targets.report(found, given.markdown) if found else []
    lines = [*goals, *lines] if given.markdown else [*lines, *goals]
    if any(record["quick"] for record in document["records"]):
        lines.append("quick: too few samples and images to judge by")
    return lines


def read(paths):
    """Results files as one document, the machine that of the first."""
    documents = []
    if not paths:
        raise ValueError("no results file was given")
    for path in map(Path, paths):
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
    document = read(given.names)
    lines = machine.lines(document["machine"])
    lines += ["command   " + document["command"]]
    if given.markdown:
        lines = ["```text", *lines, "```"]
    say([*lines, *shown(document, given)])
    return 0


def main(arguments=None):
    """Run a command; returns the process's exit status."""
    given = parse(arguments)
    try:
        if given.command == "show":
            return show(given)
        if given.command == "plot":
            *results, picture = given.names or [""]
            plot.draw(read(results), Path(picture), *(given.threads or (1,))[:1])
            return 0
        return measure(given)
    except (ValueError, RuntimeError, peers.Missing) as error:
        print(f"bench/run.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
