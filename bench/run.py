"""Measure matconv against what else could do the work, on this machine.

    python bench/run.py                                    the core layers, every peer, 1 and 2 threads
    python bench/run.py --layers alexnet vgg-64 --passes forward --dtypes float32
    python bench/run.py gradient                           peak memory of one gradient of a network

Layers: forward is S = W phi(Z) + b; backward is dZ, dW and db from dS; both is the one after the
other, as in a step of training.  Peers: "gemm" is the matrix products alone with phi given whole,
so the limit of what im2col can reach; "torch" is PyTorch in the dtype of the row, "torch-f32"
PyTorch in float32 whatever the row's; of its two memory formats the one that is faster here.
Every result is compared with numpy's before it is timed.  A ratio is the peer's time over
matconv's, so more than 1 means that matconv is faster: the median over pairs of samples, its
quartiles, and under "best" the ratio of the two shortest times, which other processes disturb least.
"""

import argparse
import itertools
import json
import sys
from contextlib import suppress
from pathlib import Path

import machine
import memory
import numpy as np
import peers
import shapes
import timing
import truth
from table import aligned, digits

PEERS = ("gemm", "torch", "torch-f32")
QUICK = {"repeats": 5, "seconds": 0.005}
FULL = {"repeats": 15, "seconds": 0.02}


def parse(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="layers", choices=["layers", "gradient"])
    parser.add_argument(
        "--layers",
        nargs="+",
        default=["core"],
        help=f"of: {', '.join([*shapes.SETS, *shapes.LAYERS])}",
    )
    parser.add_argument("--passes", nargs="+", default=list(shapes.PASSES), choices=shapes.PASSES)
    parser.add_argument("--dtypes", nargs="+", default=["float64"], choices=["float64", "float32"])
    parser.add_argument("--threads", nargs="+", type=_positive, default=[1, 2])
    parser.add_argument("--peers", nargs="*", default=["gemm", "torch"], choices=PEERS)
    parser.add_argument("--repeats", type=_positive, help=f"samples of a side ({FULL['repeats']})")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples")
    parser.add_argument("--net", default="lenet", choices=sorted(shapes.NETS))
    parser.add_argument("--images", type=_positive, default=10_000, help="for gradient (10000)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write everything there")
    given = parser.parse_args(arguments)
    if given.json is not None and not given.json.resolve().parent.is_dir():
        parser.error(f"argument --json: there is no folder {given.json.parent}")
    return given


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def sides(peer, layer, data, dtype, threads):
    """The sides that stand for a peer: two memory formats of PyTorch, one of anything else."""
    if peer == "gemm":
        return [peers.Gemm(layer, data, dtype, threads)]
    dtype = "float32" if peer == "torch-f32" else dtype
    forms = ("contiguous", "channels_last")
    return [peers.Torch(layer, data, dtype, threads, form) for form in forms]


def faster(candidates, which, seconds):
    """Of one or two sides the one whose median of three samples, taken in turns, is least."""
    if len(candidates) == 1:
        return candidates[0]
    first, second = candidates
    found = timing.pair(
        (first.run(which), first.context), (second.run(which), second.context), 3, seconds
    )
    return first if found.a.median <= found.b.median else second


def absent(wanted):
    """{peer: reason} of the peers that cannot be measured here."""
    reasons = {}
    for peer in wanted:
        try:
            if peer.startswith("torch"):
                peers.require_torch()
        except peers.Missing as missing:
            reasons[peer] = str(missing)
    return reasons


def measure_layer(layer, given, say):
    """Records of one layer: every dtype, number of threads, peer and pass that was asked for."""
    data = peers.operands(layer)
    expected = truth.Truth(layer, data)
    records = []
    for dtype, threads in itertools.product(given.dtypes, given.threads):
        ours = [peers.Matconv(layer, data, dtype, threads, reuse) for reuse in (False, True)]
        used = max(check(expected, one) for one in ours)
        for peer in given.peers:
            others = sides(peer, layer, data, dtype, threads)
            for other in others:
                check(expected, other)
            for which in given.passes:
                other, found = measure(ours[peer == "gemm"], others, which, given)
                records.append(record(layer, which, dtype, threads, peer, other, found))
                records[-1]["bound_used"] = used
                say(
                    f"{layer.name} {which} {dtype} {count(threads)} {peer}: {found.ratio.median:.2f}"
                )
    return records


def measure(mine, others, which, given):
    """The fastest of the others, and the timing.Pairing of both sides in one pass."""
    effort = QUICK if given.quick else FULL
    other = faster(others, which, effort["seconds"])
    found = timing.pair(
        (mine.run(which), mine.context),
        (other.run(which), other.context),
        given.repeats or effort["repeats"],
        effort["seconds"],
    )
    return other, found


def check(expected, one):
    """Compare a side's results with numpy's; see truth.Truth.check."""
    eps = float(np.finfo(one.dtype).eps)
    return expected.check(one.results(), eps, f"{one.name}, {one.layer.name}")


def record(layer, which, dtype, threads, peer, other, found):
    """One measurement as a JSON-able dictionary; seconds per call, flops per call."""
    return {
        "layer": layer.name,
        "sizes": str(layer),
        "pass": which,
        "dtype": dtype,
        "threads": threads,
        "peer": peer,
        "memory_format": getattr(other, "memory_format", None),
        "flops": layer.flops(which),
        "matconv": vars(found.a),
        "other": vars(found.b),
        "ratio": vars(found.ratio),
    }


def sections(records):
    """The records grouped as tables are: {(pass, dtype, threads, peer): records}."""
    grouped = {}
    for one in records:
        key = (one["pass"], one["dtype"], one["threads"], one["peer"])
        grouped.setdefault(key, []).append(one)
    order = list(shapes.PASSES)
    return dict(
        sorted(grouped.items(), key=lambda x: (x[0][2], x[0][1], x[0][3], order.index(x[0][0])))
    )


def count(threads):
    """The number of threads in words.

    >>> count(1), count(2)
    ('1 thread', '2 threads')
    """
    return f"{threads} thread{'s' if threads > 1 else ''}"


def means(records):
    """Geometric mean and least of the median ratios of each section."""
    return [
        {
            **dict(zip(("pass", "dtype", "threads", "peer"), key, strict=True)),
            "geometric_mean": timing.geometric_mean(one["ratio"]["median"] for one in group),
            "least": min(one["ratio"]["median"] for one in group),
            "layers": len(group),
        }
        for key, group in sections(records).items()
    ]


def report(records):
    """Lines of the tables, one table a section."""
    lines = []
    for key, group in sections(records).items():
        which, dtype, threads, peer = key
        title = {"both": "forward + backward"}.get(which, which)
        lines += [
            "",
            f"{title}, {dtype}, {count(threads)}: matconv against {peer}",
        ]
        rows = [
            ("layer", "l, d, b, f, h", "ms", "GF/s", peer, "GF/s", "ratio", "quartiles", "best", "")
        ]
        for one in group:
            mine, other, ratio = (one[k] for k in ("matconv", "other", "ratio"))
            rows.append(
                (
                    one["layer"],
                    one["sizes"],
                    digits(1e3 * mine["median"]),
                    digits(one["flops"] / mine["median"] / 1e9),
                    digits(1e3 * other["median"]),
                    digits(one["flops"] / other["median"] / 1e9),
                    f"{ratio['median']:.2f}",
                    f"{ratio['lower']:.2f}-{ratio['upper']:.2f}",
                    f"{other['least'] / mine['least']:.2f}",
                    {"channels_last": "nhwc", "contiguous": "nchw"}.get(one["memory_format"], ""),
                )
            )
        (summary,) = means(group)
        lines += aligned(rows)
        lines.append(
            f"  geometric mean {summary['geometric_mean']:.2f}, least {summary['least']:.2f}"
        )
    return lines


def run_layers(given, say):
    """All records, and the lines that show them."""
    chosen = shapes.select(given.layers)
    missing = absent(given.peers)
    for peer, reason in missing.items():
        print(f"skipped   {peer}: {reason}")
    given.peers = [peer for peer in given.peers if peer not in missing]
    records = []
    for layer in chosen:
        records += measure_layer(layer, given, say)
    return {"records": records, "means": means(records), "skipped": missing}, report(records)


def run_gradient(given, say):
    """Peak memory and time of one gradient in fresh processes, for each dtype and thread count."""
    found, lines = [], []
    for dtype in given.dtypes:
        for threads in given.threads:
            one = memory.measure(given.net, dtype, threads, given.images)
            found.append({"dtype": dtype, "threads": threads, "sides": one})
            title = f"one gradient, {given.net}, {given.images} images, {dtype}, {count(threads)}"
            lines += ["", title, *aligned(memory.rows(one))]
            lines += [f"  skipped {x['who']}: {x['missing']}" for x in one if "missing" in x]
            say(title)
    return {"gradient": found}, lines


def main(arguments=None):
    """Run, print, write; returns the process's exit status."""
    given = parse(arguments)

    def say(text):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    before = machine.load()
    try:
        results, lines = (run_gradient if given.what == "gradient" else run_layers)(given, say)
    except (ValueError, ArithmeticError, RuntimeError) as error:
        print(f"bench/run.py: {error}", file=sys.stderr)
        return 1
    say("")
    about = {**machine.describe(), "load": before}
    options = {key: str(value) if key == "json" else value for key, value in vars(given).items()}
    with suppress(BrokenPipeError):
        print("\n".join([*machine.lines(about), *lines]))
    if given.json is not None:
        document = {"machine": about, "options": options, **results}
        given.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
