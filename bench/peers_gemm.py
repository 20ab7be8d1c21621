"""The limit of im2col: its matrix products alone, phi given and its adjoint left out."""

import functools

import cases
import numpy as np
import threadpoolctl
from peers import layer_side
from scipy.linalg import blas

import matconv

FORMS = (None,)


def layer(case, dtype, threads, form=None):
    """The products of each group, by the BLAS that matconv's kernels call: SciPy's."""
    window = case.window
    gemm = blas.dgemm if np.dtype(dtype) == np.float64 else blas.sgemm
    geometry = (window.kernel, window.stride, window.pad, window.dilation)
    Zs, Ws, dSs = (case.data[key].astype(dtype) for key in ("Z", "W", "dS"))
    groups, each = cases.groups(window, Ws), Ws.shape[-1] // window.groups
    inner = Ws[..., 0].size

    def transposed(array, columns):
        # BLAS is column-major: a C-contiguous array is its transpose there, without a copy
        return np.ascontiguousarray(array).reshape(-1, columns).T

    phi = [transposed(matconv.im2col(Zs[..., ins], *geometry), inner) for ins, _ in groups]
    W, dS = ([transposed(x[..., outs], each) for _, outs in groups] for x in (Ws, dSs))
    S, dW, dphi = ([np.zeros_like(x) for x in like] for like in (dS, W, phi))

    def forward():
        # S (d_out, n) = W (d_out, K) phi (K, n)
        for k in range(window.groups):
            gemm(1.0, W[k], phi[k], c=S[k], overwrite_c=1)
        return S

    def backward():
        # dW (d_out, K) = dS (d_out, n) phi' (n, K), dphi (K, n) = W' (K, d_out) dS (d_out, n)
        for k in range(window.groups):
            gemm(1.0, dS[k], phi[k], trans_b=1, c=dW[k], overwrite_c=1)
            gemm(1.0, W[k], dS[k], trans_a=1, c=dphi[k], overwrite_c=1)
        return dphi, dW

    def convert(key, arrays):
        """Complete the products by the bias and by the adjoint of phi."""
        out = np.empty_like(case.expected[key])
        for array, (ins, outs) in zip(arrays, groups, strict=True):
            if key == "dZ":
                columns = array.T.astype(np.float64).reshape(len(Zs), -1, inner)
                out[..., ins] = matconv.col2im(columns, Zs[..., ins].shape, *geometry)
            else:
                out[..., outs] = array.T.reshape(*out.shape[:3], each)
        return out + case.data["b"] if key == "S" else out

    context = functools.partial(threadpoolctl.threadpool_limits, threads, user_api="blas")
    return layer_side("gemm", dtype, forward, backward, convert, context=context)
