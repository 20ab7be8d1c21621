"""Buffers that are reused by calls, and limits for the memory of the whole process.

Every function holds the GIL and runs no Python code in between, so neither another thread nor an
interrupt can see an inconsistent state.
"""

import os

import numpy as np

cimport cython
cimport numpy as cnp

cnp.import_array()

cdef enum:
    LINE = 64   # alignment of a buffer, in bytes

# bytes of idle buffers, and their maximum
cdef Py_ssize_t idle_bytes = 0, max_idle_bytes = 1 << 30
# bytes that helpers of calls under way have reserved, and their maximum
cdef Py_ssize_t reserved_bytes = 0, max_reserved_bytes = 1 << 32
cdef long forks = 0

# both ends of a list of the objects with idle buffers, by the time of their last use
cdef void *oldest = NULL
cdef void *newest = NULL


cdef cnp.ndarray new_buffer(Py_ssize_t nbytes):
    cdef cnp.ndarray whole = np.empty(nbytes + LINE, np.uint8)
    cdef Py_ssize_t start = -<Py_ssize_t> <size_t> cnp.PyArray_DATA(whole) % LINE
    if start < 0:
        start += LINE
    return whole[start:start + nbytes]


@cython.final
@cython.no_gc
cdef class Loan:
    """The base of an array of `Buffers.lend`: gives the buffer back after the last view."""

    cdef Buffers lender
    cdef object buffer

    def __dealloc__(self):
        if self.buffer is not None:
            self.lender.give(self.buffer)


@cython.final
@cython.no_gc
cdef class Buffers:
    """Buffers of one size; idle buffers are freed together with this object.

    Parameters
    ----------
    nbytes : int

    Attributes
    ----------
    nbytes : int
    idle : int
        Number of buffers kept for the next call.
    """

    cdef readonly Py_ssize_t nbytes, idle
    cdef list kept              # idle buffers, the last used one at the end
    cdef void *older            # borrowed references: neighbours in the list of objects
    cdef void *newer

    def __cinit__(self, Py_ssize_t nbytes):
        self.nbytes = nbytes
        self.kept = []

    def __dealloc__(self):
        self.forget(self.idle)

    cdef void unlink(self) noexcept:
        global oldest, newest
        if self.older != NULL:
            (<Buffers> self.older).newer = self.newer
        elif oldest == <void *> self:
            oldest = self.newer
        if self.newer != NULL:
            (<Buffers> self.newer).older = self.older
        elif newest == <void *> self:
            newest = self.older
        self.older = self.newer = NULL

    cdef void link(self) noexcept:
        global oldest, newest
        self.older = newest
        if newest != NULL:
            (<Buffers> newest).newer = <void *> self
        newest = <void *> self
        if oldest == NULL:
            oldest = newest

    cdef void forget(self, Py_ssize_t count) noexcept:
        # after this number of buffers has been removed from `kept`
        global idle_bytes
        self.idle -= count
        idle_bytes -= count * self.nbytes
        if self.idle == 0:
            self.unlink()

    def take(self):
        """Return a buffer: an array of bytes, aligned to 64 bytes, with unspecified content.

        Raises
        ------
        MemoryError
        """
        if self.idle == 0:
            return new_buffer(self.nbytes)
        buffer = self.kept.pop()
        self.forget(1)
        return buffer

    def lend(self, cnp.dtype dtype):
        """Return a buffer as an array that comes back by itself, when it is no longer referenced.

        Parameters
        ----------
        dtype : numpy.dtype

        Returns
        -------
        array : ndarray, shape (nbytes // itemsize,)
            As from `take`; the caller must not `give` it.

        Raises
        ------
        MemoryError
        """
        cdef Loan loan = Loan()
        cdef cnp.ndarray buffer = self.take()
        cdef cnp.npy_intp size = self.nbytes // dtype.itemsize
        cdef cnp.ndarray array = cnp.PyArray_SimpleNewFromData(
            1, &size, dtype.num, cnp.PyArray_DATA(buffer)
        )
        loan.lender = self
        loan.buffer = buffer
        cnp.set_array_base(array, loan)
        return array

    def give(self, cnp.ndarray buffer, Py_ssize_t max_idle=-1):
        """Keep a buffer for the next call.

        Parameters
        ----------
        buffer : ndarray
            As returned by `take`; the caller must not use it any more.
        max_idle : int, optional
            The buffer is not kept if this number of buffers is idle already.
        """
        global idle_bytes
        if self.nbytes > max_idle_bytes or 0 <= max_idle <= self.idle:
            return
        try:
            self.kept.append(buffer)
        except MemoryError:
            return
        self.unlink()
        self.link()
        self.idle += 1
        idle_bytes += self.nbytes
        trim(max_idle_bytes)


cdef int trim(Py_ssize_t limit) except -1:
    # free idle buffers until their bytes are within the limit, least recently used objects first
    cdef Buffers owner
    while idle_bytes > limit and oldest != NULL:
        owner = <Buffers> oldest
        buffer = owner.kept.pop(0)
        owner.forget(1)
        buffer = None
    return 0


@cython.final
@cython.no_gc
cdef class Reservation:
    """A reservation of memory for the helpers of one call, within the limit of the process.

    It ends with `release`, or with the object.

    Parameters
    ----------
    count : int
        Requested number of helpers.
    nbytes : int
        Bytes for each of them.

    Attributes
    ----------
    count : int
        Number of helpers that the memory is reserved for.
    """

    cdef readonly Py_ssize_t count
    cdef Py_ssize_t nbytes
    cdef long made

    def __cinit__(self, Py_ssize_t count, Py_ssize_t nbytes):
        global reserved_bytes
        cdef Py_ssize_t free = max(max_reserved_bytes - reserved_bytes, 0)
        self.count = max(min(count, free // max(nbytes, 1)), 0)
        self.nbytes = nbytes
        self.made = forks
        reserved_bytes += self.count * nbytes

    def release(self):
        """End the reservation."""
        self.end()

    cdef void end(self) noexcept:
        global reserved_bytes
        # a reservation made before a fork does not count in the child
        if self.made == forks:
            reserved_bytes -= self.count * self.nbytes
        self.count = 0

    def __dealloc__(self):
        self.end()


def usage():
    """Return the bytes of buffers of the process.

    Returns
    -------
    idle : int
        Bytes kept for the next calls.
    reserved : int
        Bytes reserved for helpers of calls under way.
    """
    return idle_bytes, reserved_bytes


def limits():
    """Return (idle, reserved): the limits of what `usage` returns."""
    return max_idle_bytes, max_reserved_bytes


def set_limits(idle=None, reserved=None):
    """Set the limits of what `usage` returns. Idle buffers beyond the new limit are freed.

    Parameters
    ----------
    idle, reserved : int, optional
        Bytes, at least 0; by default the limit is not changed.
    """
    global max_idle_bytes, max_reserved_bytes
    cdef Py_ssize_t new_idle = max_idle_bytes if idle is None else idle
    cdef Py_ssize_t new_reserved = max_reserved_bytes if reserved is None else reserved
    if new_idle < 0 or new_reserved < 0:
        raise ValueError(
            "set_limits: idle and reserved must be at least 0, got %d and %d"
            % (new_idle, new_reserved)
        )
    max_idle_bytes, max_reserved_bytes = new_idle, new_reserved
    trim(max_idle_bytes)


def _after_fork():
    # the threads of the parent do not exist in the child
    global forks, reserved_bytes
    forks += 1
    reserved_bytes = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
