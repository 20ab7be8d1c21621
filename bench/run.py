"""Measure matconv against other libraries, on this machine; bench/README.md has examples.

layers   single convolutions: forward is S = W phi(Z) + b; backward is dZ, dW and db from dS; both
nets     networks: forward, gradient, step (a gradient with an SGD update); or a layer's name
frozen   frozen networks: predict
memory   peak memory of one gradient, each library in a process of its own
scaling  time and memory of a gradient against the number of images
products products with derivatives, kept (prepared at theta) and from scratch
budgets  time and peak memory of a kept product within budgets of memory
latency  the time of a call that is not spent in kernels
startup  import; with --build the size of a wheel and the time of its build
targets  the table of targets, met or not; names are rows, layers, networks
tune     what other values of the tuning table gain on layers, and the best row
show     the tables of results files;  plot  a picture: results files, then an SVG file

Peers: "gemm" is the matrix products alone with phi given; "torch-f32", "onnxruntime" and "openvino"
compute in float32 whatever the dtype of the row; "im2col", "winograd", "1-thread" and "processes"
(on one thread, beside the same in other processes) are matconv
itself; "gradient" is its gradient, beside products.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import machine
import measuring
import nets
import peers
import peers_matconv
import plot
import startup
import table
import targets
import timing
import tune

README = Path(__file__).with_name("README.md")
MARKERS = "<!-- measured -->\n", "<!-- end -->\n"

#: Passes whose tables bench/README.md has; the others are in the table of targets only.
PUBLISHED = ("both", "step", "predict")

CHOICES = {"dtypes": measuring.DTYPES, "algorithms": peers_matconv.FORMS, "peers": peers.PEERS}
CHOICES["passes"] = dict.fromkeys(peers.LAYERS + peers.NETS + peers.FROZEN + peers.PRODUCTS)
CHOICES["passes"] |= peers.BUDGETS


def parse(arguments):
    """The command line; without a command it is "layers"."""
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = (*measuring.KINDS, "targets", "tune", "show", "plot")
    parser.add_argument("command", nargs="?", choices=commands, default="layers")
    parser.add_argument("names", nargs="*", help="layers, networks, rows of targets; files")
    for option, choices in CHOICES.items():
        parser.add_argument(f"--{option}", nargs="+", choices=choices)
    for option in ("images", "threads"):
        parser.add_argument(f"--{option}", nargs="+", type=int)
    parser.add_argument("--quick", action="store_true", help="few short samples of few images")
    parser.add_argument("--isa", choices=machine.ISAS, help="restrict matconv and peers to it")
    parser.add_argument("--build", action="store_true", help="also build a wheel, and time it")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write each record there")
    parser.add_argument("--markdown", action="store_true", help="show: as bench/README.md has it")
    parser.add_argument("--readme", action="store_true", help="show: replace it there")
    return parser.parse_args(arguments)


def jobs_of(given):
    """The jobs of a command that measures; a wheel and its build only with ``--build``."""
    if given.command == "targets":
        names = {*nets.select(given.names)} - {*targets.ROWS} or None
        if given.quick and names is None:
            names = {*nets.SETS["quick"], *targets.QUICK, *startup.NAMES}
        jobs = targets.jobs(rows_of(given), given.threads or (1, 2), names, given.quick)
    else:
        axes = ("names", "passes", "peers", "dtypes", "images", "threads", "algorithms")
        values = {axis: getattr(given, axis) or None for axis in axes}
        jobs = measuring.plan(given.command, given.quick, **values)
    return [job for job in jobs if given.build or job["name"] not in ("wheel", "build")]


def rows_of(given):
    """The rows of targets that are named, or all."""
    return [name for name in given.names if name in targets.ROWS] or targets.ROWS


def measure(given, arguments):
    """Measure, print, write; returns the process's exit status."""
    effort = timing.Effort(9, budget=3.0) if given.command == "targets" else timing.Effort()
    if given.quick:
        effort = timing.Effort(repeats=3, seconds=0.002, budget=0.2, quick=True)
    jobs = jobs_of(given)
    if not jobs:
        raise ValueError("nothing to measure: no peer has these passes")
    peers.absent({job["peer"] for job in jobs})  # imports them, so that their BLAS are seen
    # the command as others would write it: of files only their names
    words = [Path(word).name if "/" in word else word for word in arguments]
    command = shlex.join(["python", "bench/run.py", *words])
    about = {"command": command, "machine": machine.describe()}
    print("\n".join(machine.lines(about["machine"])), flush=True)
    document = measuring.run(jobs, effort, about, given.json)
    print("\n".join(tables(document, given)))
    return 1 if document["refused"] else 0


def tables(document, given):
    """The lines of a document's tables and, for targets, their verdicts."""
    records, lines = document["records"], []
    if given.command in ("targets", "show"):
        found = targets.verdicts(document, rows_of(given), given.threads or (1, 2))
        found = [one for one in found if one.values or given.command == "targets"]
        lines += table.verdicts(found) if found else []
    if given.markdown or given.readme:
        records = [x for x in records if x["pass"] in PUBLISHED or x["what"] in table.LISTS]
    lines += table.tables(records)
    quick = ["", "quick: too few samples and images to judge by"]
    return lines + quick * any(one["quick"] for one in records)


def read(paths):
    """Results files as one document, the machine that of the first; lines about each of them.

    A line that the file before has too is not repeated.
    """
    documents, lines, before = [], ["```text"], []
    for path in paths:
        try:
            one = json.loads(Path(path).read_text(encoding="utf-8"))
            about = [*machine.lines(one["machine"]), "command   " + one["command"]]
            lines += [line for line in about if line not in before]
            before = about
            documents.append({**one, "records": list(one["records"])})
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{path}: not a results file of bench/run.py: {error!r}") from None
    if not documents:
        raise ValueError("no results file was given")
    records = [record for one in documents for record in one["records"]]
    return {**documents[0], "records": records}, [*lines, "```"]


def replace_block(path, lines, markers=MARKERS):
    """Replace the lines between the markers in a file."""
    before, _, rest = path.read_text(encoding="utf-8").partition(markers[0])
    _, end, after = rest.partition(markers[1])
    if not end:
        raise ValueError(f"{path.name} has no lines {' ... '.join(markers).replace(chr(10), '')}")
    measuring.write(path, "\n".join([before + markers[0], *lines, "", end + after]))


def main(arguments=None):
    """Run a command; returns the process's exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    given = parse(arguments)
    try:
        if given.command == "plot":
            *results, picture = given.names or [""]
            text = plot.svg(read(results)[0], *(given.threads or (1,))[:1])
            Path(picture).write_text(text, encoding="utf-8")
        elif given.command == "show":
            document, lines = read(given.names)
            lines += tables(document, given)
            if given.readme:
                replace_block(README, lines)
            else:
                print("\n".join(lines))
        elif given.command == "tune" and not given.isa:
            print("\n".join(machine.lines(machine.describe())), flush=True)
            effort = timing.Effort(repeats=3, seconds=0.002, budget=0.1 if given.quick else 1.0)
            for dtype in given.dtypes or measuring.DTYPES:
                tune.run(dtype, nets.select(given.names or tune.LAYERS), effort)
        elif given.isa and not machine.ISAS[given.isa].items() <= os.environ.items():
            # the same command in a process that is restricted to the ISA
            command = [sys.executable, str(Path(__file__).resolve()), *arguments]
            environment = {**os.environ, **machine.ISAS[given.isa]}
            return subprocess.run(command, env=environment, check=False).returncode
        else:
            return measure(given, arguments)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"bench/run.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
