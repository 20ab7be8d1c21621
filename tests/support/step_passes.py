"""All passes of one step, as a whole and in pieces in several orders."""

from copy import copy
from itertools import product

import numpy as np

from support.tolerances import assert_same_bytes

FORWARD, BACKWARD = 0, 1
# code, alpha, beta
RELU, LEAKY, CLIP = (1, 0, 0), (2, 0.25, 0), (3, -2, 3)


def ascending(phase, pieces):
    return range(pieces)


def descending(phase, pieces):
    return reversed(range(pieces))


def shuffled(phase, pieces):
    return np.random.default_rng(phase).permutation(pieces)


ORDERS = (ascending, descending, shuffled)


def integers(random, shape, dtype, bound=3):
    return random.integers(-bound, bound + 1, shape).astype(dtype)


class Passes:
    """All passes of one step, whole and in pieces, from the same data.

    Parameters
    ----------
    step : SingleStep
    shapes : list of tuple
        Of one image of each input.
    images : int
        At most as many as the step is planned for.
    draw : callable
        Data of a shape, from a generator of random elements.
    saves : bool
        Whether the forward pass saves something.
    """

    def __init__(self, step, shapes, images, draw, random):
        self.step, self.images = step, images
        self.inputs = [draw(random, (images, *shape), step.dtype) for shape in shapes]
        self.arrays = [draw(random, size, step.dtype) for size in step.array_sizes]
        self.d_output = draw(random, (images, *step.shape), step.dtype)
        self.before = [draw(random, array.shape, step.dtype) for array in self.inputs]
        self.arrays_before = [draw(random, array.shape, step.dtype) for array in self.arrays]
        apart = np.random.default_rng(images)
        self.t_inputs = [draw(apart, array.shape, step.dtype) for array in self.inputs]
        self.t_arrays = [draw(apart, array.shape, step.dtype) for array in self.arrays]
        self.filters = [step.prepare(x, False) for x in (self.arrays, self.t_arrays)]

    def of_sizes(self):
        """The same passes of absolute values: each sum is the sum of its absolute terms."""
        other = copy(self)
        for name in ("inputs", "arrays", "before", "arrays_before", "t_inputs", "t_arrays"):
            setattr(other, name, [np.abs(array) for array in getattr(self, name)])
        other.d_output = np.abs(self.d_output)
        other.filters = [self.step.prepare(x, False) for x in (other.arrays, other.t_arrays)]
        return other

    def forward(self, order=None):
        """The output and what was saved."""
        output = np.full((self.images, *self.step.shape), np.nan, self.step.dtype)
        saved = np.zeros(self.step.sizes["saved"] * self.images, np.uint8)
        self.step.forward(self.inputs, self.arrays, self.filters[0], saved, output, order)
        return output, saved

    def tangent(self, results, constant=(), order=None):
        """The derivative of the output; inputs with a number in ``constant`` have none."""
        output, saved = results
        t_output = np.full_like(output, np.nan)
        t_inputs = [None if k in constant else x for k, x in enumerate(self.t_inputs)]
        self.step.tangent(
            self.inputs, self.arrays, self.filters[0], saved, output, t_inputs, self.t_arrays,
            self.filters[1], t_output, order,
        )  # fmt: skip
        return t_output

    def curved(self, results, constant=(), prepared=True, order=None):
        """The derivatives of the gradients, added to what was there, in one list."""
        output, saved = results
        d_inputs, d_arrays = ([x.copy() for x in y] for y in (self.before, self.arrays_before))
        t_inputs = [None if k in constant else x for k, x in enumerate(self.t_inputs)]
        d_output = self.d_output.copy()
        self.step.tangent_backward(
            self.inputs, self.arrays, saved, output, d_output, t_inputs, self.t_arrays,
            self.step.prepare(self.t_arrays, True) if prepared else None, d_inputs, d_arrays, order,
        )  # fmt: skip
        assert_same_bytes(d_output, self.d_output, "d_output is not overwritten")
        return [*d_inputs, *d_arrays]

    def backward(self, results, add, wanted, prepared=True, order=None):
        """Gradients for inputs and parameters, in one list; None where they are not wanted."""
        output, saved = results
        d_inputs, d_arrays = (
            [
                (array.copy() if add else np.full_like(array, np.nan)) if is_wanted else None
                for array, is_wanted in zip(arrays, flags, strict=True)
            ]
            for arrays, flags in (
                (self.before, wanted[: len(self.inputs)]),
                (self.arrays_before, wanted[len(self.inputs) :]),
            )
        )
        filters = self.step.prepare(self.arrays, True) if prepared else None
        self.step.backward(
            self.inputs, self.arrays, filters, saved, output, self.d_output.copy(), d_inputs,
            [add] * len(d_inputs), d_arrays, add, order,
        )  # fmt: skip
        return [*d_inputs, *d_arrays]


def assert_equal(actual, expected, compare, what):
    for k, (one, other) in enumerate(zip(actual, expected, strict=True)):
        assert (one is None) == (other is None)
        if one is not None:
            compare(one, other, f"{what}, gradient {k}")


def check(passes, compare, flags=None):
    """Pieces in every order against the whole; returns the numbers of pieces of both passes."""
    step = passes.step
    whole = passes.forward()
    pieces = [passes.forward(order) for order in ORDERS]
    compare(pieces[0][0], whole[0], "output")
    for output, saved in pieces:
        assert_same_bytes(output, pieces[0][0], "output, in another order")
        assert_same_bytes(saved, whole[1], "saved")
    _check_tangents(passes, compare, whole)
    if not step.flat:
        _check_curved(passes, compare, whole)
    gradients = len(passes.inputs) + len(passes.arrays)
    backward_prepared = (False, True) if step.sizes["prepared_backward"] else (True,)
    for add, wanted, prepared in product(
        (False, True), flags or [(True,) * gradients], backward_prepared
    ):
        what = f"add {add}, wanted {wanted}, prepared {prepared}"
        expected = passes.backward(whole, add, wanted, prepared)
        found = [passes.backward(whole, add, wanted, prepared, order) for order in ORDERS]
        assert_equal(found[0], expected, compare, what)
        for other in found[1:]:
            assert_equal(other, found[0], assert_same_bytes, f"{what}, in another order")
    return step.phases(FORWARD), step.phases(BACKWARD)


def _check_tangents(passes, compare, whole):
    """Pieces of the tangent pass against the whole, also where inputs have no tangent."""
    constant = [()]
    if passes.arrays or len(passes.inputs) > 1:
        constant += [(0,)]
    for missing in constant:
        expected = passes.tangent(whole, missing)
        found = [passes.tangent(whole, missing, order) for order in ORDERS]
        compare(found[0], expected, f"tangent, {missing}")
        for other in found[1:]:
            assert_same_bytes(other, found[0], f"tangent, {missing}, in another order")


def _check_curved(passes, compare, whole):
    """Pieces of the derivative of the backward pass against the whole."""
    for missing, prepared in (((), True), ((0,), True), ((), False)):
        if not prepared and not passes.step.sizes["prepared_backward"]:
            continue
        what = f"curvature, {missing}, prepared {prepared}"
        expected = passes.curved(whole, missing, prepared)
        found = [passes.curved(whole, missing, prepared, order) for order in ORDERS]
        assert_equal(found[0], expected, compare, what)
        for other in found[1:]:
            assert_equal(other, found[0], assert_same_bytes, f"{what}, in another order")


def any_value(actual, expected, what):
    """For reals that are compared in different orders only: sums of integers have no order."""


def normal(random, shape, dtype):
    return random.standard_normal(shape).astype(dtype)
