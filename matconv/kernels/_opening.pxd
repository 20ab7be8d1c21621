"""Opening programs from descriptions, which are not trusted."""

from ._program cimport Program

# Make a program from a description of `size` bytes. IN: data. OUT: program, or NULL on failure; at,
# the index of the step with an error, or -1. Returns a status.
cdef int program_open(
    const void *data, size_t size, Program **program, Py_ssize_t *at
) noexcept nogil

# Free a program. NULL is ignored.
cdef void program_close(Program *program) noexcept nogil
