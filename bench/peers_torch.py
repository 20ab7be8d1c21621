"""PyTorch as a peer, in two memory formats."""

import contextlib
import functools

import nets
import numpy as np
import torch
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
    step = case.step
    Z, dS = (tensor(case.data[key], dtype, form) for key in ("Z", "dS"))
    W = tensor(case.data["W"].transpose(3, 1, 2, 0), dtype, form)
    b = torch.from_numpy(case.data["b"].astype(dtype))
    geometry = (step.stride, step.pad, step.dilation)

    def forward():
        return torch.nn.functional.conv2d(Z, W, b, *geometry, step.groups)

    def backward():
        """dZ, dW, db."""
        about = ([step.channels], *([n, n] for n in geometry))
        more = (False, [0, 0], step.groups, [True] * 3)
        return torch.ops.aten.convolution_backward(dS, Z, W, *about, *more)

    axes = {"S": (0, 2, 3, 1), "dZ": (0, 2, 3, 1), "dW": (1, 2, 3, 0), "db": (0,)}

    def convert(key, value):
        return value.permute(axes[key]).numpy()

    about = {"context": functools.partial(limit, threads), "form": form}
    return layer_side(f"torch {dtype}", dtype, forward, backward, convert, **about)


def model(net, values, dtype):
    """`torch.nn.Sequential` of a network with these parameters."""
    modules = []
    for step, arrays in nets.walk(net, values, dtype, first=True):
        modules += _KINDS[step.kind](step)
        for name, array in zip(("weight", "bias"), arrays, strict=False):
            setattr(modules[-1], name, torch.nn.Parameter(torch.tensor(array)))
        if step.relu:
            modules.append(torch.nn.ReLU())
    return torch.nn.Sequential(*modules)


def _conv(step):
    geometry = (step.stride, step.pad, step.dilation, step.groups)
    return [torch.nn.Conv2d(step.before[2], step.channels, step.kernel, *geometry)]


def _dense(step):
    flat = [torch.nn.Flatten()] if len(step.before) == 3 else []
    return [*flat, torch.nn.Linear(*step.weights)]


_KINDS = {
    "conv": _conv,
    "pool": lambda step: [torch.nn.MaxPool2d(step.kernel, step.stride)],
    "dense": _dense,
}


def _squares(z, y):  # labels are zeros
    return z.square().sum() / len(z)


def net(case, dtype, threads, form):
    """PyTorch as its users write it: zero_grad, forward, loss, backward, the optimizer's step."""
    built = model(case.net, case.values, dtype).to(memory_format=_FORMATS[form])
    Z, y = tensor(case.data[0], dtype, form), torch.tensor(case.data[1])
    loss = _squares if case.net.loss == "squared" else torch.nn.functional.cross_entropy
    optimizer = torch.optim.SGD(built.parameters(), lr=nets.RATE)

    def forward():
        with torch.inference_mode():
            return built(Z)

    def gradient():
        optimizer.zero_grad()
        f = loss(built(Z), y)
        f.backward()
        return f.detach(), [p.grad for p in built.parameters()]

    def step():
        f, _ = gradient()
        optimizer.step()
        return f

    passes = {"forward": forward, "gradient": gradient, "step": step, "predict": forward}
    about = {"context": functools.partial(limit, threads), "form": form}
    return net_side(f"torch {dtype}", dtype, passes, nets.channels_last, **about)
