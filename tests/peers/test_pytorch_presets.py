"""Narrow presets: outputs and gradients as those of PyTorch modules with the same weights.

The modules are written here in the way of torchvision, not derived from the presets. Not collected
by a plain ``pytest``; run with ``pytest -s tests/peers`` where PyTorch is installed.
"""

import numpy as np
import pytest
import torch
from support.random_graphs import random_theta
from torch import nn

from matconv import Objective, presets

# relative to the norm of the outputs, and of the gradient: in float64 for each array of parameters;
# in float32, where elements may be rounded to the other side of a kink, for all of them
DOUBLE = 1e-12
SINGLE = 1e-5


class Affine(nn.Module):
    """gain x + bias for each channel: batch normalisation with fixed moments."""

    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return self.gain.view(-1, 1, 1) * x + self.bias.view(-1, 1, 1)


class Flatten(nn.Module):
    """Images as vectors in matconv's order, channels fastest."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


def conv_affine(before, after, kernel, stride=1, groups=1):
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, Affine(after))


class Residual(nn.Module):
    def __init__(self, body, shortcut, last):
        super().__init__()
        self.body, self.shortcut, self.last = body, shortcut, last

    def forward(self, x):
        return self.last(self.body(x) + (x if self.shortcut is None else self.shortcut(x)))


def basic(before, after, stride):
    body = nn.Sequential(
        conv_affine(before, after, 3, stride), nn.ReLU(), conv_affine(after, after, 3)
    )
    shortcut = None if before == after and stride == 1 else conv_affine(before, after, 1, stride)
    return Residual(body, shortcut, nn.ReLU())


def bottleneck(before, inner, stride):
    after = 4 * inner
    body = nn.Sequential(
        conv_affine(before, inner, 1), nn.ReLU(), conv_affine(inner, inner, 3, stride), nn.ReLU(),
        conv_affine(inner, after, 1),
    )  # fmt: skip
    shortcut = None if before == after and stride == 1 else conv_affine(before, after, 1, stride)
    return Residual(body, shortcut, nn.ReLU())


def resnet(block, expansion, repeats, d, classes):
    parts = [conv_affine(3, d, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = d
    for stage, count in enumerate(repeats):
        for k in range(count):
            parts.append(block(before, d << stage, 2 if stage and not k else 1))
            before = expansion * (d << stage)
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), Flatten(), nn.Linear(before, classes))


class Fire(nn.Module):
    def __init__(self, before, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.expand1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1(x).relu(), self.expand3(x).relu()], 1)


def squeezenet(version, classes):
    """With a quarter of the channels."""
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    small = [Fire(16, 4, 16), Fire(32, 4, 16)]
    middle = [Fire(32, 8, 32), Fire(64, 8, 32)]
    large = [Fire(64, 12, 48), Fire(96, 12, 48), Fire(96, 16, 64)]
    last = [Fire(128, 16, 64)]
    if version == "1.0":
        small[0] = Fire(24, 4, 16)
        parts = [nn.Conv2d(3, 24, 7, 2), nn.ReLU(), pool, *small, middle[0], pool, middle[1]]
        parts += [*large, pool, *last]
    else:
        parts = [nn.Conv2d(3, 16, 3, 2), nn.ReLU(), pool, *small, pool, *middle, pool]
        parts += [*large, *last]
    return nn.Sequential(
        *parts, nn.Conv2d(128, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), Flatten()
    )


def inverted(before, after, stride, factor):
    inner, parts = factor * before, []
    if factor > 1:
        parts += [conv_affine(before, inner, 1), nn.ReLU6()]
    parts += [conv_affine(inner, inner, 3, stride, inner), nn.ReLU6(), conv_affine(inner, after, 1)]
    body = nn.Sequential(*parts)
    return Residual(body, None, nn.Identity()) if stride == 1 and before == after else body


def mobilenet_v2(classes):
    """With a quarter of the channels, in multiples of 8."""
    stages = (
        (1, 8, 1, 1), (6, 8, 2, 2), (6, 8, 3, 2), (6, 16, 4, 2), (6, 24, 3, 1), (6, 40, 3, 2),
        (6, 80, 1, 1),
    )  # fmt: skip
    parts, before = [conv_affine(3, 8, 3, 2), nn.ReLU6()], 8
    for factor, after, count, first in stages:
        for k in range(count):
            parts.append(inverted(before, after, first if k == 0 else 1, factor))
            before = after
    parts += [conv_affine(before, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), Flatten()]
    return nn.Sequential(*parts, nn.Linear(1280, classes))


def vgg11(classes):
    """With a quarter of the channels."""
    parts, before = [], 3
    for after in (16, None, 32, None, 64, 64, None, 128, 128, None, 128, 128, None):
        if after is None:
            parts.append(nn.MaxPool2d(2, 2))
        else:
            parts += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            before = after
    return nn.Sequential(
        *parts, Flatten(), nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(),
        nn.Linear(1024, classes),
    )  # fmt: skip


def lrn(k, alpha):
    """PyTorch divides alpha by the number of channels of a window."""
    return nn.LocalResponseNorm(5, 5 * alpha, 0.75, k)


def alexnet(k, alpha, pool_first):
    """With a quarter of the channels, for images of 99 x 99."""
    pool = nn.MaxPool2d(3, 2)
    between = [pool, lrn(k, alpha)] if pool_first else [lrn(k, alpha), pool]
    return nn.Sequential(
        nn.Conv2d(3, 24, 11, 4), nn.ReLU(), *between,
        nn.Conv2d(24, 64, 5, padding=2, groups=2), nn.ReLU(), *between,
        nn.Conv2d(64, 96, 3, padding=1), nn.ReLU(),
        nn.Conv2d(96, 96, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(96, 64, 3, padding=1, groups=2), nn.ReLU(), pool, Flatten(),
        nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 5),
    )  # fmt: skip


def alexnet_torchvision():
    """With a quarter of the channels, for images of 95 x 95."""
    pool = nn.MaxPool2d(3, 2)
    return nn.Sequential(
        nn.Conv2d(3, 16, 11, 4, 2), nn.ReLU(), pool,
        nn.Conv2d(16, 48, 5, padding=2), nn.ReLU(), pool,
        nn.Conv2d(48, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), pool, Flatten(),
        nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 5),
    )  # fmt: skip


class Inception(nn.Module):
    def __init__(self, before, one, reduced3, three, reduced5, five, pooled):
        super().__init__()
        relu = nn.ReLU()
        self.branches = nn.ModuleList([
            nn.Sequential(nn.Conv2d(before, one, 1), relu),
            nn.Sequential(nn.Conv2d(before, reduced3, 1), relu,
                          nn.Conv2d(reduced3, three, 3, padding=1), relu),
            nn.Sequential(nn.Conv2d(before, reduced5, 1), relu,
                          nn.Conv2d(reduced5, five, 5, padding=2), relu),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(before, pooled, 1), relu),
        ])  # fmt: skip

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def googlenet(classes):
    """With a quarter of the channels."""
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, 2, 3), nn.ReLU(), pool, lrn(1, 2e-5),
        nn.Conv2d(16, 16, 1), nn.ReLU(), nn.Conv2d(16, 48, 3, padding=1), nn.ReLU(), lrn(1, 2e-5),
        pool, Inception(48, 16, 24, 32, 4, 8, 8), Inception(64, 32, 32, 48, 8, 24, 16),
        pool, Inception(120, 48, 24, 52, 4, 12, 16), Inception(128, 40, 28, 56, 6, 16, 16),
        Inception(128, 32, 32, 64, 6, 16, 16), Inception(128, 28, 36, 72, 8, 16, 16),
        Inception(132, 64, 40, 80, 8, 32, 32),
        pool, Inception(208, 64, 40, 80, 8, 32, 32), Inception(208, 96, 48, 96, 12, 32, 32),
        nn.AdaptiveAvgPool2d(1), Flatten(), nn.Linear(256, classes),
    )  # fmt: skip


# name: (preset, module, height and width) for 5 classes
CASES = {
    "vgg11": (
        lambda **options: presets.vgg(11, 5, width=0.25, **options), lambda: vgg11(5), 64,
    ),
    "alexnet": (
        lambda **options: presets.alexnet("paper", 5, width=0.25, **options),
        lambda: alexnet(2, 1e-4, False), 99,
    ),
    "caffenet": (
        lambda **options: presets.alexnet("caffenet", 5, width=0.25, **options),
        lambda: alexnet(1, 2e-5, True), 99,
    ),
    "alexnet-tv": (
        lambda **options: presets.alexnet("torchvision", 5, width=0.25, **options),
        alexnet_torchvision, 95,
    ),
    "googlenet": (
        lambda **options: presets.googlenet(5, width=0.25, **options),
        lambda: googlenet(5), 64,
    ),
    "resnet18": (
        lambda **options: presets.resnet(18, 5, width=0.25, **options),
        lambda: resnet(basic, 1, (2, 2, 2, 2), 16, 5), 64,
    ),
    "resnet34": (
        lambda **options: presets.resnet(34, 5, width=0.125, **options),
        lambda: resnet(basic, 1, (3, 4, 6, 3), 8, 5), 49,
    ),
    "resnet50": (
        lambda **options: presets.resnet(50, 5, width=0.125, **options),
        lambda: resnet(bottleneck, 4, (3, 4, 6, 3), 8, 5), 64,
    ),
    "squeezenet-1.0": (
        lambda **options: presets.squeezenet("1.0", 5, width=0.25, **options),
        lambda: squeezenet("1.0", 5), 64,
    ),
    "squeezenet-1.1": (
        lambda **options: presets.squeezenet("1.1", 5, width=0.25, **options),
        lambda: squeezenet("1.1", 5), 61,
    ),
    "mobilenet-v2": (
        lambda **options: presets.mobilenet_v2(5, width=0.25, **options),
        lambda: mobilenet_v2(5), 64,
    ),
}  # fmt: skip


def arrays(module):
    """The parameters of a module in the order of registration, by layer."""
    return [
        tuple(one.parameters(recurse=False))
        for one in module.modules()
        if isinstance(one, (nn.Conv2d, nn.Linear, Affine))
    ]


def as_matconv(array):
    """W of a convolution as (d, height, width, d_out), of a dense layer as (inputs, units)."""
    array = array.detach().numpy()
    return array.transpose(1, 2, 3, 0) if array.ndim == 4 else array.T


def set_parameters(module, net, theta):
    layers = arrays(module)
    assert [len(one) for one in layers] == [len(views) for views in net.unpack(theta)]
    with torch.no_grad():
        for parameters, views in zip(layers, net.unpack(theta)):
            for parameter, view in zip(parameters, views):
                if view.ndim == 4:
                    view = view.transpose(3, 0, 1, 2)
                parameter.copy_(
                    torch.from_numpy(np.ascontiguousarray(view.T if view.ndim == 2 else view))
                )


def relative(one, other):
    one, other = np.ravel(one).astype(np.float64), np.ravel(other)
    return np.linalg.norm(one - other) / np.linalg.norm(other)


def differences(name, dtype):
    """Largest relative differences: of the outputs, of the gradient for each array."""
    make, module, side = CASES[name]
    net = make(input_shape=(side, side, 3), dtype=dtype)
    random = np.random.default_rng(0)
    Z = random.standard_normal((3, side, side, 3)).astype(dtype)
    y = random.integers(0, 5, 3)
    # biases other than 0: no element is at the kink of a ReLU, or rounded to its other side
    theta = random_theta(net, 2)
    peer = module().double()
    set_parameters(peer, net, theta)
    z = peer(torch.from_numpy(np.ascontiguousarray(np.moveaxis(Z, -1, 1)).astype(np.float64)))
    loss = nn.functional.cross_entropy(z, torch.from_numpy(y))
    loss.backward()
    value, gradient = Objective(net, Z, y, "softmax").value_and_gradient(theta)
    found = {
        "outputs": relative(net.forward(theta, Z), z.detach().numpy()),
        "frozen": relative(net.freeze(theta)(Z), z.detach().numpy()),
        "f": abs(value - loss.item()) / abs(loss.item()),
    }
    pairs = [
        (view.ravel(), as_matconv(parameter.grad).ravel())
        for parameters, views in zip(arrays(peer), net.unpack(gradient))
        for parameter, view in zip(parameters, views)
    ]
    if dtype is np.float32:
        pairs = [tuple(map(np.concatenate, zip(*pairs)))]
    found["gradient"] = max(relative(*pair) for pair in pairs)
    return found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, DOUBLE), (np.float32, SINGLE)])
def test_preset_is_the_module_of_pytorch(name, dtype, bound):
    found = differences(name, dtype)
    print(f"\n{name:<15} {np.dtype(dtype)}: ", end="")
    print(", ".join(f"{what} {value:.1e}" for what, value in found.items()))
    assert max(found.values()) <= bound, found
