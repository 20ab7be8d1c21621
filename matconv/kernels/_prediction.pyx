"""Predictions of frozen networks: on the calling thread, or on several.

As many images at once as keep their values in cache are a batch. The caller's scratch holds, from a
cache line on,

    for one batch   pointers to the outputs | the program's block | scratch of each further thread
    for several     of each thread: pointers to the outputs | the program's block
"""

from libc.string cimport memset

from ._passes cimport Execution, program_has_pieces, program_predict
from ._plan cimport program_extra_size, program_predict_size
from ._program cimport LINE, Program, aligned, grow, rounded
from ._session cimport Session, session_close, session_end, session_open_polled
from ._team cimport team_run, watch_stopped
from ._frozen cimport Frozen, Net
from ._geometry cimport mul_overflows
from ._status cimport DTYPE, INTERRUPTED, MEMORY, NULL_POINTER, OK, OVERFLOW, SCRATCH, SIZE
from ._types cimport real


# Batches of n images. One alone runs in pieces, also on one thread; several run whole, each on one
# of the threads. So the outputs have the same bits for any number of threads.
cdef inline Py_ssize_t batches(const Net *net, Py_ssize_t n) noexcept nogil:
    return n // net.at_once + (n % net.at_once != 0)


cdef inline Py_ssize_t pointers_size(const Net *net) noexcept nogil:
    return rounded(net.program.n_outputs * <Py_ssize_t> sizeof(void *))


# Bytes of what one batch needs at once: pointers to the outputs, the program's block.
cdef inline Py_ssize_t batch_size(const Net *net, Py_ssize_t n) noexcept nogil:
    return pointers_size(net) + rounded(program_predict_size(net.program, min(n, net.at_once)))


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
    # enough for fewer images too, which may be one batch
    total = max(total, several)
    # the caller's memory may begin anywhere
    if grow(&total, LINE):
        return OVERFLOW
    size[0] = total // net.program.item_size
    return OK


cdef int frozen_workspace(const Frozen *network, Py_ssize_t n, Py_ssize_t *size) noexcept nogil:
    return frozen_workspace_threads(network, n, 1, size)


# Arguments of a prediction; n images of the largest output, in bytes, fit.
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


# A prediction, for the threads that run its batches.
cdef struct Prediction:
    const Net *net
    Py_ssize_t n
    const char *images
    char **outputs
    char *memory            # batch_size bytes of each thread
    Execution how           # of each batch


# Batch k of a prediction. IN: memory, on a cache line.
cdef int predict_batch(
    const Prediction *own, const Execution *how, Py_ssize_t k, char *memory
) noexcept nogil:
    cdef const Net *net = own.net
    cdef const Program *p = net.program
    cdef Py_ssize_t first = k * net.at_once, j
    cdef void **outputs = <void **> memory
    for j in range(p.n_outputs):
        outputs[j] = own.outputs[j] + first * p.values[p.outputs[j]].size * p.item_size
    # no theta but in the block: array_at counts from its start
    return program_predict(
        p, how, net.numbers, net.numbers, min(own.n - first, net.at_once),
        own.images + first * p.values[0].size * p.item_size, outputs, memory + pointers_size(net),
    )


cdef void run_batch(void *argument, Py_ssize_t piece, int participant) noexcept nogil:
    cdef Prediction *own = <Prediction *> argument
    cdef Execution how = own.how
    how.is_caller = how.is_caller and participant == 0
    predict_batch(own, &how, piece, own.memory + participant * batch_size(own.net, own.n))


cdef int frozen_threads(const Frozen *network, Py_ssize_t n, int threads) noexcept nogil:
    cdef const Net *net = <const Net *> network
    if n <= net.at_once:
        return threads if program_has_pieces(net.program, n, False) else 1
    return <int> min(batches(net, n), <Py_ssize_t> threads)


cdef int frozen_execute(
    const Frozen *network, const Execution *how, Py_ssize_t n, const void *images, void **outputs,
    void *scratch,
) noexcept nogil:
    cdef Prediction own
    own.net, own.n = <const Net *> network, n
    own.images, own.outputs = <const char *> images, <char **> outputs
    own.memory = <char *> aligned(scratch)
    own.how = how[0]
    if n > own.net.at_once:
        own.how.shared, own.how.team = False, NULL
        team_run(how.team, run_batch, &own, batches(own.net, n))
        # a batch that was stopped has stopped them all
        return INTERRUPTED if watch_stopped(how.watch, False) else OK
    own.how.shared = True
    own.how.extra = own.memory + batch_size(own.net, n)
    return predict_batch(&own, &own.how, 0, own.memory)


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
    except BaseException:  # of a signal handler, where Python code has run
        return INTERRUPTED
    with nogil:
        status = frozen_execute(network, &session.how, n, images, outputs, scratch)
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
