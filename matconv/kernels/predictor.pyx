"""Frozen networks from Python: `Predictor`."""

from libc.string cimport memset

import numpy as np

cimport numpy as cnp

from .arrays cimport as_input, as_output, as_scratch, check_shape, keep_scratch
from .frozen cimport (
    Shape, frozen_close, frozen_ends_dense, frozen_open_memory, frozen_predict,
    frozen_shape, frozen_workspace,
)
from .status cimport FORMAT, MEMORY, OK, VERSION

from .geometry import as_size

cnp.import_array()


cdef raise_opening(int status):
    if status == MEMORY:
        raise MemoryError("Predictor: no memory for the network's weights")
    if status == VERSION:
        raise ValueError("Predictor: an exported network of a newer version of the format")
    raise ValueError("Predictor: not an exported network, or a damaged one")


cdef class Predictor:
    """A network with its weights, ready to be used: immutable, by any number of threads at once.

    `Network.freeze` makes one, `load_predictor` reads one. Filters are transformed or permuted
    once, the whole forward pass is one call without the GIL, on the thread that calls.

    A predictor is pickled as its exported network, which it keeps for that purpose: ``nbytes``
    bytes, about as many as theta has, in addition to the prepared filters. A copy is the
    predictor itself.

    Parameters
    ----------
    data : bytes-like
        An exported network. A ``bytes`` object is kept as it is, anything else is copied.

    Attributes
    ----------
    nbytes : int
        Size of the exported network.
    input_shape, output_shape : tuple
        (height, width, channels) of one image and of its output; (units,) after a dense layer.
    dtype : float64 or float32

    Raises
    ------
    TypeError, ValueError, MemoryError

    Examples
    --------
    >>> import numpy as np
    >>> from matconv import Conv, Dense, MaxPool, Network
    >>> net = Network((8, 8, 1), [Conv(4, 3, pad="same"), MaxPool(2), Dense(10)])
    >>> theta = net.init(seed=0)
    >>> predictor = net.freeze(theta)
    >>> Z = np.ones((3, 8, 8, 1))
    >>> np.allclose(predictor(Z), net.forward(theta, Z))
    True
    """

    def __cinit__(self, data):
        cdef const unsigned char[::1] view
        cdef int status
        cdef Shape shape
        try:
            view = memoryview(data).cast("B")
        except TypeError:
            raise TypeError(
                f"Predictor: data must be bytes, got {type(data).__name__}"
            ) from None
        if view.shape[0] == 0:
            raise_opening(FORMAT)
        self.data = data if type(data) is bytes else bytes(view)
        view = self.data
        with nogil:
            status = frozen_open_memory(&view[0], view.shape[0], &self.network)
        if status != OK:
            raise_opening(status)
        memset(&shape, 0, sizeof(Shape))
        shape.struct_size = sizeof(Shape)
        frozen_shape(self.network, &shape)
        self.input_shape = (shape.b, shape.a, shape.d)
        self.output_shape = (shape.b_out, shape.a_out, shape.d_out)
        if frozen_ends_dense(self.network):
            self.output_shape = (shape.d_out,)
        self.dtype = np.dtype(np.float64 if shape.item_size == 8 else np.float32)

    def __dealloc__(self):
        frozen_close(self.network)

    def __reduce__(self):
        return type(self), (self.data,)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    @property
    def nbytes(self):
        """Size of the exported network, in bytes."""
        return len(self.data)

    def workspace_size(self, n):
        """Numbers of scratch that `into` needs for n images, and for any fewer.

        Raises
        ------
        TypeError, ValueError, OverflowError
        """
        return self.size_for(as_size("Predictor", "n", n))

    cdef Py_ssize_t size_for(self, Py_ssize_t n) except -1:
        cdef Py_ssize_t size = 0
        if n < 0:
            raise ValueError(f"Predictor: n must be at least 0, got {n}")
        if frozen_workspace(self.network, n, &size) != OK:
            raise OverflowError(f"Predictor: the size of the scratch for {n} images overflows")
        return size

    def into(self, Z, out, scratch=None):
        """The outputs of the last layer into ``out``; nothing is allocated when scratch is given.

        Parameters
        ----------
        Z : array, shape (n, *input_shape)
            Of the predictor's dtype; copied only if it is not C-contiguous.
        out : array, shape (n, *output_shape), or None
            C-contiguous, of the same dtype, not overlapping Z; a new one for None.
        scratch : 1-D array of at least ``workspace_size(n)`` numbers, optional
            Not shared by threads, not overlapping Z or ``out``.

        Returns
        -------
        out

        Raises
        ------
        TypeError, ValueError
            Nothing has been written then.
        """
        cdef cnp.ndarray images = as_input("Predictor", "Z", Z, 4)
        if images.dtype != self.dtype:
            raise TypeError(f"Predictor: Z is {images.dtype}, the network computes in {self.dtype}")
        cdef Py_ssize_t n = cnp.PyArray_DIM(images, 0)
        check_shape("Predictor", "Z", images, (n, *self.input_shape))
        cdef cnp.ndarray result = as_output(
            "Predictor", "out", out, (n, *self.output_shape), images, (("Z", Z),)
        )
        cdef cnp.ndarray work = as_scratch(
            "Predictor", scratch, self.size_for(n), images, (("Z", images), ("out", result))
        )
        cdef Py_ssize_t size = cnp.PyArray_SIZE(work)
        cdef bint is_double = cnp.PyArray_TYPE(images) == cnp.NPY_DOUBLE
        cdef void *images_ = cnp.PyArray_DATA(images)
        cdef void *out_ = cnp.PyArray_DATA(result)
        cdef void *work_ = cnp.PyArray_DATA(work)
        with nogil:
            if is_double:
                frozen_predict(
                    self.network, n, <const double *> images_, <double *> out_, <double *> work_,
                    size,
                )
            else:
                frozen_predict(
                    self.network, n, <const float *> images_, <float *> out_, <float *> work_, size
                )
        keep_scratch(scratch, work)
        return result

    def __call__(self, Z):
        """The outputs of the last layer for every image of Z.

        Parameters and errors as for `into`.

        Returns
        -------
        z : ndarray, shape (n, *output_shape)
        """
        return self.into(Z, None)
