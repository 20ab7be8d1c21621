"""Threads that share the pieces of a call, and a watch that stops them all.

A call that has helpers has a board, in memory of its own that the last who knows of it frees: the
caller or a helper. The caller publishes a job there by one store of `state`, epoch << 32 | pieces
that nobody has taken. Whoever decrements it, by compare-and-swap, has a piece. A piece that is taken
keeps the job alive until it is counted as done, so that what the board says of the job may be read
after the swap and not before; and a helper that comes late finds nothing to take and is not waited
for.

Each helper has a place for its next seat, at a board. An idle helper sleeps; in an open call it
spins for a moment first. Sleeping threads wait for a lock of CPython's thread API, which is taken
all the time but between ringing and waking. Nobody has a lock while he waits for the GIL.

A helper has a thread state of Python for its whole life, and the GIL only where a piece takes it.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_get_thread_ident, PyThread_release_lock, PyThread_type_lock,
)
from cpython.ref cimport PyObject
from libc.string cimport memset

from contextvars import ContextVar

from ._native cimport (
    add, current_process, exchange, exchange_pointer, exchange_word, load, load_pointer, load_word,
    now, pause_cpu, replace_word, store,
)
from .blas cimport gemm
from .guard cimport (
    begin_products_of_helper, disown_buffer, end_products, need_buffer, own_buffer, pause_products,
    products_have_begun, resume_products, use_own_buffer,
)
from .status cimport INTERRUPTED, OK

cdef extern from "pythread.h":
    ctypedef long long PY_TIMEOUT_T
    ctypedef enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
    PyLockStatus PyThread_acquire_lock_timed(
        PyThread_type_lock lock, PY_TIMEOUT_T microseconds, int interruptible
    ) noexcept nogil
    int acquire "PyThread_acquire_lock"(PyThread_type_lock lock, int wait) noexcept nogil
    void release "PyThread_release_lock"(PyThread_type_lock lock) noexcept nogil
    void free_lock "PyThread_free_lock"(PyThread_type_lock lock) noexcept nogil
    unsigned long PyThread_start_new_thread(
        void (*function)(void *) noexcept nogil, void *argument
    ) noexcept
    unsigned long PYTHREAD_INVALID_THREAD_ID

cdef extern from "Python.h":
    # noexcept: what they raise stays set, for `raise_interrupted`
    int PyErr_CheckSignals() noexcept
    PyObject *PyErr_Occurred() noexcept
    void PyErr_SetNone(object exception) noexcept
    void PyErr_SetString(object exception, const char *message) noexcept
    ctypedef int PyGILState_STATE
    ctypedef struct PyThreadState
    PyGILState_STATE PyGILState_Ensure() noexcept nogil
    PyThreadState *PyEval_SaveThread() noexcept nogil

cdef enum:
    POLL_INTERVAL = 50_000_000  # nanoseconds
    SPIN = 50_000               # nanoseconds: about what it costs to wake a thread
    # bytes that a thread needs to get a thread state of Python, with a margin
    FIRST_MEMORY = 1 << 16
    # pieces of one job; more are divided among several
    MAX_PIECES = 1 << 30


class Stopped(BaseException):
    """Raised by compiled code where another thread has stopped the call that it belongs to.

    It leads out of what runs in a piece, and is dropped where the piece ends.
    """


# Watches ------------------------------------------------------------------------------------------

# for tests: checks of calling threads are counted while `counting`; number `chosen` is a signal
cdef int counting = 0, counted = 0, chosen = 0

# the `Place` of what runs in the context
cdef object place_of_context = ContextVar("matconv place", default=None)


cdef class Place:
    """Where code of Python runs: as which participant of a call."""

    def __cinit__(self, call, bint is_caller):
        self.call = call
        self.is_caller = is_caller


cdef object context_at(Place place, object context):
    context.run(place_of_context.set, place)
    return context


cdef Place current_place():
    """The place of the calling thread's context, if the thread is there."""
    place = place_of_context.get()
    if place is None or (<Place> place).watch == NULL:
        return None
    # another thread may have copied the context
    return place if (<Place> place).thread == PyThread_get_thread_ident() else None


cdef Watch *watch_current(bint *is_caller) noexcept:
    cdef Place place = current_place()
    is_caller[0] = place is None or place.is_caller
    return NULL if place is None else place.watch


cdef int look_for_signals(void *argument) noexcept nogil:
    cdef int paused = pause_products()
    cdef int status
    with gil:
        status = PyErr_CheckSignals()
    resume_products(paused)
    return status


cdef void set_interrupt() noexcept nogil:
    cdef int paused = pause_products()
    with gil:
        PyErr_SetNone(KeyboardInterrupt)
    resume_products(paused)


cdef void set_forked() noexcept nogil:
    with gil:
        PyErr_SetString(
            RuntimeError,
            b"matconv: a process forked during a computation cannot continue it; its threads "
            b"stayed in the parent",
        )


cdef void watch_poll(
    Watch *watch, int (*poll)(void *) noexcept nogil, void *argument
) noexcept nogil:
    memset(watch, 0, sizeof(Watch))
    watch.poll = poll
    watch.poll_argument = argument
    watch.polled = now()


cdef void watch_signals(Watch *watch) noexcept:
    cdef bint is_caller
    watch_poll(watch, look_for_signals, NULL)
    watch.outer = watch_current(&is_caller)


# For tests: whether this check is the one that reports a signal.
cdef bint is_chosen(const Watch *watch) noexcept nogil:
    if not load(&counting) or watch.poll != look_for_signals:
        return False
    return add(&counted, 1) == load(&chosen)


cdef bint watch_stopped(Watch *watch, bint is_caller) noexcept nogil:
    cdef long long time
    if watch == NULL:
        return False
    if load(&watch.stopped):
        return True
    if watch.outer != NULL and watch_stopped(watch.outer, False):
        watch_stop(watch)
        return True
    if not is_caller or watch.poll == NULL:
        return False
    if is_chosen(watch):
        set_interrupt()
        watch_stop(watch)
        return True
    time = now()
    if time - watch.polled >= POLL_INTERVAL:
        watch.polled = time
        if watch.poll(watch.poll_argument):
            watch_stop(watch)
            return True
    return False


cdef void watch_stop(Watch *watch) noexcept nogil:
    store(&watch.stopped, True)


cdef int raise_interrupted() except -1:
    if PyErr_Occurred() != NULL:
        return -1
    raise Stopped


cdef int choose_check(int number):
    """Count the checks of calling threads from now on; that one reports a signal. -1: neither."""
    cdef int before = load(&counted)
    store(&counting, False)
    store(&counted, 0)
    store(&chosen, number)
    store(&counting, number >= 0)
    return before


# Boards and helpers -------------------------------------------------------------------------------

cdef struct Helper:
    PyThread_type_lock bell     # taken, but between ringing and waking
    int sleeping
    int ended                   # whether its thread has
    void *seat                  # the next one, or NULL
    long process                # whose thread it is
    Helper *next                # in the list of idle ones, with the GIL

cdef struct Seat:
    Board *board
    Helper *helper
    int participant

cdef struct Board:
    unsigned long long state    # epoch << 32 | pieces not taken
    int done                    # pieces of this job that helpers have done
    int closed
    int references
    int sleeping                # the caller
    PyThread_type_lock bell     # the caller's
    long process
    # of the job: written before it is published
    Piece function
    void *argument
    Py_ssize_t first, pieces
    Watch *watch
    bint products               # whether each piece is to be counted as products
    int n_helpers
    Seat seats[1]               # n_helpers

# helpers that no call has, and the process whose threads they are: with the GIL
cdef Helper *idle = NULL
cdef long idle_process = 0


cdef inline int left(unsigned long long state) noexcept nogil:
    return <int> (<unsigned int> state)


cdef inline void ring(int *sleeping, PyThread_type_lock bell) noexcept nogil:
    if load(sleeping) and exchange(sleeping, False):
        release(bell)


# After `sleeping` was set and there is nothing to do: wait for a ring, or for so long.
cdef void wait_for_ring(
    int *sleeping, PyThread_type_lock bell, PY_TIMEOUT_T microseconds
) noexcept nogil:
    if PyThread_acquire_lock_timed(bell, microseconds, 0) != PY_LOCK_ACQUIRED:
        do_not_sleep(sleeping, bell)


# `sleeping` was set, but there is something to do.
cdef void do_not_sleep(int *sleeping, PyThread_type_lock bell) noexcept nogil:
    if not exchange(sleeping, False):
        acquire(bell, True)  # somebody is ringing


cdef void let_go(Board *board) noexcept nogil:
    if add(&board.references, -1) == 0:
        free_lock(board.bell)
        PyMem_RawFree(board)


# Take a piece: its number in the job, in ascending order; -1: there is none.
cdef Py_ssize_t take(Board *board) noexcept nogil:
    cdef unsigned long long state = load_word(&board.state)
    while left(state):
        if replace_word(&board.state, state, state - 1):
            return board.pieces - left(state)
        state = load_word(&board.state)
    return -1


# Sleep until there may be something to do. False: this process is a fork's child, and the thread
# the only one in it.
cdef bint sleep(Helper *me, Board *board) noexcept nogil:
    if me.process != current_process():
        return False
    store(&me.sleeping, True)
    if load_pointer(&me.seat) != NULL or (
        board != NULL and (load(&board.closed) or left(load_word(&board.state)))
    ):
        do_not_sleep(&me.sleeping, me.bell)
    else:
        wait_for_ring(&me.sleeping, me.bell, -1)
    return True


cdef void run_piece(Board *board, Py_ssize_t k, int participant) noexcept nogil:
    cdef bint products = board.products
    if board.watch == NULL or not load(&board.watch.stopped):
        if products:
            begin_products_of_helper()
        board.function(board.argument, board.first + k, participant)
        if products:
            end_products()
    add(&board.done, 1)
    ring(&board.sleeping, board.bell)


# Take part in a call. False as for `sleep`.
cdef bint take_part(Helper *me, Seat *seat) noexcept nogil:
    cdef Board *board = seat.board
    cdef int participant = seat.participant
    cdef long long idle_since = now()
    cdef Py_ssize_t k
    while not load(&board.closed):
        k = take(board)
        if k >= 0:
            run_piece(board, k, participant)
            idle_since = now()
        elif now() - idle_since < SPIN:
            pause_cpu()
        else:
            if not sleep(me, board):
                return False
            idle_since = now()
    let_go(board)
    return True


# A product, for which BLAS finds the buffer that the helper owns.
cdef void first_product() noexcept nogil:
    cdef double A[64]
    cdef double C[64]
    memset(A, 0, sizeof(A))
    begin_products_of_helper()
    gemm(c'N', c'N', 8, 8, 8, &A[0], 8, &A[0], 8, 0.0, &C[0], 8)
    end_products()


# PyGILState_Ensure ends the process where there is no memory for a thread state.
cdef bint has_memory() noexcept nogil:
    cdef void *memory = PyMem_RawMalloc(FIRST_MEMORY)
    PyMem_RawFree(memory)
    return memory != NULL


# What a helper's thread does.
cdef void help(void *argument) noexcept nogil:
    cdef Helper *me = <Helper *> argument
    cdef Seat *seat
    use_own_buffer()
    if not has_memory():
        disown_buffer()
        store(&me.ended, True)
        return
    PyGILState_Ensure()
    PyEval_SaveThread()
    first_product()
    while True:
        seat = <Seat *> exchange_pointer(&me.seat, NULL)
        if not (sleep(me, NULL) if seat == NULL else take_part(me, seat)):
            return


cdef void free_helper(Helper *helper) noexcept:
    if helper.bell != NULL:
        PyThread_free_lock(helper.bell)
    PyMem_RawFree(helper)


# A helper whose thread is still to be started, or NULL.
cdef Helper *new_helper() noexcept:
    cdef Helper *helper = <Helper *> PyMem_RawMalloc(sizeof(Helper))
    if helper == NULL:
        return NULL
    memset(helper, 0, sizeof(Helper))
    helper.process = current_process()
    helper.bell = PyThread_allocate_lock()
    if helper.bell == NULL:
        PyMem_RawFree(helper)
        return NULL
    PyThread_acquire_lock(helper.bell, NOWAIT_LOCK)
    return helper


# A new thread, or NULL where the system has none, or no memory for its products.
cdef Helper *start_helper() noexcept:
    cdef Helper *helper = new_helper()
    if helper == NULL:
        return NULL
    if own_buffer():
        if PyThread_start_new_thread(help, helper) != PYTHREAD_INVALID_THREAD_ID:
            return helper
        disown_buffer()
    free_helper(helper)
    return NULL


# An idle helper, or a new one, or NULL.
cdef Helper *find_helper() noexcept:
    global idle, idle_process
    cdef Helper *helper
    if idle_process != current_process():
        # threads do not survive a fork; what is on the list cannot be freed: its locks are in
        # whatever state they were
        idle = NULL
        idle_process = current_process()
    while idle != NULL:
        helper = idle
        idle = helper.next
        if not load(&helper.ended):
            return helper
        free_helper(helper)
    return start_helper()


# Teams --------------------------------------------------------------------------------------------


cdef Board *new_board(int n_helpers) noexcept:
    cdef Board *board = <Board *> PyMem_RawMalloc(sizeof(Board) + n_helpers * sizeof(Seat))
    if board == NULL:
        return NULL
    memset(board, 0, sizeof(Board))
    board.bell = PyThread_allocate_lock()
    if board.bell == NULL:
        PyMem_RawFree(board)
        return NULL
    PyThread_acquire_lock(board.bell, NOWAIT_LOCK)
    board.references = 1
    board.process = current_process()
    return board


cdef int team_open(Team *team, int n_threads, Watch *watch) except -1:
    cdef Board *board
    cdef Seat *seat
    cdef Helper *helper
    team.board = NULL
    team.watch = watch
    team.size = 1
    need_buffer()
    if n_threads <= 1:
        return 0
    board = new_board(n_threads - 1)
    if board == NULL:
        return 0
    board.watch = watch
    while team.size < n_threads:
        helper = find_helper()
        if helper == NULL:
            break
        seat = &board.seats[team.size - 1]
        seat.board = board
        seat.helper = helper
        seat.participant = team.size
        team.size += 1
        add(&board.references, 1)
        exchange_pointer(&helper.seat, seat)
    board.n_helpers = team.size - 1
    if board.n_helpers == 0:
        let_go(board)
    else:
        team.board = board
    return 0


cdef int team_size(const Team *team) noexcept nogil:
    return 1 if team == NULL else team.size


cdef void team_close(Team *team) noexcept:
    global idle
    cdef Board *board = team.board
    cdef Helper *helper
    cdef int k
    team.board = NULL
    team.size = 1
    if board == NULL or board.process != current_process():
        return
    store(&board.closed, True)
    for k in range(board.n_helpers):
        helper = board.seats[k].helper
        if exchange_pointer(&helper.seat, NULL) != NULL:
            let_go(board)  # it has never sat down
        helper.next = idle
        idle = helper
    let_go(board)


cdef int run_alone(
    Watch *watch, Piece function, void *argument, Py_ssize_t pieces
) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(pieces):
        if watch_stopped(watch, True):
            break
        function(argument, k, 0)
    return INTERRUPTED if watch != NULL and load(&watch.stopped) else OK


cdef void publish(Board *board, int pieces) noexcept nogil:
    cdef unsigned long long epoch = (load_word(&board.state) >> 32) + 1
    cdef Helper *helper
    cdef int k
    board.pieces = pieces
    board.products = products_have_begun()
    store(&board.done, 0)
    exchange_word(&board.state, epoch << 32 | <unsigned int> pieces)
    for k in range(min(board.n_helpers, pieces - 1)):
        helper = board.seats[k].helper
        ring(&helper.sleeping, helper.bell)


# Until helpers have done so many pieces. False: this process is a fork's child without helpers.
cdef bint wait_for_helpers(Board *board, int pieces) noexcept nogil:
    cdef long long since = now()
    cdef int paused
    cdef bint good = True
    while load(&board.done) < pieces:
        if now() - since > SPIN:
            break
        pause_cpu()
    if load(&board.done) == pieces:
        return True
    # a helper may have to wait for a fork, which may not wait for this thread then
    paused = pause_products()
    while good and load(&board.done) < pieces:
        store(&board.sleeping, True)
        if load(&board.done) == pieces:
            do_not_sleep(&board.sleeping, board.bell)
            break
        wait_for_ring(&board.sleeping, board.bell, POLL_INTERVAL // 1000)
        good = board.process == current_process()
        if good:
            watch_stopped(board.watch, True)
    resume_products(paused)
    return good


# One job. False as for `wait_for_helpers`.
cdef bint run_job(Board *board, int pieces) noexcept nogil:
    cdef int own = 0
    cdef Py_ssize_t k
    publish(board, pieces)
    while not watch_stopped(board.watch, True):
        k = take(board)
        if k < 0:
            break
        board.function(board.argument, board.first + k, 0)
        own += 1
    # if stopped: nobody takes the rest
    pieces -= left(exchange_word(&board.state, load_word(&board.state) >> 32 << 32))
    return wait_for_helpers(board, pieces - own)


cdef int team_run(Team *team, Piece function, void *argument, Py_ssize_t pieces) noexcept nogil:
    cdef Board *board
    cdef Watch *watch
    cdef int count
    if team == NULL:
        return run_alone(NULL, function, argument, pieces)
    board = team.board
    watch = team.watch
    if board == NULL or pieces <= 1:
        return run_alone(watch, function, argument, pieces)
    board.function = function
    board.argument = argument
    board.first = 0
    while board.first < pieces:
        if watch != NULL and load(&watch.stopped):
            return INTERRUPTED
        count = <int> min(pieces - board.first, <Py_ssize_t> MAX_PIECES)
        if not run_job(board, count):
            if watch != NULL and watch.poll == look_for_signals and not load(&watch.stopped):
                set_forked()
                watch_stop(watch)
            return INTERRUPTED
        board.first += count
    return INTERRUPTED if watch != NULL and load(&watch.stopped) else OK
