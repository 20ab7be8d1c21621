"""Frozen networks: opened from the bytes that `exported` reads, used by any number of threads.

One block of memory holds a whole network:

    Net | Step, one per layer | filters, transformed or in the tile's order, and biases

It is never written to again. `frozen_predict` takes images through all layers, as many at once as
keep their outputs in cache; two buffers of the caller's scratch take turns as output and input.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.errno cimport ENOMEM, errno
from libc.stdint cimport uintptr_t
from libc.stdio cimport (
    FILE, SEEK_END, SEEK_SET, fclose, ferror, fgetc, fread, fseek, ftell,
)
from libc.string cimport memcpy

from ._activation cimport Activation, relu_if
from .algorithms cimport choose_tile
from .conv_driver cimport (
    conv_forward_prepared, conv_pieces, conv_prepare, conv_prepare_scratch, conv_prepared_sizes,
)
from .exported cimport DENSE, MAX_POOL, Header, Record, ends_at, read_header, read_layer
from .geometry cimport Geometry, geometry_init, mul_overflows
from .pool_loops cimport avg_pool, max_pool
from .status cimport (
    DTYPE, FORMAT, MEMORY, NULL_POINTER, OK, OVERFLOW, SCRATCH, SIZE, STRUCT, UNREADABLE,
)
from .types cimport real

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    LINE = 64               # bytes: where numbers begin
    # the largest output between two layers, of all images at once, has so many numbers or twice
    # the weights', which all come through the cache for each of these batches
    MOST_NUMBERS = 1 << 19
    MOST_AT_ONCE = 256

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
    /* without waiting for somebody who writes into a FIFO */
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


cdef struct Step:
    int kind
    Activation activation
    Geometry g                  # of as many images as go at once
    Py_ssize_t m_b, m_a
    Py_ssize_t filters, bias    # numbers from the start


cdef struct Net:
    Header header
    Py_ssize_t b_out, a_out, d_out
    Py_ssize_t size_in, size_out    # numbers of one image and one output
    Py_ssize_t between              # numbers of the largest output between two layers
    Py_ssize_t at_once              # images
    Step *steps
    void *numbers


# What pass over the file's layers finds: INOUT, beside the numbers that the weights take.
cdef struct Totals:
    Py_ssize_t numbers          # of filters and biases, each on a cache line of its own
    Py_ssize_t temporary        # for preparing one layer: its W and the scratch


cdef bint grow(Py_ssize_t *total, Py_ssize_t more) noexcept nogil:
    # room for more numbers that begin on a cache line; True when that overflows
    if more > PY_SSIZE_T_MAX // 16 - LINE - total[0]:
        return True
    total[0] = (total[0] + more + LINE - 1) // LINE * LINE
    return False


# One layer of the file as a step. OUT: step, but for the numbers themselves. INOUT: totals.
cdef int plan_step(
    const Record *record, const Net *net, Step *step, Totals *totals
) noexcept nogil:
    cdef bint is_double = net.header.item_size == 8
    cdef Geometry usual = record.g
    cdef Py_ssize_t filters = 0, scratch = 0
    step.kind = record.kind
    step.activation = relu_if(record.relu)
    step.g = record.g
    step.g.l = net.at_once
    step.m_b = step.m_a = 0
    step.filters = step.bias = 0
    usual.l = min(net.header.images, net.at_once)
    if geometry_init(&step.g) != OK or geometry_init(&usual) != OK:
        return FORMAT
    if record.kind >= MAX_POOL:
        return OK
    choose_tile(&usual, is_double, record.algorithm, True, &step.m_b, &step.m_a)
    if conv_prepared_sizes(&step.g, is_double, step.m_b, step.m_a, &filters, &scratch) != OK:
        return FORMAT
    step.filters = totals.numbers
    if grow(&totals.numbers, filters):
        return FORMAT
    step.bias = totals.numbers
    if grow(&totals.numbers, step.g.d_out):
        return FORMAT
    scratch = conv_prepare_scratch(&step.g, is_double, step.m_b, step.m_a)
    if grow(&scratch, step.g.K * step.g.d_out):
        return FORMAT
    totals.temporary = max(totals.temporary, scratch)
    return OK


cdef void prepare(
    const unsigned char *data, const Record *record, const Step *step, real *numbers,
    real *temporary
) noexcept nogil:
    # the W and b of a file, which may begin anywhere, as the kernels want them
    cdef Geometry g = step.g
    g.l = 1
    geometry_init(&g)
    memcpy(temporary, data + record.W, g.K * g.d_out * sizeof(real))
    conv_prepare(
        &g, step.m_b, step.m_a, temporary, numbers + step.filters, temporary + g.K * g.d_out
    )
    memcpy(numbers + step.bias, data + record.bias, g.d_out * sizeof(real))


cdef void *aligned(void *memory) noexcept nogil:
    return <void *> ((<uintptr_t> memory + LINE - 1) // LINE * LINE)


# All layers: the first time (net.steps is NULL) to see how much they need, the second to keep.
cdef int walk(
    const unsigned char *data, size_t size, Net *net, Totals *totals, void *temporary
) noexcept nogil:
    cdef Py_ssize_t shape[3]
    cdef Py_ssize_t k, next = 0
    cdef Record record
    cdef Step step
    totals.numbers = totals.temporary = 0
    for k in range(net.header.layers):
        if read_layer(data, size, &net.header, k, shape, &next, &record) != OK:
            return FORMAT
        if plan_step(&record, net, &step, totals) != OK:
            return FORMAT
        if net.steps != NULL:
            net.steps[k] = step
            if record.kind < MAX_POOL and net.header.item_size == 8:
                prepare(data, &record, &step, <double *> net.numbers, <double *> temporary)
            elif record.kind < MAX_POOL:
                prepare(data, &record, &step, <float *> net.numbers, <float *> temporary)
    return OK if ends_at(data, size, next) else FORMAT


# The sizes that decide how many images go at once. OUT: net.
cdef int measure(const unsigned char *data, size_t size, Net *net) noexcept nogil:
    cdef Py_ssize_t shape[3]
    cdef Py_ssize_t k, next = 0, numbers
    cdef Record record
    net.between = 1
    for k in range(net.header.layers):
        if read_layer(data, size, &net.header, k, shape, &next, &record) != OK:
            return FORMAT
        if k == 0:
            # now that the layer has found that it fits
            net.size_in = net.header.b * net.header.a * net.header.d
        net.size_out = shape[0] * shape[1] * shape[2]
        if k < net.header.layers - 1:
            net.between = max(net.between, net.size_out)
    net.b_out, net.a_out, net.d_out = shape[0], shape[1], shape[2]
    numbers = max(<Py_ssize_t> MOST_NUMBERS, <Py_ssize_t> size // net.header.item_size * 2)
    net.at_once = min(max(numbers // net.between, <Py_ssize_t> 1), <Py_ssize_t> MOST_AT_ONCE)
    return OK


cdef int frozen_open_memory(const void *data, size_t size, Frozen **network) noexcept nogil:
    cdef const unsigned char *file = <const unsigned char *> data
    cdef Net net
    cdef Net *kept
    cdef Totals totals
    cdef Py_ssize_t length, unused = 0
    cdef void *temporary
    cdef int status
    if network == NULL:
        return NULL_POINTER
    network[0] = NULL
    if data == NULL:
        return NULL_POINTER
    status = read_header(file, size, &net.header)
    if status == OK:
        status = measure(file, size, &net)
    if status != OK:
        return status
    net.steps = NULL
    status = walk(file, size, &net, &totals, NULL)
    if status != OK:
        return status
    length = sizeof(Net) + net.header.layers * sizeof(Step) + LINE
    length += totals.numbers * net.header.item_size
    kept = <Net *> PyMem_RawMalloc(length)
    temporary = PyMem_RawMalloc(max(totals.temporary, <Py_ssize_t> 1) * net.header.item_size)
    if kept == NULL or temporary == NULL:
        PyMem_RawFree(kept)
        PyMem_RawFree(temporary)
        return MEMORY
    net.steps = <Step *> (kept + 1)
    net.numbers = aligned(net.steps + net.header.layers)
    kept[0] = net
    walk(file, size, kept, &totals, temporary)
    PyMem_RawFree(temporary)
    # whatever predict needs for as many images as go at once is a size
    status = frozen_workspace(<Frozen *> kept, net.at_once, &unused)
    if status != OK:
        PyMem_RawFree(kept)
        return FORMAT
    network[0] = <Frozen *> kept
    return OK


cdef int frozen_open(const char *path, Frozen **network) noexcept nogil:
    cdef FILE *file
    cdef long size = -1
    cdef void *data = NULL
    cdef int status = UNREADABLE
    cdef bint empty
    if network == NULL:
        return NULL_POINTER
    network[0] = NULL
    if path == NULL:
        return NULL_POINTER
    file = open_file(path)
    if file == NULL:
        return MEMORY if errno == ENOMEM else UNREADABLE
    # a directory has an end, but no first byte; a device a first byte, but no end
    empty = fgetc(file) < 0
    if not ferror(file) and fseek(file, 0, SEEK_END) == 0:
        size = ftell(file)
    if (size > 0 or empty and size == 0) and fseek(file, 0, SEEK_SET) == 0:
        data = PyMem_RawMalloc(size + 1)
        if data == NULL:
            status = MEMORY
        elif fread(data, 1, size, file) == <size_t> size:
            status = OK
    fclose(file)
    if status == OK:
        status = frozen_open_memory(data, size, network)
    PyMem_RawFree(data)
    return status


cdef void frozen_close(Frozen *network) noexcept nogil:
    PyMem_RawFree(network)


cdef int frozen_shape(const Frozen *network, Shape *shape) noexcept nogil:
    cdef const Net *net = <const Net *> network
    if network == NULL or shape == NULL:
        return NULL_POINTER
    if shape.struct_size != sizeof(Shape):
        return STRUCT
    shape.b, shape.a, shape.d = net.header.b, net.header.a, net.header.d
    shape.b_out, shape.a_out, shape.d_out = net.b_out, net.a_out, net.d_out
    shape.item_size = net.header.item_size
    return OK


# The step's geometry for n images, at most those that go at once: fits, as that fitted.
cdef void of_images(const Step *step, Py_ssize_t n, Geometry *g) noexcept nogil:
    g[0] = step.g
    g.l = n


cdef int frozen_workspace(const Frozen *network, Py_ssize_t n, Py_ssize_t *size) noexcept nogil:
    cdef const Net *net = <const Net *> network
    cdef Py_ssize_t k, filters = 0, scratch = 0, most = 0, total = 0
    cdef const Step *step
    cdef Geometry g
    if network == NULL or size == NULL:
        return NULL_POINTER
    if n < 0:
        return SIZE
    n = min(n, net.at_once)
    for k in range(net.header.layers):
        step = &net.steps[k]
        if step.kind < MAX_POOL:
            of_images(step, n, &g)
            if conv_prepared_sizes(
                &g, net.header.item_size == 8, step.m_b, step.m_a, &filters, &scratch
            ) != OK:
                return OVERFLOW
            most = max(most, scratch)
    if net.header.layers > 1 and (grow(&total, n * net.between) or grow(&total, n * net.between)):
        return OVERFLOW
    if grow(&total, most):
        return OVERFLOW
    size[0] = total
    return OK


cdef void run_step(
    const Net *net, const Step *step, Py_ssize_t n, const real *source, real *target, real *scratch
) noexcept nogil:
    cdef const real *numbers = <const real *> net.numbers
    cdef Geometry g
    of_images(step, n, &g)
    if step.kind <= DENSE:
        conv_forward_prepared(
            &g, step.m_b, step.m_a, source, numbers + step.filters, numbers + step.bias,
            &step.activation, target, 0, conv_pieces(&g, real is double, step.m_b, step.m_a),
            scratch,
        )
    elif step.kind == MAX_POOL:
        max_pool(&g, source, target, NULL)
    else:
        avg_pool(&g, source, target)


cdef int frozen_predict(
    const Frozen *network, Py_ssize_t n, const real *images, real *out, real *scratch,
    Py_ssize_t scratch_size,
) noexcept nogil:
    cdef const Net *net = <const Net *> network
    cdef Py_ssize_t needed = 0, total = 0, done = 0, count, k, last
    cdef real *buffers[2]
    cdef const real *source
    cdef real *target
    cdef int status
    if network == NULL:
        return NULL_POINTER
    if net.header.item_size != sizeof(real):
        return DTYPE
    status = frozen_workspace(network, n, &needed)
    if status != OK:
        return status
    if mul_overflows(n, max(net.size_in, net.size_out) * sizeof(real), &total):
        return OVERFLOW
    if n == 0:
        return OK
    if images == NULL or out == NULL:
        return NULL_POINTER
    if scratch_size < needed:
        return SCRATCH
    if needed > 0 and scratch == NULL:
        return NULL_POINTER
    last = net.header.layers - 1
    count = min(n, net.at_once)
    buffers[0] = buffers[1] = scratch
    if last > 0:
        total = 0
        grow(&total, count * net.between)
        buffers[1] = scratch + total
        scratch = scratch + 2 * total
    while done < n:
        count = min(n - done, net.at_once)
        source = images + done * net.size_in
        for k in range(last + 1):
            target = buffers[k % 2]
            if k == last:
                target = out + done * net.size_out
            run_step(net, &net.steps[k], count, source, target, scratch)
            source = target
        done += count
    return OK


cdef bint frozen_ends_dense(const Frozen *network) noexcept nogil:
    cdef const Net *net = <const Net *> network
    return net.steps[net.header.layers - 1].kind == DENSE
