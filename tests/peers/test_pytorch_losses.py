"""Losses, their gradients and products with their Hessians against PyTorch's autograd in double.

Not collected by a plain ``pytest``; run with ``pytest tests/peers`` where PyTorch is installed.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.known_losses import CASES, FLAT, kinds, targets

from matconv import Conv, Network, Objective
from matconv.kernels._losses import CODES, factor, hessian_product
from matconv.losses import get_loss

ROUNDS = 200
# relative to the largest element; no transcendental function is involved in the others
BOUNDS = {"softmax": 1e-12, "logistic": 1e-12}
EXACT = 1e-13


def rows_of(y, n):
    """Targets as rows, and which elements are labelled."""
    if y.ndim == 1:
        rows = torch.zeros((len(y), n), dtype=torch.double)
        for i, c in enumerate(y):
            if c >= 0:
                rows[i, c] = 1
        return rows, torch.from_numpy(np.repeat(y[:, None] >= 0, n, axis=1))
    rows = torch.from_numpy(np.array(y, np.float64))
    return rows, torch.ones_like(rows, dtype=torch.bool)


def per_sample(name, z, y):
    """xi of each sample by PyTorch's own losses, or by their definition."""
    name, _, parameter = name.partition(":")
    rows, labelled = rows_of(y, z.shape[1])
    c = 2 * rows - 1
    if name in ("logistic", "hinge", "squared_hinge") and y.ndim == 2:
        labelled = rows >= 0
        rows = rows.clamp(min=0)
        c = 2 * rows - 1
    if name == "softmax":
        if y.ndim == 2:
            return F.cross_entropy(z, rows, reduction="none")
        return F.cross_entropy(z, torch.from_numpy(y), ignore_index=-1, reduction="none")
    if name == "structured_hinge":
        found = []
        for i, label in enumerate(y):
            if label < 0:
                found.append(0 * z[i].sum())
                continue
            others = torch.cat([z[i, :label], z[i, label + 1 :]])
            found.append(F.relu(1 - z[i, label] + others.max()))
        return torch.stack(found)
    elements = {
        "squared": lambda: F.mse_loss(z, rows, reduction="none"),
        "absolute": lambda: F.l1_loss(z, rows, reduction="none"),
        "huber": lambda: F.huber_loss(z, rows, reduction="none", delta=float(parameter or 1)),
        "logistic": lambda: F.binary_cross_entropy_with_logits(z, rows, reduction="none"),
        "hinge": lambda: F.relu(1 - c * z),
        "squared_hinge": lambda: F.relu(1 - c * z) ** 2,
        "multiclass_hinge": lambda: F.relu(1 - z) * rows,
    }[name]()
    return torch.where(labelled, elements, torch.zeros(())).sum(dim=1)


def difference(found, truth, terms=0.0):
    """The largest difference relative to the largest element, or to terms that cancel in it."""
    size = max(np.abs(truth).max(initial=0.0), np.max(terms))
    return np.abs(found - truth).max(initial=0.0) / (size if size else 1.0)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_loss_is_that_of_pytorch(name, kind, record_property):
    """Value, gradient, B dz against the double backward, and S S' = B, in Python and compiled."""
    loss, worst = get_loss(name), 0.0
    code, parameter = CODES[loss.name], loss.parameter
    for seed in range(ROUNDS):
        random = np.random.default_rng(seed)
        l, n = int(random.integers(1, 9)), int(random.integers(2, 12))
        z = random.choice([0.3, 3.0, 30.0]) * random.standard_normal((l, n))
        y = loss.targets(targets(kind, random, l, n), l, n, np.float64)
        weights, tz = random.random(l) + 0.1, random.standard_normal((l, n))
        z_ = torch.from_numpy(z.copy()).requires_grad_()
        total = (per_sample(name, z_, y) * torch.from_numpy(weights)).sum()
        (dz_,) = torch.autograd.grad(total, z_, create_graph=True)
        product = torch.zeros_like(z_)
        if dz_.requires_grad:
            (found,) = torch.autograd.grad(
                (dz_ * torch.from_numpy(tz)).sum(), z_, allow_unused=True
            )
            product = product if found is None else found
        rows = [loss.value_and_gradient(z[i : i + 1], y[i : i + 1]) for i in range(l)]
        value = sum(w * one for w, (one, _) in zip(weights, rows))
        dz = np.concatenate([w * one for w, (_, one) in zip(weights, rows)])
        by_python = loss.hessian_product(z, y, tz) * weights[:, None]
        S = loss.factor(z, y) * np.sqrt(weights)[:, None, None]
        compiled = hessian_product(code, z, y, tz, weights, 1.0, parameter)
        S_compiled = factor(code, z, y, weights, 1.0, parameter)
        truth = product.detach().numpy(force=True)
        # softmax: log sum exp(z) - z_y; p - y with elements up to 1; p (tz - p'tz); also of sigmoid
        cancel = [np.abs(z).max(), weights.max(), np.abs(tz).max()] if name in BOUNDS else [0] * 3
        products = [
            by_python,
            compiled,
            np.einsum("ijk,imk,im->ij", S, S, tz),
            np.einsum("ijk,imk,im->ij", S_compiled, S_compiled, tz),
        ]
        worst = max(
            worst,
            difference(value, total.item(), cancel[0]),
            difference(dz, dz_.detach().numpy(), cancel[1]),
            *(difference(one, truth, cancel[2]) for one in products),
        )
        assert name not in FLAT or not (truth.any() or compiled.any() or S.size)
    record_property("largest", worst)
    print(f"{name:>17} {kind:<13} {worst:.1e}")
    assert worst <= BOUNDS.get(name, EXACT)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_objective_is_that_of_pytorch(name, kind, dense):
    """f and dW of a 1 x 1 convolution, by the compiled loss, with weights, of images or positions."""
    worst = 0.0
    for seed in range(ROUNDS):
        random = np.random.default_rng(seed)
        l, n = int(random.integers(2, 9)), int(random.integers(2, 6))
        height, width = (
            (int(random.integers(1, 5)), int(random.integers(1, 5))) if dense else (1, 1)
        )
        net = Network((height, width, 3), [Conv(n, 1)])
        Z, theta = random.standard_normal((l, height, width, 3)), 2 * random.standard_normal(net.n)
        weights = random.integers(0, 4, l) + random.random(l)
        samples = l * height * width
        y = targets(kind, random, samples, n)
        y[0] = abs(y[0])
        shape = (l, height, width) if dense else (l,)
        f = Objective(net, Z, y.reshape(*shape, *y.shape[1:]), name, weights=weights)
        value, gradient = f.value_and_gradient(theta)

        theta_ = torch.from_numpy(theta.copy()).requires_grad_()
        W, b = theta_[: 3 * n].reshape(3, n), theta_[3 * n :]
        z = torch.from_numpy(Z.reshape(samples, 3)) @ W + b
        y = get_loss(name).targets(y, samples, n, np.float64)
        w = torch.from_numpy(np.repeat(weights, height * width))
        labelled = (y >= 0) if y.ndim == 1 else np.ones(samples, bool)
        if kind == "attributes":
            labelled = (y >= 0).any(axis=1)
        total = (per_sample(name, z, y) * w).sum() / w[torch.from_numpy(labelled)].sum()
        total.backward()
        worst = max(worst, difference(value, total.item()))
        worst = max(worst, difference(gradient, theta_.grad.numpy()))
    print(f"{name:>17} {kind:<13} {worst:.1e}")
    assert worst <= 1e-12


def test_every_kind_of_targets_is_compared():
    assert all(kinds(name) for name, _ in CASES)
