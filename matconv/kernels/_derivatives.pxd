"""Values and derivatives of objectives of the C interface, on the calling thread."""

from ._losses cimport Samples
from ._objective cimport Problem
from ._passes cimport Execution
from ._tangents cimport Linear
from ._watch cimport Watch

# A call: its arguments, checked, and its memory.
cdef struct Job:
    const Problem *problem
    Execution execution
    Watch watch
    Linear at               # of the passes; l is that of each shard
    Py_ssize_t images
    const char *Z
    const char *dz          # of the vjp
    Samples samples         # of all images
    char *vectors           # sums of leaves that wait for others
    Py_ssize_t vector       # size of one of them in bytes


# The computation for a shard, the images first to first + l - 1. OUT: out, or += if add; value, to
# which that of the shard is added. Returns OK or INTERRUPTED.
ctypedef int (*Shard)(
    Job *job, Py_ssize_t first, bint add, void *out, double *value
) noexcept nogil


# sum_i w_i xi_i, and its gradient over the divisor unless out is NULL.
cdef int gradient_of_shard(
    Job *job, Py_ssize_t first, bint add, void *out, double *value
) noexcept nogil

# J'dz.
cdef int vjp_of_shard(
    Job *job, Py_ssize_t first, bint add, void *out, double *value
) noexcept nogil

# J v, where out is that of all images.
cdef int jvp_of_shard(
    Job *job, Py_ssize_t first, bint add, void *out, double *value
) noexcept nogil

# J'B J v.
cdef int gauss_newton_of_shard(
    Job *job, Py_ssize_t first, bint add, void *out, double *value
) noexcept nogil

# Run a call. direction: v, or NULL; summed: whether out is a sum over images, of n elements. OUT:
# out, unless NULL; value. Returns OK, MEMORY or INTERRUPTED.
cdef int run_job(
    Job *job, Shard shard, const void *direction, bint summed, void *out, double *value
) noexcept nogil
