"""Predictions of frozen networks; ``include/matconv/types.h`` has the contracts."""

from ._passes cimport Execution
from ._frozen cimport Frozen
from ._types cimport real

cdef extern from "matconv/types.h" nogil:
    ctypedef int (*Poll "matconv_poll")(void *argument) noexcept

cdef enum:
    MAX_THREADS = 1024


cdef int frozen_workspace(const Frozen *network, Py_ssize_t n, Py_ssize_t *size) noexcept nogil

cdef int frozen_predict(
    const Frozen *network, Py_ssize_t n, const real *images, real **outputs, real *scratch,
    Py_ssize_t scratch_size,
) noexcept nogil

cdef int frozen_workspace_threads(
    const Frozen *network, Py_ssize_t n, int threads, Py_ssize_t *size
) noexcept nogil

cdef int frozen_predict_threads(
    const Frozen *network, Py_ssize_t n, const real *images, real **outputs, real *scratch,
    Py_ssize_t scratch_size, int threads, Poll poll, void *poll_argument,
) noexcept nogil

# Threads that a prediction of n images can use, `threads` at most.
cdef int frozen_threads(const Frozen *network, Py_ssize_t n, int threads) noexcept nogil

# A prediction whose arguments are right, n positive; its outputs have the same bits for any team.
# IN: how, but for shared and extra. Returns OK or INTERRUPTED.
cdef int frozen_execute(
    const Frozen *network, const Execution *how, Py_ssize_t n, const void *images, void **outputs,
    void *scratch,
) noexcept nogil
