"""JAX as a peer: a compiled layer in one of two memory formats, and its number of threads.

The size of XLA's thread pool is read from the environment variable NPROC when its client is made,
and cannot be changed.  A side with another number of threads than the last one gets a new client
(`client`); compiled functions and arrays belong to their client.  Some operations run on one thread
whatever the size of the pool is; JAX is measured as it is.
"""

import contextlib
import os

import numpy as np
import peers

#: Memory formats of images: channels fastest, channels slowest.
FORMS = ("nhwc", "nchw")

#: The axes of (l, b, a, d) in this order.
AXES = {"nhwc": (0, 1, 2, 3), "nchw": (0, 3, 1, 2)}

_threads_of_client = None


def require():
    """Return the module jax, on the CPU and with float64, or raise `peers.Missing`."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        import jax
    except ImportError:
        raise peers.Missing("JAX is not installed") from None
    jax.config.update("jax_enable_x64", True)
    return jax


def client(threads):
    """Give JAX a pool of this many threads; return the module jax."""
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
            if before is None:
                del os.environ["NPROC"]
            else:
                os.environ["NPROC"] = before
        _threads_of_client = threads
    return jax


class Jax(peers.Side):
    """``lax.conv_general_dilated`` and its transposes, each pass one compiled function."""

    def __init__(self, layer, data, dtype, threads, form="nhwc"):
        jax = client(threads)
        super().__init__(f"jax {np.dtype(dtype).name}", layer, dtype, threads)
        self.form, form = form, form.upper()
        self.axes = AXES[self.form]
        self.Z, self.dS = (self._put(data[key].transpose(self.axes)) for key in ("Z", "dS"))
        self.W, self.b = self._put(data["W"]), self._put(data["b"])

        def forward(Z, W, b):
            pad = (layer.pad, layer.pad)
            S = jax.lax.conv_general_dilated(
                *(Z, W, (layer.stride,) * 2, (pad, pad)),
                rhs_dilation=(layer.dilation,) * 2,
                dimension_numbers=(form, "IHWO", form),
                feature_group_count=layer.groups,
            )
            return S + (b if self.form == "nhwc" else b[:, None, None])

        def backward(Z, W, b, dS):
            return jax.vjp(forward, Z, W, b)[1](dS)

        def both(Z, W, b, dS):
            S, derive = jax.vjp(forward, Z, W, b)
            return S, derive(dS)

        self.wait = jax.block_until_ready
        self.compiled = [jax.jit(f) for f in (forward, backward, both)]

    def _put(self, array):
        return require().device_put(np.ascontiguousarray(array, self.dtype))

    def context(self):
        """Nothing to set: the pool has had its size since it was made."""
        return contextlib.nullcontext()

    def forward(self):
        """S."""
        return self.wait(self.compiled[0](self.Z, self.W, self.b))

    def backward(self):
        """dZ, dW, db."""
        return self.wait(self.compiled[1](self.Z, self.W, self.b, self.dS))

    def both(self):
        """S and the gradients in one function, so that the compiler sees them together."""
        return self.wait(self.compiled[2](self.Z, self.W, self.b, self.dS))

    def results(self):
        S, (dZ, dW, db) = self.both()
        named = {"S": S, "dZ": dZ, "dW": dW, "db": db}
        named = {key: np.asarray(value, np.float64) for key, value in named.items()}
        for key in ("S", "dZ"):
            named[key] = named[key].transpose(np.argsort(self.axes))
        return named
