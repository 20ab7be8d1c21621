"""The libraries that matconv is compared with, by name, and what a side of a comparison is.

A peer is a row of `PEERS` and a module, which imports the library and has

    FORMS                               memory formats of images (or algorithms) to choose from
    layer(case, dtype, threads, form)   the `Side` of a convolution layer, cases.LayerCase
    net(case, dtype, threads, form)     the `Side` of a network, cases.NetCase

Products with derivatives are in a module of their own, products_NAME beside peers_NAME, with

    FORMS                                  also ways to compute a product
    products(case, dtype, threads, form)   the `Side` of a cases.ProductCase

Of several forms the fastest is measured.  All sides allocate what they return, except `gemm`, the
limit of a convolution, and matconv where it is compared with that limit.
"""

import functools
import importlib
import math
from collections import namedtuple
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

LAYERS, NETS = ("forward", "backward", "both"), ("forward", "gradient", "step")
FROZEN = ("predict",)

#: The peers of products with derivatives, of which the fastest counts.
DERIVATIVES = ("torch", "jax", "curvlinops", "backpack")

#: Products that can keep what depends on theta alone, and the passes that products have.
KEPT = ("jvp", "vjp", "gauss_newton", "hessian")
PRODUCTS = (
    *(f"{name} {how}" for how in ("kept", "scratch") for name in KEPT),
    *("gradient_norms", "gauss_newton_diagonal"),
)

#: Passes of kept products within a budget: {pass: (product, bytes)}; None of a gradient.
BUDGETS = {"gradient": None} | {
    f"{name} within {text}": (name, keep)
    for name in ("gauss_newton", "hessian")
    for text, keep in (("0", 0), ("50 MB", 50e6), ("256 MB", 256e6), ("inf", math.inf))
}

#: The peers of frozen networks, of which the faster one counts.
FASTEST = ("onnxruntime", "openvino")


#: Module, name in tables, passes of each kind; the others replace the values of a job.
_FIELDS = "module label layers nets frozen dtype forms threads products"
Peer = namedtuple("Peer", _FIELDS, defaults=((), (), (), None, None, None, ()))

_ALL, _F32 = (LAYERS, NETS, FROZEN), {"dtype": "float32"}

PEERS = {
    "gemm": Peer("peers_gemm", "BLAS", LAYERS),
    "torch": Peer("peers_torch", "PyTorch", *_ALL, products=PRODUCTS[:-1]),
    "torch-f32": Peer("peers_torch", "PyTorch f32", *_ALL, **_F32),
    "jax": Peer("peers_jax", "JAX", (), NETS, products=PRODUCTS[:-2]),
    "curvlinops": Peer("products_curvlinops", "curvlinops", products=PRODUCTS[:-2]),
    "backpack": Peer("products_backpack", "BackPACK", products=PRODUCTS[-2:]),
    "gradient": Peer("peers_matconv", "matconv's gradient", forms=("gradient",), products=PRODUCTS),
    "onnxruntime": Peer("peers_onnx", "ONNX Runtime f32", (), ("forward",), FROZEN, **_F32),
    "openvino": Peer("peers_openvino", "OpenVINO f32", (), ("forward",), FROZEN, **_F32),
    "im2col": Peer("peers_matconv", "matconv im2col", *_ALL, forms=("im2col",)),
    "winograd": Peer("peers_matconv", "matconv winograd", *_ALL, forms=("winograd",)),
    "processes": Peer("peers_processes", "matconv in processes", (), ("step",)),
    "1-thread": Peer("peers_matconv", "matconv with 1 thread", LAYERS, NETS, threads=1),
}


@dataclass
class Side:
    """One library at one task: a function of each pass, and of its results in matconv's layout.

    `context` makes a context manager that sets the number of threads; `slack` is a factor of the
    rounding bound of plain sums.
    """

    name: str
    dtype: np.dtype
    passes: dict[str, Callable[[], Any]]
    results: Callable[[str], dict[str, Any]]
    context: Callable[[], Any] = nullcontext
    form: str | None = None
    slack: float = 1


def layer_side(name, dtype, forward, backward, convert, **more):
    """The `Side` of passes that return S and (dZ, dW, db); `convert(key, array)` is in our layout."""

    def both():
        return forward(), backward()

    def results(which):
        found = {} if which == "backward" else {"S": forward()}
        if which != "forward":
            found |= zip(("dZ", "dW", "db"), backward())
        return {key: np.asarray(convert(key, value), np.float64) for key, value in found.items()}

    passes = {"forward": forward, "backward": backward, "both": both}
    return Side(name, np.dtype(dtype), passes, results, **more)


def net_side(name, dtype, passes, outputs=np.asarray, **more):
    """The `Side` of a network; "gradient" returns f and arrays, `outputs` makes our layout."""

    def results(which):
        if which in ("forward", "predict"):
            return {"outputs": outputs(passes[which]())}
        f, slopes = passes["gradient"]()
        return {"f": float(f), "norm": norm(slopes)}

    return Side(name, np.dtype(dtype), passes, results, **more)


def product_passes(ways, scratch=None):
    """The kept passes and those from scratch of `PRODUCTS`.

    `ways` is {name: (function that prepares, function of what it returns)}; `scratch` has functions
    that compute a product otherwise where nothing is kept.  What was prepared last is kept.
    """
    kept = functools.lru_cache(maxsize=1)(lambda name: ways[name][0]())
    passes = {}
    for name, (prepare, product) in ways.items():

        def again(name=name, product=product):
            return product(kept(name))

        def anew(prepare=prepare, product=product):
            return product(prepare())

        passes[f"{name} kept"] = again
        passes[f"{name} scratch"] = (scratch or {}).get(name, anew)
    return passes


def product_side(name, dtype, passes, vector, **more):
    """The `Side` of passes of `PRODUCTS`; `vector(result)` has the layout of theta."""

    def results(which):
        found = passes[which]()
        outputs = which.startswith("jvp") or which == "gradient_norms"
        convert = np.asarray if outputs else vector
        return {which: np.asarray(convert(found), np.float64)}

    return Side(name, np.dtype(dtype), passes, results, **more)


def norm(slopes):
    """|gradient| of the arrays of a gradient, in double precision."""
    return float(np.linalg.norm([np.linalg.norm(np.asarray(x, np.float64)) for x in slopes]))


def absent(names):
    """{peer: reason} of those of `PEERS` whose library cannot be imported."""
    reasons = {}
    for name in sorted(names & PEERS.keys()):
        try:
            importlib.import_module(PEERS[name].module)
        except ImportError as error:
            reasons[name] = str(error)
    return reasons


def sides(case, peer, dtype, threads, algorithm):
    """The sides of a peer for a case of `cases`, one for each form."""
    chosen = PEERS[peer]
    library = importlib.import_module(chosen.module.replace("peers_", case.modules))
    make = getattr(library, case.kind)
    own = chosen.module == "peers_matconv"
    forms = chosen.forms or ((algorithm,) if own else library.FORMS)
    return [make(case, chosen.dtype or dtype, chosen.threads or threads, form) for form in forms]
