"""Frozen networks from Python: `Predictor`."""

from libc.string cimport memset

import numpy as np

cimport numpy as cnp

from ._arrays cimport as_input, as_output, as_scratch, check_shape, keep_scratch
from ._description cimport FORMAT_VERSION, word
from ._prediction cimport (
    MAX_THREADS, frozen_execute, frozen_threads, frozen_workspace_threads,
)
from ._session cimport Session, session_close, session_end, session_open
from ._frozen cimport (
    Frozen, Shape, frozen_close, frozen_is_vector, frozen_open_memory, frozen_outputs,
    frozen_shape,
)
from ._status cimport MEMORY, OK, VERSION

from ._sizes import as_size

cnp.import_array()


# Raise the exception for a status of frozen_open_memory.
cdef raise_opening(int status, const unsigned char *data):
    if status == MEMORY:
        raise MemoryError("Predictor: no memory for the network's weights")
    if status == VERSION:
        raise ValueError(
            f"Predictor: an exported network of version {word(data, 1)} of the format; this "
            f"matconv reads version {FORMAT_VERSION}"
        )
    raise ValueError("Predictor: not an exported network, or a damaged one")


cdef tuple shapes_of(Frozen *network):
    """Return the shapes of an image and of each output, and the dtype."""
    cdef Py_ssize_t outputs = 0, k
    cdef Shape shape
    memset(&shape, 0, sizeof(Shape))
    shape.struct_size = sizeof(Shape)
    frozen_outputs(network, &outputs)
    shapes = []
    for k in range(outputs):
        frozen_shape(network, k, &shape)
        whole = (shape.b_out, shape.a_out, shape.d_out)
        shapes.append(whole[2:] if frozen_is_vector(network, k) else whole)
    dtype = np.dtype(np.float64 if shape.item_size == 8 else np.float32)
    return (shape.b, shape.a, shape.d), tuple(shapes), dtype


cdef int as_threads(object n_threads) except -1:
    threads = as_size("Predictor", "n_threads", n_threads)
    if not 1 <= threads <= MAX_THREADS:
        raise ValueError(
            "Predictor: n_threads must be from 1 to {}, got {}".format(MAX_THREADS, threads)
        )
    return threads


cdef class Predictor:
    """A network with its weights, for predictions; immutable and thread-safe.

    `Network.freeze` makes a predictor, `load_predictor` reads one. Filters are prepared once. The
    whole forward pass is one call without the GIL, on the calling thread and ``n_threads - 1``
    others. During a call BLAS has one thread; the outputs have the same bits for any number of
    threads.

    A predictor is pickled as its exported network, which it keeps for that purpose: ``nbytes``
    bytes, about as many as theta has, in addition to the prepared filters. Copying it returns the
    predictor itself.

    Parameters
    ----------
    data : bytes-like
        An exported network. A ``bytes`` object is kept without a copy.

    Attributes
    ----------
    nbytes : int
        Size of the exported network.
    input_shape, output_shape : tuple
        (height, width, channels) of one image and of its output; (units,) after a dense layer. With
        several outputs ``output_shape`` is a tuple of their shapes, in order.
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

    cdef object __weakref__
    cdef Frozen *network
    cdef bytes data                 # the exported network, for pickling
    cdef readonly tuple input_shape, output_shape
    cdef tuple output_shapes, names     # one for each output, also if there is only one
    cdef readonly object dtype

    def __cinit__(self, data):
        cdef const unsigned char *content
        cdef Py_ssize_t size
        cdef int status
        try:
            self.data = data if type(data) is bytes else bytes(memoryview(data).cast("B"))
        except TypeError:
            raise TypeError(
                f"Predictor: data must be bytes, got {type(data).__name__}"
            ) from None
        content, size = self.data, len(self.data)
        with nogil:
            status = frozen_open_memory(content, size, &self.network)
        if status != OK:
            raise_opening(status, content)
        self.input_shape, self.output_shapes, self.dtype = shapes_of(self.network)
        self.output_shape = self.output_shapes
        self.names = ("out",)
        if len(self.output_shapes) == 1:
            self.output_shape = self.output_shapes[0]
        else:
            # a compiled f-string corrupts memory if its allocation fails
            self.names = tuple(map("out[{}]".format, range(len(self.output_shapes))))

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

    def workspace_size(self, n, n_threads=1):
        """Return the elements of scratch that `into` needs for up to n images.

        Raises
        ------
        TypeError, ValueError, OverflowError
        """
        return self.size_for(as_size("Predictor", "n", n), as_threads(n_threads))

    cdef Py_ssize_t size_for(self, Py_ssize_t n, int n_threads) except -1:
        cdef Py_ssize_t size = 0
        if n < 0:
            raise ValueError(f"Predictor: n must be at least 0, got {n}")
        if frozen_workspace_threads(self.network, n, n_threads, &size) != OK:
            raise OverflowError(f"Predictor: the size of the scratch for {n} images overflows")
        return size

    cdef list outputs_of(self, object out, Py_ssize_t n, cnp.ndarray images, object Z):
        """Return an array for each output: those of the caller, which are checked, or new ones."""
        cdef Py_ssize_t count = len(self.output_shapes), k
        if count == 1:
            shape = (n, *self.output_shape)
            return [as_output("Predictor", "out", out, shape, images, (("Z", Z),))]
        if out is None:
            out = (None,) * count
        elif not isinstance(out, (tuple, list)) or len(out) != count:
            what = type(out).__name__
            if isinstance(out, (tuple, list)):
                what += f" of {len(out)}"
            raise TypeError(f"Predictor: out must be a tuple of {count} arrays, got {what}")
        cdef tuple others = (("Z", Z),)
        cdef list results = []
        for k in range(count):
            shape = (n,) + self.output_shapes[k]
            result = as_output("Predictor", self.names[k], out[k], shape, images, others)
            results.append(result)
            others += ((self.names[k], result),)
        return results

    def into(self, Z, out, scratch=None, n_threads=1):
        """Compute the outputs of the network into ``out``, with the given scratch or a new one.

        Parameters
        ----------
        Z : array, shape (n, *input_shape)
            Of the predictor's dtype; copied only if it is not C-contiguous.
        out : array, shape (n, *output_shape), or None
            C-contiguous, of the same dtype, not overlapping Z; None for a new array. With several
            outputs, a tuple of such arrays that do not overlap each other.
        scratch : 1-D array of at least ``workspace_size(n, n_threads)`` elements, optional
            Not overlapping Z or ``out``; must not be used by another call at the same time.
        n_threads : int
            Number of threads, from 1 to 1024, including the calling one. The others are those of a
            thread pool that all calls share.

        Returns
        -------
        out

        Raises
        ------
        TypeError, ValueError, MemoryError
            Before anything is written.
        KeyboardInterrupt
            Or another exception of a signal handler, between two steps of the network. The content
            of ``out`` is unspecified then.
        """
        cdef int threads = as_threads(n_threads)
        cdef cnp.ndarray images = as_input("Predictor", "Z", Z, 4)
        if images.dtype != self.dtype:
            raise TypeError(f"Predictor: Z is {images.dtype}, the network computes in {self.dtype}")
        cdef Py_ssize_t n = cnp.PyArray_DIM(images, 0), k
        check_shape("Predictor", "Z", images, (n, *self.input_shape))
        cdef list results = self.outputs_of(out, n, images, Z)
        cdef tuple others = (("Z", images),)
        for k in range(len(results)):
            others += ((self.names[k], results[k]),)
        cdef cnp.ndarray work = as_scratch(
            "Predictor", scratch, self.size_for(n, threads), images, others
        )
        cdef cnp.ndarray pointers = np.empty(len(results), np.intp)
        cdef void **outputs = <void **> cnp.PyArray_DATA(pointers)
        for k in range(len(results)):
            outputs[k] = cnp.PyArray_DATA(<cnp.ndarray> results[k])
        cdef void *images_ = cnp.PyArray_DATA(images)
        cdef void *work_ = cnp.PyArray_DATA(work)
        cdef Session session
        cdef int status
        if n > 0:
            session_open(&session, frozen_threads(self.network, n, threads))
            with nogil:
                status = frozen_execute(
                    self.network, &session.execution, n, images_, outputs, work_
                )
                session_end(&session)
            session_close(&session, status)
        keep_scratch(scratch, work)
        return results[0] if len(results) == 1 else tuple(results)

    def __call__(self, Z, n_threads=1):
        """Return the outputs of the network for the images of Z.

        Parameters and exceptions are those of `into`.

        Returns
        -------
        z : ndarray, shape (n, *output_shape)
            With several outputs a tuple of arrays, in order.
        """
        return self.into(Z, None, None, n_threads)
