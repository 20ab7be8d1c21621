"""Items evaluated by several threads, results consumed in order.

The threads are native ones and the locks are those of CPython's thread API, used from compiled code
only: an interrupt, which CPython delivers between byte codes of the main thread, finds none of
them taken half-way. A caller that waits looks for signals itself.

The GIL is the mutex of all that threads share here. A thread gives it up where it calls Python or
sleeps; between those places no object is made or destroyed, so that nothing else can run.
"""

from libc.limits cimport INT_MAX

from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_release_lock, PyThread_type_lock,
)
from cpython.ref cimport Py_DECREF, Py_INCREF

from .guard cimport enter, leave

from .guard import silent_context

cdef extern from "pythread.h":
    ctypedef long long PY_TIMEOUT_T
    ctypedef enum PyLockStatus:
        PY_LOCK_FAILURE
        PY_LOCK_ACQUIRED
    PyLockStatus PyThread_acquire_lock_timed(
        PyThread_type_lock lock, PY_TIMEOUT_T microseconds, int interruptible
    ) noexcept nogil
    unsigned long PyThread_start_new_thread(
        void (*function)(void *) noexcept, void *argument
    ) noexcept
    unsigned long PYTHREAD_INVALID_THREAD_ID

cdef extern from *:
    """
    #ifdef _WIN32
    #include <process.h>
    #define current_process() ((long) _getpid())
    #else
    #include <unistd.h>
    #define current_process() ((long) getpid())
    #endif
    """
    long current_process() noexcept

cdef enum:
    FOREVER = -1
    SIGNAL_INTERVAL = 50_000  # microseconds between two looks for signals

# marks the place of a result that is not there
cdef object NOTHING = object()

# helpers that no call uses, and the process whose threads they are
cdef list idle = []
cdef long idle_process = 0


cdef class _Participant:
    """A thread that takes part in a call: the one that makes it, or a helper."""

    cdef PyThread_type_lock signal  # taken, but for the moment between `wake` and waking
    cdef bint sleeping
    cdef _Work work  # what a helper is asked to do next

    def __cinit__(self):
        self.signal = PyThread_allocate_lock()
        if self.signal == NULL:
            raise MemoryError("no memory for a lock")
        PyThread_acquire_lock(self.signal, NOWAIT_LOCK)

    def __dealloc__(self):
        if self.signal != NULL:
            PyThread_free_lock(self.signal)

    cdef void sleep(self, PY_TIMEOUT_T microseconds) noexcept:
        """Give up the GIL until another thread calls `wake`, or for so long at most."""
        cdef PyLockStatus status
        self.sleeping = True
        with nogil:
            status = PyThread_acquire_lock_timed(self.signal, microseconds, 0)
        if status != PY_LOCK_ACQUIRED and not self.sleeping:
            # woken after the time was over, before the GIL came back
            PyThread_acquire_lock(self.signal, NOWAIT_LOCK)
        self.sleeping = False

    cdef void wake(self) noexcept:
        if self.sleeping:
            self.sleeping = False
            PyThread_release_lock(self.signal)


cdef class _Work:
    """The items of one call."""

    cdef object evaluate, consume, context
    cdef list items, results, errors
    cdef Py_ssize_t count, most, taken, consumed
    cdef bint consuming, stopped
    cdef list participants  # the caller first
    cdef int active         # helpers that are evaluating
    cdef long process

    def __cinit__(self, evaluate, list items, consume, Py_ssize_t most, context):
        self.evaluate = evaluate
        self.consume = consume
        self.context = context
        self.items = items
        self.count = len(items)
        self.most = most
        self.results = [NOTHING] * self.count
        self.errors = [None] * self.count
        self.participants = [_Participant()]
        self.process = current_process()

    cdef void wake_all(self) noexcept:
        cdef _Participant one
        for one in self.participants:
            one.wake()

    cdef void stop(self) noexcept:
        """Let nobody take another item."""
        self.stopped = True
        self.wake_all()

    cdef bint over(self) noexcept:
        return self.stopped or self.taken == self.count

    cdef int pause(self, _Participant me, bint is_caller) except -1:
        """Sleep until something changes; raise if a signal came, or this is a forked child."""
        me.sleep(SIGNAL_INTERVAL if is_caller else FOREVER)
        if is_caller:
            PyErr_CheckSignals()
            if self.process != current_process():
                raise RuntimeError(
                    "matconv: a process forked during a computation cannot continue it; its "
                    "threads stayed in the parent"
                )
        return 0

    cdef int run(self, _Participant me, object context, bint is_caller) except -1:
        """Evaluate until nothing is left to take, or anything has raised."""
        cdef Py_ssize_t k
        while True:
            while not self.over() and self.taken - self.consumed >= self.most:
                self.pause(me, is_caller)
            if self.over():
                return 0
            k = self.taken
            self.taken += 1
            try:
                result = context.run(self.evaluate, self.items[k])
                self.results[k] = result
                self.consume_due(context)
            except BaseException as error:
                self.errors[k] = error
                self.stop()

    cdef int consume_due(self, object context) except -1:
        """Consume the results that are next in order, unless another thread does."""
        while (
            not self.consuming
            and self.consumed < self.count
            and self.results[self.consumed] is not NOTHING
        ):
            result = self.results[self.consumed]
            self.results[self.consumed] = NOTHING
            self.consuming = True
            try:
                context.run(self.consume, result)
            finally:
                self.consuming = False
            self.consumed += 1
            self.wake_all()
        return 0

    cdef int finish(self, _Participant me) except -1:
        """Wait until all is consumed, or anything has raised."""
        while not self.stopped and self.consumed < self.count:
            self.pause(me, True)
        return 0

    cdef void dismiss(self) noexcept:
        """Wait for the helpers that are evaluating; those that have not begun are idle again."""
        cdef _Participant one, caller = self.participants[0]
        self.stop()
        for one in self.participants:
            if one.work is self:
                one.work = None
        while self.active and self.process == current_process():
            caller.sleep(FOREVER)

    cdef object first_error(self):
        """The error of the first item; what is no Exception, such as Ctrl-C, before all others."""
        for error in self.errors:
            if error is not None and not isinstance(error, Exception):
                return error
        for error in self.errors:
            if error is not None:
                return error
        return None


cdef void help_for_ever(void *argument) noexcept with gil:
    """What a helper's thread does: sleep until it has work, do it."""
    cdef _Participant me = <_Participant> argument
    cdef _Participant caller
    cdef _Work work
    Py_DECREF(me)  # the reference that `start_helper` took for the thread
    while True:
        while me.work is None:
            me.sleep(FOREVER)
        work = me.work
        me.work = None
        work.active += 1
        try:
            work.run(me, work.context.copy(), False)
        except BaseException:
            pass  # no memory to begin: the caller does it all
        caller = work.participants[0]
        work.active -= 1
        caller.wake()
        caller = None
        work = None


cdef _Participant start_helper():
    """A new helper, or None where the system has no more threads."""
    cdef _Participant helper = _Participant()
    Py_INCREF(helper)
    if PyThread_start_new_thread(help_for_ever, <void *> helper) == PYTHREAD_INVALID_THREAD_ID:
        Py_DECREF(helper)
        return None
    return helper


cdef int ask_for_help(_Work work, int count) except -1:
    """Give the work to so many helpers, or as many as there are."""
    global idle_process
    cdef _Participant helper
    if idle_process != current_process():
        # threads do not survive a fork
        idle.clear()
        idle_process = current_process()
    while count > 0:
        helper = idle.pop() if idle else start_helper()
        if helper is None:
            return 0
        work.participants.append(helper)
        helper.work = work
        helper.wake()
        count -= 1
    return 0


def run(evaluate, items, consume, most, n_threads):
    """``consume(evaluate(item))`` for each item: evaluated on any thread, consumed in order.

    The calling thread evaluates too. Results are consumed one at a time, by any of the threads.
    BLAS is on one thread, numpy ignores floating-point errors. When an item raises, or an
    interrupt comes, no further item is begun; evaluations under way are waited for.

    Parameters
    ----------
    evaluate : callable
        Of one item.
    items : list
    consume : callable
        Of one result.
    most : int
        Maximum number of items that are evaluated, wait or are being consumed.
    n_threads : int
        At least 1. Fewer are used where the system has no more threads, or the items are fewer.

    Raises
    ------
    BaseException
        What evaluating or consuming the first item that failed has raised; but what is no
        Exception, such as KeyboardInterrupt, comes first.
    """
    context = silent_context()
    cdef _Work work = _Work(evaluate, items, consume, most, context)
    cdef _Participant caller = work.participants[0]
    cdef int helpers = min(n_threads, work.count, INT_MAX) - 1
    cdef long entered = enter()
    try:
        try:
            if helpers > 0:
                ask_for_help(work, helpers)
            work.run(caller, context, True)
            work.finish(caller)
        finally:
            work.dismiss()
            leave(entered)
            if work.process == current_process():
                idle.extend(work.participants[1:])
        error = work.first_error()
        if error is not None:
            raise error
    finally:
        # an error's traceback refers to the caller's frames: break the cycle
        error = None
        work.errors = None
