"""The goals: which records each looks at, of what statistic, within what bounds.

The verdicts need nothing but a document of records, so any results file can be judged again.  The
jobs of a goal are what has to be measured for it.
"""

import collections
from collections.abc import Callable
from dataclasses import dataclass

import machine
import measuring
import numpy as np
import shapes
import timing
from table import aligned, digits

# Statistics: {label: number} of some (label, record).


def ratios(found):
    """The median ratios; of several peers at the same job that of the fastest."""
    values = {}
    for label, record in found:
        ratio = record["ratio"]["median"]
        values[label] = min(ratio, values.get(label, ratio))
    return values


def shares(found):
    """What matconv takes as a share of what the peer takes."""
    return {label: 1 / record["ratio"]["median"] for label, record in found}


def medians(scale):
    """matconv's medians in another unit."""
    return lambda found: {label: scale * record["mine"]["median"] for label, record in found}


def beside(found):
    """Microseconds that are not spent in kernels."""
    return {label: 1e6 * record["beside"] for label, record in found}


def exponent(found):
    """The slope of log seconds against log images, by least squares."""
    points = [(record["images"], record["mine"]["median"]) for _, record in found]
    if len(points) < 2:
        return {}
    return {found[0][1]["name"]: float(np.polyfit(*np.log(points).T, 1)[0])}


def growth(found):
    """Peak memory with the most images over that with the next fewer ones."""
    points = sorted((record["images"], record["bytes"]) for _, record in found)
    return {found[0][1]["name"]: points[-1][1] / points[-2][1]} if len(points) > 1 else {}


@dataclass(frozen=True)
class Target:
    """One row of the table.

    Parameters
    ----------
    row, measure : str
        S1 to S12, and what is measured.
    select : dict
        For keys of a record the values that count, in tuples; the jobs are all combinations.
        Without "threads" each number of threads that is asked for has a line of its own.
    statistic : callable
    gm, minimum, maximum : float or dict
        Bounds: geometric mean at least (by ISA, where that matters), each at least, each at most.
        Without bounds it is only reported.

    Examples
    --------
    >>> Target("S1", "", {}, gm={"avx2": 0.95, "avx512": 1.0}, minimum=0.8).bounds("avx2")
    'gm >= 0.95, each >= 0.8'
    """

    row: str
    measure: str
    select: dict
    statistic: Callable = ratios
    gm: float | dict | None = None
    minimum: float | None = None
    maximum: float | None = None

    def bounds(self, isa):
        """The bounds as text."""
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        named = (("gm >=", self._gm(isa)), ("each >=", self.minimum), ("<=", self.maximum))
        return ", ".join(f"{word} {bound:g}" for word, bound in named if bound is not None)

    def _gm(self, isa):
        return self.gm[isa] if isinstance(self.gm, dict) else self.gm

    def met(self, values, isa):
        """Whether {label: number} keeps all bounds; None without numbers or bounds."""
        if not values or not self.bounds(isa):
            return None
        gm, numbers = self._gm(isa), list(values.values())
        return (
            (gm is None or timing.geometric_mean(numbers) >= gm)
            and (self.minimum is None or min(numbers) >= self.minimum)
            and (self.maximum is None or max(numbers) <= self.maximum)
        )

    def threads(self, asked):
        """The numbers of threads that have a line."""
        if self.select["peer"] == ("1-thread",):
            asked = [n for n in asked if n > 1]
        return [n for n in self.select.get("threads", asked) if n in (None, *asked)]

    def jobs(self, asked, quick=False, names=None):
        """What has to be measured with these numbers of threads, of these names only."""
        chosen = [x for x in self.select["name"] if names is None or x in names]
        more = (self.threads(asked), self.select["algorithm"], self.select["peer"])
        given = (self.select["what"][0], chosen, self.select["pass"], self.select["dtype"], *more)
        return measuring.plan(*given, self.select.get("images"), quick)

    def values(self, records, threads):
        """The statistic of what it looks at, for one number of threads."""
        found, several = [], len(self.select.get("images", ())) > 1
        for record in records:
            select = {**self.select, "threads": (threads,)}
            if record["quick"] and "images" in select:
                quick = measuring.KINDS[select["what"][0]].quick
                select["images"] = [quick(n) for n in select["images"]]
            if all(record[key] in values for key, values in select.items()):
                images = f", {record['images']} images" if several else ""
                found.append((record["name"] + images, record))
        return self.statistic(found)


def _of(what, names, dtype, which, peer, algorithm="auto", **more):
    keys = ("what", "name", "dtype", "pass", "peer", "algorithm")
    values = (what, names, dtype, which, peer, algorithm)
    tuples = (x if isinstance(x, tuple) else (x,) for x in values)
    return {**dict(zip(keys, tuples, strict=True)), **more}


F64, F32 = measuring.DTYPES
ALL = tuple(shapes.LAYERS)
UNIT_STRIDE = tuple(
    name
    for name, layer in shapes.LAYERS.items()
    if layer.stride == 1 and layer.kernel in ((3, 3), (5, 5))
)
TRAINED = ("lenet", "simplenn-4", "simplenn-7", "vgg11", "alexnet")
FROZEN = {"names": ("lenet", "alexnet"), "images": (1, 8, 64), "threads": (1,)}
_S3, _S5 = "f64 against PyTorch f64", "f32 against PyTorch f32"
_1, _2 = (
    _of("scaling", "lenet", F64, "gradient", None, images=images, threads=(n,))
    for n, images in ((1, (100, 1_000, 10_000, 100_000)), (2, (1_000, 10_000, 100_000)))
)
_TIME, _MEMORY = (
    "exponent of a gradient's time against images",
    "its memory, last over next to last",
)

TARGETS = (
    Target(
        *("S1", "im2col against dgemm, f64, forward"),
        _of("layer", ALL, F64, "forward", "gemm", "im2col"),
        gm={"avx512": 1.0, "avx2": 0.95},
        minimum=0.8,
    ),
    Target(
        *("S2", "auto against dgemm, f64, 3x3 and 5x5, forward"),
        _of("layer", UNIT_STRIDE, F64, "forward", "gemm"),
        gm=2.5,
    ),
    Target("S3", f"{_S3}, forward", _of("layer", ALL, F64, "forward", "torch"), gm=4, minimum=1),
    Target("S3", f"{_S3}, both", _of("layer", ALL, F64, "both", "torch"), gm=4, minimum=1),
    Target(
        *("S4", "f64 against PyTorch f32, training step"),
        _of("net", TRAINED, F64, "step", "torch-f32"),
        gm=1.15,
        minimum=1,
    ),
    Target(
        "S5", f"{_S5}, forward", _of("layer", ALL, F32, "forward", "torch"), gm=1.6, minimum=0.9
    ),
    Target("S5", f"{_S5}, both", _of("layer", ALL, F32, "both", "torch"), gm=2, minimum=0.9),
    Target("S5b", f"{_S5}, training step", _of("net", TRAINED, F32, "step", "torch"), gm=1.8),
    Target(
        *("S6", "memory of a gradient, share of PyTorch's, f64"),
        _of("memory", ("lenet", "vgg11"), F64, "gradient", "torch", images=(1024,)),
        shares,
        maximum=0.5,
    ),
    Target(
        *("S6", "the same, 256 images"),
        _of("memory", ("vgg11", "alexnet"), F64, "gradient", "torch", images=(256,)),
        shares,
    ),
    *(
        Target("S7", f"threads against one, f64, {words}", _of("net", *select, "1-thread"), gm=1.85)
        for words, select in (
            ("layers, forward", (ALL, F64, "forward")),
            ("layers, gradient", (ALL, F64, "gradient")),
            ("training step", (TRAINED, F64, "step")),
        )
    ),
    Target("S8", _TIME, _1, exponent, minimum=0.97, maximum=1.03),
    Target("S8", _TIME, _2, exponent, minimum=0.97, maximum=1.03),
    Target("S8", _MEMORY, _1, growth, maximum=1.1),
    Target("S8", _MEMORY, _2, growth, maximum=1.1),
    Target(
        *("S9", "frozen f32 against ONNX Runtime f32"),
        _of("net", dtype=F32, which="predict", peer="onnxruntime", **FROZEN),
        gm=1.2,
        minimum=0.8,
    ),
    Target(
        *("S9b", "frozen f64 against ONNX Runtime f32"),
        _of("net", dtype=F64, which="predict", peer="onnxruntime", **FROZEN),
        gm=0.7,
    ),
    *(
        Target(
            *("S10", words),
            _of("startup", name, None, None, None, None, threads=(None,)),
            medians(scale),
            maximum=bound,
        )
        for words, name, scale, bound in (
            ("import, ms beyond numpy and scipy.linalg", "import", 1e3, 30),
            ("wheel, MB", "wheel", 1e-6, 3),
            ("build from source, s", "build", 1, 120),
        )
    ),
    *(
        Target(
            *("S12", f"us beside the kernels, LeNet, {which} of {images}"),
            _of("latency", "lenet", F64, which, "kernels", images=(images,), threads=(1,)),
            beside,
            maximum=bound,
        )
        for which, images, bound in (("forward", 1, 20), ("gradient", 64, 100))
    ),
)

ROWS = tuple(dict.fromkeys(target.row for target in TARGETS))


def measured(values, end=min):
    """The numbers of a target as text.

    Examples
    --------
    >>> measured({"a": 0.5, "b": 2.0})
    'gm 1.00, min 0.500 (a), 2 of them'
    >>> measured({"lenet": 0.25})
    '0.250 (lenet)'
    """
    if not values:
        return "not measured"
    name = end(values, key=values.get)
    if len(values) == 1:
        return f"{digits(values[name])} ({name})"
    mean = digits(timing.geometric_mean(values.values()))
    word, n = end.__name__, len(values)
    return f"gm {mean}, {word} {digits(values[name])} ({name}), {n} of them"


def verdicts(document, rows=ROWS, threads=(1, 2)):
    """A dictionary for each line: row, measure, threads, target, measured, values, met."""
    lines, isa = [], machine.isa(document["machine"])
    for target in TARGETS:
        for n in target.threads(threads) if target.row in rows else ():
            values = target.values(document["records"], n)
            text = measured(values, min if target.maximum is None else max)
            keys = ("row", "measure", "threads", "target", "measured", "values", "met")
            about = (target.row, target.measure, n, target.bounds(isa), text, values)
            lines.append(dict(zip(keys, (*about, target.met(values, isa)), strict=True)))
    return lines


def report(lines, markdown=False):
    """The verdicts as lines of a table, and how many there are of each."""
    words = {True: "met", False: "NOT met", None: "-"}
    rows = [("", "measure", "threads", "target", "measured", "")]
    for one in lines:
        threads = "" if one["threads"] is None else one["threads"]
        about = (one["row"], one["measure"], threads, one["target"], one["measured"])
        rows.append((*about, words[one["met"]]))
    counts = collections.Counter(one["met"] for one in lines)
    summary = f"{counts[True]} met, {counts[False]} not met, {counts[None]} not judged"
    return ["", *aligned(rows, markdown), "", summary]
