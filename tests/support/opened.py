"""An exported network that is opened and used by the C functions."""

import ctypes
import os

import numpy as np

from support.capi import OK, OVERFLOW, Shape, entry, pointers

CANARY = 0x5A5A5A5A


class Opened:
    """A network from the bytes of a file or from a path; `status` is the status of opening it."""

    def __init__(self, source):
        self.handle = ctypes.c_void_p(CANARY)
        if isinstance(source, (bytes, type(None))):
            self.status = self._from_memory(source)
        else:
            self.status = entry("network_open")(os.fsencode(source), self.handle)
        assert (self.status == OK) == bool(self.pointer) and self.pointer != CANARY

    def _from_memory(self, data):
        if data is None:
            return entry("network_open_memory")(None, 0, self.handle)
        held = np.frombuffer(data, np.uint8).copy()
        status = entry("network_open_memory")(held, len(data), self.handle)
        held.fill(0xA5)  # the bytes are not needed after opening
        return status

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    @property
    def pointer(self):
        """The handle for the C functions; None without a network."""
        return self.handle.value

    def close(self):
        assert entry("network_close")(self.pointer) is None
        self.handle.value = None

    def outputs(self):
        """Return the number of outputs."""
        count = ctypes.c_ssize_t(-1)
        assert entry("network_outputs")(self.pointer, count) == OK
        return count.value

    def shape(self, output=0):
        """Return the shapes of the input and of an output, and the element size."""
        shape = Shape()
        assert entry("network_get_shape")(self.pointer, output, shape) == OK
        sizes = [getattr(shape, name) for name, _ in Shape._fields_[1:]]
        return tuple(sizes[:3]), tuple(sizes[3:6]), sizes[6]

    def workspace(self, n):
        """Return the elements of scratch for n images; None if they overflow."""
        size = ctypes.c_ssize_t(-1)
        status = entry("network_workspace_size")(self.pointer, n, size)
        assert (status == OK and size.value >= 0) or (status, size.value) == (OVERFLOW, -1)
        return size.value if status == OK else None

    def predict(self, images, outs, scratch):
        """Return the status; ``outs`` is a list of arrays, or the array of the only output."""
        outs = [outs] if isinstance(outs, np.ndarray) else outs
        call = entry("network_predict", images.dtype)
        return call(self.pointer, len(images), images, pointers(*outs), scratch, scratch.size)

    def run(self, images):
        """Return the output in a new array, or a list of several."""
        outs = [
            np.empty((len(images), *self.shape(k)[1]), images.dtype) for k in range(self.outputs())
        ]
        scratch = np.empty(self.workspace(len(images)), images.dtype)
        assert self.predict(images, outs, scratch) == OK
        return outs[0] if len(outs) == 1 else outs
