"""Evaluation of Python functions by several threads.

The threads are those of `_team`, and the items are its pieces, for which a thread acquires the GIL.
All locking and waiting is compiled code, so an interrupt, which CPython delivers between byte codes
of the main thread, cannot occur in the middle of it. A caller that waits polls for signals itself.
"""

from cpython.pythread cimport PyThread_get_thread_ident
from libc.limits cimport INT_MAX

from ._team cimport Team, team_close, team_open, team_run
from ._watch cimport (
    Place, Watch, choose_check, context_at, current_place, raise_interrupted, watch_signals,
    watch_stop,
)
from ._guard cimport enter, leave
from ._status cimport OK

from ._watch import Stopped
from ._guard import silent_context


cdef class _Work:
    """The items of one call."""

    cdef Watch watch
    cdef object evaluate
    cdef Place around     # of the enclosing call; owns the watch of that call
    cdef list items
    cdef list errors      # by item
    cdef list contexts, places  # by participant
    cdef object interrupt  # the exception of a signal handler

    def __cinit__(self, evaluate, list items):
        self.evaluate = evaluate
        self.items = items
        self.errors = [None] * len(items)
        self.around = current_place()
        watch_signals(&self.watch)

    cdef int make_places(self, object context, int participants) except -1:
        cdef Place place
        self.contexts, self.places = [], []
        for k in range(participants):
            place = Place(self, k == 0)
            place.watch = &self.watch
            self.places.append(place)
            self.contexts.append(context_at(place, context.copy()))
        return 0

    cdef void evaluate_item(self, Py_ssize_t k, int participant) noexcept:
        cdef Place place = self.places[participant]
        place.thread = PyThread_get_thread_ident()
        try:
            self.contexts[participant].run(self.evaluate, self.items[k])
        except Stopped:
            watch_stop(&self.watch)
        except BaseException as error:
            self.errors[k] = error
            watch_stop(&self.watch)

    cdef int share(self, object context, int n_threads) except -1:
        """Evaluate the items until the watch stops."""
        cdef Team team
        cdef Py_ssize_t count = len(self.items)
        cdef int status = OK
        team_open(&team, n_threads, &self.watch)
        try:
            self.make_places(context, team.size)
            with nogil:
                status = team_run(&team, evaluate_piece, <void *> self, count)
            if status != OK:
                raise_interrupted()
        except BaseException as error:
            self.interrupt = error
        finally:
            team_close(&team)
        return 0

    cdef object first_error(self):
        """Return the exception that `run` raises, or None."""
        if self.interrupt is not None and type(self.interrupt) is not Stopped:
            return self.interrupt
        for error in self.errors:
            if error is not None and not isinstance(error, Exception):
                return error
        for error in self.errors:
            if error is not None:
                return error
        return self.interrupt

    cdef void end(self) noexcept:
        """Drop all references, also those to the watch."""
        cdef Place place
        if self.places is not None:
            for place in self.places:
                place.watch = NULL
        self.places = self.contexts = self.errors = None
        self.interrupt = None


cdef void evaluate_piece(void *argument, Py_ssize_t k, int participant) noexcept with gil:
    (<_Work> argument).evaluate_item(k, participant)


def run(evaluate, list items, n_threads):
    """Call ``evaluate(item)`` for each item, on any thread; items begin in ascending order.

    The calling thread evaluates too. BLAS is on one thread, numpy ignores floating-point errors.
    After an item or a signal handler has raised, no further item begins, passes of a network that
    are under way stop at their next step, and the call waits for everything else under way.

    Parameters
    ----------
    evaluate : callable
        Function of one item. Its return value is ignored.
    items : list
    n_threads : int
        At least 1. Fewer threads are used if there are fewer items, or if the system has no more
        threads or no memory for their products.

    Raises
    ------
    BaseException
        The exception of a signal handler; else one of an item that is not an Exception, such as
        KeyboardInterrupt; else that of the first item that failed.
    MemoryError
        There is no memory for the products of a single thread.
    """
    context = silent_context()
    cdef _Work work = _Work(evaluate, items)
    cdef int threads = min(n_threads, max(len(items), 1), INT_MAX)
    cdef long entered = enter()
    try:
        try:
            work.share(context, threads)
        finally:
            leave(entered)
        error = work.first_error()
        if error is not None:
            raise error
    finally:
        # the traceback of an error refers to this frame: break the cycle
        error = None
        work.end()


def interrupt_check(n):
    """Simulate a signal at a chosen check for signals: for tests.

    Parameters
    ----------
    n : int or None
        The n-th check of a calling thread after this call raises KeyboardInterrupt. 0: checks are
        only counted. None: they are not counted either.

    Returns
    -------
    checks : int
        Number of checks that were counted since the last call.
    """
    return choose_check(-1 if n is None else n)
