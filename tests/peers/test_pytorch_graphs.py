"""Random graphs: outputs, also of frozen networks, f and its gradient as PyTorch has them, in float64.

Not collected by a plain ``pytest``; run with ``pytest -s tests/peers`` where PyTorch is installed.
The number of graphs is 300, or that in the environment variable MATCONV_GRAPHS.
"""

import os
from collections import Counter

import numpy as np
import pytest
import torch
from support.random_graphs import kinds, random_graph, random_images, random_theta
from support.torch_graphs import KINDS, relative, torch_outputs

from matconv import Objective

COUNT = int(os.environ.get("MATCONV_GRAPHS", "300"))
# relative to the norm of each output, and of the gradient for each array of parameters
RELATIVE = 1e-12
WHAT = "outputs, frozen outputs, f, gradient"


def differences(seed):
    """Largest differences of a graph from PyTorch: outputs, also frozen, f, gradient; its kinds."""
    net = random_graph(seed)
    random = np.random.default_rng(seed)
    theta, Z = random_theta(net, seed), random_images(net, seed)
    leaf = torch.from_numpy(theta.copy()).requires_grad_()
    expected = torch_outputs(net, leaf, Z)
    of_outputs, of_frozen = (
        max(
            relative(one, expected[name].detach().numpy())
            for name, one in zip(net.outputs, z if isinstance(z, tuple) else (z,))
        )
        for z in (net.forward(theta, Z), net.freeze(theta)(Z))
    )
    output = net.outputs[random.integers(len(net.outputs))]
    target = random.standard_normal(expected[output].shape)
    C = 100.0
    f, gradient = Objective(net, Z, target, C=C, output=output).value_and_gradient(theta)
    rows = torch.from_numpy(target)
    value = leaf @ leaf / (2 * C) + ((expected[output] - rows) ** 2).sum() / len(Z)
    value.backward()
    of_gradient = [
        relative(one, other)
        for ours, theirs in zip(net.unpack(gradient), net.unpack(leaf.grad.numpy()))
        for one, other in zip(ours, theirs)
    ]
    return (of_outputs, of_frozen, relative(f, value.item()), max(of_gradient)), kinds(net)


def test_random_graphs_agree_with_autograd():
    largest, have = np.zeros(4), Counter()
    for seed in range(COUNT):
        found, kinds_ = differences(seed)
        have.update(kinds_)
        largest = np.maximum(largest, found)
        assert max(found) <= RELATIVE, f"graph {seed}: {WHAT} differ by {found}"
    print(f"\n{COUNT} graphs: {WHAT} differ by at most", *(f"{x:.1e}" for x in largest))
    print(", ".join(f"{kind} in {have[kind]}" for kind in sorted(have)))
    if COUNT >= 300:
        assert have.keys() == KINDS and min(have.values()) >= COUNT // 25


@pytest.mark.parametrize("seed", range(3))
def test_another_theta_differs(seed):
    net = random_graph(seed)
    theta, Z = random_theta(net, seed), random_images(net, seed)
    other = torch.from_numpy(theta * (1 + 1e-9))
    z, name = net.forward(theta, Z), net.outputs[-1]
    z = z[-1] if isinstance(z, tuple) else z
    assert relative(z, torch_outputs(net, other, Z)[name].numpy()) > RELATIVE
