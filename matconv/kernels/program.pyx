"""Programs from Python: a network made from its description, and its passes over images.

Arguments are not checked here; `Network` and `Objective` do that. During a call BLAS has one
thread. A call can be interrupted between two steps. The base class, `FirstOrder`, has the
structure, the plan, and the passes for values and gradients.
"""

from libc.string cimport memcpy

cimport numpy as cnp

from ._arguments cimport begin, data_of, samples_of, state_of, target_rows
from ._first_order cimport FirstOrder
from ._image_gradients cimport ImageResults, program_image_gradients, program_image_scratch
from ._losses cimport Samples
from ._operation cimport Masks
from ._passes cimport program_backward, program_target_gradient
from ._program cimport Program as Graph
from ._session cimport Session, session_close, session_end
from ._status cimport OK
from ._tangents cimport (
    Linear, program_tangent, program_tangent_backward, program_target_curved,
    program_target_tangent, program_without_tangent,
)
from ._target_losses cimport target_loss, target_loss_product

from ._losses import CODES as _CODES

cnp.import_array()

# codes of `Program.loss`
LOSSES = _CODES


# What the passes along v read and write. gradients: None, or all of them, which has_gradients says.
cdef inline Linear linear(
    cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray v, cnp.ndarray t_prepared, Py_ssize_t l,
    cnp.ndarray state, cnp.ndarray block, cnp.ndarray t_block, cnp.ndarray gradients,
    bint has_gradients,
) noexcept:
    cdef Linear at
    at.theta, at.prepared = cnp.PyArray_DATA(theta), cnp.PyArray_DATA(prepared)
    at.v, at.t_prepared = cnp.PyArray_DATA(v), cnp.PyArray_DATA(t_prepared)
    at.l = l
    at.state = state_of(state, block)
    at.block, at.t_block = cnp.PyArray_DATA(block), cnp.PyArray_DATA(t_block)
    at.gradients = data_of(gradients)
    at.has_gradients = has_gradients and at.gradients != NULL
    return at


# B R{target}, after `program_tangent`. OUT: the target's gradient in the block; if exact, the
# loss's gradient is there, and the product in at.t_block.
cdef void product_of(
    const Graph *p, int code, const Samples *samples, const Linear *at, bint exact
) noexcept nogil:
    cdef const void *tz = program_target_tangent(p, at.t_block, exact)
    cdef void *product = program_target_gradient(p, at.block)
    if exact:
        if not at.has_gradients:
            target_loss(p, code, samples, at.state, product)
        product = program_target_curved(p, at.t_block)
    target_loss_product(p, code, samples, at.state, tz, product)


cdef class Program(FirstOrder):
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

    def without_tangent(self, bint backward):
        """Return the first step that needs a pass but has none; -1 if there is none.

        Parameters
        ----------
        backward : bool
            Whether the pass is that of `tangent_backward`, otherwise that of `tangent`.
        """
        return program_without_tangent(self.graph, backward)

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
        cdef Linear at = linear(
            theta, prepared, v, t_prepared, l, state, block, t_block, None, False
        )
        cdef Session session
        cdef Masks masks
        cdef int status
        begin(self.graph, &session, l, hessian, n_threads, shared, extra, dropout, &masks)
        with nogil:
            status = program_tangent(self.graph, &session.execution, &at, hessian)
            session_end(&session)
        session_close(&session, status)
        cdef const void *tz = program_target_tangent(self.graph, at.t_block, hessian)
        return target_rows(self.graph, t_block, tz, l, self.dtype)

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
        cdef Linear at = linear(
            theta, prepared, v, t_prepared, l, state, block, t_block, gradients, has_gradients
        )
        cdef Session session
        cdef Masks masks
        cdef int status
        begin(self.graph, &session, l, True, n_threads, shared, extra, dropout, &masks)
        with nogil:
            memcpy(program_target_gradient(self.graph, at.block), cnp.PyArray_DATA(dz), nbytes)
            memcpy(program_target_curved(self.graph, at.t_block), cnp.PyArray_DATA(tdz), nbytes)
            status = program_tangent_backward(
                self.graph, &session.execution, &at, add, cnp.PyArray_DATA(product)
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
        cdef void *block_ = cnp.PyArray_DATA(block)
        cdef ImageResults results
        cdef Session session
        cdef Masks masks
        cdef int status
        results.rows, results.squares = data_of(rows), <double *> data_of(squares)
        results.total, results.row, results.inputs = data_of(total), data_of(row), data_of(inputs)
        begin(self.graph, &session, l, True, n_threads, shared, extra, dropout, &masks)
        with nogil:
            memcpy(program_target_gradient(self.graph, block_), cnp.PyArray_DATA(dz), nbytes)
            status = program_image_gradients(
                self.graph, &session.execution, cnp.PyArray_DATA(theta),
                cnp.PyArray_DATA(prepared), l, block_, block_, cnp.PyArray_DATA(gradients),
                &results,
            )
            session_end(&session)
        session_close(&session, status)

    def gauss_newton(
        self, int code, cnp.ndarray theta, cnp.ndarray prepared, cnp.ndarray v,
        cnp.ndarray t_prepared, Py_ssize_t l, cnp.ndarray y, double divisor, cnp.ndarray block,
        cnp.ndarray t_block, cnp.ndarray product, *, bint exact=False, cnp.ndarray state=None,
        cnp.ndarray gradients=None, bint has_gradients=False, cnp.ndarray weights=None,
        double parameter=0, bint add=False, tuple dropout=None, int n_threads=1,
        bint shared=False, cnp.ndarray extra=None,
    ):
        """Compute J'BJ v for a compiled loss with the Hessian B, after `forward` of l images.

        Parameters
        ----------
        code, theta, prepared, y, divisor, block, weights, parameter, dropout
            As for `loss`; the divisor is that of B.
        v, t_prepared, l, t_block, state
            As for `tangent`; with ``exact`` as for `tangent_backward`.
        product : ndarray, shape (n,)
            Overwritten, or added to with ``add``.
        exact : bool
            Whether the product is with the Hessian of the loss as a function of theta.
        gradients, has_gradients
            As for `tangent_backward`.
        add : bool
        n_threads, shared, extra
            As for `predict`.
        """
        cdef Linear at = linear(
            theta, prepared, v, t_prepared, l, state, block, t_block, gradients, has_gradients
        )
        cdef Samples samples = samples_of(self.graph, l, y, weights, divisor, parameter)
        cdef void *product_ = cnp.PyArray_DATA(product)
        cdef Session session
        cdef Masks masks
        cdef int status
        begin(self.graph, &session, l, True, n_threads, shared, extra, dropout, &masks)
        with nogil:
            status = program_tangent(self.graph, &session.execution, &at, exact)
            if status == OK:
                product_of(self.graph, code, &samples, &at, exact)
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
