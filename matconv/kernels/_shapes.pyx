"""Shapes of values as tuples, and the output shape of an operation."""

from libc.string cimport memset

import numpy as np

cimport numpy as cnp

from ._operation cimport Operation, Step, VECTOR, Value, set_image, set_vector
from ._operations cimport find_operation
from ._status cimport FORMAT, OK

cnp.import_array()


class ProgramError(ValueError):
    """A description that is not valid for a program.

    Attributes
    ----------
    status : int
        A code of ``matconv/types.h``.
    step : int
        Index of the invalid step; -1 for the description as a whole, or its sizes.
    """

    def __init__(self, status, step):
        super().__init__(f"status {status} at step {step}")
        self.status = status
        self.step = step


cdef tuple as_tuple(const Value *value):
    if value.rank == VECTOR:
        return (value.channels,)
    return (value.height, value.width, value.channels)


def output_shape(str name, list shapes, list words, list numbers):
    """Return the shape of the output of an operation, and the sizes of its parameters.

    Parameters
    ----------
    name : str
    shapes : list of (height, width, channels) or (units,)
        Shapes of the inputs.
    words : list of int
    numbers : list of float

    Returns
    -------
    shape : tuple
    sizes : list of int
        Number of elements of each parameter array.

    Raises
    ------
    ProgramError
        The arguments are not valid, for the reason given by ``status``; ``step`` is 0.
    KeyError
        There is no operation of that name.
    """
    cdef bytes encoded = name.encode("ascii")
    cdef const Operation *operation = find_operation(encoded, len(encoded))
    if operation == NULL:
        raise KeyError(name)
    if not operation.min_inputs <= len(shapes) <= operation.max_inputs:
        raise ProgramError(FORMAT, 0)
    if len(words) != operation.n_words:
        raise ProgramError(FORMAT, 0)
    # values: the inputs and the output; these arrays own the memory
    values = np.zeros((len(shapes) + 1) * sizeof(Value), np.uint8)
    inputs = np.arange(len(shapes), dtype=np.intc)
    own = np.zeros(operation.own_size + 1, np.uint8)
    words_ = np.array(words, np.intp)
    numbers_ = np.array(numbers, np.float64)
    cdef Value *value = <Value *> cnp.PyArray_DATA(values)
    cdef Step step
    cdef int k, status
    memset(&step, 0, sizeof(Step))
    for k, shape in enumerate(shapes):
        if len(shape) == 1:
            set_vector(&value[k], shape[0])
        else:
            set_image(&value[k], shape[0], shape[1], shape[2])
        value[k].size = value[k].height * value[k].width * value[k].channels
    step.operation = operation
    step.n_inputs = <int> len(shapes)
    step.inputs = <const int *> cnp.PyArray_DATA(inputs)
    step.values = value
    step.output = step.n_inputs
    step.words = <const Py_ssize_t *> cnp.PyArray_DATA(words_)
    step.numbers = <const double *> cnp.PyArray_DATA(numbers_)
    step.own = cnp.PyArray_DATA(own)
    step.is_double = True
    status = operation.shape(&step, &value[step.output])
    if status != OK:
        raise ProgramError(status, 0)
    return as_tuple(&value[step.output]), [step.array_size[k] for k in range(step.n_arrays)]
