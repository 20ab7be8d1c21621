"""JAX as a peer: each pass one compiled function, channels fastest.

XLA keeps a pool of threads whose size it reads once, when its client is made, from the environment
variable NPROC; nothing changes it later.  So a side with another number of threads than the last
one gets a new client, and what was compiled or stored for the old one cannot be used any more.
"""

import functools
import os

import nets
import numpy as np
from peers import net_side

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax
import jax.extend.backend

jax.config.update("jax_enable_x64", True)

FORMS = ("nhwc",)


# one client at a time: a cached call is the number of threads that it has
@functools.lru_cache(maxsize=1)
def client(threads):
    """Make a client whose pool has this many threads, unless it has."""
    jax.extend.backend.clear_backends()
    jax.clear_caches()
    os.environ["NPROC"] = str(threads)
    jax.devices()  # makes the client


def _conv(step, Z, W, b):
    pads = ((step.pad,) * 2,) * 2
    return b + jax.lax.conv_general_dilated(
        *(Z, W, (step.stride,) * 2, pads),
        rhs_dilation=(step.dilation,) * 2,
        dimension_numbers=("NHWC", "IHWO", "NHWC"),
        feature_group_count=step.groups,
    )


def _pool(step, Z):
    window, strides = (1, *step.kernel, 1), (1, step.stride, step.stride, 1)
    return jax.lax.reduce_window(Z, -np.inf, jax.lax.max, window, strides, "VALID")


def _dense(step, Z, W, b):
    return Z.reshape(len(Z), -1) @ W + b


_KINDS = {"conv": _conv, "pool": _pool, "dense": _dense}


def net(case, dtype, threads, form):
    """Each pass one compiled function; a step reuses the memory of the old parameters."""
    client(threads)
    Z, y = jax.device_put(case.data[0].astype(dtype)), jax.device_put(case.data[1])
    walk = nets.walk(case.net, case.values, dtype)
    values = jax.device_put([arrays for _, arrays in walk])

    def outputs(values, Z):
        for (step, _), arrays in zip(walk, values, strict=True):
            Z = _KINDS[step.kind](step, Z, *arrays)
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

    outputs_, loss_ = jax.jit(outputs), jax.jit(jax.value_and_grad(loss))
    update_ = jax.jit(update, donate_argnums=0)

    def forward():
        return jax.block_until_ready(outputs_(values, Z))

    def gradient():
        f, slopes = jax.block_until_ready(loss_(values, Z, y))
        return f, jax.tree.leaves(slopes)

    def step():
        nonlocal values
        f, values = jax.block_until_ready(update_(values, Z, y))
        return f

    passes = {"forward": forward, "gradient": gradient, "step": step}
    return net_side(f"jax {dtype}", dtype, passes, form=form)
