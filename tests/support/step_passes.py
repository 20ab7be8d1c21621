"""Both passes of one step, as a whole and in pieces in several orders."""

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
    """Both passes of one step, whole and in pieces, from the same data.

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

    def forward(self, order=None):
        """The output and what was saved."""
        output = np.full((self.images, *self.step.shape), np.nan, self.step.dtype)
        saved = np.zeros(self.step.sizes["saved"] * self.images, np.uint8)
        prepared = self.step.prepare(self.arrays, False)
        self.step.forward(self.inputs, self.arrays, prepared, saved, output, order)
        return output, saved

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


def any_value(actual, expected, what):
    """For reals that are compared in different orders only: sums of integers have no order."""


def normal(random, shape, dtype):
    return random.standard_normal(shape).astype(dtype)
