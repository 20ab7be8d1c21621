"""Opening: a program from its description, which is not trusted."""

from ._program cimport Program

# A program from a description (size bytes of data). OUT: program; at: of an error in a step, its
# index. Returns a Status.
cdef int program_open(
    const void *data, size_t size, Program **program, Py_ssize_t *at
) noexcept nogil

cdef void program_close(Program *program) noexcept nogil
