"""Frozen networks: programs with prepared parameters, which any number of threads may use.

A network is a program and one block of memory, which is read-only after opening:

    Net | prepared parameters | parameters that are not prepared

`_prediction` computes the outputs.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.errno cimport ENOMEM, errno
from libc.stdio cimport (
    FILE, SEEK_END, SEEK_SET, fclose, ferror, fgetc, fread, fseek, ftell,
)
from libc.string cimport memcpy, memset

from ._merge cimport program_merge
from ._operation cimport IMAGE, MAX_ARRAYS, Step, Value
from ._opening cimport program_close, program_open
from ._passes cimport program_prepare_step
from ._plan cimport program_arrange, program_plan
from ._program cimport LINE, Program, aligned, grow
from ._status cimport (
    FORMAT, INDEX, MEMORY, NULL_POINTER, OK, OVERFLOW, STRUCT, UNREADABLE, VERSION,
)

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    # maximum number of elements, for a batch, of the largest value between two steps; or, if that
    # is larger, twice the elements of theta, which each batch reads through the cache
    MAX_ELEMENTS = 1 << 19
    # maximum number of images of a batch
    MAX_BATCH = 256
    # opening takes at most MAX_FACTOR times the bytes of the description, plus MAX_EXTRA; filters
    # are not transformed if that would take more
    MAX_FACTOR = 62
    MAX_EXTRA = 1 << 19

cdef extern from * nogil:
    """
    #ifdef _WIN32
    static FILE *matconv_open_file(const char *path)
    {
        return fopen(path, "rb");
    }
    #else
    #include <fcntl.h>
    #include <unistd.h>
    /* without waiting for the writer of a FIFO */
    static FILE *matconv_open_file(const char *path)
    {
        int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "rb");
        if (file == NULL && descriptor >= 0)
            close(descriptor);
        return file;
    }
    #endif
    """
    FILE *open_file "matconv_open_file"(const char *path) noexcept


cdef struct Totals:
    Py_ssize_t elements     # elements of the block
    Py_ssize_t temporary    # elements of temporary memory to prepare one step


# The address of element `count`.
cdef inline char *at_element(const Net *net, void *start, Py_ssize_t count) noexcept nogil:
    return <char *> start + count * net.program.item_size


# Opening ------------------------------------------------------------------------------------------


# Choose the number of images of a batch. INOUT: net. Returns a status.
cdef int choose_batch(Net *net, size_t size) noexcept nogil:
    cdef Program *p = net.program
    cdef Py_ssize_t k, elements, largest = 1
    cdef int status = program_arrange(p)
    if status != OK:
        return status
    for k in range(1, p.n_steps + 1):
        if p.last_reader[k] < p.n_steps:
            largest = max(largest, p.values[k].size)
    # a chain needs two values at the same time, a graph may need more
    largest = max(largest, p.inference.values // p.item_size // 2)
    elements = max(<Py_ssize_t> MAX_ELEMENTS, <Py_ssize_t> size // p.item_size * 2)
    net.max_batch = min(max(elements // largest, <Py_ssize_t> 1), <Py_ssize_t> MAX_BATCH)
    return OK


# Reserve memory, after the prepared parameters, for those of step k that are not prepared.
# INOUT: step, elements. Returns a status.
cdef int place_kept(Program *p, Step *step, Py_ssize_t k, Py_ssize_t *elements) noexcept nogil:
    cdef Py_ssize_t j
    cdef int i
    cdef const Step *other
    for i in range(step.operation.prepared_arrays, step.n_arrays):
        for j in range(step.owner, k):
            other = &p.steps[j]
            if other.owner == step.owner and other.operation.prepared_arrays <= i:
                step.kept_at[i] = other.kept_at[i]
                break
        else:
            step.kept_at[i] = elements[0]
            if grow(elements, step.array_size[i]):
                return OVERFLOW
    return OK


# Compute the sizes of memory. OUT: totals. Returns a status.
cdef int measure(Net *net, Totals *totals) noexcept nogil:
    cdef Program *p = net.program
    cdef Py_ssize_t k, needed
    cdef Step *step
    cdef const Step *affine
    cdef int i
    totals.elements = p.preparing
    totals.temporary = 0
    for k in range(p.n_steps):
        step = &p.steps[k]
        if place_kept(p, step, k, &totals.elements) != OK:
            return OVERFLOW
        needed = 0
        for i in range(step.n_arrays):
            if grow(&needed, step.array_size[i]):
                return OVERFLOW
        if p.merged[k] >= 0:
            affine = &p.steps[p.merged[k]]
            # arrays of the affine step, gain, bias
            for i in range(affine.n_arrays):
                if grow(&needed, affine.array_size[i]):
                    return OVERFLOW
            if (
                grow(&needed, p.values[step.output].channels)
                or grow(&needed, p.values[step.output].channels)
            ):
                return OVERFLOW
        if grow(&needed, step.sizes.preparing):
            return OVERFLOW
        totals.temporary = max(totals.temporary, needed)
    return OK


# Plan the program and the memory of the network, within the limit of memory. INOUT: net. OUT:
# totals. Returns a status.
cdef int plan(Net *net, size_t size, Totals *totals) noexcept nogil:
    cdef Program *p = net.program
    cdef Py_ssize_t limit = MAX_EXTRA
    cdef int status, compact
    if size <= <size_t> (PY_SSIZE_T_MAX // 2 // MAX_FACTOR):
        limit += MAX_FACTOR * <Py_ssize_t> size
    status = program_merge(p)
    if status == OK:
        status = choose_batch(net, size)
    for compact in range(2):
        if status == OK:
            status = program_plan(
                p, net.max_batch, min(p.usual, net.max_batch), -1, True, compact
            )
        if status == OK:
            status = measure(net, totals)
        if status != OK:
            return status
        if totals.elements + totals.temporary <= (limit - p.bytes) // p.item_size:
            return OK
    return OVERFLOW


# Copy the arrays of a step from theta, which may not be aligned, to temporary memory. INOUT: at,
# offset of the free part of that. OUT: arrays, addresses of the copies.
cdef void load_arrays(
    const Net *net, const unsigned char *data, const Step *step, Py_ssize_t *at, void *temporary,
    void **arrays,
) noexcept nogil:
    cdef Program *p = net.program
    cdef size_t length
    cdef int i
    for i in range(step.n_arrays):
        length = step.array_size[i] * p.item_size
        arrays[i] = at_element(net, temporary, at[0])
        grow(at, step.array_size[i])
        if step.array_at[i] < 0:
            memset(arrays[i], 0, length)
        else:
            memcpy(arrays[i], data + p.theta + step.array_at[i] * p.item_size, length)


# Prepare the parameters of step k from the description to the block. SCRATCH: temporary.
cdef void prepare(
    Net *net, const unsigned char *data, Py_ssize_t k, void *temporary
) noexcept nogil:
    cdef Program *p = net.program
    cdef Step *step = &p.steps[k]
    cdef const Step *affine
    cdef void *arrays[MAX_ARRAYS]
    cdef void *affine_arrays[MAX_ARRAYS]
    cdef void *gain
    cdef void *bias
    cdef Py_ssize_t at = 0
    cdef int i
    load_arrays(net, data, step, &at, temporary, arrays)
    if p.merged[k] >= 0:
        affine = &p.steps[p.merged[k]]
        load_arrays(net, data, affine, &at, temporary, affine_arrays)
        gain = at_element(net, temporary, at)
        grow(&at, p.values[step.output].channels)
        bias = at_element(net, temporary, at)
        grow(&at, p.values[step.output].channels)
        affine.operation.affine(affine, <const void **> affine_arrays, gain, bias)
        step.operation.absorb(step, gain, bias, arrays)
    for i in range(step.operation.prepared_arrays, step.n_arrays):
        memcpy(
            at_element(net, net.parameters, step.kept_at[i]), arrays[i],
            step.array_size[i] * p.item_size,
        )
    if step.operation.prepare != NULL and p.prepared_by[k] == k:
        program_prepare_step(
            p, k, <const void **> arrays, at_element(net, net.parameters, p.prepared[k]),
            at_element(net, temporary, at),
        )


cdef void prepare_all(Net *net, const unsigned char *data, void *temporary) noexcept nogil:
    cdef Program *p = net.program
    cdef Py_ssize_t k
    cdef int i
    for k in range(p.n_steps):
        prepare(net, data, k, temporary)
    # offsets in the block instead of theta, for `forward`
    for k in range(p.n_steps):
        for i in range(p.steps[k].n_arrays):
            p.steps[k].array_at[i] = p.steps[k].kept_at[i]


# Make the block of a planned program. INOUT: net. OUT: network. Returns a status.
cdef int build(
    Net *net, const unsigned char *data, const Totals *totals, Frozen **network
) noexcept nogil:
    cdef Py_ssize_t item_size = net.program.item_size
    cdef Net *kept = <Net *> PyMem_RawMalloc(
        <Py_ssize_t> sizeof(Net) + LINE + totals.elements * item_size
    )
    cdef void *temporary = PyMem_RawMalloc(LINE + totals.temporary * item_size)
    if kept == NULL or temporary == NULL:
        PyMem_RawFree(kept)
        PyMem_RawFree(temporary)
        return MEMORY
    net.parameters = aligned(kept + 1)
    kept[0] = net[0]
    prepare_all(kept, data, aligned(temporary))
    PyMem_RawFree(temporary)
    network[0] = <Frozen *> kept
    return OK


cdef int frozen_open_memory(const void *data, size_t size, Frozen **network) noexcept nogil:
    cdef Net net
    cdef Totals totals
    cdef Py_ssize_t at = 0
    cdef int status
    if network == NULL:
        return NULL_POINTER
    network[0] = NULL
    if data == NULL:
        return NULL_POINTER
    status = program_open(data, size, &net.program, &at)
    if status == OK and net.program.theta == 0:
        status = FORMAT
    if status == OK:
        status = plan(&net, size, &totals)
    if status == OK:
        status = build(&net, <const unsigned char *> data, &totals, network)
    if status == OK:
        return OK
    program_close(net.program)
    # any other error of a step or of sizes is one of the file
    return status if status == MEMORY or status == VERSION else FORMAT


cdef int read_file(const char *path, void **data, size_t *size) noexcept nogil:
    cdef FILE *file
    cdef long length = -1
    cdef int status = UNREADABLE
    cdef bint empty
    data[0] = NULL
    if path == NULL:
        return NULL_POINTER
    file = open_file(path)
    if file == NULL:
        return MEMORY if errno == ENOMEM else UNREADABLE
    # a directory has an end but no first byte, a device has a first byte but no end
    empty = fgetc(file) < 0
    if not ferror(file) and fseek(file, 0, SEEK_END) == 0:
        length = ftell(file)
    if (length > 0 or empty and length == 0) and fseek(file, 0, SEEK_SET) == 0:
        size[0] = length
        data[0] = PyMem_RawMalloc(length + 1)
        if data[0] == NULL:
            status = MEMORY
        elif fread(data[0], 1, length, file) == size[0]:
            status = OK
    fclose(file)
    return status


cdef int frozen_open(const char *path, Frozen **network) noexcept nogil:
    cdef void *data = NULL
    cdef size_t size = 0
    cdef int status
    if network == NULL:
        return NULL_POINTER
    network[0] = NULL
    status = read_file(path, &data, &size)
    if status == OK:
        status = frozen_open_memory(data, size, network)
    PyMem_RawFree(data)
    return status


cdef void frozen_close(Frozen *network) noexcept nogil:
    if network != NULL:
        program_close((<Net *> network).program)
    PyMem_RawFree(network)


# Using --------------------------------------------------------------------------------------------


cdef int frozen_outputs(const Frozen *network, Py_ssize_t *outputs) noexcept nogil:
    if network == NULL or outputs == NULL:
        return NULL_POINTER
    outputs[0] = (<const Net *> network).program.n_outputs
    return OK


cdef const Value *output_value(const Frozen *network, Py_ssize_t output) noexcept nogil:
    cdef const Program *p = (<const Net *> network).program
    return &p.values[p.outputs[output]]


cdef int frozen_shape(const Frozen *network, Py_ssize_t output, Shape *shape) noexcept nogil:
    cdef const Program *p
    cdef const Value *Z
    if network == NULL or shape == NULL:
        return NULL_POINTER
    if shape.struct_size != sizeof(Shape):
        return STRUCT
    p = (<const Net *> network).program
    if not 0 <= output < p.n_outputs:
        return INDEX
    Z = &p.values[0]
    shape.b, shape.a, shape.d = Z.height, Z.width, Z.channels
    Z = output_value(network, output)
    shape.b_out, shape.a_out, shape.d_out = Z.height, Z.width, Z.channels
    shape.item_size = p.item_size
    return OK


cdef bint frozen_is_vector(const Frozen *network, Py_ssize_t output) noexcept nogil:
    return output_value(network, output).rank != IMAGE
