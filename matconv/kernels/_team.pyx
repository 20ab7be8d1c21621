"""Threads that share the pieces of a call."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.pythread cimport NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock
from libc.string cimport memset

from ._queue cimport (
    Helper, Piece, Queue, SPIN, Slot, cancel_sleep, pieces_left, release_queue, take_piece,
    wait_for_wakeup, wake_helper,
)
from ._helpers cimport find_helper, return_helper
from ._native cimport (
    add, current_process, exchange_pointer, exchange_word, load, load_word, now, pause_cpu, store,
)
from ._watch cimport Watch, watch_forked, watch_stopped
from ._guard cimport need_buffer, pause_products, products_have_begun, resume_products
from ._status cimport INTERRUPTED, OK

cdef enum:
    POLL_INTERVAL = 50_000      # microseconds
    # maximum number of pieces of a job; a call with more has several jobs
    MAX_PIECES = 1 << 30


# A queue with one reference and no slots in use; NULL if there is no memory.
cdef Queue *new_queue(int n_helpers) noexcept:
    cdef Queue *queue = <Queue *> PyMem_RawMalloc(sizeof(Queue) + n_helpers * sizeof(Slot))
    if queue == NULL:
        return NULL
    memset(queue, 0, sizeof(Queue))
    queue.wakeup = PyThread_allocate_lock()
    if queue.wakeup == NULL:
        PyMem_RawFree(queue)
        return NULL
    PyThread_acquire_lock(queue.wakeup, NOWAIT_LOCK)
    queue.references = 1
    queue.process = current_process()
    return queue


cdef int team_open(Team *team, int n_threads, Watch *watch) except -1:
    cdef Queue *queue
    cdef Slot *slot
    cdef Helper *helper
    team.queue = NULL
    team.watch = watch
    team.size = 1
    need_buffer()
    if n_threads <= 1:
        return 0
    queue = new_queue(n_threads - 1)
    if queue == NULL:
        return 0
    queue.watch = watch
    while team.size < n_threads:
        helper = find_helper()
        if helper == NULL:
            break
        slot = &queue.slots[team.size - 1]
        slot.queue = queue
        slot.helper = helper
        slot.participant = team.size
        team.size += 1
        add(&queue.references, 1)
        exchange_pointer(&helper.slot, slot)
    queue.n_helpers = team.size - 1
    if queue.n_helpers == 0:
        release_queue(queue)
    else:
        team.queue = queue
    return 0


cdef int team_size(const Team *team) noexcept nogil:
    return 1 if team == NULL else team.size


cdef void team_close(Team *team) noexcept:
    cdef Queue *queue = team.queue
    cdef Helper *helper
    cdef int k
    team.queue = NULL
    team.size = 1
    if queue == NULL or queue.process != current_process():
        return
    store(&queue.closed, True)
    for k in range(queue.n_helpers):
        helper = queue.slots[k].helper
        if exchange_pointer(&helper.slot, NULL) != NULL:
            release_queue(queue)  # for the helper, which has not joined
        return_helper(helper)
    release_queue(queue)


# Run all pieces on the calling thread. Returns OK or INTERRUPTED.
cdef int run_alone(
    Watch *watch, Piece function, void *argument, Py_ssize_t pieces
) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(pieces):
        if watch_stopped(watch, True):
            break
        function(argument, k, 0)
    return INTERRUPTED if watch != NULL and load(&watch.stopped) else OK


# Publish a job and wake as many helpers as it can use.
cdef void publish(Queue *queue, int pieces) noexcept nogil:
    cdef unsigned long long epoch = (load_word(&queue.state) >> 32) + 1
    cdef int k
    queue.pieces = pieces
    queue.products = products_have_begun()
    store(&queue.done, 0)
    exchange_word(&queue.state, epoch << 32 | <unsigned int> pieces)
    for k in range(min(queue.n_helpers, pieces - 1)):
        wake_helper(queue.slots[k].helper)


# Wait until helpers have done this number of pieces. Returns false in the child of a fork, which
# has no helpers.
cdef bint wait_for_helpers(Queue *queue, int pieces) noexcept nogil:
    cdef long long since = now()
    cdef int paused
    cdef bint good = True
    while load(&queue.done) < pieces:
        if now() - since > SPIN:
            break
        pause_cpu()
    if load(&queue.done) == pieces:
        return True
    # a helper may have to wait for a fork, so the fork must not wait for this thread
    paused = pause_products()
    while good and load(&queue.done) < pieces:
        store(&queue.sleeping, True)
        if load(&queue.done) == pieces:
            cancel_sleep(&queue.sleeping, queue.wakeup)
            break
        wait_for_wakeup(&queue.sleeping, queue.wakeup, POLL_INTERVAL)
        good = queue.process == current_process()
        if good:
            watch_stopped(queue.watch, True)
    resume_products(paused)
    return good


# Run one job. Returns as `wait_for_helpers`.
cdef bint run_job(Queue *queue, int pieces) noexcept nogil:
    cdef int own = 0
    cdef Py_ssize_t k
    publish(queue, pieces)
    while not watch_stopped(queue.watch, True):
        k = take_piece(queue)
        if k < 0:
            break
        queue.function(queue.argument, queue.first + k, 0)
        own += 1
    # after a stop, the remaining pieces are not run
    pieces -= pieces_left(exchange_word(&queue.state, load_word(&queue.state) >> 32 << 32))
    return wait_for_helpers(queue, pieces - own)


cdef int team_run(Team *team, Piece function, void *argument, Py_ssize_t pieces) noexcept nogil:
    cdef Queue *queue
    cdef Watch *watch
    cdef int count
    if team == NULL:
        return run_alone(NULL, function, argument, pieces)
    queue = team.queue
    watch = team.watch
    if queue == NULL or pieces <= 1:
        return run_alone(watch, function, argument, pieces)
    queue.function = function
    queue.argument = argument
    queue.first = 0
    while queue.first < pieces:
        if watch != NULL and load(&watch.stopped):
            return INTERRUPTED
        count = <int> min(pieces - queue.first, <Py_ssize_t> MAX_PIECES)
        if not run_job(queue, count):
            watch_forked(watch)
            return INTERRUPTED
        queue.first += count
    return INTERRUPTED if watch != NULL and load(&watch.stopped) else OK
