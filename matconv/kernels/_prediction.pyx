"""Predictions of frozen networks: on the calling thread, or on several.

A batch is as many images as have their values in cache. From the first cache line on, the scratch
of the caller contains

    for one batch   pointers to the outputs | block of the program | scratch of the other threads
    for several     for each thread: pointers to the outputs | block of the program
"""

from libc.string cimport memset

from ._passes cimport Execution, program_predict
from ._plan cimport program_extra_size, program_predict_size
from ._program cimport LINE, Program, aligned, grow, rounded
from ._session cimport Session, session_close, session_end, session_open_polled
from ._team cimport team_run, watch_stopped
from ._frozen cimport Frozen, Net
from ._geometry cimport mul_overflows
from ._status cimport DTYPE, INTERRUPTED, MEMORY, NULL_POINTER, OK, OVERFLOW, SCRATCH, SIZE
from ._steps cimport program_has_pieces
from ._types cimport real


# The number of batches of n images. A single batch runs in pieces, also on one thread; of several,
# each runs as a whole on one of the threads. So the outputs have the same bits for any number of
# threads.
cdef inline Py_ssize_t batches(const Net *net, Py_ssize_t n) noexcept nogil:
    return n // net.max_batch + (n % net.max_batch != 0)


cdef inline Py_ssize_t pointers_size(const Net *net) noexcept nogil:
    return rounded(net.program.n_outputs * <Py_ssize_t> sizeof(void *))


# Bytes of the pointers to the outputs and the block of the program, for one batch.
cdef inline Py_ssize_t batch_size(const Net *net, Py_ssize_t n) noexcept nogil:
    return pointers_size(net) + rounded(program_predict_size(net.program, min(n, net.max_batch)))


cdef int frozen_workspace_threads(
    const Frozen *network, Py_ssize_t n, int threads, Py_ssize_t *size
) noexcept nogil:
    cdef const Net *net = <const Net *> network
    cdef Py_ssize_t total, several = 0
    if network == NULL or size == NULL:
        return NULL_POINTER
    if n < 0 or not 1 <= threads <= MAX_THREADS:
        return SIZE
    total = program_extra_size(net.program, threads)
    if total < 0 or grow(&total, batch_size(net, n)):
        return OVERFLOW
    if mul_overflows(min(batches(net, n), <Py_ssize_t> threads), batch_size(net, n), &several):
        return OVERFLOW
    # sufficient also for fewer images, which may be one batch
    total = max(total, several)
    # to align the memory of the caller
    if grow(&total, LINE):
        return OVERFLOW
    size[0] = total // net.program.item_size
    return OK


cdef int frozen_workspace(const Frozen *network, Py_ssize_t n, Py_ssize_t *size) noexcept nogil:
    return frozen_workspace_threads(network, n, 1, size)


# Check the arguments of a prediction, and that the bytes of the largest array do not overflow.
cdef int check_predict(
    const Net *net, Py_ssize_t n, const void *images, void **outputs, const void *scratch,
    Py_ssize_t scratch_size, int threads,
) noexcept nogil:
    cdef const Program *p = net.program
    cdef Py_ssize_t needed = 0, total = 0, k, largest = p.values[0].size
    cdef int status = frozen_workspace_threads(<const Frozen *> net, n, threads, &needed)
    if status != OK:
        return status
    for k in range(p.n_outputs):
        largest = max(largest, p.values[p.outputs[k]].size)
    if mul_overflows(n, largest * p.item_size, &total):
        return OVERFLOW
    if n == 0:
        return OK
    if images == NULL or outputs == NULL:
        return NULL_POINTER
    for k in range(p.n_outputs):
        if outputs[k] == NULL:
            return NULL_POINTER
    if scratch_size < needed:
        return SCRATCH
    return NULL_POINTER if scratch == NULL else OK


# The argument of `run_batch`.
cdef struct Prediction:
    const Net *net
    Py_ssize_t n
    const char *images
    char **outputs
    char *memory            # batch_size bytes of each thread
    Execution execution     # of each batch


# Batch k of a prediction. SCRATCH: memory, aligned. Returns OK or INTERRUPTED.
cdef int predict_batch(
    const Prediction *own, const Execution *execution, Py_ssize_t k, char *memory
) noexcept nogil:
    cdef const Net *net = own.net
    cdef const Program *p = net.program
    cdef Py_ssize_t first = k * net.max_batch, j
    cdef void **outputs = <void **> memory
    for j in range(p.n_outputs):
        outputs[j] = own.outputs[j] + first * p.values[p.outputs[j]].size * p.item_size
    # the parameters instead of theta: array_at are offsets in these
    return program_predict(
        p, execution, net.parameters, net.parameters, min(own.n - first, net.max_batch),
        own.images + first * p.values[0].size * p.item_size, outputs, memory + pointers_size(net),
    )


cdef void run_batch(void *argument, Py_ssize_t piece, int participant) noexcept nogil:
    cdef Prediction *own = <Prediction *> argument
    cdef Execution execution = own.execution
    execution.is_caller = execution.is_caller and participant == 0
    predict_batch(own, &execution, piece, own.memory + participant * batch_size(own.net, own.n))


cdef int frozen_threads(const Frozen *network, Py_ssize_t n, int threads) noexcept nogil:
    cdef const Net *net = <const Net *> network
    if n <= net.max_batch:
        return threads if program_has_pieces(net.program, n, False) else 1
    return <int> min(batches(net, n), <Py_ssize_t> threads)


cdef int frozen_execute(
    const Frozen *network, const Execution *execution, Py_ssize_t n, const void *images,
    void **outputs, void *scratch,
) noexcept nogil:
    cdef Prediction own
    own.net, own.n = <const Net *> network, n
    own.images, own.outputs = <const char *> images, <char **> outputs
    own.memory = <char *> aligned(scratch)
    own.execution = execution[0]
    if n > own.net.max_batch:
        own.execution.shared, own.execution.team = False, NULL
        team_run(execution.team, run_batch, &own, batches(own.net, n))
        # a watch that has stopped one batch has stopped all
        return INTERRUPTED if watch_stopped(execution.watch, False) else OK
    own.execution.shared = True
    own.execution.extra = own.memory + batch_size(own.net, n)
    return predict_batch(&own, &own.execution, 0, own.memory)


cdef int frozen_check(
    const Frozen *network, Py_ssize_t n, const real *images, real **outputs, real *scratch,
    Py_ssize_t scratch_size, int threads,
) noexcept nogil:
    cdef const Net *net = <const Net *> network
    if network == NULL:
        return NULL_POINTER
    if net.program.item_size != sizeof(real):
        return DTYPE
    return check_predict(net, n, images, <void **> outputs, scratch, scratch_size, threads)


cdef int frozen_predict(
    const Frozen *network, Py_ssize_t n, const real *images, real **outputs, real *scratch,
    Py_ssize_t scratch_size,
) noexcept nogil:
    cdef int status = frozen_check(network, n, images, outputs, scratch, scratch_size, 1)
    cdef Execution alone
    if status != OK or n == 0:
        return status
    memset(&alone, 0, sizeof(Execution))
    return frozen_execute(network, &alone, n, images, <void **> outputs, scratch)


cdef int execute_by_pool(
    const Frozen *network, Py_ssize_t n, const void *images, void **outputs, void *scratch,
    int threads, Poll poll, void *poll_argument,
) noexcept with gil:
    cdef Session session
    cdef int status
    try:
        session_open_polled(&session, threads, poll, poll_argument)
    except MemoryError:
        return MEMORY
    except BaseException:  # of a signal handler, if Python code has run
        return INTERRUPTED
    with nogil:
        status = frozen_execute(network, &session.execution, n, images, outputs, scratch)
        session_end(&session)
    session_close(&session, OK)
    return status


cdef int frozen_predict_threads(
    const Frozen *network, Py_ssize_t n, const real *images, real **outputs, real *scratch,
    Py_ssize_t scratch_size, int threads, Poll poll, void *poll_argument,
) noexcept nogil:
    cdef int status = frozen_check(network, n, images, outputs, scratch, scratch_size, threads)
    if status != OK or n == 0:
        return status
    return execute_by_pool(
        network, n, images, <void **> outputs, scratch, frozen_threads(network, n, threads), poll,
        poll_argument,
    )
