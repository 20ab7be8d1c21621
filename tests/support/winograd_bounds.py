"""Bounds of the rounding errors of Winograd's convolution.

Each transform, product and sum of the algorithm is computed with |Z|, |W|, |dS| and the absolute
values of the exact matrices, in long double and straight from the definition: all tiles at once, no
blocks, no SIMD. The error of a result after c roundings is, to first order, at most ``c u`` times
that, u = eps / 2 (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). The bounds
are twice as large.
"""

import numpy as np

from matconv.kernels import toom_cook
from support import reference

LONG = np.longdouble


def absolute(matrix):
    return np.array([[abs(float(value)) for value in row] for row in matrix], LONG)


class Direction:
    """A direction of the tiles: |A'| (m, n), |G| (n, r), |B'| (n, n), positions of the tiles."""

    def __init__(self, m, kernel, stride, outputs):
        self.m, self.s = m, stride
        self.r = -(-kernel // stride)
        self.n = m + self.r - 1
        self.A = absolute(toom_cook.output_matrix(self.n, m))
        self.G = absolute(toom_cook.filter_matrix(self.n, self.r))
        self.B = absolute(toom_cook.input_matrix(self.n))
        self.tiles = -(-outputs // m)
        self.padded = ((self.tiles - 1) * m + self.n) * stride

    def inputs(self):
        """Return an array [tile, phase, input] of rows or columns of the padded image."""
        t, phase, i = np.ogrid[: self.tiles, : self.s, : self.n]
        return (t * self.m + i) * self.s + phase


def both(subscripts, array, down, right):
    """Return sum_ij down_ki array_ij right_mj, where i and j are axes of the array."""
    given, wanted = subscripts.split("->")
    half = np.einsum(f"ki,{given}->{given.replace('i', 'k')}", down, array)
    return np.einsum(f"mj,{given.replace('i', 'k')}->{wanted}", right, half)


def magnitudes(Z, W, b, dS, tile, stride=1, pad=0, dilation=1, groups=1):
    """Return (S, dZ, dW) of the absolute values, and the number c of roundings of each."""
    assert reference.pair(dilation) == (1, 1)
    Z, W, b, dS = (np.abs(array).astype(LONG) for array in (Z, W, b, dS))
    (top, _), (left, _) = reference.pads(pad)
    ways = [
        Direction(*sizes)
        for sizes in zip(tile, W.shape[1:3], reference.pair(stride), dS.shape[1:3])
    ]
    down, right = ways
    l, height, width, d = Z.shape
    f = W.shape[3]
    d_g, f_g = d // groups, f // groups

    image = np.zeros((l, down.padded + top + height, right.padded + left + width, d), LONG)
    image[:, top : top + height, left : left + width] = Z
    rows, columns = down.inputs(), right.inputs()
    # x(l, tile_b, phase_b, n_b, tile_a, phase_a, n_a, d)
    x = image[:, rows][:, :, :, :, columns]
    V = both("ltuiTvjc->ltukTvmc", x, down.B, right.B)
    taps = np.zeros((d_g, down.r * down.s, right.r * right.s, f), LONG)
    taps[:, : W.shape[1], : W.shape[2]] = W
    taps = taps.reshape(d_g, down.r, down.s, right.r, right.s, f)
    U = both("ciujvf->kmcuvf", taps, down.G, right.G)

    padded = np.zeros((l, down.tiles * down.m, right.tiles * right.m, f), LONG)
    padded[:, : dS.shape[1], : dS.shape[2]] = dS
    tiles = padded.reshape(l, down.tiles, down.m, right.tiles, right.m, f)
    dM = both("ltiTjf->ltkTmf", tiles, down.A.T, right.A.T)

    M, dV, dU = np.zeros_like(dM), np.zeros_like(V), np.zeros_like(U)
    for k in range(groups):
        c, o = slice(k * d_g, (k + 1) * d_g), slice(k * f_g, (k + 1) * f_g)
        M[..., o] = np.einsum("ltukTvmc,kmcuvf->ltkTmf", V[..., c], U[..., o])
        dV[..., c] = np.einsum("ltkTmf,kmcuvf->ltukTvmc", dM[..., o], U[..., o])
        dU[..., o] = np.einsum("ltkTmf,ltukTvmc->kmcuvf", dM[..., o], V[..., c])

    S = both("ltiTjf->ltkTmf", M, down.A, right.A)
    S = S.reshape(padded.shape)[:, : dS.shape[1], : dS.shape[2]] + b
    dx = both("ltuiTvjc->ltukTvmc", dV, down.B.T, right.B.T)
    dimage = np.zeros_like(image)
    for i in range(l):
        np.add.at(dimage[i], (rows[..., None, None, None], columns), dx[i])
    dZ = dimage[:, top : top + height, left : left + width]
    dW = both("ijcuvf->ckumvf", dU, down.G.T, right.G.T)
    dW = dW.reshape(d_g, down.r * down.s, right.r * right.s, f)[:, : W.shape[1], : W.shape[2]]

    # roundings of a transform of j elements: of a coefficient, the product, and up to j sums
    filters = sum(way.r + 2 for way in ways)
    inputs = sum(way.n + 2 for way in ways)
    outputs = sum(way.m + 2 for way in ways)
    overlaps = np.prod([-(-way.n // way.m) for way in ways])
    counts = (
        inputs + filters + d_g * down.s * right.s + inputs + 2,
        outputs + filters + f_g + inputs + overlaps + 1,
        outputs + inputs + l * down.tiles * right.tiles + inputs + 1,
    )
    return (S, dZ, dW), counts


def bounds(Z, W, b, dS, tile, dtype, **window):
    """Return bounds of the errors of S, dZ and dW by Winograd's algorithm with a tile."""
    info = np.finfo(dtype)
    sizes, counts = magnitudes(Z, W, b, dS, tile, **window)
    # twice c u; info.tiny for results below the normal numbers
    return [c * (info.eps * size + info.tiny) for size, c in zip(sizes, counts)]
