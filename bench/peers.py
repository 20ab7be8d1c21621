"""The libraries that matconv is compared with, by name, and what a side of a comparison is.

A peer is a row of `PEERS` and a module with

    require()                           imports the library, or raises `Missing`
    PASSES                              {"layer": passes, "net": passes} that it has
    FORMS                               memory formats of images (or algorithms) that it can choose
    layer(case, dtype, threads, form)   the `Side` of a convolution layer, cases.LayerCase
    net(case, dtype, threads, form)     the `Side` of a network, cases.NetCase

Of several forms the one that is faster here is measured.  All sides allocate what they return, as
they do for their users, with one exception: `gemm` writes into arrays made once, because it is not
a convolution but the limit of one; so does matconv where it is compared with that limit.
"""

import importlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Missing(Exception):
    """A peer is not installed; the text names the package."""


class Peer(NamedTuple):
    """One peer: its module, its name for readers, and what it does not take from the job."""

    module: str
    label: str
    dtype: str | None = None
    forms: tuple | None = None
    threads: int | None = None


PEERS = {
    "gemm": Peer("peers_gemm", "BLAS"),
    "torch": Peer("peers_torch", "PyTorch"),
    "torch-f32": Peer("peers_torch", "PyTorch f32", dtype="float32"),
    "jax": Peer("peers_jax", "JAX"),
    "onnxruntime": Peer("peers_onnx", "ONNX Runtime f32", dtype="float32"),
    "im2col": Peer("peers_matconv", "matconv im2col", forms=("im2col",)),
    "winograd": Peer("peers_matconv", "matconv winograd", forms=("winograd",)),
    "1-thread": Peer("peers_matconv", "against 1 thread", threads=1),
}


@dataclass
class Side:
    """One library at one task, its operands made in the layout that it prefers.

    `passes` has a function without arguments for each pass; `results` gives, for the name of a
    pass, its results in the notes' layout; `context` is a context manager that sets the number of
    threads and sets it back; `slack` is a factor of the rounding bound of plain sums.
    """

    name: str
    dtype: np.dtype
    passes: dict[str, Callable[[], Any]]
    results: Callable[[str], dict[str, Any]]
    context: Callable[[], Any] = nullcontext
    form: str | None = None
    slack: float = 1


def module(peer):
    """The module of a peer."""
    return importlib.import_module(PEERS[peer].module)


def supports(peer, kind, which):
    """Whether a peer has a pass of a "layer" or a "net"."""
    return which in module(peer).PASSES.get(kind, ())


def absent(names):
    """{peer: reason} of those of `PEERS` that cannot be measured here."""
    reasons = {}
    for name in names & PEERS.keys():
        try:
            module(name).require()
        except Missing as missing:
            reasons[name] = str(missing)
    return reasons


def sides(case, peer, dtype, threads, algorithm):
    """The sides of a peer for a case of `cases`, one for each form."""
    chosen, library = PEERS[peer], module(peer)
    make = getattr(library, case.kind)
    own = chosen.module == "peers_matconv"
    forms = chosen.forms or ((algorithm,) if own else library.FORMS)
    return [make(case, chosen.dtype or dtype, chosen.threads or threads, form) for form in forms]


def imported(name, package):
    """The module `name`; raises `Missing`, naming the package, where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Missing(f"{package} is not installed") from None
