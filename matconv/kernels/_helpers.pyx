"""Helpers: native threads that take part in calls, and sleep in between.

A helper has a thread state of Python for its whole life, and the GIL only where a piece takes it.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
)
from libc.string cimport memset

from ._board cimport (
    Board, Helper, SPIN, Seat, do_not_sleep, left, let_go, ring, take, wait_for_ring,
)
from ._native cimport (
    add, current_process, exchange_pointer, load, load_pointer, load_word, now, pause_cpu, store,
)
from ._blas cimport gemm
from ._guard cimport (
    begin_products_of_helper, disown_buffer, end_products, own_buffer, use_own_buffer,
)

cdef extern from "pythread.h":
    unsigned long PyThread_start_new_thread(
        void (*function)(void *) noexcept nogil, void *argument
    ) noexcept
    unsigned long PYTHREAD_INVALID_THREAD_ID

cdef extern from "Python.h":
    ctypedef int PyGILState_STATE
    ctypedef struct PyThreadState
    PyGILState_STATE PyGILState_Ensure() noexcept nogil
    PyThreadState *PyEval_SaveThread() noexcept nogil

cdef enum:
    # bytes that a thread needs to get a thread state of Python, with a margin
    FIRST_MEMORY = 1 << 16

# helpers that no call has, and the process whose threads they are: with the GIL
cdef Helper *idle = NULL
cdef long idle_process = 0


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


cdef void give_back(Helper *helper) noexcept:
    global idle
    helper.next = idle
    idle = helper
