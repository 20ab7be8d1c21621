"""Memory that calls take turns with, bounded over the whole process.

Every function here does its work while it holds the GIL, without running Python code in between:
calls from several threads do not see each other half-way, and an interrupt finds nothing half done.
"""

import os

import numpy as np

cimport cython
cimport numpy as cnp

cnp.import_array()

cdef enum:
    LINE = 64   # a buffer begins at a multiple of so many bytes

# bytes of idle buffers, and how many there may be
cdef Py_ssize_t idle_bytes = 0, max_idle_bytes = 1 << 30
# bytes that helpers of calls under way have reserved, and how many they may
cdef Py_ssize_t reserved_bytes = 0, max_reserved_bytes = 1 << 32
cdef long forks = 0

# the objects with idle buffers, by the time of their last use
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
cdef class Buffers:
    """Buffers of one size that belong to one object; idle ones are freed with it.

    Parameters
    ----------
    nbytes : int

    Attributes
    ----------
    nbytes : int
    idle : int
        Number of buffers that are kept for the next call.
    """

    cdef readonly Py_ssize_t nbytes, idle
    cdef list kept              # the last used one at the end
    cdef void *older            # borrowed references: neighbours among those with idle buffers
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
        # so many buffers are idle no more
        global idle_bytes
        self.idle -= count
        idle_bytes -= count * self.nbytes
        if self.idle == 0:
            self.unlink()

    def take(self):
        """Return a buffer: an array of bytes, aligned to 64, whose content is undefined.

        Raises
        ------
        MemoryError
        """
        if self.idle == 0:
            return new_buffer(self.nbytes)
        buffer = self.kept.pop()
        self.forget(1)
        return buffer

    def give(self, cnp.ndarray buffer, Py_ssize_t most=-1):
        """Keep a buffer for the next call.

        Parameters
        ----------
        buffer : ndarray
            As `take` returned it; not used any more.
        most : int, optional
            It is freed instead if so many are idle already.
        """
        global idle_bytes
        if self.nbytes > max_idle_bytes or 0 <= most <= self.idle:
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
    # free idle buffers, those of the object that was not used for the longest time first
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
    """Memory for helpers of one call, as far as the budget of the process goes.

    It is given back by `release`, at the latest with the object.

    Parameters
    ----------
    count : int
        Wanted number of helpers.
    nbytes : int
        What each of them takes.

    Attributes
    ----------
    count : int
        Number of helpers that may have it; the reservation of a call in the parent process is 0 in
        a forked child.
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
        """Give the memory back to the budget."""
        self.give_back()

    cdef void give_back(self) noexcept:
        global reserved_bytes
        if self.made == forks:
            reserved_bytes -= self.count * self.nbytes
        self.count = 0

    def __dealloc__(self):
        self.give_back()


def usage():
    """Bytes of buffers of the process.

    Returns
    -------
    idle : int
        Kept for the next calls.
    reserved : int
        That helpers of calls under way may use.
    """
    return idle_bytes, reserved_bytes


def limits():
    """Return (idle, reserved): the limits of what `usage` returns."""
    return max_idle_bytes, max_reserved_bytes


def set_limits(idle=None, reserved=None):
    """Set the limits; what is left out stays. Idle buffers beyond the new one are freed.

    Parameters
    ----------
    idle, reserved : int, optional
        Bytes, at least 0.
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
    # the threads of the parent's calls are not there
    global forks, reserved_bytes
    forks += 1
    reserved_bytes = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
