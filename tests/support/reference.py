"""Reference: every operator as plain loops over positions and filter offsets.

Nothing of matconv is imported here. The notation and the memory layout are the library's:
images Z of shape (l, b, a, d), filters W of shape (d/groups, h_b, h_a, d_out), pairs in array
order (height, width). numpy only runs along images, channels and filters, where nothing can be
confused; which pixel meets which filter offset is decided by the loops of `taps` alone.

The functions keep the dtype they are given, so integers give exact integer truths.
"""

from fractions import Fraction

import numpy as np


def pair(value):
    """Return (height, width) of an integer or a pair."""
    return (value, value) if isinstance(value, (int, np.integer)) else tuple(value)


def pads(pad):
    """Return ((top, bottom), (left, right)) of an integer, a pair or four sides."""
    vertical, horizontal = pair(pad)
    return pair(vertical), pair(horizontal)


def output_size(n, before, after, h, stride, dilation=1):
    """Return the number of windows that fit, counted one by one without a division."""
    count = 0
    while count * stride + (h - 1) * dilation + 1 <= before + n + after:
        count += 1
    return count


def output_shape(size, kernel, stride=1, pad=0, dilation=1):
    """Return (b_out, a_out) for images of size (b, a)."""
    return tuple(
        output_size(n, before, after, h, s, step)
        for n, (before, after), h, s, step in zip(
            size, pads(pad), pair(kernel), pair(stride), pair(dilation)
        )
    )


def taps(size, kernel, stride=1, pad=0, dilation=1):
    """Yield every (q_out, p_out, q, p, y, x) with filter offset (q, p) at a pixel (y, x).

    q_out, q and y count along the height, p_out, p and x along the width. Offsets that fall into
    the padding meet no pixel and are left out: their value is zero.
    """
    (top, _), (left, _) = pads(pad)
    (h_b, h_a), (s_b, s_a), (e_b, e_a) = pair(kernel), pair(stride), pair(dilation)
    b_out, a_out = output_shape(size, kernel, stride, pad, dilation)
    for q_out in range(b_out):
        for p_out in range(a_out):
            for q in range(h_b):
                for p in range(h_a):
                    y = q_out * s_b + q * e_b - top
                    x = p_out * s_a + p * e_a - left
                    if 0 <= y < size[0] and 0 <= x < size[1]:
                        yield q_out, p_out, q, p, y, x


def im2col(Z, kernel, stride=1, pad=0, dilation=1):
    """Return phi of every image, rows in the order of the notes: p fastest, then q, channel."""
    l, b, a, d = Z.shape
    h_b, h_a = pair(kernel)
    b_out, a_out = output_shape((b, a), kernel, stride, pad, dilation)
    phi = np.zeros((l, b_out * a_out, d * h_b * h_a), Z.dtype)
    for q_out, p_out, q, p, y, x in taps((b, a), kernel, stride, pad, dilation):
        phi[:, q_out * a_out + p_out, q * h_a + p :: h_b * h_a] = Z[:, y, x, :]
    return phi


def col2im(phi, shape, kernel, stride=1, pad=0, dilation=1):
    """Return the adjoint of im2col: every element of phi is added to its pixel."""
    _, b, a, _ = shape
    h_b, h_a = pair(kernel)
    _, a_out = output_shape((b, a), kernel, stride, pad, dilation)
    Z = np.zeros(shape, phi.dtype)
    for q_out, p_out, q, p, y, x in taps((b, a), kernel, stride, pad, dilation):
        Z[:, y, x, :] += phi[:, q_out * a_out + p_out, q * h_a + p :: h_b * h_a]
    return Z


def group_slices(d, d_out, groups):
    """Return a pair of slices (input channels, filters) for each group."""
    c, f = d // groups, d_out // groups
    return [(slice(g * c, g * c + c), slice(g * f, g * f + f)) for g in range(groups)]


def conv2d(Z, W, b=None, stride=1, pad=0, dilation=1, groups=1):
    """Return S of equation (1) for every image: (l, b_out, a_out, d_out)."""
    d_out, kernel, size = W.shape[3], W.shape[1:3], Z.shape[1:3]
    out_size = output_shape(size, kernel, stride, pad, dilation)
    S = np.zeros((len(Z), *out_size, d_out), Z.dtype)
    parts = group_slices(Z.shape[3], d_out, groups)
    for q_out, p_out, q, p, y, x in taps(size, kernel, stride, pad, dilation):
        for channels, filters in parts:
            S[:, q_out, p_out, filters] += Z[:, y, x, channels] @ W[:, q, p, filters]
    return S if b is None else S + b


def conv2d_backward(dS, Z, W, stride=1, pad=0, dilation=1, groups=1):
    """Return (dZ, dW, db) of sum(dS * S)."""
    d_out, kernel, size = W.shape[3], W.shape[1:3], Z.shape[1:3]
    dZ, dW = np.zeros_like(Z), np.zeros_like(W)
    parts = group_slices(Z.shape[3], d_out, groups)
    for q_out, p_out, q, p, y, x in taps(size, kernel, stride, pad, dilation):
        for channels, filters in parts:
            d = dS[:, q_out, p_out, filters]
            dZ[:, y, x, channels] += d @ W[:, q, p, filters].T
            dW[:, q, p, filters] += Z[:, y, x, channels].T @ d
    return dZ, dW, dS.sum(axis=(0, 1, 2), dtype=dS.dtype)


def conv_transpose2d(Z, W, b, size, upsample=1, crop=0, dilation=1, groups=1):
    """Return the adjoint of conv2d for images of a size, plus b."""
    images = np.zeros((len(Z), *size, W.shape[0] * groups), Z.dtype)
    S = conv2d_backward(Z, images, W, upsample, crop, dilation, groups)[0]
    return S if b is None else S + b


def conv_transpose2d_backward(dS, Z, W, upsample=1, crop=0, dilation=1, groups=1):
    """Return (dZ, dW, db) of sum(dS * S)."""
    options = (upsample, crop, dilation, groups)
    dW = conv2d_backward(Z, dS, W, *options)[1]
    return conv2d(dS, W, None, *options), dW, dS.sum(axis=(0, 1, 2), dtype=dS.dtype)


def relu(S):
    """Return max(x, 0) element by element; NaN remains NaN."""
    Z = S.copy()
    for index, x in np.ndenumerate(S):
        if x <= 0:
            Z[index] = 0
    return Z


def bias_relu(S, b):
    """Return relu(S + b), channels last."""
    return relu(S + b)


def bias_relu_backward(dZ, Z):
    """Return (dS, db): dZ where the output is not 0, and its sum over all axes but channels."""
    dS = np.zeros_like(dZ)
    for index, z in np.ndenumerate(Z):
        if not z <= 0:
            dS[index] = dZ[index]
    return dS, dS.reshape(-1, dS.shape[-1]).sum(axis=0, dtype=dS.dtype)


def dense(Z, W, b=None):
    """Return W vec(Z) + b of every image, one unit at a time."""
    flat = Z.reshape(len(Z), W.shape[0])
    S = np.zeros((len(Z), W.shape[1]), Z.dtype)
    for unit in range(W.shape[1]):
        for m in range(W.shape[0]):
            S[:, unit] += flat[:, m] * W[m, unit]
    return S if b is None else S + b


def dense_backward(dS, Z, W):
    """Return (dZ, dW, db) of sum(dS * dense(Z, W, b))."""
    flat = Z.reshape(len(Z), W.shape[0])
    dZ, dW = np.zeros_like(flat), np.zeros_like(W)
    for unit in range(W.shape[1]):
        for m in range(W.shape[0]):
            dZ[:, m] += dS[:, unit] * W[m, unit]
            dW[m, unit] = (flat[:, m] * dS[:, unit]).sum(dtype=Z.dtype)
    return dZ.reshape(Z.shape), dW, dS.sum(axis=0, dtype=dS.dtype)


def windows(size, window, stride=None, pad=0):
    """Yield every window as (q_out, p_out, [(y, x), ...]), its pixels in row-major order."""
    stride = window if stride is None else stride
    found = {}
    for q_out, p_out, _, _, y, x in taps(size, window, stride, pad):
        found.setdefault((q_out, p_out), []).append((y, x))
    return [(q_out, p_out, pixels) for (q_out, p_out), pixels in found.items()]


def ceil_pad(size, window, stride, pad):
    """Return the padding with which windows fit that end beyond it but begin before it."""
    sides = []
    for n, h, s, (before, after) in zip(size, pair(window), pair(stride), pads(pad)):
        count = 1
        while (count - 1) * s + h < before + n + after and count * s < before + n:
            count += 1
        sides.append((before, max((count - 1) * s + h - before - n, 0)))
    return tuple(sides)


def counts(size, window, stride, pad, counted=None):
    """Return the divisor of each window: its pixels, or those in a frame of ``counted`` sides."""
    found = {}
    (top, _), (left, _) = pads(pad)
    (h_b, h_a), (s_b, s_a) = pair(window), pair(stride)
    for q_out, p_out, pixels in windows(size, window, stride, pad):
        found[q_out, p_out] = len(pixels)
        if counted is not None:
            (above, below), (before, after) = counted
            rows = range(q_out * s_b - top, q_out * s_b - top + h_b)
            columns = range(p_out * s_a - left, p_out * s_a - left + h_a)
            found[q_out, p_out] = sum(
                -above <= y < size[0] + below and -before <= x < size[1] + after
                for y in rows
                for x in columns
            )
    return found


def max_pool2d(Z, window, stride=None, pad=0):
    """Return (maxima, indices y*a + x), of the first NaN, else of the first of equal maxima."""
    l, b, a, d = Z.shape
    stride = window if stride is None else stride
    out = np.zeros((l, *output_shape((b, a), window, stride, pad), d), Z.dtype)
    indices = np.zeros(out.shape, np.int32)
    for q_out, p_out, pixels in windows((b, a), window, stride, pad):
        for i in range(l):
            for j in range(d):
                values = [Z[i, y, x, j] for y, x in pixels]
                best = 0
                for k, value in enumerate(values):
                    if np.isnan(values[best]):  # the first NaN is the maximum
                        break
                    if value > values[best] or np.isnan(value):
                        best = k
                y, x = pixels[best]
                out[i, q_out, p_out, j] = values[best]
                indices[i, q_out, p_out, j] = y * a + x
    return out, indices


def max_pool2d_backward(dZ, indices, shape):
    """Return dZ: every element of dZ_out is added to the pixel of its index."""
    l, b, a, d = shape
    result = np.zeros((l, b * a, d), dZ.dtype)
    for (i, q_out, p_out, j), index in np.ndenumerate(indices):
        result[i, index, j] += dZ[i, q_out, p_out, j]
    return result.reshape(shape)


def avg_pool2d(Z, window, stride=None, pad=0, counted=None):
    """Return the mean of the pixels of each window; ``counted`` is the padding that counts."""
    l, b, a, d = Z.shape
    stride = window if stride is None else stride
    out = np.zeros((l, *output_shape((b, a), window, stride, pad), d), Z.dtype)
    divisors = counts((b, a), window, stride, pad, counted)
    for q_out, p_out, pixels in windows((b, a), window, stride, pad):
        for y, x in pixels:
            out[:, q_out, p_out, :] += Z[:, y, x, :]
        out[:, q_out, p_out, :] /= divisors[q_out, p_out]
    return out


def avg_pool2d_backward(dZ, shape, window, stride=None, pad=0, counted=None):
    """Return dZ: every element of dZ_out is divided among the pixels of its window."""
    stride = window if stride is None else stride
    result = np.zeros(shape, dZ.dtype)
    divisors = counts(shape[1:3], window, stride, pad, counted)
    for q_out, p_out, pixels in windows(shape[1:3], window, stride, pad):
        for y, x in pixels:
            result[:, y, x, :] += dZ[:, q_out, p_out, :] / divisors[q_out, p_out]
    return result


def interpolation(n, factor, method, align_corners=False):
    """Return the matrix (factor n, n) that enlarges a row of n pixels."""
    M = np.zeros((factor * n, n))
    for q in range(factor * n):
        if method == "nearest":
            at = Fraction(q // factor)
        elif align_corners:
            at = Fraction(q * (n - 1), max(factor * n - 1, 1))
        else:
            at = max((q + Fraction(1, 2)) / factor - Fraction(1, 2), Fraction(0))
        k = min(int(at), n - 1)
        M[q, k] += 1 - (at - k if k < n - 1 else 0)
        if k < n - 1:
            M[q, k + 1] += at - k
    return M


def weights(size, factor, method="nearest", align_corners=False):
    """Yield every (q, p, y, x, w) where output (q, p) has pixel (y, x) with a weight w > 0."""
    down, right = (interpolation(n, f, method, align_corners) for n, f in zip(size, pair(factor)))
    for q, y in np.argwhere(down):
        for p, x in np.argwhere(right):
            yield q, p, y, x, down[q, y] * right[p, x]


def upsample2d(Z, factor, method="nearest", align_corners=False):
    """Return enlarged images."""
    l, b, a, d = Z.shape
    f_b, f_a = pair(factor)
    out = np.zeros((l, b * f_b, a * f_a, d), Z.dtype)
    for q, p, y, x, w in weights((b, a), factor, method, align_corners):
        out[:, q, p] += Z.dtype.type(w) * Z[:, y, x]
    return out


def upsample2d_backward(dZ_out, shape, factor, method="nearest", align_corners=False):
    """Return the adjoint of upsample2d."""
    dZ = np.zeros(shape, dZ_out.dtype)
    for q, p, y, x, w in weights(shape[1:3], factor, method, align_corners):
        dZ[:, y, x] += dZ_out.dtype.type(w) * dZ_out[:, q, p]
    return dZ
