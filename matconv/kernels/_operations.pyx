"""The list of operations: the one place in compiled code that names them all."""

from libc.string cimport memcmp, strlen

from ._operation cimport Operation
from .ops cimport activation, add, avg_pool, concat, conv, crop, dense, max_pool, multiply, scale

cdef enum:
    MAX_OPERATIONS = 64

cdef Operation operations[MAX_OPERATIONS]
cdef int n_operations = 0


cdef void add_table(Operation operation) noexcept:
    global n_operations
    operations[n_operations] = operation
    n_operations += 1


add_table(activation.operation())
add_table(add.operation())
add_table(avg_pool.operation())
add_table(concat.operation())
add_table(conv.operation())
add_table(crop.operation())
add_table(dense.operation())
add_table(max_pool.operation())
add_table(multiply.operation())
add_table(scale.operation())


cdef const Operation *find_operation(const char *name, size_t length) noexcept nogil:
    cdef int k
    for k in range(n_operations):
        if strlen(operations[k].name) == length and not memcmp(operations[k].name, name, length):
            return &operations[k]
    return NULL
