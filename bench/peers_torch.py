"""PyTorch as a peer, in two memory formats."""

import contextlib
import functools

import graphs
import nets
import numpy as np
import torch
import torch.nn.functional as F
from peers import layer_side, net_side

#: Channels slowest, channels fastest.
_FORMATS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}

FORMS = tuple(_FORMATS)


@contextlib.contextmanager
def limit(threads):
    """PyTorch on this number of threads inside the ``with`` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tensor(images, dtype, form):
    """Images (l, b, a, d) as a tensor (l, d, b, a) of its own memory and alignment."""
    array = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype)
    return torch.tensor(array).contiguous(memory_format=_FORMATS[form])


def layer(case, dtype, threads, form):
    """PyTorch's own convolution and its own backward pass, without autograd's bookkeeping."""
    window = case.window
    Z, dS = (tensor(case.data[key], dtype, form) for key in ("Z", "dS"))
    W = tensor(case.data["W"].transpose(3, 1, 2, 0), dtype, form)
    b = torch.from_numpy(case.data["b"].astype(dtype))
    geometry = (window.stride, window.begin, window.dilation)

    def forward():
        return F.conv2d(Z, W, b, *geometry, window.groups)

    def backward():
        """dZ, dW, db."""
        more = (False, [0, 0], window.groups, [True] * 3)
        return torch.ops.aten.convolution_backward(dS, Z, W, [len(b)], *geometry, *more)

    axes = {"S": (0, 2, 3, 1), "dZ": (0, 2, 3, 1), "dW": (1, 2, 3, 0), "db": (0,)}

    def convert(key, value):
        return value.permute(axes[key]).numpy()

    about = {"context": functools.partial(limit, threads), "form": form}
    return layer_side(f"torch {dtype}", dtype, forward, backward, convert, **about)


def parameters(node, arrays, form):
    """The arrays of a layer as leaves; of a Scale also a mean of zeros and a variance of ones."""
    made = [torch.tensor(array) for array in arrays]
    if node.kind == "Conv":
        # `contiguous` would leave the strides of a single channel as they are
        made[0] = made[0].to(memory_format=_FORMATS[form])
    made = [one.requires_grad_() for one in made]
    if node.kind == "Scale":
        made = [torch.zeros_like(made[0]), torch.ones_like(made[0]), *made]
    return made


def _conv(node, arrays, z):
    W, b, window = *(*arrays, None)[:2], node.window
    if not window.even:
        z, window = F.pad(z, _sides(window.pad)), window._replace(pad=((0, 0), (0, 0)))
    return F.conv2d(z, W, b, window.stride, window.begin, window.dilation, window.groups)


def _sides(pad):
    """Left, right, top, bottom."""
    return [*pad[1], *pad[0]]


def _max_pool(node, arrays, z):
    # more at the bottom and right than at the top and left is what rounding up adds
    window = node.window
    return F.max_pool2d(z, window.kernel, window.stride, window.begin, ceil_mode=not window.even)


def _avg_pool(node, arrays, z):
    window = node.window
    if node.whole:
        return F.adaptive_avg_pool2d(z, 1)
    options = {"ceil_mode": not window.even, "count_include_pad": node.layer.count_pad}
    return F.avg_pool2d(z, window.kernel, window.stride, window.begin, **options)


def _add(node, arrays, first, *others):
    factor, *factors = node.factors
    z = first if factor == 1 else factor * first
    for other, factor in zip(others, factors, strict=True):
        z = torch.add(z, other, alpha=factor)
    return z


def _lrn(node, arrays, z):
    layer = node.layer  # PyTorch divides alpha by the size
    return F.local_response_norm(z, layer.size, layer.alpha * layer.size, layer.beta, layer.k)


def _activated(z, activation):
    return torch.relu(z) if activation == "relu" else F.hardtanh(z, activation.lo, activation.hi)


_KINDS = {
    "Activation": lambda node, arrays, z: z,
    "Add": _add,
    "AvgPool": _avg_pool,
    "Concat": lambda node, arrays, *z: torch.cat(z, 1),
    "Conv": _conv,
    "Dense": lambda node, arrays, z: F.linear(z.flatten(1), *arrays),
    "LRN": _lrn,
    "MaxPool": _max_pool,
    # batch normalisation with fixed moments
    "Scale": lambda node, arrays, z: F.batch_norm(z, *arrays, training=False, eps=0.0),
}


def _squares(z, y):  # labels are zeros
    return z.square().sum() / len(z)


def _cross_entropy(z, y):
    return F.cross_entropy(z.flatten(1), y)


def evaluate(layers, Z):
    """The outputs of layers, [(Node, tensors)]."""
    return graphs.evaluate(layers, _KINDS, _activated, Z)


def net(case, dtype, threads, form):
    """PyTorch as its users write it: zero_grad, forward, loss, backward, the optimizer's step."""
    walk = graphs.walk(case.net.network, case.theta.astype(dtype), first=True)
    layers = [(node, parameters(node, arrays, form)) for node, arrays in walk]
    leaves = [one for _, arrays in layers for one in arrays if one.requires_grad]
    del walk
    Z, y = tensor(case.data[0], dtype, form), torch.tensor(case.data[1])
    loss = _squares if case.net.loss == "squared" else _cross_entropy
    optimizer = torch.optim.SGD(leaves, lr=nets.RATE)

    def forward():
        with torch.inference_mode():
            return evaluate(layers, Z)

    def gradient():
        optimizer.zero_grad()
        f = loss(evaluate(layers, Z), y)
        f.backward()
        return f.detach(), [p.grad for p in leaves]

    def step():
        f, _ = gradient()
        optimizer.step()
        return f

    passes = {"forward": forward, "gradient": gradient, "step": step, "predict": forward}
    about = {"context": functools.partial(limit, threads), "form": form}
    return net_side(f"torch {dtype}", dtype, passes, nets.channels_last, **about)
