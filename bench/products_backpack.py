"""BackPACK: quantities of single images, in one backward pass of a sequential PyTorch network."""

import functools
import itertools

import backpack
import graphs
import peers_torch
import torch
from backpack.extensions import BatchL2Grad, DiagGGNExact
from peers import product_side
from products_torch import flat

FORMS = ("nchw",)


def _modules(node, arrays):
    """The modules of a layer with its parameters; ValueError if there is none."""
    if node.kind == "Conv" and node.window.even:
        W, window = arrays[0], node.window
        options = (window.kernel, window.stride, window.begin, window.dilation, window.groups)
        made = [torch.nn.Conv2d(node.shape[2], len(W), *options, len(arrays) == 2)]
    elif node.kind == "Dense":
        made = [torch.nn.Flatten(), torch.nn.Linear(*arrays[0].shape[::-1], len(arrays) == 2)]
    elif node.kind == "MaxPool" and node.window.even:
        made = [torch.nn.MaxPool2d(node.window.kernel, node.window.stride, node.window.begin)]
    else:
        raise ValueError(f"layer {node.name!r}: BackPACK is measured without {node.kind}")
    made += [torch.nn.ReLU()] * (node.activation == "relu")
    for parameter, array in zip(
        itertools.chain(*(x.parameters() for x in made)), arrays, strict=True
    ):
        parameter.data = torch.tensor(array)
    return made


def products(case, dtype, threads, form):
    """The norms of the gradients of single images, and diag(G)."""
    walk = graphs.walk(case.net.network, case.theta.astype(dtype), first=True)
    layers = [module for node, arrays in walk for module in _modules(node, arrays)]
    model = backpack.extend(torch.nn.Sequential(*layers))
    Z, y = peers_torch.tensor(case.data[0], dtype, form), torch.tensor(case.data[1])
    losses = {x: backpack.extend(torch.nn.CrossEntropyLoss(reduction=x)) for x in ("sum", "mean")}

    def extended(extension, reduction, name):
        model.zero_grad()
        with backpack.backpack(extension):
            losses[reduction](model(Z), y).backward()
        return [getattr(parameter, name) for parameter in model.parameters()]

    passes = {
        "gradient_norms": lambda: sum(extended(BatchL2Grad(), "sum", "batch_l2")).sqrt(),
        "gauss_newton_diagonal": lambda: extended(DiagGGNExact(), "mean", "diag_ggn_exact"),
    }
    about = {"context": functools.partial(peers_torch.limit, threads), "form": form}
    return product_side(f"backpack {dtype}", dtype, passes, flat(case), **about)
