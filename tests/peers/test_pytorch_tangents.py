"""Products with the Jacobian, the Gauss-Newton matrix and the Hessian on random graphs, as in PyTorch.

Not collected by a plain ``pytest``; run with ``pytest -s tests/peers`` where PyTorch is installed.
The number of graphs is 200, or that in the environment variable MATCONV_GRAPHS.
"""

import os
from collections import Counter

import numpy as np
import pytest
import torch
from support.random_graphs import kinds, random_graph, random_images, random_theta
from support.torch_graphs import KINDS, relative, torch_outputs

from matconv import Objective

COUNT = int(os.environ.get("MATCONV_GRAPHS", "200"))
RELATIVE = 1e-12
# of the Hessian, the derivative of a derivative
RELATIVE_HESSIAN = 1e-10
C = 100.0


def differences(seed):
    """Relative differences of Jv, J'u, and Gv for the squared and softmax losses."""
    net = random_graph(seed)
    random = np.random.default_rng(seed)
    theta, Z = random_theta(net, seed), random_images(net, seed)
    output = net.outputs[random.integers(len(net.outputs))]

    def outputs(parameters):
        return torch_outputs(net, parameters, Z)[output]

    point = torch.from_numpy(theta)
    v = random.standard_normal(net.n)
    z, Jv = torch.func.jvp(outputs, (point,), (torch.from_numpy(v),))
    _, vjp = torch.func.vjp(outputs, point)
    u = random.standard_normal(z.shape)
    f = Objective(net, Z, random.standard_normal(z.shape), C=C, output=output)
    at = f.linearize(theta)
    found = [
        relative(at.jvp(v), Jv.numpy()),
        relative(at.vjp(u), vjp(torch.from_numpy(u))[0].numpy()),
        relative(at.gauss_newton(v), (vjp(2 * Jv / len(Z))[0]).numpy() + v / C),
    ]
    if z.shape[1] == 1:
        return [*found, 0.0], kinds(net)
    p = torch.softmax(z, 1)
    curved = p * (Jv - (p * Jv).sum(1, keepdim=True))
    y = random.integers(0, z.shape[1], len(Z))
    f = Objective(net, Z, y, "softmax", C=C, output=output)
    expected = vjp(curved / len(Z))[0].numpy() + v / C
    return [*found, relative(f.gnp(theta, v), expected)], kinds(net)


def hessian_differences(seed, algorithm):
    """Relative differences of Hv for the squared and softmax losses, by double backward passes."""
    net = random_graph(seed, algorithm=algorithm)
    random = np.random.default_rng(seed)
    theta, Z = random_theta(net, seed), random_images(net, seed)
    output = net.outputs[random.integers(len(net.outputs))]
    v = random.standard_normal(net.n)

    def product(loss):
        point = torch.from_numpy(theta).requires_grad_()
        f = loss(torch_outputs(net, point, Z)[output]) / len(Z) + point @ point / (2 * C)
        (gradient,) = torch.autograd.grad(f, point, create_graph=True)
        (Hv,) = torch.autograd.grad(gradient @ torch.from_numpy(v), point)
        return Hv.numpy()

    size = Objective(net, Z, np.zeros(len(Z), int), output=output).n_outputs
    y = random.standard_normal((len(Z), size))
    f = Objective(net, Z, y, C=C, output=output)
    expected = product(lambda z: ((z.reshape(y.shape) - torch.from_numpy(y)) ** 2).sum())
    found = [relative(f.hessp(theta, v), expected)]
    if size == 1:
        return [*found, 0.0]
    labels = random.integers(0, size, len(Z))
    f = Objective(net, Z, labels, "softmax", C=C, output=output)
    expected = product(
        lambda z: torch.nn.functional.cross_entropy(
            z.reshape(y.shape), torch.from_numpy(labels), reduction="sum"
        )
    )
    return [*found, relative(f.hessp(theta, v), expected)]


@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
def test_hessian_products_of_random_graphs_agree_with_those_of_pytorch(algorithm):
    largest, have = np.zeros(2), Counter()
    for seed in range(COUNT):
        found = hessian_differences(seed, algorithm)
        have.update(kinds(random_graph(seed)))
        largest = np.maximum(largest, found)
        assert max(found) <= RELATIVE_HESSIAN, f"graph {seed}: Hv differ by {found}"
    print(f"\n{COUNT} graphs, {algorithm}: Hv of squared, softmax differ by at most",
          *(f"{x:.1e}" for x in largest))  # fmt: skip
    if COUNT >= 200:
        assert have.keys() == KINDS


# PyTorch's forward mode compiles parts of itself in a way that it deprecates
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_products_of_random_graphs_agree_with_those_of_pytorch():
    largest, have = np.zeros(4), Counter()
    for seed in range(COUNT):
        found, kinds_ = differences(seed)
        have.update(kinds_)
        largest = np.maximum(largest, found)
        assert max(found) <= RELATIVE, f"graph {seed}: Jv, J'u, Gv, Gv differ by {found}"
    print(f"\n{COUNT} graphs: Jv, J'u, Gv, Gv of softmax differ by at most",
          *(f"{x:.1e}" for x in largest))  # fmt: skip
    if COUNT >= 200:
        assert have.keys() == KINDS
