"""The work queue of a call, from which its participants take pieces.

A call with helpers has a queue, which is freed by the last thread that refers to it: the caller or
a helper. The caller publishes a job by one store to `state`, epoch << 32 | number of pieces not
taken. A thread takes a piece by decrementing it with compare-and-swap. The job cannot end before
this piece is counted as done, so the other members of the queue may be read after the swap, but not
before. A helper that arrives late finds no pieces, and the caller does not wait for it.

An idle helper is assigned a slot of a queue, which it joins when it is woken for a job. Between the
jobs of an open call it spins for a moment before it sleeps. A sleeping thread waits for a lock of
CPython's thread API, which is held except between a wake-up and the end of the sleep. A thread that
waits for the GIL holds no other lock.
"""

from cpython.mem cimport PyMem_RawFree
from cpython.pythread cimport PyThread_type_lock

from ._native cimport add, current_process, exchange, load, load_word, replace_word
from ._placing cimport Place, exclude_own_cpu
from ._watch cimport Watch

cdef extern from "pythread.h":
    ctypedef long long PY_TIMEOUT_T
    ctypedef enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
    # Acquire a lock within a time; -1: no limit.
    PyLockStatus PyThread_acquire_lock_timed(
        PyThread_type_lock lock, PY_TIMEOUT_T microseconds, int interruptible
    ) noexcept nogil
    # Acquire a lock; returns whether it was acquired, which is certain with `wait`.
    int acquire "PyThread_acquire_lock"(PyThread_type_lock lock, int wait) noexcept nogil
    # Release a lock, which another thread may have acquired.
    void release "PyThread_release_lock"(PyThread_type_lock lock) noexcept nogil
    void free_lock "PyThread_free_lock"(PyThread_type_lock lock) noexcept nogil

# A function that runs one piece. participant: the thread that runs it, from 0, the caller, to
# team_size - 1; a participant runs one piece at a time.
ctypedef void (*Piece)(void *argument, Py_ssize_t piece, int participant) noexcept nogil

cdef enum:
    SPIN = 50_000               # nanoseconds to spin before sleeping: the cost of a wake-up

cdef struct Queue

cdef struct Helper:
    PyThread_type_lock wakeup   # held, except between a wake-up and the end of the sleep
    int sleeping                # atomic
    int ended                   # atomic: whether its thread has ended
    void *slot                  # atomic: the slot assigned to it, or NULL
    long process                # id of the process of its thread
    Place place
    Helper *next                # in the list of idle helpers; with the GIL

cdef struct Slot:
    Queue *queue
    Helper *helper
    int participant

cdef struct Queue:
    # atomic
    unsigned long long state    # epoch << 32 | pieces not taken
    int done                    # pieces of this job that helpers have done
    int closed
    int references
    int sleeping                # whether the caller sleeps
    PyThread_type_lock wakeup   # of the caller
    long process
    # of the job: written before it is published
    Piece function
    void *argument
    Py_ssize_t first, pieces
    Watch *watch
    bint products               # whether helpers enclose each piece by begin_products, end_products
    int n_helpers
    Slot slots[1]               # n_helpers

# The number of pieces not taken.
cdef inline int pieces_left(unsigned long long state) noexcept nogil:
    return <int> (<unsigned int> state)


# Wake a thread if it sleeps.
cdef inline void wake(int *sleeping, PyThread_type_lock wakeup) noexcept nogil:
    if load(sleeping) and exchange(sleeping, False):
        release(wakeup)


# Wake a helper if it sleeps, if possible on another processor than that of the calling thread.
cdef inline void wake_helper(Helper *helper) noexcept nogil:
    if load(&helper.sleeping) and exchange(&helper.sleeping, False):
        # in the child of a fork the thread is one of the parent's
        if helper.process == current_process():
            exclude_own_cpu(&helper.place)
        release(helper.wakeup)


# Instead of sleeping after `sleeping` was set.
cdef inline void cancel_sleep(int *sleeping, PyThread_type_lock wakeup) noexcept nogil:
    if not exchange(sleeping, False):
        acquire(wakeup, True)  # another thread is about to release it


# After `sleeping` was set: sleep until a wake-up, or for at most this time; -1: no limit.
cdef inline void wait_for_wakeup(
    int *sleeping, PyThread_type_lock wakeup, PY_TIMEOUT_T microseconds
) noexcept nogil:
    if PyThread_acquire_lock_timed(wakeup, microseconds, 0) != PY_LOCK_ACQUIRED:
        cancel_sleep(sleeping, wakeup)


# Drop a reference; the last one frees the queue.
cdef inline void release_queue(Queue *queue) noexcept nogil:
    if add(&queue.references, -1) == 0:
        free_lock(queue.wakeup)
        PyMem_RawFree(queue)


# Take the next piece. Returns its index in the job; -1: there is none.
cdef inline Py_ssize_t take_piece(Queue *queue) noexcept nogil:
    cdef unsigned long long state = load_word(&queue.state)
    while pieces_left(state):
        if replace_word(&queue.state, state, state - 1):
            return queue.pieces - pieces_left(state)
        state = load_word(&queue.state)
    return -1
