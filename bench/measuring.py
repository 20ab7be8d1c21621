"""Jobs and records: what is to be measured, and what was.

A job is a dictionary of `KEYS`: one pass of one layer or network against one peer.  A record is a
job with

    sizes, unit  as the tables show them; "s" per call, or "bytes"
    mine, other  median, quartiles and number of samples of matconv and of the peer
    ratio        the same of other / mine, pair by pair: above 1 matconv is better
    difference   of both sides from the truth: share of the rounding bound (layers), else relative
    cost         of products: multiply-adds in those of a gradient
    form         the peer's memory format, where it can choose
    quick, isa   whether it has few samples of few images; instruction set, see machine.isa
"""

import functools
import itertools
import json
import os
import sys
import time
from collections import namedtuple
from dataclasses import replace

import cases
import latency
import memory
import nets
import peers
import peers_matconv
import products_matconv
import startup
import table
import timing

KEYS = ("what", "name", "images", "dtype", "threads", "algorithm", "peer", "pass")
DTYPES = ("float64", "float32")


# Jobs of one case follow one another.  One set of sides at a time: a new client of JAX makes the
# sides of the old one useless.
@functools.lru_cache(maxsize=1)
def _case(make, name, images):
    return make(name, images)


@functools.lru_cache(maxsize=1)
def _sides(case, peer, *key):
    options = {"reuse": True} if peer == "gemm" else {}
    own = products_matconv if case.kind == "products" else peers_matconv
    return [getattr(own, case.kind)(case, *key, **options), *peers.sides(case, peer, *key)]


_CASES = {"layers": cases.LayerCase, "products": cases.ProductCase}


def measure_pair(job, effort):
    """Check both sides of a job, then time them in turns, the peer in its fastest form."""
    make = _CASES.get(job["what"], cases.NetCase)
    case, which = _case(make, job["name"], job["images"]), job["pass"]
    sides = _sides(case, job["peer"], job["dtype"], job["threads"], job["algorithm"])
    sides = [side for side in sides if which in side.passes]
    differences = [case.check(side, which) for side in sides]
    timed = [(side.passes[which], side.context) for side in sides]
    best = 1
    if len(sides) > 2:
        few = replace(effort, repeats=2)
        medians = [timing.spread(x)["median"] for x in timing.turns(timed[1:], few)]
        best += medians.index(min(medians))
    found = timing.compared(*timing.pair(timed[0], timed[best], effort))
    about = {"sizes": case.sizes, "unit": "s", "form": sides[best].form}
    if job["what"] == "products":
        about["cost"] = case.cost[which]
    return {**about, **found, "difference": [differences[0], differences[best]]}


#: A kind of job: how it is measured, names that it knows, what is measured by default; `images`
#: None is the usual number of a layer or network, `quick` the maximum of a quick run.
_FIELDS = "measure known names passes peers dtypes images threads algorithms quick"
_DEFAULTS = (("float64",), None, (1, 2), ("auto",), 8)
Kind = namedtuple("Kind", _FIELDS, defaults=_DEFAULTS)

# names, passes, peers, dtypes, images, threads
_NETS, _F64 = nets.NETS, ("float64",)
_LAYERS = (nets.SETS["core"], peers.LAYERS, ("gemm", "torch"))
_TRAINED = (("lenet", "simplenn-4", "simplenn-7", "vgg11"), peers.NETS, ("torch", "torch-f32"))
_FROZEN = (("lenet",), ("predict",), peers.FASTEST, DTYPES, (1, 8, 64), (1,))
_MEMORY = (("lenet", "vgg11"), ("gradient",), ("torch",), _F64, (1024,))
_SCALING = (("lenet",), ("gradient",), (None,), _F64, (100, 1_000, 10_000, 100_000))
_PRODUCTS = (("lenet", "simplenn-4"), peers.PRODUCTS, ("gradient", *peers.DERIVATIVES))
_BUDGETS = (("lenet", "simplenn-4"), tuple(peers.BUDGETS), (None,), _F64, (1024,), (1,))
_LATENCY = (("lenet",), ("forward", "gradient"), ("kernels",), DTYPES, (1, 64), (1,))

KINDS = {
    "layers": Kind(measure_pair, nets.LAYERS, *_LAYERS, quick=2),
    "nets": Kind(measure_pair, _NETS | nets.LAYERS, *_TRAINED),
    "frozen": Kind(measure_pair, _NETS, *_FROZEN),
    "products": Kind(measure_pair, _NETS, *_PRODUCTS, dtypes=DTYPES, threads=(1,)),
    "budgets": Kind(memory.budgets, _NETS, *_BUDGETS, quick=64),
    "memory": Kind(memory.gradient, _NETS, *_MEMORY),
    "scaling": Kind(memory.scaling, _NETS, *_SCALING, quick=2000),
    "latency": Kind(latency.measure, _NETS, *_LATENCY, quick=64),
    "startup": Kind(startup.measure, *[startup.NAMES] * 2, *[(None,)] * 6),
}


def plan(what, quick=False, **axes):
    """The jobs of all combinations of axes that make sense; None is the default of the kind."""
    kind, jobs = KINDS[what], []
    axes = {**kind._asdict(), **{key: x for key, x in axes.items() if x is not None}}
    for name in nets.select(axes["names"]):
        if name not in kind.known:
            raise ValueError(f"{what}: {name!r} is none of {', '.join(kind.known)}")
        counts = axes["images"] or (nets.named(name).batch,)
        counts = [min(n, kind.quick) if quick and n else n for n in counts]
        values = (axes[key] for key in ("dtypes", "threads", "algorithms", "peers", "passes"))
        found = itertools.product((what,), (name,), counts, *values)
        jobs += [dict(zip(KEYS, job, strict=True)) for job in found]
    return [job for job in jobs if _sensible(job)]


def _sensible(job):
    kind, peer, which = KINDS[job["what"]], job["peer"], job["pass"]
    if kind.measure is not measure_pair:
        return peer in kind.peers and which in kind.passes
    itself = peer in (f"{job['threads']}-thread", job["algorithm"])
    return not itself and which in getattr(peers.PEERS[peer], job["what"])


def together(jobs):
    """Each job once, those of one case one after another."""
    groups = {}
    for job in jobs:
        group = groups.setdefault((job["what"], job["name"], job["images"]), {})
        group[tuple(job.values())] = job
    return [job for group in groups.values() for job in group.values()]


def run(jobs, effort, about, path=None):
    """The document of all records, and `about`; the JSON file `path` is replaced after each.

    A peer that is not installed is skipped; a side whose results are wrong is refused, both by
    name, and the others go on.
    """
    skipped = peers.absent({job["peer"] for job in jobs})
    jobs = [job for job in together(jobs) if job["peer"] not in skipped]
    document = {**about, "records": [], "skipped": skipped, "refused": []}
    common = {"quick": effort.quick, "isa": about["machine"]["isa"]}

    def told(text):
        if path is not None:
            write(path, json.dumps(document, indent=1) + "\n")
        print(text, file=sys.stderr, flush=True)

    start = time.monotonic()
    told(f"{len(jobs)} measurements")
    for peer, reason in skipped.items():
        told(f"skipped {peer}: {reason}")
    for k, job in enumerate(jobs, 1):
        try:
            record = {**job, **KINDS[job["what"]].measure(job, effort), **common}
            document["records"].append(record)
            text = table.line(record)
        except ArithmeticError as error:
            document["refused"].append({**job, "reason": str(error)})
            text = f"REFUSED {error}"
        told(f"[{k}/{len(jobs)}, {time.monotonic() - start:.0f} s] {text}")
    return document


def write(path, text):
    """Replace a file, which is the old one or the new one at any moment."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
