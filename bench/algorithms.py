"""matconv's two algorithms against each other, and the one that "auto" chooses.

The results show on any machine whether the rule of ``algorithm="auto"`` is right.  Its choice is
found from bits: each of its results equals that of one of the two algorithms.
"""

import layers
import numpy as np
import peers
import shapes
import timing
import truth
from table import aligned, digits

#: Results of a pass, in the order of the names that `taken` returns.
RESULTS = {"forward": ("S",), "backward": ("dZ", "dW"), "both": ("S", "dZ", "dW")}


def taken(auto, im2col, winograd, names):
    """Return the algorithm with the bits of "auto": a name, or one for each result.

    Examples
    --------
    >>> a, b = {"S": np.ones(1), "dZ": np.ones(1)}, {"S": np.zeros(1), "dZ": np.zeros(1)}
    >>> taken(a, a, b, ["S", "dZ"]), taken({**a, "S": b["S"]}, a, b, ["S", "dZ"])
    ('im2col', 'S winograd, dZ im2col')
    >>> taken({"S": np.full(1, 2.0)}, a, b, ["S"]), taken(a, a, a, ["S"])
    ('neither', 'either')
    """
    found = []
    for name in names:
        same = {
            word: np.array_equal(auto[name], other[name])
            for word, other in (("im2col", im2col), ("winograd", winograd))
        }
        found.append(
            "either" if all(same.values()) else next((w for w in same if same[w]), "neither")
        )
    if len(set(found)) == 1:
        return found[0]
    return ", ".join(f"{name} {word}" for name, word in zip(names, found, strict=True))


def faster(ratio):
    """Return the faster algorithm by the ratio winograd / im2col of times.

    "tie" if 1 is between the quartiles.

    Examples
    --------
    >>> faster({"lower": 1.1, "upper": 1.3}), faster({"lower": 0.4, "upper": 0.5})
    ('im2col', 'winograd')
    >>> faster({"lower": 0.9, "upper": 1.1})
    'tie'
    """
    if ratio["lower"] > 1:
        return "im2col"
    return "winograd" if ratio["upper"] < 1 else "tie"


def measure(layer, dtype, threads, passes, how):
    """Return the records of a layer: seconds of both algorithms, and the ratio winograd / im2col.

    Without transforms for the layer, both are im2col.
    """
    data = peers.operands(layer)
    sides = {
        name: peers.Matconv(layer, data, dtype, threads, algorithm=name)
        for name in peers.ALGORITHMS
    }
    expected = truth.Truth(layer, data)
    for side in sides.values():
        layers.check(expected, side)
    results = {name: side.results() for name, side in sides.items()}
    records = []
    for which in passes:
        a, b = ((sides[name].run(which), sides[name].context) for name in ("im2col", "winograd"))
        found = timing.pair(a, b, **how)
        values = (layer.name, str(layer), which, dtype, threads, layer.flops(which))
        about = ("name", "sizes", "pass", "dtype", "threads", "flops")
        records.append(
            {
                **dict(zip(about, values, strict=True)),
                "im2col": vars(found.a),
                "winograd": vars(found.b),
                "ratio": vars(found.ratio),
                "faster": faster(vars(found.ratio)),
                "auto": taken(*(results[name] for name in peers.ALGORITHMS), RESULTS[which]),
            }
        )
    return records


def run(given, say):
    """Return all records of the chosen layers, and the lines of a report."""
    how = layers.effort(given.quick, given.repeats)
    records = []
    for layer in shapes.select(given.layers):
        for dtype in given.dtypes:
            for threads in given.threads:
                records += measure(layer, dtype, threads, given.passes, how)
                say(f"{layer.name} {dtype} {layers.count(threads)}")
    return {"algorithms": records}, report(records)


def report(records):
    """Return the lines of the table."""
    head = ("layer", "l, d, b, f, h", "pass", "dtype", "threads", "im2col ms", "winograd ms")
    rows = [(*head, "ratio", "quartiles", "faster", "auto takes")]
    for one in records:
        ratio = one["ratio"]
        rows.append(
            (
                *(one[key] for key in ("name", "sizes", "pass", "dtype", "threads")),
                *(digits(1e3 * one[name]["median"]) for name in ("im2col", "winograd")),
                f"{ratio['median']:.2f}",
                f"{ratio['lower']:.2f}-{ratio['upper']:.2f}",
                *(one["faster"], one["auto"]),
            )
        )
    against = [one for one in records if {one["faster"], one["auto"]} == {"im2col", "winograd"}]
    lines = ["", *aligned(rows)] if records else []
    lines += ["", f"auto takes the slower one in {len(against)} of {len(records)} measurements"]
    return lines
