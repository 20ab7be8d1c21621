"""The thread pool: helpers, native threads that take part in calls and sleep in between.

A helper has a Python thread state from its start, and holds the GIL only while a piece needs it.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
)
from libc.string cimport memset

from ._queue cimport (
    Helper, Queue, SPIN, Slot, cancel_sleep, pieces_left, release_queue, take_piece,
    wait_for_wakeup, wake,
)
from ._native cimport (
    add, current_process, exchange_pointer, load, load_pointer, load_word, now, pause_cpu, store,
)
from ._placing cimport know_thread, restore_affinity
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
    # bytes of a Python thread state, with a margin
    FIRST_MEMORY = 1 << 16

# the list of idle helpers, and the process of their threads; with the GIL
cdef Helper *idle = NULL
cdef long idle_process = 0


# Sleep until there may be work. queue: the queue that the helper has joined, or NULL. Returns false
# in the child of a fork, of which this is the only thread.
cdef bint sleep(Helper *self, Queue *queue) noexcept nogil:
    if self.process != current_process():
        return False
    store(&self.sleeping, True)
    if load_pointer(&self.slot) != NULL or (
        queue != NULL and (load(&queue.closed) or pieces_left(load_word(&queue.state)))
    ):
        cancel_sleep(&self.sleeping, self.wakeup)
    else:
        wait_for_wakeup(&self.sleeping, self.wakeup, -1)
    restore_affinity(&self.place)
    return True


cdef void run_piece(Queue *queue, Py_ssize_t k, int participant) noexcept nogil:
    cdef bint products = queue.products
    if queue.watch == NULL or not load(&queue.watch.stopped):
        if products:
            begin_products_of_helper()
        queue.function(queue.argument, queue.first + k, participant)
        if products:
            end_products()
    add(&queue.done, 1)
    wake(&queue.sleeping, queue.wakeup)


# Take part in a call. Returns as `sleep`.
cdef bint take_part(Helper *self, Slot *slot) noexcept nogil:
    cdef Queue *queue = slot.queue
    cdef int participant = slot.participant
    cdef long long idle_since = now()
    cdef Py_ssize_t k
    while not load(&queue.closed):
        k = take_piece(queue)
        if k >= 0:
            run_piece(queue, k, participant)
            idle_since = now()
        elif now() - idle_since < SPIN:
            pause_cpu()
        else:
            if not sleep(self, queue):
                return False
            idle_since = now()
    release_queue(queue)
    return True


# A small product, for which BLAS finds the buffer that this helper owns.
cdef void first_product() noexcept nogil:
    cdef double A[64]
    cdef double C[64]
    memset(A, 0, sizeof(A))
    begin_products_of_helper()
    # C(8, 8) = A(8, 8) A(8, 8)
    gemm(c'N', c'N', 8, 8, 8, &A[0], 8, &A[0], 8, 0.0, &C[0], 8)
    end_products()


# Whether there is memory for a thread state, without which PyGILState_Ensure ends the process.
cdef bint has_memory() noexcept nogil:
    cdef void *memory = PyMem_RawMalloc(FIRST_MEMORY)
    PyMem_RawFree(memory)
    return memory != NULL


# The function of a helper's thread.
cdef void run_helper(void *argument) noexcept nogil:
    cdef Helper *self = <Helper *> argument
    cdef Slot *slot
    use_own_buffer()
    if not has_memory():
        disown_buffer()
        store(&self.ended, True)
        return
    PyGILState_Ensure()
    PyEval_SaveThread()
    first_product()
    know_thread(&self.place)
    while True:
        slot = <Slot *> exchange_pointer(&self.slot, NULL)
        if not (sleep(self, NULL) if slot == NULL else take_part(self, slot)):
            return


cdef void free_helper(Helper *helper) noexcept:
    if helper.wakeup != NULL:
        PyThread_free_lock(helper.wakeup)
    PyMem_RawFree(helper)


# A helper without a thread; NULL if there is no memory.
cdef Helper *new_helper() noexcept:
    cdef Helper *helper = <Helper *> PyMem_RawMalloc(sizeof(Helper))
    if helper == NULL:
        return NULL
    memset(helper, 0, sizeof(Helper))
    helper.process = current_process()
    helper.wakeup = PyThread_allocate_lock()
    if helper.wakeup == NULL:
        PyMem_RawFree(helper)
        return NULL
    PyThread_acquire_lock(helper.wakeup, NOWAIT_LOCK)
    return helper


# A helper with a new thread; NULL if none can be started or there is no memory for its products.
cdef Helper *start_helper() noexcept:
    cdef Helper *helper = new_helper()
    if helper == NULL:
        return NULL
    if own_buffer():
        if PyThread_start_new_thread(run_helper, helper) != PYTHREAD_INVALID_THREAD_ID:
            return helper
        disown_buffer()
    free_helper(helper)
    return NULL


cdef Helper *find_helper() noexcept:
    global idle, idle_process
    cdef Helper *helper
    if idle_process != current_process():
        # threads do not survive a fork; helpers on the list are not freed, since the state of their
        # locks is unknown
        idle = NULL
        idle_process = current_process()
    while idle != NULL:
        helper = idle
        idle = helper.next
        if not load(&helper.ended):
            return helper
        free_helper(helper)
    return start_helper()


cdef void return_helper(Helper *helper) noexcept:
    global idle
    helper.next = idle
    idle = helper
