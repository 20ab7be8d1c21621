"""The sides of a comparison, each doing the same convolution with its own library.

A side holds its operands in the layout it likes best, made before anything is timed, and has

    name            as shown
    run(which)      a function without arguments that does the pass "forward", "backward" or "both"
    context()       context manager that gives it its number of threads and takes it back
    results()       what `truth.Truth.check` knows of one run, as float64 in the notes' layout
    form            the memory format of its images, where it has a choice
    slack           how many times the bound of plain sums its results may use

All sides allocate what they return, as they would for their users, with one exception: `Gemm`
writes into arrays made once, because it is not a convolution but the limit of one; so does matconv
where it is measured against that limit (`reuse`).
"""

import contextlib
import functools
import itertools

import numpy as np
import threadpoolctl
import truth
from scipy.linalg import blas

import matconv
from matconv.engines import ThreadEngine

#: What conv2d and Network take as ``algorithm``; "auto" is their default.
ALGORITHMS = ("auto", "im2col", "winograd")


class Missing(Exception):
    """A peer that is not installed here; the text names what is missing."""


def operands(layer, seed=0):
    """Z, W, b, dS of a layer as float64 whose values are float32 numbers, so both dtypes agree."""
    draw = functools.partial(np.random.default_rng(seed).standard_normal, dtype=np.float32)
    return {
        "Z": draw(layer.image_shape).astype(np.float64),
        "W": draw(layer.weight_shape).astype(np.float64),
        "b": draw(layer.filters).astype(np.float64),
        "dS": draw(layer.output_shape).astype(np.float64),
    }


class Side:
    """What the sides have in common: passes by name."""

    slack, form = 1, None

    def __init__(self, name, layer, dtype, threads):
        self.name, self.layer, self.threads = name, layer, threads
        self.dtype = np.dtype(dtype)

    def run(self, which):
        """The function that does one pass; its value is the pass's results, in the side's layout."""
        return getattr(self, which)

    def both(self):
        """A whole step of one layer: forward, then all three gradients."""
        return self.forward(), self.backward()


class Matconv(Side):
    """matconv: the batch in one piece per thread, sums over the batch added in their order.

    Winograd's algorithm mixes neighbours before it multiplies: its rounding errors follow the
    largest of a tile rather than each element's own sum, and are allowed `WINOGRAD` bounds.
    """

    WINOGRAD = 64

    def __init__(self, layer, data, dtype, threads, reuse=False, algorithm="auto"):
        super().__init__("matconv", layer, dtype, threads)
        self.options = {**layer.options, "algorithm": algorithm}
        self.slack = 1 if algorithm == "im2col" else self.WINOGRAD
        self.Z, self.W, self.b, self.dS = (data[key].astype(dtype) for key in ("Z", "W", "b", "dS"))
        edges = np.linspace(0, layer.batch, min(threads, layer.batch) + 1).astype(int)
        self.pieces = [slice(*edge) for edge in itertools.pairwise(edges)]
        self.engine = ThreadEngine(threads)
        self.out = np.empty(layer.output_shape, dtype) if reuse else None

    def context(self):
        """BLAS on one thread: matconv uses threads of its own."""
        return threadpoolctl.threadpool_limits(1, user_api="blas")

    def forward(self):
        """S, the pieces written into one array."""
        S = self.out if self.out is not None else np.empty(self.layer.output_shape, self.dtype)

        def work(piece):
            matconv.conv2d(self.Z[piece], self.W, self.b, out=S[piece], **self.options)

        self.engine.run(work, self.pieces)
        return S

    def backward(self):
        """[dZ of each piece], dW, db: a piece is what the next layer's shard takes, so no joining."""

        done = [None] * len(self.pieces)

        def work(k):
            dS, Z = self.dS[self.pieces[k]], self.Z[self.pieces[k]]
            done[k] = matconv.conv2d_backward(dS, Z, self.W, **self.options)

        self.engine.run(work, range(len(self.pieces)))
        _, dW, db = done[0]
        for _, more_dW, more_db in done[1:]:
            dW += more_dW
            db += more_db
        return [dZ for dZ, _, _ in done], dW, db

    def results(self):
        with self.context():
            S, (dZ, dW, db) = self.both()
        named = {"S": S, "dZ": np.concatenate(dZ), "dW": dW, "db": db}
        return {key: value.astype(np.float64) for key, value in named.items()}


class Gemm(Side):
    """Not a convolution but its limit: the products alone, phi given whole and its adjoint left out."""

    def __init__(self, layer, data, dtype, threads):
        super().__init__("gemm", layer, dtype, threads)
        # SciPy's, as it is the BLAS that matconv's kernels call as well; NumPy brings its own.
        self.gemm = blas.dgemm if self.dtype == np.float64 else blas.sgemm
        # BLAS is column-major: what is C-contiguous here is its transpose there, without a copy.
        self.phi = [np.ascontiguousarray(x, dtype).T for x in truth.phi(data["Z"], layer)]
        self.W = [np.ascontiguousarray(x, dtype).T for x in truth.by_group(data["W"], layer)]
        self.dS = [np.ascontiguousarray(x, dtype).T for x in truth.by_group(data["dS"], layer)]
        each = layer.filters // layer.groups
        self.S = self._outputs(each, layer.n_positions)
        self.dW = self._outputs(each, layer.n_inner)
        self.dphi = self._outputs(layer.n_inner, layer.n_positions)

    def _outputs(self, rows, columns):
        return [np.zeros((rows, columns), self.dtype, order="F") for _ in range(self.layer.groups)]

    @contextlib.contextmanager
    def context(self):
        """BLAS at this side's number of threads."""
        with _pools().limit(limits=self.threads, user_api="blas"):
            yield

    def forward(self):
        """S (d_out, n) = W (d_out, K) phi (K, n), group by group."""
        for W, phi, S in zip(self.W, self.phi, self.S, strict=True):
            self.gemm(1.0, W, phi, c=S, overwrite_c=1)
        return self.S

    def backward(self):
        """dW (d_out, K) = dS (d_out, n) phi' (n, K) and dphi (K, n) = W' (K, d_out) dS (d_out, n)."""
        for W, phi, dS, dW, dphi in zip(self.W, self.phi, self.dS, self.dW, self.dphi, strict=True):
            self.gemm(1.0, dS, phi, trans_b=1, c=dW, overwrite_c=1)
            self.gemm(1.0, W, dS, trans_a=1, c=dphi, overwrite_c=1)
        return self.dphi, self.dW

    def results(self):
        with self.context():
            self.both()
        S, dW = (
            np.concatenate([part.T for part in parts], axis=1).astype(np.float64)
            for parts in (self.S, self.dW)
        )
        dphi = [part.T.astype(np.float64) for part in self.dphi]
        return {
            "W phi": S.reshape(self.layer.output_shape),  # the products know no bias
            "dZ": truth.phi_adjoint(dphi, self.layer),
            "dW": dW.reshape(self.layer.weight_shape),
        }


class Torch(Side):
    """PyTorch's own convolution and its own backward pass, without autograd's bookkeeping."""

    def __init__(self, layer, data, dtype, threads, form="nchw"):
        torch = require_torch()
        super().__init__(f"torch {np.dtype(dtype).name}", layer, dtype, threads)
        self.form, memory_format = form, torch_format(form)

        def tensor(array, axes):
            # Its copy has torch's own alignment, and shares nothing with the other sides.
            view = torch.from_numpy(np.ascontiguousarray(array.transpose(axes), dtype))
            return view.clone().contiguous(memory_format=memory_format)

        self.Z, self.dS = tensor(data["Z"], (0, 3, 1, 2)), tensor(data["dS"], (0, 3, 1, 2))
        self.W = tensor(data["W"], (3, 0, 1, 2))
        self.b = torch.from_numpy(data["b"].astype(dtype))
        self.convolve = torch.nn.functional.conv2d
        self.derive = torch.ops.aten.convolution_backward

    def context(self):
        """PyTorch at this side's number of threads."""
        return torch_threads(self.threads)

    def forward(self):
        """S."""
        layer = self.layer
        return self.convolve(
            self.Z, self.W, self.b, layer.stride, layer.pad, layer.dilation, layer.groups
        )

    def backward(self):
        """dZ, dW, db."""
        layer = self.layer
        pairs = [[n, n] for n in (layer.stride, layer.pad, layer.dilation)]
        return self.derive(
            self.dS,
            self.Z,
            self.W,
            [layer.filters],
            *pairs,
            False,
            [0, 0],
            layer.groups,
            [True] * 3,
        )

    def results(self):
        with self.context():
            S, (dZ, dW, db) = self.both()
        named = {
            "S": S.permute(0, 2, 3, 1),
            "dZ": dZ.permute(0, 2, 3, 1),
            "dW": dW.permute(1, 2, 3, 0),
            "db": db,
        }
        return {key: value.double().contiguous().numpy() for key, value in named.items()}


@functools.cache
def _pools():
    """The thread pools loaded by now, looked up once: the search takes milliseconds."""
    return threadpoolctl.ThreadpoolController()


#: PyTorch's memory formats: channels slowest, channels fastest.
TORCH_FORMS = ("nchw", "nhwc")


def torch_format(form):
    """The ``memory_format`` of one of `TORCH_FORMS`."""
    torch = require_torch()
    return {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}[form]


@contextlib.contextmanager
def torch_threads(threads):
    """PyTorch at this number of threads inside the ``with`` block."""
    torch = require_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def require_torch():
    """The module torch; raises `Missing` where there is none."""
    try:
        import torch
    except ImportError:
        raise Missing("PyTorch is not installed") from None
    return torch
