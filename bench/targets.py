"""The table of targets, and whether results meet them.

A target has bounds for numbers with names (ratios of layers or networks, a part, an exponent): for
their geometric mean, minimum or maximum.  `verdicts` needs a results file only; `measuring` makes
one.
"""

import collections
from dataclasses import dataclass, field

import scaling
import shapes
import timing
from table import digits

CIFAR_AND_OTHERS = ("lenet", "simplenn-4", "simplenn-7", "vgg11")


@dataclass(frozen=True)
class Target:
    """A line of the table.

    Parameters
    ----------
    row, measure : str
        S1 to S10, and a text about what is measured.
    select : dict
        Values that a record must have; empty if the numbers are not ratios of records.
    names : tuple of str
        The layers or networks.
    gm, least, most : float or None
        Bounds: geometric mean at least, every number at least, every number at most.
    source : str
        For numbers that are not records: the key of `SOURCES`.

    Examples
    --------
    >>> Target("S1", "", gm=0.95, least=0.8).text
    'gm >= 0.95, each >= 0.8'
    """

    row: str
    measure: str
    select: dict = field(default_factory=dict)
    names: tuple = ()
    gm: float | None = None
    least: float | None = None
    most: float | None = None
    source: str = ""

    @property
    def text(self):
        """The bounds as text."""
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        bounds = (("gm >=", self.gm), ("each >=", self.least), ("<=", self.most))
        return ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)

    @property
    def threads_matter(self):
        """Whether there is a line for each number of threads."""
        return self.source in ("", "memory", "exponent", "growth")

    def met(self, values):
        """Whether the numbers {name: number} are within all bounds; None without numbers."""
        if not values or not self.text:
            return None
        numbers = list(values.values())
        return (
            (self.gm is None or timing.geometric_mean(numbers) >= self.gm)
            and (self.least is None or min(numbers) >= self.least)
            and (self.most is None or max(numbers) <= self.most)
        )


def _records(kind, dtype, which, algorithm, peer):
    keys = ("kind", "dtype", "pass", "algorithm", "peer")
    return dict(zip(keys, (kind, dtype, which, algorithm, peer), strict=True))


_LAYERS = shapes.SETS["all"]
_UNIT_STRIDE = tuple(
    layer.name
    for layer in shapes.LAYERS.values()
    if layer.stride == 1 and layer.kernel in ((3, 3), (5, 5))
)


def _layers(row, words, dtype, which, algorithm, peer, names=_LAYERS, **bounds):
    title = {"both": "forward+backward"}.get(which, which)
    measure = f"{words}, {title}"
    return Target(row, measure, _records("layer", dtype, which, algorithm, peer), names, **bounds)


def _nets(row, words, which, peer, **bounds):
    select = _records("net", "float64", which, "auto", peer)
    return Target(row, words, select, CIFAR_AND_OTHERS, **bounds)


_S3, _S5 = "auto f64 against PyTorch f64", "auto f32 against PyTorch f32"
_S7 = "threads against one, f64, layers"

TARGETS = (
    _layers(
        "S1",
        "im2col against dgemm, f64",
        "float64",
        "forward",
        "im2col",
        "gemm",
        gm=0.95,
        least=0.8,
    ),
    _layers(
        "S2",
        "auto against dgemm, f64, 3x3 and 5x5",
        "float64",
        "forward",
        "auto",
        "gemm",
        _UNIT_STRIDE,
        gm=2.5,
    ),
    _layers("S3", _S3, "float64", "forward", "auto", "torch", gm=4, least=1.2),
    _layers("S3", _S3, "float64", "both", "auto", "torch", gm=4, least=1.2),
    _nets("S4", "auto f64 against PyTorch f32, training step", "step", "torch-f32", least=1),
    _layers("S5", _S5, "float32", "forward", "auto", "torch", gm=1.6, least=0.9),
    _layers("S5", _S5, "float32", "both", "auto", "torch", gm=1.6, least=0.9),
    Target("S6", "peak memory of a gradient, share of PyTorch's, f64", most=0.5, source="memory"),
    _layers("S7", _S7, "float64", "forward", "auto", "1 thread", gm=1.85),
    _layers("S7", _S7, "float64", "gradient", "auto", "1 thread", gm=1.85),
    _nets("S7", "threads against one, f64, training step", "step", "1 thread", gm=1.85),
    Target(
        "S8",
        "exponent of time against images, LeNet's gradient",
        least=0.97,
        most=1.03,
        source="exponent",
    ),
    Target("S8", "its peak memory, most images over a tenth of them", most=1.1, source="growth"),
    Target("S9", "frozen LeNet f32 against ONNX Runtime f32", least=1, source="frozen float32"),
    Target("S9", "frozen LeNet f64 against ONNX Runtime f32", source="frozen float64"),
    Target("S10", "import matconv, ms beyond numpy and scipy.linalg", most=50, source="import"),
    Target("S10", "wheel, MB", most=2, source="wheel"),
)

ROWS = tuple(dict.fromkeys(target.row for target in TARGETS))


def _memory(document, threads):
    found = {}
    for one in document.get("gradient", ()):
        size = {side["who"]: side.get("bytes") for side in one["sides"]}
        if one["threads"] == threads and size.get("matconv") and size.get("torch"):
            found[f"{one['net']}, {one['images']} images"] = size["matconv"] / size["torch"]
    return found


def _scaling(document, threads):
    return [one for one in document.get("scaling", ()) if one["threads"] == threads]


def _exponent(document, threads):
    found = _scaling(document, threads)
    return {"lenet": scaling.exponent(found)} if len(found) > 1 else {}


def _growth(document, threads):
    found = _scaling(document, threads)
    return {"lenet": scaling.growth(found)} if len(found) > 1 else {}


def _startup(key, scale, name):
    def value(document, threads):
        found = document.get("startup", {}).get(key)
        return {} if found is None else {name: scale * found}

    return value


def _frozen(dtype):
    def ratios(document, threads):
        return {
            f"{one['images']} images": one["ratio"]["median"]
            for one in document.get("frozen", ())
            if one["dtype"] == dtype
        }

    return ratios


#: Numbers that are not ratios of records: functions of a document and a number of threads.
SOURCES = {
    "memory": _memory,
    "exponent": _exponent,
    "growth": _growth,
    "import": _startup("import_seconds", 1e3, "fresh processes"),
    "wheel": _startup("wheel_bytes", 1e-6, "one file"),
    "frozen float32": _frozen("float32"),
    "frozen float64": _frozen("float64"),
}


def values(target, document, threads):
    """Return {name: number} of a target, for a number of threads."""
    if target.source:
        return SOURCES[target.source](document, threads)
    return {
        one["name"]: one["ratio"]["median"]
        for one in document.get("records", ())
        if one["threads"] == threads
        and one["name"] in target.names
        and all(one[key] == value for key, value in target.select.items())
    }


def measured(target, found):
    """Return a text with the numbers of a target.

    Examples
    --------
    >>> measured(Target("S1", "", gm=1.0), {"a": 0.5, "b": 2.0})
    'gm 1.00, least 0.500 (a), 2 of them'
    >>> measured(Target("S6", "", most=0.5), {"lenet": 0.25})
    '0.250 (lenet)'
    """
    if not found:
        return "not measured"
    if len(found) == 1:
        ((name, only),) = found.items()
        return f"{digits(only)} ({name})"
    end, word = (max, "most") if target.gm is None and target.most is not None else (min, "least")
    name = end(found, key=found.get)
    mean = timing.geometric_mean(found.values())
    return f"gm {digits(mean)}, {word} {digits(found[name])} ({name}), {len(found)} of them"


def verdicts(document, rows=ROWS, threads=(1, 2)):
    """Return {row, measure, target, threads (None: any), measured, met} for each line."""
    lines = []
    for target in TARGETS:
        if target.row not in rows:
            continue
        one_thread_is_the_peer = target.select.get("peer") == "1 thread"
        for n in threads if target.threads_matter else [None]:
            if one_thread_is_the_peer and n == 1:
                continue
            found = values(target, document, n)
            lines.append(
                {
                    "row": target.row,
                    "measure": target.measure,
                    "threads": n,
                    "target": target.text,
                    "measured": measured(target, found),
                    "values": found,
                    "met": target.met(found),
                }
            )
    return lines


def said(met):
    """Return a verdict as text: met, NOT met, or "" if nothing was measured."""
    return {True: "met", False: "NOT met", None: "-"}[met]


def report(lines):
    """Return the verdicts as lines of a table."""
    head = ("", "measure", "threads", "target", "measured", "")
    rows = [head]
    for one in lines:
        threads = "" if one["threads"] is None else str(one["threads"])
        words = [one[key] for key in ("row", "measure")]
        rows.append((*words, threads, one["target"], one["measured"], said(one["met"])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(n) for cell, n in zip(row, widths, strict=True)] for row in rows]
    counts = collections.Counter(one["met"] for one in lines)
    summary = f"{counts[True]} met, {counts[False]} not met, {counts[None]} not measured"
    return ["", *("  ".join(row).rstrip() for row in padded), "", summary]
