"""Activations and normalising layers agree with PyTorch in float64: values and all gradients.

Not collected by a plain ``pytest``; run with ``pytest -s tests/peers`` where PyTorch is installed.
"""

import numpy as np
import pytest
import torch
from support import torch_layers
from support.activations import EXAMPLES
from support.passes import passes

from matconv import LRN, Activation, Conv, LogSoftmax, Network, Normalize, PReLU, Scale, Softmax

COUNT = 200
# relative to the norm: with a transcendental function, and without
TRANSCENDENTAL, ALGEBRAIC = 1e-12, 1e-13


def relative(one, other):
    """Norm of the difference over the norm; the difference where that is zero."""
    one, other = np.ravel(one), np.ravel(other)
    return np.linalg.norm(one - other) / (np.linalg.norm(other) or 1.0)


def nchw(Z):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(Z, -1, 1)))


def geometry(random):
    """(images, height, width, channels), sometimes with many channels or one pixel."""
    channels = int(random.integers(1, 70 if random.random() < 0.5 else 9))
    return (int(random.integers(1, 5)), *random.integers(1, 8, 2).tolist(), channels)


def differences(layer, random):
    """Differences of the output, of the gradient for the input and of that for parameters.

    The input of the layer is gain times the image, so that the gradient for the gains and biases
    contains the one for the input.
    """
    l, *shape = geometry(random)
    net = Network(shape, [Scale(), layer])
    theta = random.standard_normal(net.n)
    theta[2 * shape[-1] :] *= 0.5
    Z = 2 * random.standard_normal((l, *shape))
    dz = random.standard_normal((l, *net.output_shape))
    z, dtheta = passes(net, theta, Z, dz)
    leaf = torch.from_numpy(theta.copy()).requires_grad_()
    gain, bias, slope = leaf.split([shape[-1], shape[-1], net.n - 2 * shape[-1]])
    S = nchw(Z) * gain.view(-1, 1, 1) + bias.view(-1, 1, 1)
    if layer.kind == "Activation":
        y = torch_layers.activated(S, layer.activation)
    else:
        y = torch_layers.LAYERS[layer.kind](layer, S, slope)
    y.backward(nchw(dz))
    gradient, d = leaf.grad.numpy(), 2 * shape[-1]
    return [
        relative(z, y.detach().movedim(1, -1).flatten(1).numpy()),
        relative(dtheta[:d], gradient[:d]),
        relative(dtheta[d:], gradient[d:]),
    ]


def some_lrn(random):
    beta = float(random.choice([0.5, 0.75, 1, random.uniform(0.1, 2)]))
    size, k = int(random.integers(1, 12)), float(random.uniform(0.5, 3))
    return LRN(size, k, float(random.uniform(0, 2)), beta)


def some_norm(random):
    p = float(random.choice([1, 2, 3, random.uniform(1, 4)]))
    return Normalize(p, float(random.uniform(0.1, 1)), bool(random.random() < 0.5))


MAKERS = {
    "LRN": (some_lrn, TRANSCENDENTAL),
    "Softmax": (lambda random: Softmax(), TRANSCENDENTAL),
    "LogSoftmax": (lambda random: LogSoftmax(), TRANSCENDENTAL),
    "Normalize": (some_norm, TRANSCENDENTAL),
    "PReLU": (lambda random: PReLU(), ALGEBRAIC),
    **{
        repr(sigma): (
            lambda random, sigma=sigma: Activation(sigma),
            TRANSCENDENTAL
            if sigma in ("sigmoid", "tanh", "softplus", "silu", "gelu") or "ELU(a" in repr(sigma)
            else ALGEBRAIC,
        )
        for sigma in EXAMPLES
    },
}


@pytest.mark.parametrize("name", MAKERS)
def test_layer_agrees_with_autograd(name):
    make, bound = MAKERS[name]
    largest = np.zeros(3)
    for seed in range(COUNT):
        random = np.random.default_rng(seed)
        layer = make(random)
        found = differences(layer, random)
        assert max(found) <= bound, f"seed {seed}, {layer}: {found}"
        largest = np.maximum(largest, found)
    text = ", ".join(f"{x:.1e}" for x in largest)
    print(f"\n{name}: {COUNT} geometries, output, dZ, dtheta differ by at most {text}")


@pytest.mark.parametrize("sigma", EXAMPLES, ids=repr)
def test_activation_of_a_convolution_agrees_with_autograd(sigma):
    largest = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        l, *shape = geometry(random)
        net = Network(shape, [Conv(4, 3, pad=1, activation=sigma), Conv(2, 1)], algorithm="im2col")
        theta, Z = net.init(seed), random.standard_normal((l, *shape))
        dz = random.standard_normal((l, *net.output_shape))
        z, dtheta = passes(net, theta, Z, dz)
        leaf = torch.from_numpy(theta.copy()).requires_grad_()
        W, b, V, c = (
            leaf[start : start + size].view(shape)
            for start, size, shape in _places(net.unpack(theta))
        )
        S = torch.nn.functional.conv2d(nchw(Z), W.permute(3, 0, 1, 2), b, padding=1)
        y = torch_layers.activated(S, sigma)
        y = torch.nn.functional.conv2d(y, V.permute(3, 0, 1, 2), c)
        y.backward(nchw(dz))
        found = [
            relative(z, y.detach().movedim(1, -1).flatten(1).numpy()),
            relative(dtheta, leaf.grad.numpy()),
        ]
        assert max(found) <= TRANSCENDENTAL, f"seed {seed}: {found}"
        largest = max(largest, *found)
    print(f"\nconvolution and {sigma!r}: output and gradient differ by at most {largest:.1e}")


def _places(views):
    """(start, size, shape) of each array in theta."""
    start = 0
    for layer in views:
        for array in layer:
            yield start, array.size, array.shape
            start += array.size
