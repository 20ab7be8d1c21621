"""An exported network with a loss that is opened and used by the C functions."""

import ctypes
import os

import numpy as np
from threadpoolctl import threadpool_limits

from support.capi import OK, Loss, ObjectiveShape, Samples, entry, poisoned

CANARY = 0x5A5A5A5A
POLL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


def exported(net, theta, folder):
    """Return the bytes of the file that `Network.export` writes."""
    path = folder / "net"
    net.export(theta, path)
    return path.read_bytes()


class OpenedObjective:
    """An objective from the bytes of a file or from a path; `status` is the status of opening it.

    ``loss`` is a `Loss`, a name, or None.
    """

    def __init__(self, source, loss="softmax", output=0):
        self.handle = ctypes.c_void_p(CANARY)
        loss = Loss(loss) if isinstance(loss, str) else loss
        if isinstance(source, bytes):
            held = np.frombuffer(source, np.uint8).copy()
            call = entry("objective_open_memory")
            self.status = call(held, len(source), loss, output, self.handle)
            held.fill(0xA5)  # the bytes are not needed after opening
        else:
            self.status = entry("objective_open")(os.fsencode(source), loss, output, self.handle)
        assert (self.status == OK) == bool(self.pointer) and self.pointer != CANARY

    def __enter__(self):
        assert self.status == OK
        shape = self.shape()
        self.n, self.dtype = shape[2], np.dtype(f"f{shape[3]}")
        self.size = int(np.prod(shape[1]))
        return self

    def __exit__(self, *exception):
        assert entry("objective_close")(self.pointer) is None
        self.handle.value = None

    @property
    def pointer(self):
        """The handle for the C functions; None without an objective."""
        return self.handle.value

    def shape(self):
        """Return the shapes of the input and of the output, the parameters and the element size."""
        shape = ObjectiveShape()
        assert entry("objective_get_shape")(self.pointer, shape) == OK
        sizes = [getattr(shape, name) for name, _ in ObjectiveShape._fields_[1:]]
        return tuple(sizes[:3]), tuple(sizes[3:6]), sizes[6], sizes[7]

    def workspace(self, images):
        """Return the elements of scratch for gradients, and for products."""
        sizes = ctypes.c_ssize_t(-1), ctypes.c_ssize_t(-1)
        assert entry("objective_workspace_size")(self.pointer, images, *sizes) == OK
        return sizes[0].value, sizes[1].value

    def theta(self):
        """Return the theta of the file."""
        theta = poisoned(self.n, self.dtype)
        assert entry("objective_get_theta", self.dtype)(self.pointer, theta) == OK
        return theta

    def call(self, name, *arguments, product, poll=None):
        """Call a function with one BLAS thread and exactly the scratch that it needs.

        The scratch begins anywhere; what is around it must not be written to. Returns the status.
        """
        images = next(len(a) for a in arguments if isinstance(a, np.ndarray) and a.ndim == 4)
        size = self.workspace(images)[product]
        block = poisoned(size + 34, self.dtype)
        scratch = block[17 : 17 + size]
        with threadpool_limits(1):
            status = entry(name, self.dtype)(
                self.pointer, *arguments, scratch, size, ctypes.cast(poll, ctypes.c_void_p).value,
                None,
            )  # fmt: skip
        rest = np.delete(block, slice(17, 17 + size))
        assert rest.tobytes() == poisoned(34, self.dtype).tobytes()
        return status

    def gradient(self, theta, Z, labels=None, targets=None, weights=None, divisor=None):
        """Return f and its gradient."""
        samples = Samples(len(Z), labels, weights, divisor or len(Z))
        value, gradient = ctypes.c_double(), poisoned(self.n, self.dtype)
        value_pointer = ctypes.c_void_p(ctypes.addressof(value))
        status = self.call(
            "objective_gradient", theta, samples, Z, targets, value_pointer.value, gradient,
            product=False,
        )  # fmt: skip
        assert status == OK
        return value.value, gradient

    def jvp(self, theta, Z, v):
        tz = poisoned((len(Z), self.size), self.dtype)
        assert self.call("objective_jvp", theta, len(Z), Z, v, tz, product=True) == OK
        return tz

    def vjp(self, theta, Z, u):
        product = poisoned(self.n, self.dtype)
        assert self.call("objective_vjp", theta, len(Z), Z, u, product, product=False) == OK
        return product

    def gauss_newton(self, theta, Z, v, labels=None, targets=None, weights=None, divisor=None):
        samples = Samples(len(Z), labels, weights, divisor or len(Z))
        product = poisoned(self.n, self.dtype)
        status = self.call(
            "objective_gauss_newton", theta, samples, Z, targets, v, product, product=True
        )
        assert status == OK
        return product
