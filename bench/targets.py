"""The targets: which records each looks at, of what statistic, within what bounds.

The verdicts need nothing but a document of records, so any results file can be judged again.
"""

import math
from collections import namedtuple
from dataclasses import dataclass

import measuring
import nets
import numpy as np
from peers import DERIVATIVES, FASTEST
from table import digits, geometric_mean, label

#: Statistics of one record.
STATISTICS = {
    "ratio": lambda record: record["ratio"]["median"],
    "of processes": lambda record: record["ratio"]["median"] / record["threads"],
    "share": lambda record: 1 / record["ratio"]["median"],
    "in gradients": lambda record: 1 / record["ratio"]["median"],
    "over theory": lambda record: 1 / record["ratio"]["median"] / record["cost"],
    "ms": lambda record: 1e3 * record["mine"]["median"],
    "s": lambda record: record["mine"]["median"],
    "MB": lambda record: record["mine"]["median"] / 1e6,
    "us beside the kernels": lambda record: 1e6 * record["beside"],
}

#: Statistics of (images, seconds, bytes) of several records: the slope of log seconds against log
#: images, by least squares; the memory of the maximum number of images over that of the next.
SERIES = {
    "exponent": lambda points: float(np.polyfit(*np.log(points).T[:2], 1)[0]),
    "growth of memory": lambda points: points[-1][2] / points[-2][2],
}


#: A line of the table; `met` is None without values or bounds.
Verdict = namedtuple("Verdict", "row measure isa threads target measured values met")


@dataclass(frozen=True)
class Target:
    """The records that count, their statistic, its bounds; `note` says what the names are.

    `threads` None is a line for each number of threads that is asked for.  Of several peers the
    fastest counts, case by case.  `gm` is the minimum of the geometric mean, a dictionary by ISA
    where that matters; the bound `minimum` is not for the names in `exempt`.  `left_out` has pairs
    (name, images).  Several passes are judged together.
    """

    row: str
    what: str
    names: tuple
    dtype: str | None
    which: str | tuple | None
    peer: str | tuple | None = None
    statistic: str = "ratio"
    algorithm: str | None = "auto"
    images: tuple | None = None
    threads: tuple | None = None
    gm: float | dict | None = None
    minimum: float | None = None
    maximum: float | None = None
    note: str = ""
    exempt: tuple = ()
    left_out: tuple = ()

    @property
    def passes(self):
        """The passes; (None,) without one."""
        return self.which if isinstance(self.which, tuple) else (self.which,)

    @property
    def peers(self):
        """The names of the peers; (None,) without one."""
        return self.peer if isinstance(self.peer, tuple) else (self.peer,)

    def measure(self, peers):
        """What is measured against these peers, as text."""
        words = [self.note or self.what, " and ".join(filter(None, self.passes)), self.dtype]
        words += [self.algorithm] * (self.algorithm == "im2col")
        text = ", ".join(word for word in words if word)
        if self.images and len(self.images) == 1:
            text += f", {self.images[0]} images"
        names = " and ".join(label(peer) for peer in peers if peer)
        several = {1: "", 2: "the faster of "}.get(len(peers), "the fastest of ")
        text += f" against {several}{names}" if names else ""
        return text if self.statistic == "ratio" else f"{text}: {self.statistic}"

    def measured(self, values):
        """The values as text: the geometric mean, and the minimum or maximum with its name."""
        end = min if self.maximum is None else max
        name = end(values, key=values.get)
        text = f"{digits(values[name])} ({name})"
        if len(values) == 1:
            return text
        mean = digits(geometric_mean(values.values()))
        return f"gm {mean}, {end.__name__} {text}, {len(values)} of them"

    def lines(self, asked):
        """The numbers of threads that have a line."""
        if self.peer in ("1-thread", "processes"):
            asked = [n for n in asked if n > 1]
        return [n for n in self.threads or asked if n in (None, *asked)]

    def chosen(self, records, threads, isa):
        """The records that count; quick ones whatever their images."""
        keys = ("what", "dtype", "algorithm", "threads", "isa")
        about = (self.what, self.dtype, self.algorithm, threads, isa)
        left_out = self.left_out
        return [
            record
            for record in records
            if tuple(record[key] for key in keys) == about
            and record["pass"] in self.passes
            and record["peer"] in self.peers
            and record["name"] in self.names
            and (record["quick"] or self.images is None or record["images"] in self.images)
            and (record["name"], record["images"]) not in left_out
        ]

    def values(self, chosen):
        """{name: statistic} of the records that count; of several peers the minimum."""
        if self.statistic in SERIES:
            points = sorted((x["images"], x["mine"]["median"], x["bytes"]) for x in chosen)
            return {self.names[0]: SERIES[self.statistic](points)} if len(points) > 1 else {}
        text = "{name}, {images} images" if len(self.images or ()) > 1 else "{name}"
        text += ", {pass}" if len(self.passes) > 1 else ""
        found = {}
        for record in chosen:
            by_peer = found.setdefault(text.format(**record), {})
            by_peer[record["peer"]] = STATISTICS[self.statistic](record)
        return {name: min(by_peer.values()) for name, by_peer in found.items()}

    def verdict(self, records, threads, isa):
        """A line of the table."""
        chosen = self.chosen(records, threads, isa)
        values = self.values(chosen)
        peers = {record["peer"] for record in chosen} or self.peers
        others = [x for name, x in values.items() if name not in self.exempt]
        gm = self.gm[isa.partition(",")[0]] if isinstance(self.gm, dict) else self.gm
        bounds = (
            ("gm >=", gm, lambda: geometric_mean(values.values()) >= gm),
            ("min >=", self.minimum, lambda: min(others, default=math.inf) >= self.minimum),
            ("max <=", self.maximum, lambda: max(values.values()) <= self.maximum),
        )
        bounds = [one for one in bounds if one[1] is not None]
        target = ", ".join(f"{text} {limit:g}" for text, limit, _ in bounds)
        target += "".join(f" but {name}" for name in self.exempt)
        met = all(within() for *_, within in bounds) if values and bounds else None
        measured = self.measured(values) if values else "not measured"
        measure = self.measure([peer for peer in self.peers if peer in peers])
        return Verdict(self.row, measure, isa, threads, target, measured, values, met)


F64, F32 = measuring.DTYPES
ALL = tuple(nets.LAYERS)
_FIRST = {name: net.network.layers[0] for name, net in nets.LAYERS.items()}
UNIT_STRIDE = tuple(x for x in ALL if _FIRST[x].stride == (1, 1) and _FIRST[x].kernel[0] in (3, 5))
TRAINED = ("lenet", "simplenn-4", "simplenn-7", "vgg11", "alexnet", "resnet18-64")
_LARGE = ("vgg16", "dncnn17-180")
FROZEN = ("lenet", "alexnet", "squeezenet-1.1", "resnet18", "mobilenet-v2", *_LARGE)
LENET = ("lenet",)

#: Networks of a quick run.
QUICK = ("lenet", "simplenn-4", "resnet18-64", "squeezenet-1.1")

MEMORY = (F64, "gradient", "torch", "share")
_IM2COL = {"algorithm": "im2col", "gm": {"avx512": 1.0, "avx2": 0.95}, "minimum": 0.8}
_UNIT_STRIDE = "layers of 3x3 and 5x5 with stride 1"
_BATCHES = {"images": (1, 8, 64), "left_out": tuple((name, 64) for name in _LARGE)}
_EXEMPT = {"minimum": 1, "exempt": ("resnet18-64",)}
_IMAGES = (100, 1_000, 10_000, 100_000)
_ONE, _TWO = {"images": _IMAGES, "threads": (1,)}, {"images": _IMAGES[1:], "threads": (2,)}
_SCALING = ("S8", "scaling", LENET, F64, "gradient", None)
_LATENCY, _BESIDE = ("S12", "latency", LENET, F64), ("kernels", "us beside the kernels")
_NONE, _STARTUP = (None, None, None), {"algorithm": None, "threads": (None,)}
_PROCESSES = {"statistic": "of processes", "gm": 0.93}
_IMPORT = "import beyond numpy and scipy.linalg"

_JACOBIAN = ("jvp", "vjp")
#: Passes; the maximum in gradients of our own; the bounds against peers in float64, in float32.
_SECOND_ORDER = (
    (_JACOBIAN, "kept", ("over theory", 1.08), {"gm": 2, "minimum": 1.35}, {"gm": 1.2}),
    (_JACOBIAN, "scratch", ("over theory", 1.08), {"minimum": 1.4}, {"gm": 1.2}),
    (("gauss_newton",), "kept", ("over theory", 1.03), {"minimum": 2.4}, {"minimum": 1.2}),
    (("gauss_newton",), "scratch", ("in gradients", 1.7), {"minimum": 3.5}, {"minimum": 1.2}),
    (("hessian",), "kept", ("over theory", 1.03), {"minimum": 2.6}, {"minimum": 1.25}),
    (("hessian",), "scratch", ("in gradients", 2.7), {"minimum": 2.8}, {"minimum": 1.25}),
    (("gradient_norms",), "", ("in gradients", 1.7), {"minimum": 2.4}, {"minimum": 1.5}),
    (("gauss_newton_diagonal",), "", ("in gradients", 10), {"minimum": 3}, {"minimum": 2}),
)


def _second_order():
    """The targets of products, in gradients of our own and against the fastest peer."""
    names, left_out = ("lenet", "simplenn-4"), (("lenet", 256), ("simplenn-4", 128))
    common = {"images": (128, 256), "threads": (1,), "left_out": left_out}
    for dtype, column in ((F64, 0), (F32, 1)):
        for products, how, (statistic, bound), *bounds in _SECOND_ORDER:
            passes = tuple(f"{name} {how}".strip() for name in products)
            about = ("S11", "products", names, dtype, passes)
            yield Target(*about, "gradient", statistic, maximum=bound, **common)
            yield Target(*about, DERIVATIVES, **bounds[column], **common)


TARGETS = (
    Target("S1", "layers", ALL, F64, "forward", "gemm", **_IM2COL),
    Target("S2", "layers", UNIT_STRIDE, F64, "forward", "gemm", gm=2.5, note=_UNIT_STRIDE),
    Target("S3", "layers", ALL, F64, "forward", "torch", gm=4, minimum=1),
    Target("S3", "layers", ALL, F64, "both", "torch", gm=4, minimum=1),
    Target("S4", "nets", TRAINED, F64, "step", "torch-f32", gm=1.15, **_EXEMPT),
    Target("S5", "layers", ALL, F32, "forward", "torch", gm=1.6, minimum=0.9),
    Target("S5", "layers", ALL, F32, "both", "torch", gm=2, minimum=0.9),
    Target("S5b", "nets", TRAINED, F32, "step", "torch", gm=1.8),
    Target("S6", "memory", ("lenet", "vgg11"), *MEMORY, images=(1024,), maximum=0.5),
    Target("S6", "memory", ("vgg11", "alexnet"), *MEMORY, images=(256,)),
    Target("S7", "nets", ALL, F64, "forward", "1-thread", gm=1.85, note="single layers"),
    Target("S7", "nets", ALL, F64, "step", "1-thread", gm=1.85, note="single layers"),
    Target("S7", "nets", ALL, F64, "step", "processes", note="single layers", **_PROCESSES),
    Target("S7", "nets", _LARGE, F64, "forward", "1-thread", images=(1,), gm=1.85),
    Target("S7", "nets", TRAINED, F64, "step", "1-thread", gm=1.85),
    Target("S7", "nets", TRAINED, F64, "step", "processes", **_PROCESSES),
    Target(*_SCALING, "exponent", minimum=0.97, maximum=1.03, **_ONE),
    Target(*_SCALING, "growth of memory", maximum=1.1, **_ONE),
    Target(*_SCALING, "exponent", minimum=0.97, maximum=1.03, **_TWO),
    Target(*_SCALING, "growth of memory", maximum=1.1, **_TWO),
    Target("S9", "frozen", FROZEN, F32, "predict", FASTEST, **_BATCHES, gm=1.2, minimum=0.8),
    Target("S9b", "frozen", FROZEN, F64, "predict", FASTEST, **_BATCHES, gm=0.7),
    Target("S10", "startup", ("import",), *_NONE, "ms", maximum=30, note=_IMPORT, **_STARTUP),
    Target("S10", "startup", ("wheel",), *_NONE, "MB", maximum=3, note="wheel", **_STARTUP),
    Target("S10", "startup", ("build",), *_NONE, "s", maximum=120, note="build", **_STARTUP),
    *_second_order(),
    Target(*_LATENCY, "forward", *_BESIDE, images=(1,), threads=(1,), maximum=20),
    Target(*_LATENCY, "gradient", *_BESIDE, images=(64,), threads=(1,), maximum=100),
)

ROWS = tuple(dict.fromkeys(target.row for target in TARGETS))


def jobs(rows, threads, names=None, quick=False):
    """What has to be measured for these rows, of these names only."""
    found = []
    for target in TARGETS:
        if target.row in rows:
            axes = {"passes": target.passes, "dtypes": (target.dtype,), "peers": target.peers}
            axes |= {"images": target.images, "algorithms": (target.algorithm,)}
            axes["names"] = [name for name in target.names if names is None or name in names]
            axes["threads"] = target.lines(threads)
            planned = measuring.plan(target.what, quick, **axes)
            found += [x for x in planned if (x["name"], x["images"]) not in target.left_out]
    return found


def verdicts(document, rows=ROWS, threads=(1, 2)):
    """A `Verdict` for each target, number of threads and ISA."""
    records = document["records"]
    isas = dict.fromkeys(record["isa"] for record in records) or [document["machine"]["isa"]]
    chosen = [(x, n) for x in TARGETS if x.row in rows for n in x.lines(threads)]
    return [target.verdict(records, n, isa) for target, n in chosen for isa in isas]
