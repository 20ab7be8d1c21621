"""Expected results of the projects, by SciPy and NumPy alone, and their networks."""

import numpy as np
from scipy.signal import convolve, correlate

from matconv import Conv, Dense, MaxPool, Network

# (l, b, a, d, filters, kernel, stride, pad)
CONVOLUTIONS = [
    (1, 5, 5, 1, 1, 3, 1, 0),
    (3, 9, 7, 2, 5, 3, 1, 1),
    (2, 12, 12, 3, 4, 5, 1, 2),
    (2, 11, 8, 4, 3, 3, 2, 1),
    (4, 6, 6, 2, 2, 1, 1, 0),
    (1, 16, 13, 8, 8, 4, 3, 2),
    (8, 14, 14, 16, 16, 3, 1, 1),
]


def integers(random, *shape):
    """Small integers in float64: every sum of their products is exact."""
    return random.integers(-9, 10, shape).astype(np.float64)


def framed(Z, pad):
    return np.pad(Z, ((0, 0), (pad, pad), (pad, pad), (0, 0)))


def conv(Z, W, b, stride, pad):
    """S (l, b_out, a_out, d_out), filter by filter and channel by channel, by scipy.signal."""
    images = framed(Z, pad)
    planes = [
        [
            sum(
                correlate(image[:, :, c], W[c, :, :, f], "valid", method="direct")
                for c in range(Z.shape[3])
            )
            for f in range(W.shape[3])
        ]
        for image in images
    ]
    return np.ascontiguousarray(np.moveaxis(planes, 1, 3)[:, ::stride, ::stride] + b)


def conv_backward(dS, Z, W, stride, pad):
    """(dZ, dW, db), by scipy.signal: dS is spread out over the positions without a stride."""
    images, h = framed(Z, pad), W.shape[1]
    l, b, a, _ = images.shape
    spread = np.zeros((l, b - h + 1, a - h + 1, W.shape[3]))
    spread[:, ::stride, ::stride] = dS
    dZ, dW = np.zeros_like(images), np.zeros_like(W)
    for i in range(l):
        for c in range(W.shape[0]):
            for f in range(W.shape[3]):
                plane = spread[i, :, :, f]
                dZ[i, :, :, c] += convolve(plane, W[c, :, :, f], "full", method="direct")
                dW[c, :, :, f] += correlate(images[i, :, :, c], plane, "valid", method="direct")
    inside = dZ[:, pad : b - pad, pad : a - pad]
    return np.ascontiguousarray(inside), dW, dS.sum((0, 1, 2))


def convolutions(random):
    """Every case above: arguments, S, dS and the gradients; all integers."""
    for l, b, a, d, filters, h, stride, pad in CONVOLUTIONS:
        Z, W = integers(random, l, b, a, d), integers(random, d, h, h, filters)
        bias = integers(random, filters)
        S = conv(Z, W, bias, stride, pad)
        dS = integers(random, *S.shape)
        yield Z, W, bias, S, dS, conv_backward(dS, Z, W, stride, pad), stride, pad


def max_pool(Z, h):
    """S, and the gradient for Z of sum(S * k) with k = 1, 2, ...: no two pixels of Z are equal."""
    l, b, a, d = Z.shape
    blocks = Z.reshape(l, b // h, h, a // h, h, d)
    S = blocks.max((2, 4))
    dS = np.arange(1.0, S.size + 1).reshape(S.shape)
    won = blocks == S[:, :, None, :, None, :]
    dZ = np.einsum("lqpd,lqupvd->lqupvd", dS, won.astype(np.float64))
    return S, dS, dZ.reshape(Z.shape)


def network(dtype=np.float64, seed=0):
    """A network with convolutions of both kinds, its theta and what it gives for 12 images."""
    layers = [
        Conv(8, 5, activation="relu", algorithm="im2col"),
        MaxPool(2),
        Conv(16, 3, pad="same", activation="relu", algorithm="winograd"),
        MaxPool(2),
        Dense(32, activation="relu"),
        Dense(10),
    ]
    net = Network((20, 20, 1), layers, dtype)
    theta = net.init(seed)
    images = np.random.default_rng(seed).standard_normal((12, 20, 20, 1)).astype(dtype)
    return net, theta, images, net.forward(theta, images)


def assert_close(actual, expected):
    """Within 1e-12 of the largest number (1e-5 in single precision); not all zeros."""
    largest = np.abs(expected).max()
    tolerance = 1e-12 if expected.dtype == np.float64 else 1e-5
    assert largest > 0 and np.count_nonzero(expected) > expected.size // 2
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * largest)
