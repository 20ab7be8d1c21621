"""Programs from Python: a network made from its description, and its passes over images.

Arguments are not checked here; `Network` and `Objective` do that. During a call BLAS has one
thread. A call can be interrupted between two steps.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

import numpy as np

cimport numpy as cnp

from ._image_gradients cimport ImageResults, program_image_gradients, program_image_scratch
from ._losses cimport Samples, loss_product, loss_value
from ._operation cimport Masks, Step
from ._opening cimport program_close, program_open
from ._passes cimport (
    program_backward, program_forward, program_predict, program_prepare, program_target,
    program_target_gradient,
)
from ._plan cimport program_extra_size, program_plan
from ._program cimport Program as Graph
from ._session cimport Session, session_close, session_end, session_open
from ._shapes cimport as_tuple
from ._status cimport MEMORY, OK
from ._steps cimport program_has_pieces
from ._tangents cimport (
    Linear, program_tangent, program_tangent_backward, program_target_curved,
    program_target_tangent, program_without_tangent,
)

from ._losses import CODES as _CODES
from ._shapes import ProgramError

cnp.import_array()

# codes of `Program.loss`
LOSSES = _CODES

cdef enum:
    MAX_OUTPUTS = 4096


cdef class Program:
    """A network as a graph of steps over numbered values.

    Parameters
    ----------
    description : bytes
        As returned by `matconv.encoding.encode`.

    Attributes
    ----------
    n : int
        Number of elements of theta.
    n_steps : int
    dtype : float64 or float32

    Raises
    ------
    ProgramError, MemoryError
    """

    cdef object __weakref__
    cdef Graph *graph
    cdef readonly object dtype
    cdef readonly Py_ssize_t n, n_steps

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
    def tangent_bytes(self):
        """Bytes of a block for `tangent` and `gauss_newton`, in addition to one for training."""
        return self.graph.tangent.bytes

    @property
    def hessian_bytes(self):
        """Bytes of a block for `tangent_backward`, as `tangent_bytes`."""
        return self.graph.hessian.bytes

    @property
    def gradients_bytes(self):
        """Bytes of the gradients of all values, which `gauss_newton` with ``exact`` can keep."""
        return self.graph.hessian.state

    @property
    def state_bytes(self):
        """Bytes of the state of a forward pass, the beginning of a block for training."""
        return self.graph.training.state

    def without_tangent(self, bint backward):
        """Return the first step that needs a pass but has none; -1 if there is none.

        Parameters
        ----------
        backward : bool
            Whether the pass is that of `tangent_backward`, otherwise that of `tangent`.
        """
        return program_without_tangent(self.graph, backward)

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

    # Open the session of a call with l images. Several threads are used only if they can share it.
    # OUT: session; masks, unless dropout is None.
    cdef int begin(
        self, Session *session, Py_ssize_t l, bint backward, int n_threads, bint shared,
        cnp.ndarray extra, tuple dropout, Masks *masks,
    ) except -1:
        if dropout is not None:
            masks.seed, masks.epoch = dropout[0], dropout[1]
            masks.images = <const int64_t *> cnp.PyArray_DATA(<cnp.ndarray> dropout[2])
        if n_threads > 1 and not (shared and program_has_pieces(self.graph, l, backward)):
            n_threads = 1
        session_open(session, n_threads)
        session.execution.shared = shared
        if dropout is not None:
            session.execution.masks = masks
        if n_threads > 1:
            session.execution.extra = cnp.PyArray_DATA(extra)
        return 0

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
        cdef const void *theta_ = cnp.PyArray_DATA(theta)
        cdef void *prepared_ = cnp.PyArray_DATA(prepared)
        with nogil:
            program_prepare(self.graph, theta_, prepared_, backward)

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
        cdef const void *theta_ = cnp.PyArray_DATA(theta)
        cdef const void *prepared_ = cnp.PyArray_DATA(prepared)
        cdef const char *Z_ = <const char *> cnp.PyArray_DATA(Z)
        cdef void *block_ = cnp.PyArray_DATA(block)
        cdef void *outputs_[MAX_OUTPUTS]
        cdef Session session
        cdef int status = OK
        for k in range(self.graph.n_outputs):
            outputs_[k] = cnp.PyArray_DATA(<cnp.ndarray> outputs[k])
        self.begin(&session, min(l, planned), False, n_threads, shared, extra, None, NULL)
        with nogil:
            while done < l and status == OK:
                count = min(l - done, planned)
                status = program_predict(
                    self.graph, &session.execution, theta_, prepared_, count, Z_ + done * image,
                    outputs_, block_,
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
        cdef const void *theta_ = cnp.PyArray_DATA(theta)
        cdef const void *prepared_ = cnp.PyArray_DATA(prepared)
        cdef const void *Z_ = cnp.PyArray_DATA(Z)
        cdef void *block_ = cnp.PyArray_DATA(block)
        cdef void *state_ = state_of(state, block)
        cdef Session session
        cdef Masks masks
        cdef int status
        self.begin(&session, l, False, n_threads, shared, extra, dropout, &masks)
        with nogil:
            status = program_forward(
                self.graph, &session.execution, theta_, prepared_, l, Z_, state_, block_
            )
            session_end(&session)
        session_close(&session, status)
        return self.target_of(block if state is None else state, l)

    def target_of(self, cnp.ndarray state, Py_ssize_t l):
        """Return the target in the state of l images, a view of it, shape (l, elements)."""
        cdef void *state_ = cnp.PyArray_DATA(state)
        cdef Py_ssize_t size = self.graph.values[self.graph.target].size
        cdef Py_ssize_t at = <char *> program_target(self.graph, state_) - <char *> state_
        return state[at:at + l * size * self.graph.item_size].view(self.dtype).reshape(l, size)

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
        cdef const void *theta_ = cnp.PyArray_DATA(theta)
        cdef const void *prepared_ = cnp.PyArray_DATA(prepared)
        cdef const void *dz_ = cnp.PyArray_DATA(dz)
        cdef void *block_ = cnp.PyArray_DATA(block)
        cdef void *state_ = state_of(state, block)
        cdef void *dtheta_ = cnp.PyArray_DATA(dtheta)
        cdef Session session
        cdef Masks masks
        cdef int status
        self.begin(&session, l, True, n_threads, shared, extra, dropout, &masks)
        with nogil:
            memcpy(program_target_gradient(self.graph, block_), dz_, nbytes)
            status = program_backward(
                self.graph, &session.execution, theta_, prepared_, l, state_, block_, add,
                dtheta_,
            )
            session_end(&session)
        session_close(&session, status)

    def tangent(
        self, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray v, cnp.ndarray t_prepared,
        Py_ssize_t l, cnp.ndarray block, cnp.ndarray t_block, *, cnp.ndarray state=None,
        bint hessian=False, tuple dropout=None, int n_threads=1, bint shared=False,
        cnp.ndarray extra=None,
    ):
        """Compute the derivative of the target along a vector, after `forward` of l images.

        Parameters
        ----------
        theta, prepared, block, state, dropout
            As for `forward`.
        v : ndarray, shape (n,)
            The direction, of the network's dtype.
        t_prepared : ndarray of uint8, shape (prepared_bytes,)
            As `prepare` sets it for v.
        l : int
            Number of images.
        t_block : ndarray of uint8, shape (tangent_bytes,), with ``hessian`` (hessian_bytes,)
        hessian : bool
            Whether `tangent_backward` follows.
        n_threads, shared, extra
            As for `predict`.

        Returns
        -------
        tz : ndarray, shape (l, elements of the target)
            A view of ``t_block`` that is valid until the next call with it.
        """
        cdef Linear at = linear(theta, prepared, v, t_prepared, l, state, block, t_block)
        cdef Session session
        cdef Masks masks
        cdef int status
        self.begin(&session, l, hessian, n_threads, shared, extra, dropout, &masks)
        with nogil:
            status = program_tangent(self.graph, &session.execution, &at, hessian)
            session_end(&session)
        session_close(&session, status)
        cdef Py_ssize_t size = self.graph.values[self.graph.target].size
        cdef Py_ssize_t first = (
            <char *> program_target_tangent(self.graph, at.t_block, hessian) - <char *> at.t_block
        )
        values = t_block[first:first + l * size * self.graph.item_size].view(self.dtype)
        return values.reshape(l, size)

    def tangent_backward(
        self, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray v, cnp.ndarray t_prepared,
        cnp.ndarray dz, cnp.ndarray tdz, cnp.ndarray block, cnp.ndarray t_block,
        cnp.ndarray product, *, cnp.ndarray state=None, cnp.ndarray gradients=None,
        bint has_gradients=False, bint add=False, tuple dropout=None, int n_threads=1,
        bint shared=False, cnp.ndarray extra=None,
    ):
        """Compute the derivative of the gradient along a vector, after `tangent` with ``hessian``.

        Parameters
        ----------
        theta, prepared, v, block, t_block, state, dropout
            As for `tangent`.
        t_prepared : ndarray of uint8, shape (prepared_bytes,)
            As `prepare` sets it for v and both passes.
        dz, tdz : ndarray, shape (l, elements of the target)
            The gradient for the target and its derivative; contiguous, of the network's dtype.
        product : ndarray, shape (n,)
            Overwritten, or added to with ``add``.
        gradients : ndarray of uint8, shape (gradients_bytes,), optional
            Overwritten by the gradients of all values, or with ``has_gradients`` read, as an
            earlier call with the same state and dz has set it.
        has_gradients : bool
        add : bool
        n_threads, shared, extra
            As for `predict`.
        """
        cdef Py_ssize_t l = cnp.PyArray_DIM(dz, 0), nbytes = cnp.PyArray_NBYTES(dz)
        cdef Linear at = linear(theta, prepared, v, t_prepared, l, state, block, t_block)
        set_gradients(&at, gradients, has_gradients)
        cdef const void *dz_ = cnp.PyArray_DATA(dz)
        cdef const void *tdz_ = cnp.PyArray_DATA(tdz)
        cdef void *product_ = cnp.PyArray_DATA(product)
        cdef Session session
        cdef Masks masks
        cdef int status
        self.begin(&session, l, True, n_threads, shared, extra, dropout, &masks)
        with nogil:
            memcpy(program_target_gradient(self.graph, at.block), dz_, nbytes)
            memcpy(program_target_curved(self.graph, at.t_block), tdz_, nbytes)
            status = program_tangent_backward(
                self.graph, &session.execution, &at, add, product_
            )
            session_end(&session)
        session_close(&session, status)

    @property
    def image_scratch_bytes(self):
        """Bytes of the scratch ``inputs`` of `image_gradients`."""
        return program_image_scratch(self.graph) * self.graph.item_size

    def image_gradients(
        self, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray dz, cnp.ndarray block,
        cnp.ndarray gradients, *, cnp.ndarray rows=None, cnp.ndarray squares=None,
        cnp.ndarray total=None, cnp.ndarray row=None, cnp.ndarray inputs=None,
        tuple dropout=None, int n_threads=1, bint shared=False, cnp.ndarray extra=None,
    ):
        """Compute the gradients for theta, image by image, after `forward`.

        Parameters
        ----------
        theta, prepared, dz, block, dropout
            As for `backward`.
        gradients : ndarray of uint8, shape (gradients_bytes,)
            Scratch.
        rows : ndarray, shape (l, n), optional
            Overwritten by the gradients. Without them the following results are computed:
        squares : ndarray of float64, shape (l,), optional
            Overwritten by the squares of the norms of the gradients.
        total : ndarray, shape (n,), optional
            The sum over images of the squares of the elements of the gradients is added to it.
        row : ndarray, shape (n,), optional
            Scratch, unless there are rows.
        inputs : ndarray of uint8, shape (image_scratch_bytes,), optional
            Scratch, if there is a total.
        n_threads, shared, extra
            As for `predict`.
        """
        cdef Py_ssize_t l = cnp.PyArray_DIM(dz, 0), nbytes = cnp.PyArray_NBYTES(dz)
        cdef const void *theta_ = cnp.PyArray_DATA(theta)
        cdef const void *prepared_ = cnp.PyArray_DATA(prepared)
        cdef const void *dz_ = cnp.PyArray_DATA(dz)
        cdef void *block_ = cnp.PyArray_DATA(block)
        cdef void *gradients_ = cnp.PyArray_DATA(gradients)
        cdef ImageResults results
        cdef Session session
        cdef Masks masks
        cdef int status
        results.rows = data_of(rows)
        results.squares = <double *> data_of(squares)
        results.total = data_of(total)
        results.row = data_of(row)
        results.inputs = data_of(inputs)
        self.begin(&session, l, True, n_threads, shared, extra, dropout, &masks)
        with nogil:
            memcpy(program_target_gradient(self.graph, block_), dz_, nbytes)
            status = program_image_gradients(
                self.graph, &session.execution, theta_, prepared_, l, block_, block_, gradients_,
                &results,
            )
            session_end(&session)
        session_close(&session, status)

    def gauss_newton(
        self, int code, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray v,
        cnp.ndarray t_prepared, cnp.ndarray Z, cnp.ndarray y, double divisor, cnp.ndarray block,
        cnp.ndarray t_block, cnp.ndarray product, *, bint exact=False, cnp.ndarray state=None,
        cnp.ndarray gradients=None, bint has_gradients=False, cnp.ndarray weights=None,
        double parameter=0, bint add=False, tuple dropout=None, int n_threads=1,
        bint shared=False, cnp.ndarray extra=None,
    ):
        """Compute J'BJ v for a compiled loss with the Hessian B, in one call without the GIL.

        Parameters
        ----------
        code, theta, prepared, Z, y, divisor, block, weights, parameter, dropout
            As for `loss`; the divisor is that of B.
        v, t_prepared, t_block
            As for `tangent`; with ``exact`` as for `tangent_backward`.
        product : ndarray, shape (n,)
            Overwritten, or added to with ``add``.
        exact : bool
            Whether the product is with the Hessian of the loss as a function of theta.
        state : ndarray of uint8, shape (state_bytes,), optional
            As `forward` has set it for Z. By default the forward pass is computed.
        gradients, has_gradients
            As for `tangent_backward`.
        add : bool
        n_threads, shared, extra
            As for `predict`.
        """
        cdef Py_ssize_t l = cnp.PyArray_DIM(Z, 0)
        cdef Linear at = linear(theta, prepared, v, t_prepared, l, state, block, t_block)
        set_gradients(&at, gradients, has_gradients)
        cdef const void *Z_ = cnp.PyArray_DATA(Z)
        cdef void *product_ = cnp.PyArray_DATA(product)
        cdef bint has_state = state is not None
        cdef Samples samples
        cdef Session session
        cdef Masks masks
        cdef int status = OK
        self.fill_samples(&samples, l, y, weights, divisor, parameter)
        self.begin(&session, l, True, n_threads, shared, extra, dropout, &masks)
        with nogil:
            if not has_state:
                status = program_forward(
                    self.graph, &session.execution, at.theta, at.prepared, l, Z_, at.state,
                    at.block,
                )
            if status == OK:
                status = program_tangent(self.graph, &session.execution, &at, exact)
            if status == OK:
                self.product_of(code, &samples, &at, exact)
            if status == OK and exact:
                status = program_tangent_backward(
                    self.graph, &session.execution, &at, add, product_
                )
            elif status == OK:
                status = program_backward(
                    self.graph, &session.execution, at.theta, at.prepared, l, at.state, at.block,
                    add, product_,
                )
            session_end(&session)
        session_close(&session, status)

    # Samples of a call with l images. OUT: samples.
    cdef int fill_samples(
        self, Samples *samples, Py_ssize_t l, cnp.ndarray y, cnp.ndarray weights, double divisor,
        double parameter,
    ) except -1:
        cdef Py_ssize_t size = self.graph.values[self.graph.target].size
        samples.images = l
        samples.divisor = divisor
        samples.parameter = parameter
        samples.labels = NULL
        samples.rows = NULL
        if cnp.PyArray_TYPE(y) == cnp.NPY_INTP:
            samples.labels = <const Py_ssize_t *> cnp.PyArray_DATA(y)
            samples.positions = max(cnp.PyArray_SIZE(y) // max(l, 1), 1)
            samples.n = size // samples.positions
        else:
            samples.rows = cnp.PyArray_DATA(y)
            samples.n = cnp.PyArray_DIM(y, cnp.PyArray_NDIM(y) - 1)
            samples.positions = size // samples.n
        samples.weights = NULL
        if weights is not None:
            samples.weights = <const double *> cnp.PyArray_DATA(weights)
        return 0

    # B R{target}, after `program_tangent`. OUT: the target's gradient in the block; if exact, the
    # loss's gradient is there, and the product in at.t_block.
    cdef void product_of(
        self, int code, const Samples *samples, const Linear *at, bint exact
    ) noexcept nogil:
        cdef const void *z = program_target(self.graph, at.state)
        cdef const void *tz = program_target_tangent(self.graph, at.t_block, exact)
        cdef void *out = program_target_gradient(self.graph, at.block)
        if exact:
            if not at.has_gradients:
                self.loss_of(code, samples, at.state, out)
            out = program_target_curved(self.graph, at.t_block)
        if self.graph.item_size == 8:
            loss_product(code, samples, <const double *> z, <const double *> tz, <double *> out)
        else:
            loss_product(code, samples, <const float *> z, <const float *> tz, <float *> out)

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
            A value of `LOSSES`.
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
        cdef const void *theta_ = cnp.PyArray_DATA(theta)
        cdef const void *prepared_ = cnp.PyArray_DATA(prepared)
        cdef const void *Z_ = cnp.PyArray_DATA(Z)
        cdef void *block_ = cnp.PyArray_DATA(block)
        cdef void *dtheta_ = NULL
        cdef void *dz = NULL
        cdef double value = 0
        cdef Samples samples
        cdef Session session
        cdef Masks masks
        cdef int status
        self.fill_samples(&samples, l, y, weights, divisor, parameter)
        if dtheta is not None:
            dtheta_ = cnp.PyArray_DATA(dtheta)
        self.begin(&session, l, dtheta_ != NULL, n_threads, shared, extra, dropout, &masks)
        with nogil:
            status = program_forward(
                self.graph, &session.execution, theta_, prepared_, l, Z_, block_, block_
            )
            if status == OK:
                if dtheta_ != NULL:
                    dz = program_target_gradient(self.graph, block_)
                value = self.loss_of(code, &samples, block_, dz)
            if status == OK and dtheta_ != NULL:
                status = program_backward(
                    self.graph, &session.execution, theta_, prepared_, l, block_, block_, add,
                    dtheta_,
                )
            session_end(&session)
        session_close(&session, status)
        return value

    # The loss of the target's value, after `program_forward`. OUT: dz, unless NULL.
    cdef double loss_of(
        self, int code, const Samples *samples, void *state, void *dz
    ) noexcept nogil:
        cdef const void *z = program_target(self.graph, state)
        if self.graph.item_size == 8:
            return loss_value(code, samples, <const double *> z, <double *> dz)
        return loss_value(code, samples, <const float *> z, <float *> dz)


cdef inline void *data_of(cnp.ndarray array):
    return NULL if array is None else cnp.PyArray_DATA(array)


# The state of a call: the beginning of the block unless given.
cdef inline void *state_of(cnp.ndarray state, cnp.ndarray block):
    return cnp.PyArray_DATA(block if state is None else state)


cdef inline Linear linear(
    cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray v, cnp.ndarray t_prepared, Py_ssize_t l,
    cnp.ndarray state, cnp.ndarray block, cnp.ndarray t_block,
):
    cdef Linear at
    at.theta, at.prepared = cnp.PyArray_DATA(theta), cnp.PyArray_DATA(prepared)
    at.v, at.t_prepared = cnp.PyArray_DATA(v), cnp.PyArray_DATA(t_prepared)
    at.l = l
    at.state = state_of(state, block)
    at.block, at.t_block = cnp.PyArray_DATA(block), cnp.PyArray_DATA(t_block)
    at.gradients, at.has_gradients = NULL, False
    return at


# Set at.gradients and at.has_gradients. OUT: at.
cdef inline int set_gradients(Linear *at, cnp.ndarray gradients, bint has_gradients) except -1:
    if gradients is not None:
        at.gradients, at.has_gradients = cnp.PyArray_DATA(gradients), has_gradients
    return 0
