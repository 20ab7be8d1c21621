"""Items evaluated by several threads.

The threads are those of `_team`, the items its pieces, for which a thread takes the GIL. Locks and
waiting are compiled code only: an interrupt, which CPython delivers between byte codes of the main
thread, finds none of them half-way. A caller that waits looks for signals itself.
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
    cdef Place around     # of the call that this one is inside of; keeps its watch
    cdef list items
    cdef list errors      # of the items
    cdef list contexts, places  # of the participants
    cdef object interrupt  # what a signal handler has raised

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
        """Evaluate all items, or as many as there are before the watch stops."""
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
        """The error of the first item; what is no Exception, such as Ctrl-C, before all others."""
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
        """Nothing refers to anything any more, nor to the watch."""
        cdef Place place
        if self.places is not None:
            for place in self.places:
                place.watch = NULL
        self.places = self.contexts = self.errors = None
        self.interrupt = None


cdef void evaluate_piece(void *argument, Py_ssize_t k, int participant) noexcept with gil:
    (<_Work> argument).evaluate_item(k, participant)


def run(evaluate, list items, n_threads):
    """Call ``evaluate(item)`` for each item, on any thread, in ascending order.

    The calling thread evaluates too. BLAS is on one thread, numpy ignores floating-point errors.
    When an item raises, or a signal handler does, no further item begins, passes of a network that
    are under way stop at their next step, and everything else that is under way is waited for.

    Parameters
    ----------
    evaluate : callable
        Of one item. What it returns is dropped.
    items : list
    n_threads : int
        At least 1. Fewer are used where the system has no more threads or no memory for their
        products, or the items are fewer.

    Raises
    ------
    BaseException
        What the first item that failed has raised; but what is no Exception, such as
        KeyboardInterrupt, comes first, and what a signal handler has raised before that.
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
        # an error's traceback refers to the caller's frames: break the cycle
        error = None
        work.end()


def interrupt_check(n):
    """Let a check for signals find one, as if it had come: for tests.

    Parameters
    ----------
    n : int or None
        The n-th check of a calling thread from now on raises KeyboardInterrupt there, whatever the
        clock says. 0: none does, they are only counted. None: neither.

    Returns
    -------
    checks : int
        How many have been counted since the last call.
    """
    return choose_check(-1 if n is None else n)
