"""Objectives of the C interface: opening, and the sizes of their memory.

An objective is a program and one block of memory, which is read-only after opening:

    Problem | theta

`_derivatives` computes with it.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport HUGE_VAL
from libc.string cimport memcpy

from ._frozen cimport read_file
from ._geometry cimport mul_overflows
from ._losses cimport DISTRIBUTIONS, NO_LOSS, ONLY_LABELS, Traits, loss_code, loss_traits
from ._opening cimport program_close, program_open
from ._plan cimport program_plan
from ._program cimport LINE, Program, Value, aligned, grow, rounded
from ._status cimport (
    FORMAT, INDEX, LOSS, MEMORY, NULL_POINTER, OK, OVERFLOW, SIZE, STRUCT, VERSION,
)

# constants of `matconv.sharding`
cdef enum:
    MAX_ELEMENTS = 1 << 21
    MAX_IMAGES = 256
    MAX_BLOCK_BYTES = 512 << 20
    FOUR_WORK = 1 << 25
    FOUR_PER_PARAMETER = 1 << 10
    TWO_WORK = 1 << 23
    TWO_PER_PARAMETER = 1 << 7


# The rule of shards ------------------------------------------------------------------------------

# ceil(max(work, per_parameter n) / multiply_adds), at least 1.
cdef Py_ssize_t min_images(
    long long work, long long per_parameter, Py_ssize_t n, double multiply_adds
) noexcept nogil:
    cdef long long total = max(work, per_parameter * n), each
    if multiply_adds >= <double> total:
        return 1
    each = max(<long long> multiply_adds, <long long> 1)
    return <Py_ssize_t> ((total + each - 1) // each)


# Plan gradients of any output, for `images` images. OUT: size, bytes of a block of the passes of
# one thread; HUGE_VAL if it overflows. Returns OK or MEMORY.
cdef int block_size(Program *p, Py_ssize_t images, double *size) noexcept nogil:
    cdef Py_ssize_t k
    cdef int status
    size[0] = 0
    for k in range(p.n_outputs):
        status = program_plan(p, images, images, p.outputs[k], False)
        if status == MEMORY:
            return MEMORY
        if status != OK:
            size[0] = HUGE_VAL
            return OK
        size[0] = max(size[0], <double> (p.training.scratch + p.training.scratch_size))
    return OK


# The rule for a network, as `matconv.sharding.Sharding.of`. OUT: rule. Returns OK or MEMORY.
cdef int choose_sharding(Program *p, Sharding *rule) noexcept nogil:
    cdef Py_ssize_t k, elements = 0, wanted, size = 1
    cdef double multiply_adds = 0, nbytes = 0
    cdef int status
    for k in range(p.n_steps):
        elements += p.values[k + 1].size
        multiply_adds += p.steps[k].multiply_adds
    wanted = min(max(<Py_ssize_t> MAX_ELEMENTS, 2 * p.n) // elements, <Py_ssize_t> MAX_IMAGES)
    while 2 * size <= wanted:
        size *= 2
    while size > 1:
        status = block_size(p, size, &nbytes)
        if status != OK:
            return status
        if nbytes <= MAX_BLOCK_BYTES:
            break
        size //= 2
    rule.shard_size = size
    rule.four = min_images(FOUR_WORK, FOUR_PER_PARAMETER, p.n, multiply_adds)
    rule.two = min_images(TWO_WORK, TWO_PER_PARAMETER, p.n, multiply_adds)
    rule.max_leaves = 64
    if p.n > 1 << 22:
        rule.max_leaves = 8 if p.n > 1 << 25 else 16
    return OK


cdef Py_ssize_t shard_count(const Sharding *rule, Py_ssize_t l) noexcept nogil:
    cdef Py_ssize_t needed = l // rule.shard_size + (l % rule.shard_size != 0)
    cdef Py_ssize_t count = needed
    if needed <= 16:
        count = (needed + 3) // 4 * 4
        if count > 0 and l // count < rule.four:
            count = l // rule.four // 2 * 2
    if count < 2 and l // 2 >= rule.two:
        count = 2
    return max(count, needed)


# Opening -----------------------------------------------------------------------------------------

# Set the loss of an objective whose target is known. INOUT: problem. Returns a status.
cdef int set_loss(Problem *problem, const Value *value, const LossName *loss) noexcept nogil:
    cdef Traits traits
    cdef Py_ssize_t n
    problem.code, problem.parameter, problem.positions = NO_LOSS, 0, 1
    if loss == NULL:
        return OK
    if loss.struct_size != sizeof(LossName):
        return STRUCT
    if loss.name == NULL:
        return NULL_POINTER
    problem.code = loss_code(loss.name)
    if problem.code == NO_LOSS:
        return LOSS
    traits = loss_traits(problem.code)
    if traits.has_parameter and not 0 < loss.parameter < HUGE_VAL:
        return LOSS
    if loss.parameter != 0 and not traits.has_parameter:
        return LOSS
    problem.parameter = loss.parameter
    if loss.positions:
        problem.positions = value.height * value.width
    n = value.size // problem.positions
    if n < 2 and (traits.targets == ONLY_LABELS or traits.targets == DISTRIBUTIONS):
        return LOSS
    return OK


# Choose the shards, and plan the program for them and the output. INOUT: problem. Returns a status.
cdef int plan(Problem *problem, Py_ssize_t output, const LossName *loss) noexcept nogil:
    cdef Program *p = problem.program
    cdef int status
    if p.theta == 0:
        return FORMAT
    if not 0 <= output < p.n_outputs:
        return INDEX
    status = set_loss(problem, &p.values[p.outputs[output]], loss)
    if status != OK:
        return status
    status = choose_sharding(p, &problem.sharding)
    if status == OK:
        status = program_plan(
            p, problem.sharding.shard_size, problem.sharding.shard_size, p.outputs[output], False
        )
    # any other error of sizes is one of the file
    return status if status == OK or status == MEMORY else FORMAT


# Make the block of a planned objective. OUT: objective. Returns OK or MEMORY.
cdef int build(
    const Problem *problem, const unsigned char *data, Objective **objective
) noexcept nogil:
    cdef const Program *p = problem.program
    cdef Py_ssize_t nbytes = p.n * p.item_size
    cdef Problem *kept = <Problem *> PyMem_RawMalloc(<Py_ssize_t> sizeof(Problem) + LINE + nbytes)
    if kept == NULL:
        return MEMORY
    kept[0] = problem[0]
    kept.theta = aligned(kept + 1)
    memcpy(kept.theta, data + p.theta, nbytes)
    objective[0] = <Objective *> kept
    return OK


cdef int objective_open_memory(
    const void *data, size_t size, const LossName *loss, Py_ssize_t output, Objective **objective
) noexcept nogil:
    cdef Problem problem
    cdef Py_ssize_t at = 0
    cdef int status
    if objective == NULL:
        return NULL_POINTER
    objective[0] = NULL
    if data == NULL:
        return NULL_POINTER
    status = program_open(data, size, &problem.program, &at)
    if status != OK:
        # any other error of a step or of sizes is one of the file
        return status if status == MEMORY or status == VERSION else FORMAT
    status = plan(&problem, output, loss)
    if status == OK:
        status = build(&problem, <const unsigned char *> data, objective)
    if status != OK:
        program_close(problem.program)
    return status


cdef int objective_open(
    const char *path, const LossName *loss, Py_ssize_t output, Objective **objective
) noexcept nogil:
    cdef void *data = NULL
    cdef size_t size = 0
    cdef int status
    if objective == NULL:
        return NULL_POINTER
    objective[0] = NULL
    status = read_file(path, &data, &size)
    if status == OK:
        status = objective_open_memory(data, size, loss, output, objective)
    PyMem_RawFree(data)
    return status


cdef void objective_close(Objective *objective) noexcept nogil:
    if objective != NULL:
        program_close((<Problem *> objective).program)
    PyMem_RawFree(objective)


# Sizes -------------------------------------------------------------------------------------------

cdef int objective_shape(const Objective *objective, ObjectiveShape *shape) noexcept nogil:
    cdef const Program *p
    cdef const Value *Z
    if objective == NULL or shape == NULL:
        return NULL_POINTER
    if shape.struct_size != sizeof(ObjectiveShape):
        return STRUCT
    p = (<const Problem *> objective).program
    Z = &p.values[0]
    shape.height, shape.width, shape.channels = Z.height, Z.width, Z.channels
    Z = &p.values[p.target]
    shape.out_height, shape.out_width, shape.out_channels = Z.height, Z.width, Z.channels
    shape.parameters, shape.item_size = p.n, p.item_size
    return OK


# A bound of the number of sums of leaves that wait at the same time, besides the first one, for up
# to l images: the maximum of popcount(i), 0 <= i < leaves.
cdef Py_ssize_t waiting_vectors(const Sharding *rule, Py_ssize_t l) noexcept nogil:
    cdef Py_ssize_t leaves = l // rule.shard_size + (l % rule.shard_size != 0), count = 0
    # never less for more images; shard_count rounds up to a multiple of 4
    leaves = min(min((leaves + 3) // 4 * 4, rule.max_leaves), l)
    while leaves > 1:
        leaves //= 2
        count += 1
    return count


# Reserve `size` bytes. INOUT: total. OUT: at. Returns true if it overflows.
cdef inline bint place(Py_ssize_t *total, Py_ssize_t size, Py_ssize_t *at) noexcept nogil:
    at[0] = total[0]
    return grow(total, size)


cdef int objective_layout(const Problem *problem, Py_ssize_t l, Layout *layout) noexcept nogil:
    cdef const Program *p = problem.program
    cdef Py_ssize_t total = 0, prepared = 0, vectors = 0
    layout.vector = rounded(p.n * p.item_size)
    if (
        mul_overflows(p.prepared_size, p.item_size, &prepared)
        or mul_overflows(waiting_vectors(&problem.sharding, l), layout.vector, &vectors)
        or place(&total, p.training.bytes, &layout.block)
        or place(&total, prepared, &layout.prepared)
        or place(&total, vectors, &layout.vectors)
    ):
        return OVERFLOW
    layout.gradient_size = total
    if place(&total, p.tangent.bytes, &layout.t_block):
        return OVERFLOW
    if place(&total, prepared, &layout.t_prepared):
        return OVERFLOW
    layout.product_size = total
    return OK


cdef int objective_workspace(
    const Objective *objective, Py_ssize_t images, Py_ssize_t *gradient_size,
    Py_ssize_t *product_size,
) noexcept nogil:
    cdef const Problem *problem = <const Problem *> objective
    cdef Layout layout
    cdef int status
    if objective == NULL:
        return NULL_POINTER
    if images < 0:
        return SIZE
    status = objective_layout(problem, images, &layout)
    if status != OK:
        return status
    # LINE bytes to align the memory of the caller
    if gradient_size != NULL:
        gradient_size[0] = (layout.gradient_size + LINE) // problem.program.item_size
    if product_size != NULL:
        product_size[0] = (layout.product_size + LINE) // problem.program.item_size
    return OK
