"""PyTorch as a peer, in two memory formats."""

import contextlib

import nets
import numpy as np
from peers import Side, imported
from peers_matconv import RATE

PASSES = {
    "layer": ("forward", "backward", "both"),
    "net": ("forward", "gradient", "step", "predict"),
}

#: Channels slowest, channels fastest.
FORMS = ("nchw", "nhwc")


def require():
    """The module torch."""
    return imported("torch", "PyTorch")


def memory_format(form):
    """PyTorch's name of one of `FORMS`."""
    torch = require()
    return {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}[form]


@contextlib.contextmanager
def limit(threads):
    """PyTorch at this number of threads inside the ``with`` block."""
    torch = require()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tensor(images, dtype, form):
    """Images (l, b, a, d) as a tensor (l, d, b, a) of its own memory and alignment."""
    torch = require()
    view = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype))
    return view.clone().contiguous(memory_format=memory_format(form))


def layer(case, dtype, threads, form):
    """PyTorch's own convolution and its own backward pass, without autograd's bookkeeping."""
    torch, shape = require(), case.layer
    Z, dS = (tensor(case.data[key], dtype, form) for key in ("Z", "dS"))
    W = tensor(case.data["W"].transpose(3, 1, 2, 0), dtype, form)
    b = torch.from_numpy(case.data["b"].astype(dtype))
    numbers = (shape.stride, shape.pad, shape.dilation)
    pairs = [[n, n] for n in numbers]

    def forward():
        return torch.nn.functional.conv2d(Z, W, b, *numbers, shape.groups)

    def backward():
        """dZ, dW, db."""
        more = (False, [0, 0], shape.groups, [True] * 3)
        return torch.ops.aten.convolution_backward(dS, Z, W, [shape.filters], *pairs, *more)

    def both():
        return forward(), backward()

    def results(which):
        named = {}
        if which != "backward":
            named["S"] = forward().permute(0, 2, 3, 1)
        if which != "forward":
            dZ, dW, db = backward()
            named |= {"dZ": dZ.permute(0, 2, 3, 1), "dW": dW.permute(1, 2, 3, 0), "db": db}
        return {key: value.double().contiguous().numpy() for key, value in named.items()}

    passes = {"forward": forward, "backward": backward, "both": both}
    return _side(dtype, threads, form, passes, results)


def _side(dtype, threads, form, passes, results):
    dtype = np.dtype(dtype)
    return Side(f"torch {dtype.name}", dtype, passes, results, lambda: limit(threads), form)


def model(net, values, dtype):
    """`torch.nn.Sequential` of a network with these parameters."""
    torch, modules = require(), []
    for step, value in zip(nets.steps(net), values, strict=True):
        modules += _KINDS[step.kind](torch.nn, step)
        if value is not None:
            module = modules[-1].to(torch.from_numpy(np.empty(0, dtype)).dtype)
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(nets.channels_first(step, value[0])))
                module.bias.copy_(torch.from_numpy(value[1]))
        if step.options["relu"]:
            modules.append(torch.nn.ReLU())
    return torch.nn.Sequential(*modules)


def _conv(nn, step):
    o = step.options
    named = {key: o[key] for key in ("stride", "dilation", "groups")}
    return [nn.Conv2d(step.before[2], o["channels"], o["side"], padding=o["pad"], **named)]


def _dense(nn, step):
    flat = [nn.Flatten()] if len(step.before) == 3 else []
    return [*flat, nn.Linear(step.weights[0], step.weights[1])]


_KINDS = {
    "conv": _conv,
    "pool": lambda nn, step: [nn.MaxPool2d(step.options["side"], step.options["stride"])],
    "dense": _dense,
}


def loss_of(net):
    """The loss as PyTorch has it: the mean over the images of cross-entropies or squares."""
    functional = require().nn.functional
    if net.loss == "softmax":
        return functional.cross_entropy
    return lambda z, y: z.square().sum() / len(z)  # labels are zeros


def net(case, dtype, threads, form):
    """PyTorch as one writes it: zero_grad, forward, loss, backward, the optimizer's step."""
    torch = require()
    built = model(case.net, case.values, dtype).to(memory_format=memory_format(form))
    Z, y = tensor(case.data[0], dtype, form), torch.tensor(case.data[1])
    loss = loss_of(case.net)
    optimizer = torch.optim.SGD(built.parameters(), lr=RATE)

    def forward():
        with torch.no_grad():
            return built(Z)

    def predict():
        with torch.inference_mode():
            return built(Z)

    def gradient():
        optimizer.zero_grad()
        f = loss(built(Z), y)
        f.backward()
        return f

    def step():
        f = gradient()
        optimizer.step()
        return f

    def results(which):
        if which in ("forward", "predict"):
            z = forward()
            return {"outputs": (z.permute(0, 2, 3, 1) if z.ndim == 4 else z).numpy()}
        f = gradient().item()
        squares = sum(float((p.grad.double() ** 2).sum()) for p in built.parameters())
        return {"f": f, "norm": squares**0.5}

    passes = {"forward": forward, "gradient": gradient, "step": step, "predict": predict}
    return _side(dtype, threads, form, passes, results)
