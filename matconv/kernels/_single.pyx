"""A single step of a program, whole or in pieces in any order: for tests.

Scratch has exactly the size that the step requires, is filled with NaN before each piece, and is
followed by guard elements that must not change.
"""

from libc.string cimport memset

import numpy as np

cimport numpy as cnp

from ._activation cimport ACTIVATION_NONE
from ._operation cimport (
    BACKWARD, Call, FORWARD, MAX_ARRAYS, Operation, Step, TANGENT, TANGENT_BACKWARD, VECTOR, Value,
    WHOLE, set_image, set_vector,
)
from ._operations cimport find_operation
from ._guard cimport begin_products, end_products
from ._status cimport OK

cnp.import_array()

cdef enum:
    MAX_INPUTS = 16
    GUARD = 64              # guard elements


cdef class SingleStep:
    """A step of a program.

    Parameters
    ----------
    name : str
        Name of the operation.
    shapes : list of (height, width, channels) or (units,)
        Shapes of the inputs.
    words : list of int
    numbers : list of float
    dtype : float64 or float32
    images : int
        Maximum number of images of a call.
    activation : (code, alpha, beta)
    frozen : bool
        Whether it is a step of a frozen network, which has no backward pass.

    Attributes
    ----------
    dtype, images, name
    shape : tuple
        Shape of the output for one image.
    array_sizes : list of int
        Number of elements of each parameter array.
    sizes : dict
        The members of `Sizes`.
    poisons : bool
        Whether scratch is filled with NaN before each piece; False to measure times.
    """

    cdef Step step
    cdef Value values[MAX_INPUTS + 1]
    cdef object kept
    cdef readonly object dtype, shape, array_sizes, sizes, name
    cdef readonly Py_ssize_t images
    cdef public bint poisons

    def __init__(self, str name, shapes, words, numbers, dtype, Py_ssize_t images,
                 activation=(0, 0, 0), bint frozen=False):
        cdef bytes encoded = name.encode("ascii")
        cdef const Operation *operation = find_operation(encoded, len(encoded))
        cdef Step *step = &self.step
        cdef Value *output = &self.values[len(shapes)]
        cdef int k, status
        self.dtype, self.images, self.name = np.dtype(dtype), images, name
        self.poisons = True
        memset(step, 0, sizeof(Step))
        words = np.array(words, np.intp)
        numbers = np.array(numbers, np.float64)
        inputs = np.arange(len(shapes), dtype=np.intc)
        own = np.zeros(operation.own_size + 1, np.uint8)
        self.kept = (words, numbers, inputs, own)
        for k, shape in enumerate(shapes):
            if len(shape) == 1:
                set_vector(&self.values[k], shape[0])
            else:
                set_image(&self.values[k], shape[0], shape[1], shape[2])
            self.values[k].size = np.prod(shape)
        step.operation = operation
        step.n_inputs = <int> len(shapes)
        step.inputs = <const int *> cnp.PyArray_DATA(<cnp.ndarray> inputs)
        step.values = self.values
        step.output = step.n_inputs
        step.words = <const Py_ssize_t *> cnp.PyArray_DATA(<cnp.ndarray> words)
        step.numbers = <const double *> cnp.PyArray_DATA(<cnp.ndarray> numbers)
        step.own = cnp.PyArray_DATA(<cnp.ndarray> own)
        step.activation.code, step.activation.alpha, step.activation.beta = activation
        step.is_double = self.dtype == np.float64
        status = operation.shape(step, output)
        output.size = output.height * output.width * output.channels
        if status == OK:
            step.images = step.usual = images
            step.frozen = frozen
            if operation.sizes != NULL:
                status = operation.sizes(step, &step.sizes)
        if status != OK:
            raise ValueError(f"SingleStep: status {status} of {name}")
        self.shape = (output.height, output.width, output.channels)
        if output.rank == VECTOR:
            self.shape = (output.channels,)
        self.array_sizes = [step.array_size[k] for k in range(step.n_arrays)]
        self.sizes = step.sizes

    def split(self, int direction, int phase):
        """Return the number of pieces of a phase; None if the operation has no `split`."""
        if self.step.operation.split == NULL:
            return None
        return self.step.operation.split(&self.step, direction, phase)

    def phases(self, int direction):
        """Return the number of pieces of each phase; [1] for a step that is not shared."""
        found = []
        if self.step.operation.split == NULL:
            return [1]
        while self.split(direction, len(found)):
            found.append(self.split(direction, len(found)))
        return found

    def prepare(self, arrays, bint backward):
        """Return the prepared parameters for a pass."""
        cdef const void *arrays_[MAX_ARRAYS]
        cdef Call call
        name = "prepared_backward" if backward else "prepared"
        prepared = Scratch(self.sizes[name], self.dtype)
        scratch = Scratch(self.sizes["preparing"], self.dtype)
        memset(&call, 0, sizeof(Call))
        fill(arrays_, arrays)
        call.arrays = arrays_
        call.images = 1
        call.prepared = call.prepared_backward = address(prepared.array)
        call.scratch = address(scratch.array)
        call.phase = WHOLE
        if self.step.operation.prepare != NULL and self.sizes[name] > 0:
            self.step.operation.prepare(&self.step, &call, backward)
        prepared.check()
        scratch.check()
        return prepared.array

    cdef run(self, Call *call, int direction, order):
        cdef int phase = WHOLE
        cdef Py_ssize_t piece
        name = {
            FORWARD: "forward", BACKWARD: "backward", TANGENT: "tangent",
            TANGENT_BACKWARD: "backward",
        }[direction]
        shared = Scratch(self.sizes[f"shared_{name}"], self.dtype)
        if direction == TANGENT:
            scratch = Scratch(max(self.sizes["forward"], self.sizes["backward"]), self.dtype)
        else:
            scratch = Scratch(self.sizes[name], self.dtype)
        call.scratch = address(scratch.array)
        call.shared = address(shared.array)
        call.phase = phase
        # a program also splits a step for the images of the call
        self.step.images = call.images
        begin_products()
        try:
            if order is None or self.phases(direction) == [1]:
                self.one(call, direction)
            else:
                for phase, pieces in enumerate(self.phases(direction)):
                    for piece in order(phase, pieces):
                        if self.poisons:
                            scratch.poison()
                        call.phase, call.piece = phase, piece
                        self.one(call, direction)
                        if self.poisons:
                            scratch.check()
        finally:
            end_products()
            self.step.images = self.images
        scratch.check()
        shared.check()

    cdef one(self, Call *call, int direction):
        if direction == TANGENT:
            self.step.operation.tangent(&self.step, call)
        elif direction == TANGENT_BACKWARD:
            self.step.operation.tangent_backward(&self.step, call)
        elif direction == BACKWARD:
            self.step.operation.backward(&self.step, call)
        else:
            self.step.operation.forward(&self.step, call)

    def forward(self, inputs, arrays, prepared, saved, output, order=None):
        """Compute the output into ``output``.

        Parameters
        ----------
        inputs, arrays : list of ndarray
        prepared : ndarray
            As returned by `prepare`.
        saved : ndarray of uint8 or None
        output : ndarray
            Overwritten; its first dimension is the number of images.
        order : callable, optional
            Function of a phase and its number of pieces that returns the order of the pieces; by
            default the pass runs as a whole.
        """
        cdef const void *inputs_[MAX_INPUTS]
        cdef const void *arrays_[MAX_ARRAYS]
        cdef Call call
        memset(&call, 0, sizeof(Call))
        fill(inputs_, inputs)
        fill(arrays_, arrays)
        call.images = output.shape[0]
        call.inputs, call.arrays = inputs_, arrays_
        call.prepared = address(prepared)
        call.saved = address(saved)
        call.output = address(output)
        self.run(&call, FORWARD, order)

    def backward(self, inputs, arrays, prepared, saved, output, d_output, d_inputs, add_input,
                 d_arrays, bint add_arrays, order=None):
        """Compute the gradients into ``d_inputs`` and ``d_arrays``; None: not computed.

        Parameters
        ----------
        inputs, arrays, saved, output, order
            As for `forward`.
        prepared : ndarray or None
            As returned by `prepare` for the backward pass.
        d_output : ndarray
            Overwritten.
        d_inputs, d_arrays : list of ndarray or None
        add_input : list of bool
        add_arrays : bool
        """
        cdef const void *inputs_[MAX_INPUTS]
        cdef const void *arrays_[MAX_ARRAYS]
        cdef const void *d_inputs_[MAX_INPUTS]
        cdef const void *d_arrays_[MAX_ARRAYS]
        cdef char add_input_[MAX_INPUTS]
        cdef Call call
        cdef int k
        memset(&call, 0, sizeof(Call))
        fill(inputs_, inputs)
        fill(arrays_, arrays)
        fill(d_inputs_, d_inputs)
        fill(d_arrays_, d_arrays)
        for k in range(self.step.n_inputs):
            add_input_[k] = add_input[k]
        call.images = output.shape[0]
        call.inputs, call.arrays = inputs_, arrays_
        call.prepared_backward = address(prepared)
        call.saved = address(saved)
        call.output = address(output)
        call.d_output = address(d_output)
        call.d_inputs, call.d_arrays = <void **> d_inputs_, <void **> d_arrays_
        call.add_input, call.add_arrays = add_input_, add_arrays
        self.run(&call, BACKWARD, order)

    def tangent(self, inputs, arrays, prepared, saved, output, t_inputs, t_arrays, t_prepared,
                t_output, order=None):
        """Compute the derivative of the output into ``t_output``.

        Parameters
        ----------
        inputs, arrays, prepared, saved, output, order
            As for `forward`, after it.
        t_inputs : list of ndarray or None
            None: 0.
        t_arrays : list of ndarray
        t_prepared : ndarray
            As returned by `prepare` for t_arrays.
        t_output : ndarray
            Overwritten.
        """
        cdef const void *inputs_[MAX_INPUTS]
        cdef const void *arrays_[MAX_ARRAYS]
        cdef const void *t_inputs_[MAX_INPUTS]
        cdef const void *t_arrays_[MAX_ARRAYS]
        cdef Call call
        memset(&call, 0, sizeof(Call))
        fill(inputs_, inputs)
        fill(arrays_, arrays)
        fill(t_inputs_, t_inputs)
        fill(t_arrays_, t_arrays)
        call.images = output.shape[0]
        call.inputs, call.arrays = inputs_, arrays_
        call.prepared = address(prepared)
        call.saved = address(saved)
        call.output = address(output)
        call.t_inputs, call.t_arrays = t_inputs_, t_arrays_
        call.t_prepared = address(t_prepared)
        call.t_output = address(t_output)
        self.run(&call, TANGENT, order)

    @property
    def flat(self):
        """Whether there is no pass `tangent_backward`."""
        return self.step.operation.flat

    def tangent_backward(self, inputs, arrays, saved, output, d_output, t_inputs, t_arrays,
                         t_prepared, d_inputs, d_arrays, order=None):
        """Add the derivative of the gradients, without activation, to ``d_inputs``, ``d_arrays``.

        Parameters
        ----------
        inputs, arrays, saved, output, order
            As for `forward`, after it.
        d_output : ndarray
        t_inputs : list of ndarray or None
            None: 0.
        t_arrays : list of ndarray
        t_prepared : ndarray or None
            As returned by `prepare` for t_arrays and the backward pass.
        d_inputs, d_arrays : list of ndarray or None
            None: not computed.
        """
        cdef const void *inputs_[MAX_INPUTS]
        cdef const void *arrays_[MAX_ARRAYS]
        cdef const void *t_inputs_[MAX_INPUTS]
        cdef const void *t_arrays_[MAX_ARRAYS]
        cdef const void *d_inputs_[MAX_INPUTS]
        cdef const void *d_arrays_[MAX_ARRAYS]
        cdef Call call
        memset(&call, 0, sizeof(Call))
        fill(inputs_, inputs)
        fill(arrays_, arrays)
        fill(t_inputs_, t_inputs)
        fill(t_arrays_, t_arrays)
        fill(d_inputs_, d_inputs)
        fill(d_arrays_, d_arrays)
        call.images = output.shape[0]
        call.inputs, call.arrays = inputs_, arrays_
        call.saved = address(saved)
        call.output, call.d_output = address(output), address(d_output)
        call.t_inputs, call.t_arrays = t_inputs_, t_arrays_
        call.t_prepared_backward = address(t_prepared)
        call.d_inputs, call.d_arrays = <void **> d_inputs_, <void **> d_arrays_
        code = self.step.activation.code
        self.step.activation.code = ACTIVATION_NONE
        self.run(&call, TANGENT_BACKWARD, order)
        self.step.activation.code = code


class Scratch:
    """An array filled with NaN, followed by guard elements that must not change."""

    def __init__(self, size, dtype):
        self.all = np.full(size + GUARD, np.nan, dtype)
        self.array = self.all[:size]
        self.all[size:] = 7

    def poison(self):
        """Fill the array with NaN."""
        self.array[...] = np.nan

    def check(self):
        """Raise AssertionError if a guard element has changed."""
        if (self.all[self.array.size:] != 7).any():
            raise AssertionError("SingleStep: an element after the scratch was written")


cdef void *address(object array) except? NULL:
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray?> array)


cdef int fill(const void **pointers, object arrays) except -1:
    cdef int k
    for k in range(len(arrays)):
        pointers[k] = address(arrays[k])
    return 0
