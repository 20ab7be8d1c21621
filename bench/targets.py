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


def _goal(
    row, measure, what, names, dtype, which, peer, statistic=ratios, algorithm="auto", **more
):
    """A `Target`: `images` and `threads` go into its selection, other keywords are bounds."""
    keys = ("what", "name", "dtype", "pass", "peer", "algorithm")
    values = (what, names, dtype, which, peer, algorithm)
    tuples = (x if isinstance(x, tuple) else (x,) for x in values)
    select = dict(zip(keys, tuples, strict=True))
    select |= {key: more.pop(key) for key in ("images", "threads") if key in more}
    return Target(row, measure, select, statistic, **more)


F64, F32 = measuring.DTYPES
ALL = tuple(shapes.LAYERS)
UNIT_STRIDE = tuple(
    name
    for name, layer in shapes.LAYERS.items()
    if layer.stride == 1 and layer.kernel in ((3, 3), (5, 5))
)
TRAINED = ("lenet", "simplenn-4", "simplenn-7", "vgg11", "alexnet")
FROZEN, BATCHES = ("lenet", "alexnet"), (1, 8, 64)
_S1 = {"algorithm": "im2col", "gm": {"avx512": 1.0, "avx2": 0.95}, "minimum": 0.8}
_S2 = "auto against dgemm, f64, 3x3 and 5x5, forward"
_S3, _S5 = "f64 against PyTorch f64", "f32 against PyTorch f32"
_STEP, _S6 = "training step", "memory of a gradient, share of PyTorch's, f64"
_S7, _S9 = "threads against one, f64", "against ONNX Runtime f32"


def _s8():
    """One goal for the time and one for the memory, of each number of threads."""
    every = (100, 1_000, 10_000, 100_000)
    about = ("scaling", "lenet", F64, "gradient", None)
    time, memory = (
        "exponent of a gradient's time against images",
        "its memory, last over one before",
    )
    for n, images in ((1, every), (2, every[1:])):
        more = {"images": images, "threads": (n,)}
        yield _goal("S8", time, *about, exponent, minimum=0.97, maximum=1.03, **more)
        yield _goal("S8", memory, *about, growth, maximum=1.1, **more)


def _s10(words, name, scale, bound):
    about = ("startup", name, None, None, None, medians(scale), None)
    return _goal("S10", words, *about, maximum=bound, threads=(None,))


def _s12(which, images, bound):
    words, more = f"us beside the kernels, LeNet, {which} of {images}", {"images": (images,)}
    about = ("latency", "lenet", F64, which, "kernels", beside)
    return _goal("S12", words, *about, maximum=bound, threads=(1,), **more)


TARGETS = (
    _goal("S1", "im2col against dgemm, f64, forward", "layer", ALL, F64, "forward", "gemm", **_S1),
    _goal("S2", _S2, "layer", UNIT_STRIDE, F64, "forward", "gemm", gm=2.5),
    _goal("S3", f"{_S3}, forward", "layer", ALL, F64, "forward", "torch", gm=4, minimum=1),
    _goal("S3", f"{_S3}, both", "layer", ALL, F64, "both", "torch", gm=4, minimum=1),
    _goal(
        *("S4", f"f64 against PyTorch f32, {_STEP}", "net", TRAINED, F64, "step", "torch-f32"),
        gm=1.15,
        minimum=1,
    ),
    _goal("S5", f"{_S5}, forward", "layer", ALL, F32, "forward", "torch", gm=1.6, minimum=0.9),
    _goal("S5", f"{_S5}, both", "layer", ALL, F32, "both", "torch", gm=2, minimum=0.9),
    _goal("S5b", f"{_S5}, {_STEP}", "net", TRAINED, F32, "step", "torch", gm=1.8),
    _goal(
        *("S6", _S6, "memory", ("lenet", "vgg11"), F64, "gradient", "torch", shares),
        images=(1024,),
        maximum=0.5,
    ),
    _goal(
        *("S6", "the same, 256 images", "memory", ("vgg11", "alexnet"), F64, "gradient", "torch"),
        statistic=shares,
        images=(256,),
    ),
    _goal("S7", f"{_S7}, layers, forward", "net", ALL, F64, "forward", "1-thread", gm=1.85),
    _goal("S7", f"{_S7}, layers, gradient", "net", ALL, F64, "gradient", "1-thread", gm=1.85),
    _goal("S7", f"{_S7}, {_STEP}", "net", TRAINED, F64, "step", "1-thread", gm=1.85),
    *_s8(),
    _goal(
        *("S9", f"frozen f32 {_S9}", "net", FROZEN, F32, "predict", "onnxruntime"),
        images=BATCHES,
        threads=(1,),
        gm=1.2,
        minimum=0.8,
    ),
    _goal(
        *("S9b", f"frozen f64 {_S9}", "net", FROZEN, F64, "predict", "onnxruntime"),
        images=BATCHES,
        threads=(1,),
        gm=0.7,
    ),
    _s10("import, ms beyond numpy and scipy.linalg", "import", 1e3, 30),
    _s10("wheel, MB", "wheel", 1e-6, 3),
    _s10("build from source, s", "build", 1, 120),
    _s12("forward", 1, 20),
    _s12("gradient", 64, 100),
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
