"""Arguments of the passes of a program, from arrays that are not checked here."""

from libc.stdint cimport int64_t

cimport numpy as cnp

from ._losses cimport Samples
from ._operation cimport Masks
from ._program cimport Program
from ._session cimport Session, session_open
from ._steps cimport program_has_pieces


# The elements of an array; NULL for None.
cdef inline void *data_of(cnp.ndarray array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(array)


# The state of a call: the beginning of the block unless given.
cdef inline void *state_of(cnp.ndarray state, cnp.ndarray block) noexcept:
    return cnp.PyArray_DATA(block if state is None else state)


# The l rows with the target's values in a block of bytes that has them at an address.
cdef inline object target_rows(
    const Program *p, cnp.ndarray block, const void *address, Py_ssize_t l, object dtype
):
    cdef Py_ssize_t size = p.values[p.target].size
    cdef Py_ssize_t start = <const char *> address - <const char *> cnp.PyArray_DATA(block)
    return block[start:start + l * size * p.item_size].view(dtype).reshape(l, size)


# Open the session of a call with l images. Several threads are used only if they can share it.
# OUT: session; masks, unless dropout is None.
cdef inline int begin(
    const Program *p, Session *session, Py_ssize_t l, bint backward, int n_threads, bint shared,
    cnp.ndarray extra, tuple dropout, Masks *masks,
) except -1:
    if dropout is not None:
        masks.seed, masks.epoch = dropout[0], dropout[1]
        masks.images = <const int64_t *> cnp.PyArray_DATA(<cnp.ndarray> dropout[2])
    if n_threads > 1 and not (shared and program_has_pieces(p, l, backward)):
        n_threads = 1
    session_open(session, n_threads)
    session.execution.shared = shared
    if dropout is not None:
        session.execution.masks = masks
    if n_threads > 1:
        session.execution.extra = cnp.PyArray_DATA(extra)
    return 0


# The samples of a call with l images.
cdef inline Samples samples_of(
    const Program *p, Py_ssize_t l, cnp.ndarray y, cnp.ndarray weights, double divisor,
    double parameter,
) noexcept:
    cdef Py_ssize_t size = p.values[p.target].size
    cdef Samples samples
    samples.images, samples.divisor, samples.parameter = l, divisor, parameter
    samples.labels, samples.rows = NULL, NULL
    samples.weights = <const double *> data_of(weights)
    if cnp.PyArray_TYPE(y) == cnp.NPY_INTP:
        samples.labels = <const Py_ssize_t *> cnp.PyArray_DATA(y)
        samples.positions = max(cnp.PyArray_SIZE(y) // max(l, 1), 1)
        samples.n = size // samples.positions
    else:
        samples.rows = cnp.PyArray_DATA(y)
        samples.n = cnp.PyArray_DIM(y, cnp.PyArray_NDIM(y) - 1)
        samples.positions = size // samples.n
    return samples
