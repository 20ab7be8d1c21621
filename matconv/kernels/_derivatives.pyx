"""Values and derivatives of objectives of the C interface, on the calling thread.

As `matconv.sharding` says, the images are cut into shards, sums over the shards of a leaf are added
in order, and sums over leaves in a binary tree: the bits are those of `matconv.Objective`.
"""

from libc.string cimport memcpy, memset

from ._guard cimport begin_products_from_c, end_products
from ._losses cimport Samples
from ._objective cimport shard_count
from ._passes cimport (
    program_backward, program_forward, program_prepare, program_target_gradient,
)
from ._program cimport Program
from ._status cimport OK
from ._tangents cimport program_tangent, program_target_tangent
from ._target_losses cimport target_loss, target_loss_product

cdef enum:
    MAX_NODES = 16      # more than there are sums of leaves at the same time


# Shards ------------------------------------------------------------------------------------------

# The first of slice k of 0, ..., l - 1 cut into `count` slices: floor(k l / count).
cdef inline Py_ssize_t start_of(Py_ssize_t l, Py_ssize_t count, Py_ssize_t k) noexcept nogil:
    # k l may overflow
    return l // count * k + l % count * k // count


# The address of image `first` in an array with `size` elements per image.
cdef inline const char *at_image(
    const Job *job, const void *array, Py_ssize_t size, Py_ssize_t first
) noexcept nogil:
    return <const char *> array + first * size * job.problem.program.item_size


cdef int forward(Job *job, Py_ssize_t first) noexcept nogil:
    cdef const Program *p = job.problem.program
    return program_forward(
        p, &job.execution, job.at.theta, job.at.prepared, job.at.l,
        at_image(job, job.Z, p.values[0].size, first), job.at.state, job.at.block,
    )


cdef int backward(Job *job, bint add, void *out) noexcept nogil:
    return program_backward(
        job.problem.program, &job.execution, job.at.theta, job.at.prepared, job.at.l,
        job.at.state, job.at.block, add, out,
    )


# The samples of the shard from image `first` on.
cdef Samples samples_of(const Job *job, Py_ssize_t first) noexcept nogil:
    cdef Samples part = job.samples
    part.images = job.at.l
    if part.labels != NULL:
        part.labels += first * part.positions
    else:
        part.rows = at_image(job, part.rows, part.positions * part.n, first)
    if part.weights != NULL:
        part.weights += first
    return part


cdef int gradient_of_shard(
    Job *job, Py_ssize_t first, bint add, void *out, double *value
) noexcept nogil:
    cdef const Program *p = job.problem.program
    cdef Samples samples = samples_of(job, first)
    cdef void *dz = NULL
    cdef int status = forward(job, first)
    if status != OK:
        return status
    if out != NULL:
        dz = program_target_gradient(p, job.at.block)
    value[0] += target_loss(p, job.problem.code, &samples, job.at.state, dz)
    return OK if out == NULL else backward(job, add, out)


cdef int vjp_of_shard(
    Job *job, Py_ssize_t first, bint add, void *out, double *value
) noexcept nogil:
    cdef const Program *p = job.problem.program
    cdef Py_ssize_t size = p.values[p.target].size
    cdef int status = forward(job, first)
    if status != OK:
        return status
    memcpy(
        program_target_gradient(p, job.at.block), at_image(job, job.dz, size, first),
        job.at.l * size * p.item_size,
    )
    return backward(job, add, out)


cdef int jvp_of_shard(
    Job *job, Py_ssize_t first, bint add, void *out, double *value
) noexcept nogil:
    cdef const Program *p = job.problem.program
    cdef Py_ssize_t size = p.values[p.target].size
    cdef int status = forward(job, first)
    if status == OK:
        status = program_tangent(p, &job.execution, &job.at, False)
    if status == OK:
        memcpy(
            <void *> at_image(job, out, size, first),
            program_target_tangent(p, job.at.t_block, False), job.at.l * size * p.item_size,
        )
    return status


cdef int gauss_newton_of_shard(
    Job *job, Py_ssize_t first, bint add, void *out, double *value
) noexcept nogil:
    cdef const Program *p = job.problem.program
    cdef Samples samples = samples_of(job, first)
    cdef int status = forward(job, first)
    if status == OK:
        status = program_tangent(p, &job.execution, &job.at, False)
    if status != OK:
        return status
    target_loss_product(
        p, job.problem.code, &samples, job.at.state,
        program_target_tangent(p, job.at.t_block, False),
        program_target_gradient(p, job.at.block),
    )
    return backward(job, add, out)


# Sums --------------------------------------------------------------------------------------------

# left += right, which have n elements.
cdef void add_vectors(const Program *p, const void *right, void *left) noexcept nogil:
    cdef Py_ssize_t k
    if p.item_size == 8:
        for k in range(p.n):
            (<double *> left)[k] += (<const double *> right)[k]
    else:
        for k in range(p.n):
            (<float *> left)[k] += (<const float *> right)[k]


# The computation for shards `first` to `last` - 1 of `count`, in order. OUT: out, unless NULL;
# value. Returns OK or INTERRUPTED.
cdef int run_shards(
    Job *job, Shard shard, Py_ssize_t first, Py_ssize_t last, Py_ssize_t count, void *out,
    double *value,
) noexcept nogil:
    cdef Py_ssize_t k, start
    cdef int status
    value[0] = 0
    for k in range(first, last):
        start = start_of(job.images, count, k)
        job.at.l = start_of(job.images, count, k + 1) - start
        status = shard(job, start, k > first, out, value)
        if status != OK:
            return status
    return OK


# The sum over `count` shards, leaf by leaf. Sums that wait for others are a stack, the first one in
# `out`: after leaf i there is one for each 1 in the binary number i + 1. OUT: out, unless NULL;
# value. Returns OK or INTERRUPTED.
cdef int sum_leaves(
    Job *job, Shard shard, Py_ssize_t count, void *out, double *value
) noexcept nogil:
    cdef const Program *p = job.problem.program
    cdef Py_ssize_t leaves = min(count, job.problem.sharding.max_leaves), leaf, ones
    cdef double values[MAX_NODES]
    cdef char *vectors[MAX_NODES]
    cdef int depth = 0, status
    for leaf in range(leaves):
        vectors[depth] = <char *> out
        if depth > 0 and out != NULL:
            vectors[depth] = job.vectors + (depth - 1) * job.vector
        status = run_shards(
            job, shard, start_of(count, leaves, leaf), start_of(count, leaves, leaf + 1), count,
            vectors[depth], &values[depth],
        )
        if status != OK:
            return status
        depth += 1
        ones = leaf
        # the last leaf completes all pairs
        while depth > 1 and (ones & 1 or leaf == leaves - 1):
            values[depth - 2] += values[depth - 1]
            if out != NULL:
                add_vectors(p, vectors[depth - 1], vectors[depth - 2])
            depth -= 1
            ones >>= 1
    value[0] = values[0]
    return OK


# Calls -------------------------------------------------------------------------------------------

cdef int run_job(
    Job *job, Shard shard, const void *direction, bint summed, void *out, double *value
) noexcept nogil:
    cdef const Program *p = job.problem.program
    cdef Py_ssize_t count = shard_count(&job.problem.sharding, job.images)
    cdef int status
    value[0] = 0
    if job.images == 0:
        if out != NULL and summed:
            memset(out, 0, p.n * p.item_size)
        return OK
    status = begin_products_from_c()
    if status != OK:
        return status
    job.execution.shared = count == 1
    program_prepare(p, job.at.theta, <void *> job.at.prepared, summed and out != NULL)
    if direction != NULL:
        job.at.v = direction
        program_prepare(p, direction, <void *> job.at.t_prepared, False)
    if summed:
        status = sum_leaves(job, shard, count, out, value)
    else:
        status = run_shards(job, shard, 0, count, count, out, value)
    end_products()
    return status
