"""Programs from Python, without second-order passes: structure, plan, values and gradients."""

from libc.string cimport memcpy

import numpy as np

cimport numpy as cnp

from ._arguments cimport begin, data_of, samples_of, state_of, target_rows
from ._losses cimport Samples
from ._operation cimport Masks, Step
from ._opening cimport program_close, program_open
from ._passes cimport (
    program_backward, program_forward, program_predict, program_prepare, program_target,
    program_target_gradient,
)
from ._plan cimport program_extra_size, program_plan
from ._session cimport Session, session_close, session_end
from ._shapes cimport as_tuple
from ._status cimport MEMORY, OK
from ._steps cimport program_has_pieces
from ._target_losses cimport target_loss

from ._shapes import ProgramError

cnp.import_array()

cdef enum:
    MAX_OUTPUTS = 4096


cdef class FirstOrder:
    """The base class of `matconv.kernels.program.Program`."""

    def __cinit__(self, bytes description not None):
        cdef const void *data = <const char *> description
        cdef Py_ssize_t size = len(description), at = 0
        cdef int status
        with nogil:
            status = program_open(data, size, &self.graph, &at)
        if status == MEMORY:
            raise MemoryError("Program: no memory")
        if status != OK:
            raise ProgramError(status, at)
        self.dtype = np.dtype(np.float64 if self.graph.item_size == 8 else np.float32)
        self.n = self.graph.n
        self.n_steps = self.graph.n_steps

    def __dealloc__(self):
        program_close(self.graph)

    def shape(self, Py_ssize_t value):
        """Return the shape of a value: (height, width, channels), or (units,) for a vector."""
        return as_tuple(&self.graph.values[value])

    def arrays(self, Py_ssize_t step):
        """Return (start, stop) in theta of each parameter array that a step uses."""
        cdef const Step *s = &self.graph.steps[step]
        return [
            (s.array_at[i], s.array_at[i] + s.array_size[i]) for i in range(s.n_arrays)
        ]

    def owner(self, Py_ssize_t step):
        """Return the step that owns the parameters of a step; -1 if it has none."""
        return self.graph.steps[step].owner

    def fan_in(self, Py_ssize_t step):
        """Return the number of inputs on which one output of a step with filters depends."""
        return self.graph.steps[step].fan_in

    def multiply_adds(self, Py_ssize_t step):
        """Return the number of multiply-adds of the forward pass of a step, for one image."""
        return int(self.graph.steps[step].multiply_adds)

    def plan(self, Py_ssize_t images, Py_ssize_t target):
        """Plan passes over up to ``images`` images, and gradients of the value ``target`` or -1.

        Raises
        ------
        OverflowError, MemoryError
        """
        cdef int status
        with nogil:
            status = program_plan(self.graph, images, images, target, False)
        if status == MEMORY:
            raise MemoryError("Network: no memory for the plan")
        if status != OK:
            raise OverflowError("Network: the sizes of the buffers overflow")

    @property
    def target(self):
        """The value whose gradients are computed."""
        return self.graph.target

    @property
    def training_bytes(self):
        """Bytes of a block for `forward`, `backward` and `loss`."""
        return self.graph.training.bytes

    @property
    def state_bytes(self):
        """Bytes of the state of a forward pass, the beginning of a block for training."""
        return self.graph.training.state

    @property
    def inference_bytes(self):
        """Bytes of a block for `predict`."""
        return self.graph.inference.bytes

    @property
    def whole_training_bytes(self):
        """Bytes of a block for training if the passes are not shared."""
        return self.graph.training.scratch + self.graph.training.scratch_size

    @property
    def whole_inference_bytes(self):
        """Bytes of a block for inference if the passes are not shared."""
        return self.graph.inference.scratch + self.graph.inference.scratch_size

    @property
    def prepared_bytes(self):
        """Bytes of the prepared parameters."""
        return self.graph.prepared_size * self.graph.item_size

    def extra_bytes(self, int n_threads):
        """Return the bytes of memory for the threads of a shared call except the calling one.

        Raises
        ------
        OverflowError
        """
        cdef Py_ssize_t size = program_extra_size(self.graph, n_threads)
        if size < 0:
            raise OverflowError("Network: the sizes of the buffers overflow")
        return size

    def has_pieces(self, Py_ssize_t l, bint backward):
        """Return whether several threads can share a call with l images.

        Parameters
        ----------
        l : int
            Not more than were planned.
        backward : bool
            Whether the call is one of `backward`, or of `loss` with a gradient.
        """
        return program_has_pieces(self.graph, l, backward)

    def prepare(self, cnp.ndarray theta, cnp.ndarray prepared, bint backward):
        """Prepare the parameters for the passes.

        Parameters
        ----------
        theta : ndarray, shape (n,)
        prepared : ndarray of uint8, shape (prepared_bytes,)
            Overwritten.
        backward : bool
            Whether to prepare them also for the backward pass.
        """
        with nogil:
            program_prepare(
                self.graph, cnp.PyArray_DATA(theta), cnp.PyArray_DATA(prepared), backward
            )

    def predict(
        self, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray Z, tuple outputs,
        cnp.ndarray block, *, int n_threads=1, bint shared=False, cnp.ndarray extra=None,
    ):
        """Compute the outputs for any number of images, by passes over as many as were planned.

        Parameters
        ----------
        theta, prepared : ndarray
        Z : ndarray, shape (l, height, width, channels)
        outputs : tuple of ndarray
            An array for each output; overwritten.
        block : ndarray of uint8, shape (inference_bytes,)
        n_threads : int
            Number of threads, including this one, that share steps with pieces.
        shared : bool
            Whether steps with pieces run in pieces, also on one thread. The outputs then have the
            same bits for any n_threads.
        extra : ndarray of uint8, shape (extra_bytes(n_threads),)
            Memory of the other threads; not needed for one thread.
        """
        cdef Py_ssize_t l = cnp.PyArray_DIM(Z, 0), done = 0, count, k
        cdef Py_ssize_t planned = self.graph.inference.images
        cdef Py_ssize_t image = self.graph.values[0].size * self.graph.item_size
        cdef const char *Z_ = <const char *> cnp.PyArray_DATA(Z)
        cdef void *outputs_[MAX_OUTPUTS]
        cdef Session session
        cdef int status = OK
        for k in range(self.graph.n_outputs):
            outputs_[k] = cnp.PyArray_DATA(<cnp.ndarray> outputs[k])
        begin(
            self.graph, &session, min(l, planned), False, n_threads, shared, extra, None, NULL
        )
        with nogil:
            while done < l and status == OK:
                count = min(l - done, planned)
                status = program_predict(
                    self.graph, &session.execution, cnp.PyArray_DATA(theta),
                    cnp.PyArray_DATA(prepared), count, Z_ + done * image, outputs_,
                    cnp.PyArray_DATA(block),
                )
                for k in range(self.graph.n_outputs):
                    outputs_[k] = <char *> outputs_[k] + (
                        count * self.graph.values[self.graph.outputs[k]].size
                        * self.graph.item_size
                    )
                done += count
            session_end(&session)
        session_close(&session, status)

    def forward(
        self, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray Z, cnp.ndarray block, *,
        cnp.ndarray state=None, tuple dropout=None, int n_threads=1, bint shared=False,
        cnp.ndarray extra=None,
    ):
        """Compute all values, for `backward`.

        Parameters
        ----------
        theta, prepared, Z
            As for `predict`; not more images than were planned.
        block : ndarray of uint8, shape (training_bytes,)
        state : ndarray of uint8, shape (state_bytes,), optional
            Overwritten by the state, which any number of later passes may read, with other blocks,
            while Z exists; by default the beginning of the block.
        dropout : (seed, epoch, images), optional
            Two integers from 0 to 2^64 - 1, and the number of each image in the data set, an
            ndarray of int64 with shape (l,): Dropout uses the masks that they determine. By default
            its output is its input.
        n_threads, shared, extra
            As for `predict`.

        Returns
        -------
        z : ndarray, shape (l, elements of the target)
            The target, a view of ``state`` or ``block``, valid until the next call with it.
        """
        cdef Py_ssize_t l = cnp.PyArray_DIM(Z, 0)
        cdef void *state_ = state_of(state, block)
        cdef Session session
        cdef Masks masks
        cdef int status
        begin(self.graph, &session, l, False, n_threads, shared, extra, dropout, &masks)
        with nogil:
            status = program_forward(
                self.graph, &session.execution, cnp.PyArray_DATA(theta),
                cnp.PyArray_DATA(prepared), l, cnp.PyArray_DATA(Z), state_,
                cnp.PyArray_DATA(block),
            )
            session_end(&session)
        session_close(&session, status)
        return self.target_of(block if state is None else state, l)

    def target_of(self, cnp.ndarray state, Py_ssize_t l):
        """Return the target in the state of l images, a view of it, shape (l, elements)."""
        cdef const void *z = program_target(self.graph, cnp.PyArray_DATA(state))
        return target_rows(self.graph, state, z, l, self.dtype)

    def backward(
        self, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray Z, cnp.ndarray dz,
        cnp.ndarray block, cnp.ndarray dtheta, *, cnp.ndarray state=None, bint add=False,
        tuple dropout=None, int n_threads=1, bint shared=False, cnp.ndarray extra=None,
    ):
        """Compute the gradient for theta from the gradient for the target, after `forward`.

        Parameters
        ----------
        theta, prepared, Z, block, state, dropout
            As for `forward`.
        dz : ndarray, shape (l, elements of the target)
            Contiguous, of the network's dtype.
        dtheta : ndarray, shape (n,)
            Overwritten, or added to with ``add``.
        add : bool
        n_threads, shared, extra
            As for `predict`.
        """
        cdef Py_ssize_t l = cnp.PyArray_DIM(Z, 0), nbytes = cnp.PyArray_NBYTES(dz)
        cdef void *block_ = cnp.PyArray_DATA(block)
        cdef void *state_ = state_of(state, block)
        cdef Session session
        cdef Masks masks
        cdef int status
        begin(self.graph, &session, l, True, n_threads, shared, extra, dropout, &masks)
        with nogil:
            memcpy(program_target_gradient(self.graph, block_), cnp.PyArray_DATA(dz), nbytes)
            status = program_backward(
                self.graph, &session.execution, cnp.PyArray_DATA(theta),
                cnp.PyArray_DATA(prepared), l, state_, block_, add, cnp.PyArray_DATA(dtheta),
            )
            session_end(&session)
        session_close(&session, status)

    def loss(
        self, int code, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray Z, cnp.ndarray y,
        double divisor, cnp.ndarray block, cnp.ndarray dtheta=None, *,
        cnp.ndarray weights=None, double parameter=0, bint add=False, tuple dropout=None,
        int n_threads=1, bint shared=False, cnp.ndarray extra=None,
    ):
        """Compute the sum of a compiled loss over images, in one call without the GIL.

        Parameters
        ----------
        code : int
            A value of `matconv.kernels.program.LOSSES`.
        theta, prepared, Z, block, dropout
            As for `forward`.
        y : ndarray
            Labels (intp), one for each image or position: shape (l,) or (l, height, width); or rows
            of targets, shape (l, elements of the target) or (l, height, width, channels).
        divisor : float
            Divisor of the gradient.
        dtheta : ndarray, shape (n,), optional
            Overwritten by the gradient, or added to with ``add``; by default not computed.
        weights : ndarray of float64, shape (l,), optional
            Factors of the images; by default 1.
        parameter : float
            Parameter of the loss.
        add : bool
        n_threads, shared, extra
            As for `predict`.

        Returns
        -------
        value : float
        """
        cdef Py_ssize_t l = cnp.PyArray_DIM(Z, 0)
        cdef Samples samples = samples_of(self.graph, l, y, weights, divisor, parameter)
        cdef const void *theta_ = cnp.PyArray_DATA(theta)
        cdef const void *prepared_ = cnp.PyArray_DATA(prepared)
        cdef void *block_ = cnp.PyArray_DATA(block)
        cdef void *dtheta_ = data_of(dtheta)
        cdef void *dz = NULL
        cdef double value = 0
        cdef Session session
        cdef Masks masks
        cdef int status
        if dtheta_ != NULL:
            dz = program_target_gradient(self.graph, block_)
        begin(
            self.graph, &session, l, dtheta_ != NULL, n_threads, shared, extra, dropout, &masks
        )
        with nogil:
            status = program_forward(
                self.graph, &session.execution, theta_, prepared_, l, cnp.PyArray_DATA(Z), block_,
                block_,
            )
            if status == OK:
                value = target_loss(self.graph, code, &samples, block_, dz)
            if status == OK and dtheta_ != NULL:
                status = program_backward(
                    self.graph, &session.execution, theta_, prepared_, l, block_, block_, add,
                    dtheta_,
                )
            session_end(&session)
        session_close(&session, status)
        return value
