"""Activations and normalising layers in PyTorch, images as (l, d, height, width).

Where PyTorch's own function has another formula or another derivative at a kink, it is written out.
"""

import torch
import torch.nn.functional as F

from matconv import ELU, Clip, HardSigmoid, LeakyReLU

FUNCTIONS = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    # PyTorch's is linear above a threshold
    "softplus": lambda S: torch.logaddexp(S, torch.zeros_like(S)),
    "silu": F.silu,
    "hard_swish": F.hardswish,
    "gelu": F.gelu,
}


def clipped(S, lo, hi):
    """min(max(S, lo), hi) with the derivative 0 at both bounds."""
    lo, hi = (torch.tensor(bound, dtype=S.dtype) for bound in (lo, hi))
    return torch.where(S <= lo, lo, torch.where(S >= hi, hi, S))


def activated(S, activation):
    """sigma(S)."""
    if activation is None:
        return S
    if isinstance(activation, LeakyReLU):
        return F.leaky_relu(S, activation.slope)
    if isinstance(activation, Clip):
        return clipped(S, activation.lo, activation.hi)
    if isinstance(activation, ELU):
        return F.elu(S, activation.alpha)
    if isinstance(activation, HardSigmoid):
        return clipped(activation.slope * S + activation.offset, 0.0, 1.0)
    return FUNCTIONS[activation](S)


def lrn(layer, Z):
    """PyTorch divides alpha by the size; an even window leans the other way, so that the channels are reversed."""
    flips = layer.size % 2 == 0
    Z = Z.flip(1) if flips else Z
    # it accepts three dimensions or more
    whole = Z if Z.ndim > 2 else Z[:, :, None]
    y = F.local_response_norm(whole, layer.size, layer.alpha * layer.size, layer.beta, layer.k)
    y = y.reshape(Z.shape)
    return y.flip(1) if flips else y


def normalize(layer, Z):
    axes = tuple(range(2, Z.ndim)) if layer.spatial else (1,)
    total = (Z.abs() ** layer.p).sum(axes, keepdim=True) + layer.epsilon
    return Z / total ** (1 / layer.p)


LAYERS = {
    "LRN": lambda layer, Z, slope: lrn(layer, Z),
    "LogSoftmax": lambda layer, Z, slope: F.log_softmax(Z, 1),
    "Normalize": lambda layer, Z, slope: normalize(layer, Z),
    "PReLU": lambda layer, Z, slope: F.prelu(Z, slope),
    "Softmax": lambda layer, Z, slope: F.softmax(Z, 1),
}
