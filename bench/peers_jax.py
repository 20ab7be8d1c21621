"""JAX as a peer: each pass one compiled function, channels fastest.

XLA keeps a pool of threads whose size it reads once, when its client is made, from the environment
variable NPROC; nothing changes it later.  So a side with another number of threads than the last
one gets a new client, and what was compiled or stored for the old one cannot be used any more.
"""

import functools
import os

import graphs
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


def _conv(node, arrays, Z):
    (W, *b), window = arrays, node.window
    S = jax.lax.conv_general_dilated(
        *(Z, W, window.stride, window.pad),
        rhs_dilation=window.dilation,
        dimension_numbers=("NHWC", "IHWO", "NHWC"),
        feature_group_count=window.groups,
    )
    return S + b[0] if b else S


def _reduced(window, Z, start, function):
    sizes = ((1, *window.kernel, 1), (1, *window.stride, 1), ((0, 0), *window.pad, (0, 0)))
    return jax.lax.reduce_window(Z, start, function, *sizes)


def _max_pool(node, arrays, Z):
    return _reduced(node.window, Z, -np.inf, jax.lax.max)


def _avg_pool(node, arrays, Z):
    counts = _reduced(node.window, np.ones((1, *node.shape[:2], 1), Z.dtype), 0.0, jax.lax.add)
    return _reduced(node.window, Z, 0.0, jax.lax.add) / counts


def _dense(node, arrays, Z):
    W, *b = arrays
    S = Z.reshape(len(Z), -1) @ W
    return S + b[0] if b else S


def _add(node, arrays, *Z):
    return sum(factor * z for factor, z in zip(node.factors, Z, strict=True))


def _lrn(node, arrays, Z):
    layer, after = node.layer, node.layer.size // 2
    sides = ((0, 0),) * (Z.ndim - 1) + ((layer.size - 1 - after, after),)
    window = (1,) * (Z.ndim - 1) + (layer.size,)
    total = jax.lax.reduce_window(Z**2, 0.0, jax.lax.add, window, (1,) * Z.ndim, sides)
    return Z * (layer.k + layer.alpha * total) ** -layer.beta


def _scale(node, arrays, Z):
    gain, *bias = arrays
    return Z * gain + bias[0] if bias else Z * gain


def _activated(z, activation):
    lo, hi = (0, None) if activation == "relu" else (activation.lo, activation.hi)
    return jax.numpy.clip(z, lo, hi)


_KINDS = {
    "Activation": lambda node, arrays, Z: Z,
    "Add": _add,
    "AvgPool": _avg_pool,
    "Concat": lambda node, arrays, *Z: jax.numpy.concatenate(Z, -1),
    "Conv": _conv,
    "Dense": _dense,
    "LRN": _lrn,
    "MaxPool": _max_pool,
    "Scale": _scale,
}


def functions(case, dtype, threads):
    """Parameters, images, labels; outputs of (parameters, Z), and f of (parameters, Z, y)."""
    client(threads)
    Z, y = jax.device_put(case.data[0].astype(dtype)), jax.device_put(case.data[1])
    walk = graphs.walk(case.net.network, case.theta.astype(dtype))
    nodes = [node for node, _ in walk]
    values = jax.device_put([arrays for _, arrays in walk])

    def outputs(values, Z):
        layers = list(zip(nodes, values, strict=True))
        return graphs.evaluate(layers, _KINDS, _activated, Z)

    def loss(values, Z, y):
        z = outputs(values, Z).reshape(len(Z), -1)
        if case.net.loss == "squared":  # labels are zeros
            return (z**2).sum() / len(z)
        chosen = jax.numpy.take_along_axis(z, y[:, None], axis=1)[:, 0]
        return (jax.nn.logsumexp(z, axis=1) - chosen).mean()

    return values, Z, y, outputs, loss


def net(case, dtype, threads, form):
    """Each pass one compiled function; a step reuses the memory of the old parameters."""
    values, Z, y, outputs, loss = functions(case, dtype, threads)

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
