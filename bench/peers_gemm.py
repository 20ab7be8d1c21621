"""The limit of im2col: its matrix products alone, phi given and its adjoint left out."""

import functools

import numpy as np
import threadpoolctl
import truth
from peers import Side
from scipy.linalg import blas

import matconv

PASSES = {"layer": ("forward", "backward", "both")}
FORMS = (None,)


def require():
    """Nothing: SciPy has it."""


@functools.cache
def _pools():
    """The thread pools loaded by now, looked up once: the search takes milliseconds."""
    return threadpoolctl.ThreadpoolController()


def layer(case, dtype, threads, form=None):
    """The products of each group, by the BLAS that matconv's kernels call: SciPy's."""
    shape = case.layer
    gemm = blas.dgemm if np.dtype(dtype) == np.float64 else blas.sgemm
    geometry = (shape.kernel, shape.stride, shape.pad, shape.dilation)
    Zs, Ws, dSs = (case.data[key].astype(dtype) for key in ("Z", "W", "dS"))
    groups, each = truth.groups(shape), shape.filters // shape.groups

    def transposed(array, columns):
        # BLAS is column-major: a C-contiguous array is its transpose there, without a copy
        return np.ascontiguousarray(array).reshape(-1, columns).T

    phi = [transposed(matconv.im2col(Zs[..., i], *geometry), shape.n_inner) for i, _ in groups]
    W, dS = ([transposed(x[..., o], each) for _, o in groups] for x in (Ws, dSs))
    S, dW, dphi = ([np.zeros_like(x) for x in like] for like in (dS, W, phi))

    def forward():
        # S (d_out, n) = W (d_out, K) phi (K, n)
        for k in range(shape.groups):
            gemm(1.0, W[k], phi[k], c=S[k], overwrite_c=1)

    def backward():
        # dW (d_out, K) = dS (d_out, n) phi' (n, K), dphi (K, n) = W' (K, d_out) dS (d_out, n)
        for k in range(shape.groups):
            gemm(1.0, dS[k], phi[k], trans_b=1, c=dW[k], overwrite_c=1)
            gemm(1.0, W[k], dS[k], trans_a=1, c=dphi[k], overwrite_c=1)

    def both():
        forward()
        backward()

    passes = {"forward": forward, "backward": backward, "both": both}

    def results(which):
        """Completed to those of a convolution by the bias and by the adjoint of phi."""
        passes[which]()
        found = {name: np.empty(shape.output_shape) for name in ("S",) if which != "backward"}
        if which != "forward":
            found |= {"dZ": np.empty(shape.image_shape), "dW": np.empty(shape.weight_shape)}
        for k, (ins, outs) in enumerate(groups):
            if "S" in found:
                part = S[k].T.reshape(*shape.output_shape[:3], each)
                found["S"][..., outs] = part + case.data["b"][outs]
            if "dW" in found:
                images, columns = (*shape.image_shape[:3], ins.stop - ins.start), dphi[k].T
                columns = columns.astype(np.float64).reshape(shape.batch, -1, shape.n_inner)
                found["dZ"][..., ins] = matconv.col2im(columns, images, *geometry)
                found["dW"][..., outs] = dW[k].T.reshape(*shape.weight_shape[:3], each)
        return found

    def context():
        return _pools().limit(limits=threads, user_api="blas")

    return Side("gemm", np.dtype(dtype), passes, results, context)
