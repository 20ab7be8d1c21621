"""Measure the convolution layers: matconv's passes against each peer's, checked and interleaved.

A record is a measurement of a layer or of a whole network (`kind`): medians and quartiles in
seconds of both sides, and of the peer's time over matconv's in each pair of samples.
"""

import itertools

import numpy as np
import peers
import peers_jax
import peers_onnx
import shapes
import timing
import truth
from table import aligned, digits

#: Who can be compared with: the limit of im2col, and libraries in the dtype of the row or, where
#: the name says so, in float32 whatever the row's.
PEERS = ("gemm", "torch", "torch-f32", "jax", "onnxruntime")

#: Keys of a record that identify a measurement.
KEYS = ("kind", "name", "sizes", "pass", "dtype", "threads", "algorithm", "peer")

#: Arguments of `timing.pair`: samples, seconds of a sample, seconds of all samples.
FULL = {"repeats": 15, "seconds": 0.02, "budget": 10.0}
QUICK = {"repeats": 3, "seconds": 0.002, "budget": 0.2}

#: Exceptions of a peer that is missing.
REQUIRED = {
    "torch": peers.require_torch,
    "torch-f32": peers.require_torch,
    "jax": peers_jax.require,
    "onnxruntime": peers_onnx.require,
}


def effort(quick=False, repeats=None):
    """Return the arguments of `timing.pair`, with `repeats` replaced if given."""
    chosen = dict(QUICK if quick else FULL)
    if repeats is not None:
        chosen["repeats"] = repeats
    return chosen


def absent(wanted):
    """Return {peer: reason} of the peers that cannot be measured here."""
    reasons = {}
    for peer in wanted:
        try:
            REQUIRED.get(peer, lambda: None)()
        except peers.Missing as missing:
            reasons[peer] = str(missing)
    return reasons


def sides(peer, layer, data, dtype, threads):
    """Return the sides of a peer: two memory formats of PyTorch and JAX, else one."""
    if peer == "gemm":
        return [peers.Gemm(layer, data, dtype, threads)]
    if peer == "onnxruntime":
        return [peers_onnx.Onnx(layer, data, threads)]
    if peer == "jax":
        return [peers_jax.Jax(layer, data, dtype, threads, form) for form in peers_jax.FORMS]
    dtype = "float32" if peer == "torch-f32" else dtype
    return [peers.Torch(layer, data, dtype, threads, form) for form in peers.TORCH_FORMS]


def passes_of(peer, wanted):
    """Return the passes that a peer has."""
    return [which for which in wanted if which == "forward" or peer != "onnxruntime"]


def check(expected, one):
    """Compare a side's results with numpy's; see truth.Truth.check."""
    eps = float(np.finfo(one.dtype).eps)
    return expected.check(one.results(), eps, f"{one.name}, {one.layer.name}", one.slack)


def faster(candidates, which, how):
    """Return the side with the smallest median of a few samples, taken in turns."""
    if len(candidates) == 1:
        return candidates[0]
    first, second = candidates
    a, b = ((one.run(which), one.context) for one in candidates)
    found = timing.pair(a, b, 3, how["seconds"], how["budget"] / 4, least=1)
    return first if found.a.median <= found.b.median else second


def measure(mine, others, which, how):
    """Return the fastest of the others, and its `timing.Pairing` with matconv in a pass."""
    other = faster(others, which, how)
    a, b = ((one.run(which), one.context) for one in (mine, other))
    return other, timing.pair(a, b, **how)


def record(about, flops, other, found):
    """Return a measurement as JSON-able data, with seconds and flops of a call."""
    return {
        **about,
        "form": other.form,
        "flops": flops,
        "matconv": vars(found.a),
        "other": vars(found.b),
        "ratio": vars(found.ratio),
    }


class Bench:
    """A layer with its operands and expected results, to be measured several times."""

    def __init__(self, layer, how, say=lambda text: None):
        self.layer, self.how, self.say = layer, how, say
        self.data = peers.operands(layer)
        self.truth = truth.Truth(layer, self.data)
        self.sides = {}

    def matconv(self, dtype, threads, algorithm, reuse):
        """Return matconv's side, checked, and the part of the rounding bound that it uses."""
        key = (dtype, threads, algorithm, reuse)
        if key not in self.sides:
            mine = peers.Matconv(self.layer, self.data, dtype, threads, reuse, algorithm)
            self.sides[key] = mine, check(self.truth, mine)
        return self.sides[key]

    def records(self, dtype, threads, algorithm, peer, passes):
        """Measure matconv against a peer in each of the passes that the peer has.

        Against the plain products matconv writes into an existing array, as they do.
        """
        key = (dtype, threads, algorithm, peer)
        mine, used = self.matconv(dtype, threads, algorithm, peer == "gemm")
        others = sides(peer, self.layer, self.data, dtype, threads)
        for other in others:
            check(self.truth, other)
        found = []
        for which in passes_of(peer, passes):
            other, pairing = measure(mine, others, which, self.how)
            values = ("layer", self.layer.name, str(self.layer), which, *key)
            one = record(
                dict(zip(KEYS, values, strict=True)), self.layer.flops(which), other, pairing
            )
            found.append({**one, "bound_used": used})
            self.say(f"{label(one)}: {pairing.ratio.median:.2f}")
        return found


def sections(records):
    """Return the records of each table by (kind, pass, dtype, threads, algorithm, peer)."""
    grouped = {}
    for one in records:
        keys = ("kind", "pass", "dtype", "threads", "algorithm", "peer")
        grouped.setdefault(tuple(one[key] for key in keys), []).append(one)
    order = [*shapes.PASSES, "gradient", "step"]

    def place(key):
        kind, which, dtype, threads, algorithm, peer = key
        return kind, threads, dtype, algorithm, peer, order.index(which)

    return dict(sorted(grouped.items(), key=lambda item: place(item[0])))


def label(one):
    """Return a line that names a record."""
    words = ("name", "pass", "dtype", "algorithm", "peer")
    name, which, dtype, algorithm, peer = (one[key] for key in words)
    return f"{name} {which}, {dtype}, {count(one['threads'])}, {algorithm} against {peer}"


def count(threads):
    """Return a text with the number of threads.

    >>> count(1), count(2)
    ('1 thread', '2 threads')
    """
    return f"{threads} thread{'s' if threads > 1 else ''}"


def means(records):
    """Return the geometric mean and the minimum of the median ratios of each section."""
    keys = ("kind", "pass", "dtype", "threads", "algorithm", "peer")
    return [
        {
            **dict(zip(keys, key, strict=True)),
            "geometric_mean": timing.geometric_mean(one["ratio"]["median"] for one in group),
            "least": min(one["ratio"]["median"] for one in group),
            "n": len(group),
        }
        for key, group in sections(records).items()
    ]


def row(one):
    """Return a record as cells of the table."""
    mine, other, ratio = (one[k] for k in ("matconv", "other", "ratio"))
    return (
        *(one["name"], one["sizes"]),
        *(digits(1e3 * mine["median"]), digits(one["flops"] / mine["median"] / 1e9)),
        *(digits(1e3 * other["median"]), digits(one["flops"] / other["median"] / 1e9)),
        f"{ratio['median']:.2f}",
        f"{ratio['lower']:.2f}-{ratio['upper']:.2f}",
        f"{other['least'] / mine['least']:.2f}",
        one["form"] or "",
    )


def report(records):
    """Return the lines of the tables, one for each section."""
    lines = []
    for key, group in sections(records).items():
        kind, which, dtype, threads, algorithm, peer = key
        title = {"both": "forward + backward", "step": "training step"}.get(which, which)
        with_algorithm = "" if algorithm == "auto" else f" ({algorithm})"
        lines += ["", f"{title}, {dtype}, {count(threads)}: matconv{with_algorithm} against {peer}"]
        sizes = "l, d, b, f, h" if kind == "layer" else "images"
        head = (kind, sizes, "ms", "GF/s", peer, "GF/s", "ratio", "quartiles", "best", "")
        lines += aligned([head, *map(row, group)])
        (summary,) = means(group)
        mean, least = summary["geometric_mean"], summary["least"]
        lines.append(f"  geometric mean {mean:.2f}, least {least:.2f}")
    return lines


def run(given, say):
    """Return all records of the chosen layers, and the lines of a report."""
    chosen = shapes.select(given.layers)
    missing = absent(given.peers)
    how = effort(given.quick, given.repeats)
    records = []
    for layer in chosen:
        bench = Bench(layer, how, say)
        wanted = [given.dtypes, given.threads, given.algorithms]
        for key in itertools.product(*wanted, [x for x in given.peers if x not in missing]):
            records += bench.records(*key, given.passes)
    return {"records": records, "means": means(records), "skipped": missing}, report(records)
