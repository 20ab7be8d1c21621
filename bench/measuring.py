"""Jobs and records: what is to be measured, and what was.

A job is a dictionary of `KEYS`: one pass of one layer or network against one peer.  A record is a
job with the numbers that were measured:

    sizes        as the tables show them
    unit         "s" per call, or "bytes"
    mine, other  minimum, quartiles, median and number of samples of matconv and of the peer
    ratio        the same of other / mine, pair by pair: above 1 matconv is better
    excess       the same of mine - other
    difference   of both sides from the truth: share of the rounding bound (layers), else relative
    form         the peer's memory format, where it can choose
    flops        of a call, computed directly
    quick        whether it was measured with few samples of few images

A measurement without a peer has only `mine`; some kinds add entries of their own.  `KINDS` says how
each kind of job is measured.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cases
import latency
import memory
import nets
import peers
import peers_matconv
import shapes
import startup
import timing

KEYS = ("what", "name", "images", "dtype", "threads", "algorithm", "peer", "pass")
DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Effort:
    """What a measurement may cost: the arguments of `timing.pair`, and the options of "startup"."""

    repeats: int = 15
    seconds: float = 0.02
    budget: float = 10.0
    quick: bool = False
    wheel: Path | None = None
    build: bool = False

    @property
    def timing(self):
        """The arguments of `timing.pair`."""
        return {"repeats": self.repeats, "seconds": self.seconds, "budget": self.budget}


# Jobs of one case follow one another.  One set of peers at a time: a new client of JAX makes the
# sides of the old one useless.


@functools.lru_cache(maxsize=1)
def _case(what, name, images):
    return {"layer": cases.LayerCase, "net": cases.NetCase}[what](name, images)


@functools.lru_cache(maxsize=1)
def _mine(case, dtype, threads, algorithm, reuse):
    options = {"reuse": True} if reuse else {}
    return getattr(peers_matconv, case.kind)(case, dtype, threads, algorithm, **options)


@functools.lru_cache(maxsize=1)
def _others(case, peer, dtype, threads, algorithm):
    return peers.sides(case, peer, dtype, threads, algorithm)


def measure_pair(job, how):
    """Check both sides of a job, then time them in turns, the peer in its faster form."""
    case, which = _case(job["what"], job["name"], job["images"]), job["pass"]
    key = (job["dtype"], job["threads"], job["algorithm"])
    mine = _mine(case, *key, job["peer"] == "gemm")
    others = _others(case, job["peer"], *key)
    differences = [case.check(side, which) for side in (mine, *others)]
    other = _faster(others, which, how)
    sides = [(side.passes[which], side.context) for side in (mine, other)]
    return {
        "sizes": case.sizes,
        "unit": "s",
        **timing.pair(*sides, **how.timing),
        "difference": [differences[0], differences[1 + others.index(other)]],
        "form": other.form,
        "flops": case.flops(which),
    }


def _faster(sides, which, how):
    """Of one or two sides the one with the smaller median of a few samples, taken in turns."""
    if len(sides) == 1:
        return sides[0]
    a, b = ((side.passes[which], side.context) for side in sides)
    found = timing.pair(a, b, 3, how.seconds, how.budget / 4, minimum=1)
    return sides[0] if found["mine"]["median"] <= found["other"]["median"] else sides[1]


class Kind(NamedTuple):
    """How a kind of job is measured; the choices of names, passes and peers.

    `usual` gives the number of images of a name, `quick` a small one for a usual one.
    """

    measure: Callable
    names: tuple
    passes: tuple
    peers: tuple = ()
    usual: Callable = lambda name: nets.network(name).batch
    quick: Callable = lambda images: images and min(images, 8)


_OWN, _NETS = ("im2col", "winograd", "1-thread"), tuple(nets.NETS)

KINDS = {
    "layer": Kind(
        *(measure_pair, (*shapes.SETS, *shapes.LAYERS), tuple(shapes.PASSES)),
        ("gemm", "torch", "torch-f32", *_OWN),
        lambda name: shapes.LAYERS[name].batch,
        lambda images: max(1, images // 8),
    ),
    "net": Kind(
        *(measure_pair, (*_NETS, *shapes.LAYERS), peers_matconv.PASSES["net"]),
        ("torch", "torch-f32", "jax", "onnxruntime", *_OWN),
    ),
    "memory": Kind(memory.gradient, _NETS, ("gradient",), memory.PEERS),
    "scaling": Kind(
        *(memory.scaling, _NETS, ("gradient",)), quick=lambda images: max(1, images // 50)
    ),
    "latency": Kind(
        *(latency.measure, _NETS, latency.PASSES, (latency.PEER,)), quick=lambda images: images
    ),
    "startup": Kind(startup.measure, startup.NAMES, (None,), usual=lambda name: None),
}


def plan(what, names, passes, dtypes, threads, algorithms, against, images=None, quick=False):
    """The jobs of all combinations that make sense.

    Examples
    --------
    >>> jobs = plan("layer", ["cifar"], ["both"], ["float64"], [1, 2], ["auto"], ["1-thread"])
    >>> [(job["name"], job["threads"]) for job in jobs]
    [('cifar-32', 2), ('cifar-64', 2)]
    """
    kind, jobs = KINDS[what], []
    for name in shapes.select(names) if what == "layer" else names:
        for n in images or (kind.usual(name),):
            n = kind.quick(n) if quick else n
            for values in itertools.product(dtypes, threads, algorithms, against, passes):
                jobs.append(dict(zip(KEYS, (what, name, n, *values), strict=True)))
    return [job for job in jobs if _sensible(job)]


def _sensible(job):
    what, peer, which = job["what"], job["peer"], job["pass"]
    if peer and peer in (f"{job['threads']}-thread", job["algorithm"]):
        return False  # itself
    if which == "predict" and job["threads"] > 1:
        return False  # a frozen network computes on the calling thread
    return what not in ("layer", "net") or peers.supports(peer, what, which)


def together(jobs):
    """Each job once, those of one case one after another."""
    unique = {tuple(job.values()): job for job in jobs}.values()
    first = {}
    for job in unique:
        first.setdefault((job["what"], job["name"], job["images"]), len(first))
    return sorted(unique, key=lambda job: first[job["what"], job["name"], job["images"]])


def run(jobs, how, journal):
    """Measure the jobs, each written down as soon as it is known.

    A peer that is not installed is skipped by name; a side whose results are wrong is refused, and
    the others go on.
    """
    journal.skipped |= peers.absent({job["peer"] for job in jobs})
    jobs = [job for job in together(jobs) if job["peer"] not in journal.skipped]
    journal.begin(len(jobs))
    for job in jobs:
        try:
            record = {**job, **KINDS[job["what"]].measure(job, how), "quick": how.quick}
        except ArithmeticError as error:
            journal.refuse(job, str(error))
        except peers.Missing as missing:
            journal.skip(job, str(missing))
        else:
            journal.add(record)
