"""Reference: MatConvNet's functions as its manual defines them, in loops over positions.

Nothing of matconv is imported here. Images are X[i, j, c], filters F[i, j, c, k], indexed as in
MATLAB. Sizes are pairs (down, right), padding and crops (top, bottom, left, right).
"""

import numpy as np


def four(pad):
    pad = [int(x) for x in np.ravel(pad, order="F")]
    return pad * 4 if len(pad) == 1 else pad


def two(size):
    size = [int(x) for x in np.ravel(size, order="F")]
    return size * 2 if len(size) == 1 else size


def conv(X, F, b, stride=1, pad=0, dilate=1):
    """vl_nnconv: Y(i'', j'', k) = sum F(i', j', c, k) X(s (i'' - 1) + dilate (i' - 1) + 1 - top, ...)"""
    (s, t), (top, bottom, left, right), (e, f) = two(stride), four(pad), two(dilate)
    F = F.reshape(F.shape + (1,) * (4 - F.ndim))
    X = np.pad(X, ((top, bottom), (left, right), (0, 0)))
    h, w, c, K = F.shape
    groups = X.shape[2] // c
    height = (X.shape[0] - (h - 1) * e - 1) // s + 1
    width = (X.shape[1] - (w - 1) * f - 1) // t + 1
    Y = np.zeros((height, width, K))
    for g in range(groups):
        channels, filters = slice(g * c, g * c + c), slice(g * K // groups, (g + 1) * K // groups)
        for i in range(height):
            for j in range(width):
                part = X[i * s : i * s + (h - 1) * e + 1 : e, j * t : j * t + (w - 1) * f + 1 : f]
                Y[i, j, filters] = np.tensordot(part[..., channels], F[..., filters], 3)
    return Y if b is None or np.size(b) == 0 else Y + np.ravel(b)


def convt(X, F, b, upsample=1, crop=0, groups=1):
    """vl_nnconvt: F(i', j', k, c); each pixel adds its filter to the output, which is then cropped."""
    (s, t), (top, bottom, left, right) = two(upsample), four(crop)
    F = F.reshape(F.shape + (1,) * (4 - F.ndim))
    h, w, k, c = F.shape
    height, width = (X.shape[0] - 1) * s + h, (X.shape[1] - 1) * t + w
    Y = np.zeros((height, width, k * groups))
    for g in range(groups):
        channels = slice(g * c // groups, (g + 1) * c // groups)
        for i in range(X.shape[0]):
            for j in range(X.shape[1]):
                more = np.tensordot(F[..., channels], X[i, j, channels], 1)
                Y[i * s : i * s + h, j * t : j * t + w, g * k : g * k + k] += more
    Y = Y[top : height - bottom, left : width - right]
    return Y if b is None or np.size(b) == 0 else Y + np.ravel(b)


def pool(X, size, stride=1, pad=0, method="max"):
    """vl_nnpool: windows are cropped at the border of the image."""
    (h, w), (s, t), (top, bottom, left, right) = two(size), two(stride), four(pad)
    H, W = X.shape[:2]
    height, width = (H + top + bottom - h) // s + 1, (W + left + right - w) // t + 1
    Y = np.zeros((height, width, X.shape[2]))
    for i in range(height):
        for j in range(width):
            a, b = i * s - top, j * t - left
            part = X[max(a, 0) : min(a + h, H), max(b, 0) : min(b + w, W)]
            Y[i, j] = part.max((0, 1)) if method == "max" else part.mean((0, 1))
    return Y


def normalize(X, param=(5, 1, 0.0001 / 5, 0.75)):
    """vl_nnnormalize: Y(i, j, k) = X(i, j, k) / (kappa + alpha sum_{t in G(k)} X(i, j, t)^2)^beta"""
    N, kappa, alpha, beta = np.ravel(param)
    Y = np.zeros_like(X)
    D = X.shape[2]
    for k in range(1, D + 1):  # G(k) = [k - floor((N - 1) / 2), k + ceil((N - 1) / 2)], from 1 to D
        first, last = k - (int(N) - 1) // 2, k + -(-(int(N) - 1) // 2)
        total = sum(X[..., t - 1] ** 2 for t in range(max(first, 1), min(last, D) + 1))
        Y[..., k - 1] = X[..., k - 1] / (kappa + alpha * total) ** beta
    return Y


def bnorm(X, g, b, moments):
    """vl_nnbnorm with given moments: mean and sigma for each channel."""
    return (X - moments[:, 0]) / moments[:, 1] * np.ravel(g) + np.ravel(b)


def relu(X, leak=0):
    return np.where(X > 0, X, leak * X)


def softmax(X):
    E = np.exp(X - X.max(2, keepdims=True))
    return E / E.sum(2, keepdims=True)


def simplenn(net, X):
    """The output of the struct of a SimpleNN as `scipy.io.loadmat` returns it, without the loss."""
    layers = net["layers"][0, 0].ravel()
    for layer in (one[0, 0] for one in layers):
        fields = {name: layer[name] for name in layer.dtype.names}
        kind = str(fields["type"][0])
        weights = [np.asarray(one, float) for one in fields.get("weights", np.empty(0)).ravel()]
        if kind == "conv":
            X = conv(X, *weights, fields["stride"], fields["pad"], fields.get("dilate", 1))
        elif kind == "pool":
            X = pool(X, fields["pool"], fields["stride"], fields["pad"], str(fields["method"][0]))
        elif kind == "relu":
            X = relu(X, float(np.ravel(fields.get("leak", 0))[0]))
        elif kind in ("lrn", "normalize"):
            X = normalize(X, fields["param"])
        else:
            assert kind in ("dropout", "softmaxloss"), kind
    return X
