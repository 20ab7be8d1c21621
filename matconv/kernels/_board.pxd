"""The board of a call, from which its participants take pieces.

A call that has helpers has a board, in memory of its own that the last who knows of it frees: the
caller or a helper. The caller publishes a job there by one store of `state`, epoch << 32 | pieces
not taken yet. The thread that decrements it, by compare-and-swap, has a piece. A piece that is
taken keeps the job alive until it is counted as done, so that what the board says of the job may be
read after the swap and not before; and a helper that comes late finds nothing to take and is not
waited for.

Each helper has a place for its next seat, at a board. An idle helper sleeps; in an open call it
spins for a moment first. Sleeping threads wait for a lock of CPython's thread API, which is taken
all the time but between ringing and waking. Nobody has a lock while he waits for the GIL.
"""

from cpython.mem cimport PyMem_RawFree
from cpython.pythread cimport PyThread_type_lock

from ._native cimport add, exchange, load, load_word, replace_word
from ._watch cimport Watch

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

# A piece of work. participant: which of the threads that share the pieces has this one, from 0, the
# caller, to team_size - 1; no two pieces have the same at the same time.
ctypedef void (*Piece)(void *argument, Py_ssize_t piece, int participant) noexcept nogil

cdef enum:
    SPIN = 50_000               # nanoseconds of looking before a thread sleeps: what waking costs

cdef struct Board

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

cdef inline int left(unsigned long long state) noexcept nogil:
    return <int> (<unsigned int> state)


cdef inline void ring(int *sleeping, PyThread_type_lock bell) noexcept nogil:
    if load(sleeping) and exchange(sleeping, False):
        release(bell)


# `sleeping` was set, but there is something to do.
cdef inline void do_not_sleep(int *sleeping, PyThread_type_lock bell) noexcept nogil:
    if not exchange(sleeping, False):
        acquire(bell, True)  # somebody is ringing


# After `sleeping` was set and there is nothing to do: wait for a ring, or for so long.
cdef inline void wait_for_ring(
    int *sleeping, PyThread_type_lock bell, PY_TIMEOUT_T microseconds
) noexcept nogil:
    if PyThread_acquire_lock_timed(bell, microseconds, 0) != PY_LOCK_ACQUIRED:
        do_not_sleep(sleeping, bell)


cdef inline void let_go(Board *board) noexcept nogil:
    if add(&board.references, -1) == 0:
        free_lock(board.bell)
        PyMem_RawFree(board)


# Take a piece: its number in the job, in ascending order; -1: there is none.
cdef inline Py_ssize_t take(Board *board) noexcept nogil:
    cdef unsigned long long state = load_word(&board.state)
    while left(state):
        if replace_word(&board.state, state, state - 1):
            return board.pieces - left(state)
        state = load_word(&board.state)
    return -1
