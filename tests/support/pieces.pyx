"""Pieces in compiled code for the thread pool; the tests build this module themselves."""

import numpy as np

from libc.string cimport memset
from scipy.linalg.cython_blas cimport dgemm

from matconv.kernels._native cimport add, exchange, load, now
from matconv.kernels._placing cimport Place, exclude_own_cpu, know_thread, restore_affinity
from matconv.kernels._team cimport (
    Team, Watch, raise_interrupted, team_close, team_open, team_run, team_size, watch_current,
    watch_poll, watch_signals, watch_stop, watch_stopped,
)
from matconv.kernels._guard cimport begin_products, end_products
from matconv.kernels._status cimport INTERRUPTED, OK

cdef enum:
    MAX_THREADS = 64

cdef struct Job:
    Py_ssize_t n
    unsigned long long *old
    unsigned long long *new
    Py_ssize_t last[MAX_THREADS]    # the last piece of each participant
    int inside[MAX_THREADS]         # whether it has one now
    int wrong                       # a participant with two pieces at once, or in another order
    int begun
    long long duration              # nanoseconds, of each piece
    bint products                   # whether each piece makes some
    Watch *watch
    void *function


cdef void begin(Job *job, Py_ssize_t k, int participant) noexcept nogil:
    add(&job.begun, 1)
    if not 0 <= participant < MAX_THREADS or exchange(&job.inside[participant], True):
        add(&job.wrong, 1)
    elif k <= job.last[participant]:
        add(&job.wrong, 1)
    else:
        job.last[participant] = k


cdef void make_products() noexcept nogil:
    cdef double A[64]
    cdef double C[64]
    cdef double one = 1, zero = 0
    cdef int n = 8, k
    memset(A, 0, sizeof(A))
    for k in range(20):
        dgemm(b"N", b"N", &n, &n, &n, &one, &A[0], &n, &A[0], &n, &zero, &C[0], &n)


# new[k] = old[k] + old[k + 1]: right only if all pieces of the job before are done
cdef void sum_pairs(void *argument, Py_ssize_t k, int participant) noexcept nogil:
    cdef Job *job = <Job *> argument
    cdef long long until = now() + job.duration if job.duration else 0
    begin(job, k, participant)
    job.new[k] = job.old[k] + job.old[(k + 1) % job.n]
    if job.products:
        make_products()
    while until and now() < until:
        pass
    exchange(&job.inside[participant], False)


cdef void call_python(void *argument, Py_ssize_t k, int participant) noexcept with gil:
    cdef Job *job = <Job *> argument
    (<object> job.function)(k, participant)


cdef void wait_for_the_end(void *argument, Py_ssize_t k, int participant) noexcept nogil:
    cdef Job *job = <Job *> argument
    add(&job.begun, 1)
    while not watch_stopped(job.watch, participant == 0):
        pass


cdef void next_job(Job *job) noexcept nogil:
    cdef int k
    for k in range(MAX_THREADS):
        job.last[k] = -1


def sums(start, rounds, n_threads, *, products=False, with_gil=False, watched=True, duration=0):
    """new[k] = old[k] + old[k + 1] for each k in pieces, so many times, one job for each.

    Parameters
    ----------
    start : array of uint64
    rounds, n_threads : int
    products : bool
        Whether pieces make products, and the caller says so.
    with_gil : bool
        Whether the caller keeps the GIL.
    watched : bool
        Whether the calling thread looks for signals.
    duration : float
        Seconds that each piece takes.

    Returns
    -------
    sums : array of uint64
    size : int
        Of the team.
    """
    a, b = np.array(start, np.uint64), np.zeros(len(start), np.uint64)
    cdef Job job
    cdef Team team
    cdef Watch watch
    cdef Py_ssize_t n = len(a), r, count = rounds
    cdef int status = OK, size
    cdef size_t a_ = a.ctypes.data, b_ = b.ctypes.data
    cdef bint in_products = products, keep = with_gil
    memset(&job, 0, sizeof(Job))
    job.n = n
    job.old, job.new = <unsigned long long *> a_, <unsigned long long *> b_
    job.duration = <long long> (1e9 * duration)
    job.products = in_products
    watch_signals(&watch)
    team_open(&team, n_threads, &watch if watched else NULL)
    size = team_size(&team)
    try:
        if in_products:
            begin_products()
        if keep:
            for r in range(count):
                next_job(&job)
                status = team_run(&team, sum_pairs, &job, n)
                job.old, job.new = job.new, job.old
        else:
            with nogil:
                for r in range(count):
                    next_job(&job)
                    status = team_run(&team, sum_pairs, &job, n)
                    if status != OK:
                        break
                    job.old, job.new = job.new, job.old
                if in_products:
                    end_products()
        if keep and in_products:
            end_products()
    finally:
        team_close(&team)
    assert job.wrong == 0, f"{job.wrong} pieces in a wrong order or two at once"
    if status != OK:
        assert status == INTERRUPTED
        raise_interrupted()
    assert job.begun == n * count, f"{job.begun} of {n * count} pieces"
    return (a if count % 2 == 0 else b), size


def calls(function, pieces, n_threads):
    """function(k, participant) for each piece, with the GIL."""
    cdef Job job
    cdef Team team
    cdef Py_ssize_t n = pieces
    memset(&job, 0, sizeof(Job))
    job.function = <void *> function
    team_open(&team, n_threads, NULL)
    with nogil:
        team_run(&team, call_python, &job, n)
    team_close(&team)


cdef int count_to_two(void *count) noexcept nogil:
    return add(<int *> count, 1) == 2


def stopped_by_poll(pieces, n_threads):
    """Pieces that end when the watch stops; its poll of C says so at the second time.

    Returns
    -------
    begun, polls : int
    """
    cdef Job job
    cdef Team team
    cdef Watch watch
    cdef Py_ssize_t n = pieces
    cdef int polls = 0, status
    memset(&job, 0, sizeof(Job))
    watch_poll(&watch, count_to_two, &polls)
    job.watch = &watch
    team_open(&team, n_threads, &watch)
    with nogil:
        status = team_run(&team, wait_for_the_end, &job, n)
    team_close(&team)
    assert status == INTERRUPTED
    return job.begun, polls


def without_team(pieces):
    """Return the number of pieces that run without a team."""
    cdef Job job
    cdef unsigned long long old = 1, new = 0
    memset(&job, 0, sizeof(Job))
    next_job(&job)
    job.n, job.old, job.new = 1, &old, &new
    assert team_size(NULL) == 1
    assert team_run(NULL, sum_pairs, &job, min(pieces, 1)) == OK
    return job.begun


def current(stop=False):
    """Whether there is a current watch, whether its caller is here, whether it has stopped."""
    cdef bint is_caller = False
    cdef Watch *watch = watch_current(&is_caller)
    if watch != NULL and stop:
        watch_stop(watch)
    return watch != NULL, bool(is_caller), watch_stopped(watch, False)


def wait_until_stopped():
    """A pass without end of the current watch: it leads out by an exception."""
    cdef bint is_caller = False
    cdef Watch *watch = watch_current(&is_caller)
    with nogil:
        while not watch_stopped(watch, is_caller):
            pass
    raise_interrupted()


cdef class Sleeper:
    """Where a thread wakes up: the functions of `_placing`, each by a thread of the test."""
    cdef Place place

    def know(self):
        """Note that the calling thread is the one that will sleep."""
        know_thread(&self.place)

    def exclude(self):
        """Exclude the calling thread's processor from the affinity of the thread that sleeps."""
        exclude_own_cpu(&self.place)

    def restore(self):
        """Restore the affinity of the calling thread, the one that has slept."""
        restore_affinity(&self.place)
