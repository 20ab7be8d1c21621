"""Predictions of frozen networks. Contracts without a comment are those of ``matconv/table.h``."""

from ._passes cimport Execution
from ._frozen cimport Frozen
from ._types cimport real

cdef extern from "matconv/types.h" nogil:
    ctypedef int (*Poll "matconv_poll")(void *argument) noexcept

cdef enum:
    MAX_THREADS = 1024


# network_workspace_size.
cdef int frozen_workspace(const Frozen *network, Py_ssize_t n, Py_ssize_t *size) noexcept nogil

# network_predict.
cdef int frozen_predict(
    const Frozen *network, Py_ssize_t n, const real *images, real **outputs, real *scratch,
    Py_ssize_t scratch_size,
) noexcept nogil

# network_workspace_size_threads.
cdef int frozen_workspace_threads(
    const Frozen *network, Py_ssize_t n, int threads, Py_ssize_t *size
) noexcept nogil

# network_predict_threads.
cdef int frozen_predict_threads(
    const Frozen *network, Py_ssize_t n, const real *images, real **outputs, real *scratch,
    Py_ssize_t scratch_size, int threads, Poll poll, void *poll_argument,
) noexcept nogil

# The number of threads, up to `threads`, that a prediction of n images can use.
cdef int frozen_threads(const Frozen *network, Py_ssize_t n, int threads) noexcept nogil

# A prediction of n > 0 images without checks. The outputs have the same bits for any team. IN:
# images; execution, except shared and extra. OUT: outputs. SCRATCH: frozen_workspace_threads.
# Returns OK or INTERRUPTED.
cdef int frozen_execute(
    const Frozen *network, const Execution *execution, Py_ssize_t n, const void *images,
    void **outputs, void *scratch,
) noexcept nogil
