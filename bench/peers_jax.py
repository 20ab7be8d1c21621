"""JAX as a peer: each pass one compiled function, in two memory formats.

XLA keeps a pool of threads whose size it reads once, when its client is made, from the environment
variable NPROC; nothing changes it later.  So a side with another number of threads than the last
one gets a new client, and what was compiled or stored for the old one cannot be used any more.
Not every operation uses the pool: JAX's users get the same, so it is measured as it is.
"""

import os

import nets
import numpy as np
from peers import Side, imported
from peers_matconv import RATE

PASSES = {"net": ("forward", "gradient", "step")}

#: Channels fastest, channels slowest.
FORMS = ("nhwc", "nchw")

_AXES = {"nhwc": (0, 1, 2, 3), "nchw": (0, 3, 1, 2)}
_threads_of_client = None


def require():
    """The module jax, on the CPU and with float64."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    jax = imported("jax", "JAX")
    jax.config.update("jax_enable_x64", True)
    return jax


def client(threads):
    """The module jax, with a client whose pool has this many threads."""
    global _threads_of_client
    jax = require()
    if _threads_of_client != threads:
        import jax.extend.backend

        jax.extend.backend.clear_backends()
        jax.clear_caches()
        before = os.environ.get("NPROC")
        os.environ["NPROC"] = str(threads)
        try:
            jax.devices()  # makes the client
        finally:
            del os.environ["NPROC"]
            if before is not None:
                os.environ["NPROC"] = before
        _threads_of_client = threads
    return jax


def _put(array, dtype, axes=None):
    array = array if axes is None else array.transpose(axes)
    return require().device_put(np.ascontiguousarray(array, dtype))


def _conv(form, step, Z, W, b):
    """W is (d, h_b, h_a, f) whatever the form of the images."""
    stride, pad, dilation = (step.options[name] for name in ("stride", "pad", "dilation"))
    S = require().lax.conv_general_dilated(
        *(Z, W, (stride, stride), ((pad, pad), (pad, pad))),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=(form.upper(), "IHWO", form.upper()),
        feature_group_count=step.options["groups"],
    )
    return S + (b if form == "nhwc" else b[:, None, None])


def _pool(form, step, Z):
    jax = require()
    side, stride = step.options["side"], (step.options["stride"],) * 2
    window, strides = (
        (1, *pair, 1) if form == "nhwc" else (1, 1, *pair) for pair in (side, stride)
    )
    return jax.lax.reduce_window(Z, -np.inf, jax.lax.max, window, strides, "VALID")


def _dense(form, step, Z, W, b):
    return Z.reshape(len(Z), -1) @ W + b


_KINDS = {"conv": _conv, "pool": _pool, "dense": _dense}


def net(case, dtype, threads, form):
    """Each pass one compiled function; a step gives its old parameters' memory back."""
    jax, steps = client(threads), nets.steps(case.net)
    Z, y = _put(case.data[0], dtype, _AXES[form]), jax.device_put(case.data[1])
    values = []
    for step, value in zip(steps, case.values, strict=True):
        arrays = () if value is None else value
        if form == "nchw" and step.kind == "dense":
            arrays = nets.channels_first(step, value[0]).T, value[1]
        values.append(tuple(_put(array, dtype) for array in arrays))

    def outputs(values, Z):
        for step, arrays in zip(steps, values, strict=True):
            Z = _KINDS[step.kind](form, step, Z, *arrays)
            if step.options["relu"]:
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
        return f, jax.tree.map(lambda p, g: p - RATE * g, values, slopes)

    wait = jax.block_until_ready
    compiled = (
        jax.jit(outputs),
        jax.jit(jax.value_and_grad(loss)),
        jax.jit(update, donate_argnums=0),
    )

    def forward():
        return wait(compiled[0](values, Z))

    def gradient():
        return wait(compiled[1](values, Z, y))

    def step():
        nonlocal values
        f, values = wait(compiled[2](values, Z, y))
        return f

    def results(which):
        if which == "forward":
            z = np.asarray(forward())
            return {"outputs": z.transpose(np.argsort(_AXES[form])) if z.ndim == 4 else z}
        f, slopes = gradient()
        squares = (float((np.asarray(g, np.float64) ** 2).sum()) for g in jax.tree.leaves(slopes))
        return {"f": float(f), "norm": sum(squares) ** 0.5}

    dtype, passes = np.dtype(dtype), {"forward": forward, "gradient": gradient, "step": step}
    return Side(f"jax {dtype.name}", dtype, passes, results, form=form)
