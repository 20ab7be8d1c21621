"""JAX as a peer: each pass one compiled function, in two memory formats.

XLA keeps a pool of threads whose size it reads once, when its client is made, from the environment
variable NPROC; nothing changes it later.  So a side with another number of threads than the last
one gets a new client, and what was compiled or stored for the old one cannot be used any more.
Not every operation uses the pool: JAX's users get the same, so it is measured as it is.
"""

import os

import nets
import numpy as np
from peers import Side

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax
import jax.extend.backend

jax.config.update("jax_enable_x64", True)

#: Channels fastest, channels slowest.
FORMS = ("nhwc", "nchw")

_threads_of_client = None


def client(threads):
    """Make a client whose pool has this many threads, unless it has."""
    global _threads_of_client
    if _threads_of_client != threads:
        jax.extend.backend.clear_backends()
        jax.clear_caches()
        os.environ["NPROC"] = str(threads)
        jax.devices()  # makes the client
        _threads_of_client = threads


def _conv(form, step, Z, W, b):
    """W is (d, h_b, h_a, f) whatever the form of the images."""
    S = jax.lax.conv_general_dilated(
        *(Z, W, (step.stride,) * 2, ((step.pad,) * 2,) * 2),
        rhs_dilation=(step.dilation,) * 2,
        dimension_numbers=(form.upper(), "IHWO", form.upper()),
        feature_group_count=step.groups,
    )
    return S + (b if form == "nhwc" else b[:, None, None])


def _pool(form, step, Z):
    pairs = (step.kernel, (step.stride,) * 2)
    window, strides = ((1, *pair, 1) if form == "nhwc" else (1, 1, *pair) for pair in pairs)
    return jax.lax.reduce_window(Z, -np.inf, jax.lax.max, window, strides, "VALID")


def _dense(form, step, Z, W, b):
    return Z.reshape(len(Z), -1) @ W + b


_KINDS = {"conv": _conv, "pool": _pool, "dense": _dense}


def net(case, dtype, threads, form):
    """Each pass one compiled function; a step reuses the memory of the old parameters."""
    client(threads)
    steps = nets.steps(case.net)
    axes = (0, 1, 2, 3) if form == "nhwc" else (0, 3, 1, 2)
    Z = jax.device_put(np.ascontiguousarray(case.data[0].transpose(axes), dtype))
    y = jax.device_put(case.data[1])
    values = []
    for step, value in zip(steps, case.values, strict=True):
        arrays = () if value is None else value
        if form == "nchw" and step.kind == "dense":
            arrays = nets.channels_first(step, value[0]).T, value[1]
        values.append(tuple(jax.device_put(x.astype(dtype)) for x in arrays))

    def outputs(values, Z):
        for step, arrays in zip(steps, values, strict=True):
            Z = _KINDS[step.kind](form, step, Z, *arrays)
            if step.relu:
                Z = jax.numpy.maximum(Z, 0)
        return Z

    def loss(values, Z, y):
        z = outputs(values, Z)
        if case.net.loss == "squared":  # labels are zeros
            return (z**2).sum() / len(z)
        chosen = jax.numpy.take_along_axis(z, y[:, None], axis=1)[:, 0]
        return (jax.nn.logsumexp(z, axis=1) - chosen).mean()

    def update(values, Z, y):
        f, slopes = jax.value_and_grad(loss)(values, Z, y)
        return f, jax.tree.map(lambda p, g: p - nets.RATE * g, values, slopes)

    outputs_, loss_, update_ = (
        jax.jit(outputs),
        jax.jit(jax.value_and_grad(loss)),
        jax.jit(update, donate_argnums=0),
    )

    def forward():
        return jax.block_until_ready(outputs_(values, Z))

    def gradient():
        return jax.block_until_ready(loss_(values, Z, y))

    def step():
        nonlocal values
        f, values = jax.block_until_ready(update_(values, Z, y))
        return f

    def results(which):
        if which == "forward":
            z = np.asarray(forward())
            return {"outputs": nets.channels_last(z) if form == "nchw" else z}
        f, slopes = gradient()
        squares = (float((np.asarray(g, np.float64) ** 2).sum()) for g in jax.tree.leaves(slopes))
        return {"f": float(f), "norm": sum(squares) ** 0.5}

    dtype, passes = np.dtype(dtype), {"forward": forward, "gradient": gradient, "step": step}
    return Side(f"jax {dtype.name}", dtype, passes, results, form=form)
