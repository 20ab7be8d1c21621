"""The list of operations. Compiled code names all of them only here."""

from libc.string cimport memcmp, strlen

from ._operation cimport Operation
# from each file by name: with `from .ops cimport add` Cython would not see that a file has changed
from .ops.activation cimport operation as activation
from .ops.add cimport operation as add
from .ops.avg_pool cimport operation as avg_pool
from .ops.concat cimport operation as concat
from .ops.conv cimport operation as conv
from .ops.conv_transpose cimport operation as conv_transpose
from .ops.crop cimport operation as crop
from .ops.dense cimport operation as dense
from .ops.dropout cimport operation as dropout
from .ops.lrn cimport operation as lrn
from .ops.max_pool cimport operation as max_pool
from .ops.multiply cimport operation as multiply
from .ops.normalize cimport operation as normalize
from .ops.pad cimport operation as pad
from .ops.prelu cimport operation as prelu
from .ops.scale cimport operation as scale
from .ops.slice cimport operation as slice_
from .ops.softmax cimport log_operation as log_softmax, operation as softmax
from .ops.upsample cimport operation as upsample

cdef enum:
    MAX_OPERATIONS = 64

cdef Operation operations[MAX_OPERATIONS]
cdef int n_operations = 0


cdef void add_table(Operation operation) noexcept:
    global n_operations
    operations[n_operations] = operation
    n_operations += 1


add_table(activation())
add_table(add())
add_table(avg_pool())
add_table(concat())
add_table(conv())
add_table(conv_transpose())
add_table(crop())
add_table(dense())
add_table(dropout())
add_table(log_softmax())
add_table(lrn())
add_table(max_pool())
add_table(multiply())
add_table(normalize())
add_table(pad())
add_table(prelu())
add_table(scale())
add_table(slice_())
add_table(softmax())
add_table(upsample())


cdef const Operation *find_operation(const char *name, size_t length) noexcept nogil:
    cdef int k
    for k in range(n_operations):
        if strlen(operations[k].name) == length and not memcmp(operations[k].name, name, length):
            return &operations[k]
    return NULL


def input_limits(str kind):
    """Return the minimum and the maximum number of inputs of an operation.

    Raises
    ------
    KeyError
        There is no operation of that name.
    """
    cdef bytes name = kind.encode("ascii", "replace")
    cdef const Operation *operation = find_operation(name, len(name))
    if operation == NULL:
        raise KeyError(kind)
    return operation.min_inputs, operation.max_inputs
