"""Functions of the C interface for objectives: checks of their arguments.

``include/matconv/table.h`` has their contracts.
"""

from libc.string cimport memcpy, memset

from ._capi_checks cimport check_scratch
from ._derivatives cimport (
    Job, gauss_newton_of_shard, gradient_of_shard, jvp_of_shard, run_job, vjp_of_shard,
)
from ._geometry cimport mul_overflows
from ._losses cimport NO_LOSS, Samples, loss_traits
from ._objective cimport Layout, Objective, Problem, objective_layout
from ._prediction cimport Poll
from ._program cimport LINE, Program, aligned
from ._status cimport (
    DERIVATIVE, DTYPE, NULL_POINTER, OK, OVERFLOW, SIZE, STRUCT, TARGET,
)
from ._tangents cimport program_without_tangent
from ._targets cimport samples_fit
from ._types cimport real
from ._watch cimport watch_poll

cdef extern from "matconv/types.h" nogil:
    # what the outputs for the images of a call are compared with
    ctypedef struct Given "matconv_samples":
        size_t struct_size
        Py_ssize_t images
        const Py_ssize_t *labels
        const double *weights
        double divisor


# Check the arguments that all calls have, and that the bytes of the arrays do not overflow. OUT:
# job; it has the program's arrays in the scratch, which must have product_size bytes if `along` a
# direction, otherwise gradient_size. Returns a status.
cdef inline int begin(
    const Objective *objective, bint is_double, Py_ssize_t images, const void *theta,
    const void *Z, bint along, void *scratch, Py_ssize_t scratch_size, Poll poll,
    void *poll_argument, Job *job,
) noexcept nogil:
    cdef const Problem *problem = <const Problem *> objective
    cdef const Program *p
    cdef Layout layout
    cdef Py_ssize_t needed, largest
    cdef char *memory
    cdef int status
    if objective == NULL:
        return NULL_POINTER
    p = problem.program
    if is_double != (p.item_size == 8):
        return DTYPE
    if along and program_without_tangent(p, False) >= 0:
        return DERIVATIVE
    if images < 0:
        return SIZE
    largest = max(p.values[0].size, p.values[p.target].size)
    if mul_overflows(images, largest * p.item_size, &largest):
        return OVERFLOW
    if objective_layout(problem, images, &layout) != OK:
        return OVERFLOW
    needed = (layout.product_size if along else layout.gradient_size) + LINE
    if images > 0:
        if Z == NULL:
            return NULL_POINTER
        status = check_scratch(needed // p.item_size, scratch, scratch_size)
        if status != OK:
            return status
    memset(job, 0, sizeof(Job))
    job.problem, job.images, job.Z = problem, images, <const char *> Z
    watch_poll(&job.watch, poll, poll_argument)
    job.execution.watch, job.execution.is_caller = &job.watch, True
    memory = <char *> aligned(scratch)
    job.at.theta = theta
    if theta == NULL:
        job.at.theta = problem.theta
    job.at.prepared = memory + layout.prepared
    job.at.block = job.at.state = memory + layout.block
    job.at.t_block, job.at.t_prepared = memory + layout.t_block, memory + layout.t_prepared
    job.vectors, job.vector = memory + layout.vectors, layout.vector
    return OK


# Check what the outputs are compared with. INOUT: job. Returns a status.
cdef inline int take_samples(
    const Objective *objective, const Given *given, const real *targets, Job *job
) noexcept nogil:
    cdef const Problem *problem = <const Problem *> objective
    cdef const Program *p = problem.program
    cdef Samples *samples = &job.samples
    samples.images, samples.positions = given.images, problem.positions
    samples.n = p.values[p.target].size // problem.positions
    samples.labels, samples.rows = given.labels, targets
    samples.weights, samples.divisor = given.weights, given.divisor
    samples.parameter = problem.parameter
    if given.images > 0 and given.labels == NULL and targets == NULL:
        return NULL_POINTER
    if not samples_fit(loss_traits(problem.code).targets, samples, targets):
        return TARGET
    return OK


# Check a struct of samples, and that the objective has a loss or, if curved, one whose Hessian is
# not 0 everywhere. Returns a status.
cdef inline int check_samples(
    const Objective *objective, const Given *given, bint curved
) noexcept nogil:
    cdef int code
    if objective == NULL or given == NULL:
        return NULL_POINTER
    if given.struct_size != sizeof(Given):
        return STRUCT
    code = (<const Problem *> objective).code
    if code == NO_LOSS or (curved and not loss_traits(code).curved):
        return DERIVATIVE
    return OK


cdef inline int api_objective_theta(const Objective *objective, real *theta) noexcept nogil:
    cdef const Problem *problem = <const Problem *> objective
    if objective == NULL or theta == NULL:
        return NULL_POINTER
    if problem.program.item_size != sizeof(real):
        return DTYPE
    memcpy(theta, problem.theta, problem.program.n * sizeof(real))
    return OK


cdef inline int api_objective_gradient(
    const Objective *objective, const real *theta, const Given *samples, const real *Z,
    const real *targets, double *value, real *gradient, real *scratch, Py_ssize_t scratch_size,
    Poll poll, void *poll_argument,
) noexcept nogil:
    cdef Job job
    cdef double total = 0
    cdef int status = check_samples(objective, samples, False)
    if status == OK:
        status = begin(
            objective, real is double, samples.images, theta, Z, False, scratch, scratch_size,
            poll, poll_argument, &job,
        )
    if status == OK:
        status = take_samples(objective, samples, targets, &job)
    if status == OK:
        status = run_job(&job, gradient_of_shard, NULL, True, gradient, &total)
    if status == OK and value != NULL:
        value[0] = total / samples.divisor
    return status


cdef inline int api_objective_jvp(
    const Objective *objective, const real *theta, Py_ssize_t images, const real *Z,
    const real *direction, real *tz, real *scratch, Py_ssize_t scratch_size, Poll poll,
    void *poll_argument,
) noexcept nogil:
    cdef Job job
    cdef double unused
    cdef int status = begin(
        objective, real is double, images, theta, Z, True, scratch, scratch_size, poll,
        poll_argument, &job,
    )
    if status == OK and images > 0 and (direction == NULL or tz == NULL):
        status = NULL_POINTER
    if status == OK:
        status = run_job(&job, jvp_of_shard, direction, False, tz, &unused)
    return status


cdef inline int api_objective_vjp(
    const Objective *objective, const real *theta, Py_ssize_t images, const real *Z,
    const real *dz, real *dtheta, real *scratch, Py_ssize_t scratch_size, Poll poll,
    void *poll_argument,
) noexcept nogil:
    cdef Job job
    cdef double unused
    cdef int status = begin(
        objective, real is double, images, theta, Z, False, scratch, scratch_size, poll,
        poll_argument, &job,
    )
    if status == OK and (dtheta == NULL or (images > 0 and dz == NULL)):
        status = NULL_POINTER
    if status == OK:
        job.dz = <const char *> dz
        status = run_job(&job, vjp_of_shard, NULL, True, dtheta, &unused)
    return status


cdef inline int api_objective_gauss_newton(
    const Objective *objective, const real *theta, const Given *samples, const real *Z,
    const real *targets, const real *direction, real *product, real *scratch,
    Py_ssize_t scratch_size, Poll poll, void *poll_argument,
) noexcept nogil:
    cdef Job job
    cdef double unused
    cdef int status = check_samples(objective, samples, True)
    if status == OK:
        status = begin(
            objective, real is double, samples.images, theta, Z, True, scratch, scratch_size,
            poll, poll_argument, &job,
        )
    if status == OK and (direction == NULL or product == NULL):
        status = NULL_POINTER
    if status == OK:
        status = take_samples(objective, samples, targets, &job)
    if status == OK:
        status = run_job(&job, gauss_newton_of_shard, direction, True, product, &unused)
    return status
