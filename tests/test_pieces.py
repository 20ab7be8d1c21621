"""Passes in pieces: the same bits in any order, and the result of the pass as a whole.

Each piece gets a scratch of its own, full of NaN. The sizes are such that there are several pieces:
one has 2^15 elements or 2^21 multiply-adds at least.
"""

from itertools import product

import numpy as np
import pytest
from tolerances import assert_same, assert_same_bytes

from matconv.kernels._single import SingleStep

FORWARD, BACKWARD = 0, 1
DTYPES = ("float64", "float32")
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


IMAGE, DEEP, ROW = (40, 33, 21), (7, 9, 512), (64, 37, 2)
ELEMENTWISE = {
    "add": ("Add", [IMAGE] * 3, [], [1, -2, 0.5]),
    "add-vectors": ("Add", [(3001,)] * 2, [], [1, 1]),
    "multiply": ("Multiply", [IMAGE] * 3, [], []),
    "activation": ("Activation", [IMAGE], [], []),
    "concat": ("Concat", [IMAGE, (40, 33, 1), IMAGE], [], []),
    "crop": ("Crop", [IMAGE], [1, 3, 0, 5], []),
    "crop-nothing": ("Crop", [ROW], [0, 0, 0, 0], []),
    "scale": ("Scale", [IMAGE], [0], []),
    "scale-bias": ("Scale", [DEEP], [1], []),
    "scale-vector": ("Scale", [(3001,)], [1], []),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_pieces_are_the_whole(name, dtype):
    kind, shapes, words, factors = ELEMENTWISE[name]
    for images, activation in ((5, LEAKY), (23, CLIP), (70, RELU)):
        random = np.random.default_rng(images)
        step = SingleStep(kind, shapes, words, factors, dtype, images, activation)
        for l in (images, images - 3, 1):
            passes = Passes(step, shapes, l, integers, random)
            gradients = len(passes.inputs) + len(passes.arrays)
            flags = [tuple(k != left for k in range(gradients)) for left in range(-1, gradients)]
            forward, backward = check(passes, assert_same, flags)
        if images == 70:
            assert forward[0] > 1 and backward[0] > 1


POOLS = [
    # image, window, stride, padding
    ((40, 33, 21), (2, 2), (2, 2), (0, 0, 0, 0)),
    ((40, 33, 21), (3, 3), (2, 2), (1, 1, 1, 1)),
    ((41, 30, 16), (5, 4), (1, 2), (2, 0, 1, 3)),
    ((13, 17, 64), (13, 3), (1, 1), (0, 0, 0, 0)),
    ((5, 5, 300), (5, 5), (1, 1), (4, 4, 4, 4)),
    ((64, 64, 3), (2, 3), (3, 4), (0, 1, 1, 1)),
    ((9, 9, 2000), (7, 1), (2, 1), (0, 0, 0, 0)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["MaxPool", "AvgPool"])
@pytest.mark.parametrize("case", POOLS)
def test_pool_pieces_are_the_whole(case, kind, dtype):
    shape, window, stride, pad = case

    def draw(random, size, dtype):
        # means of such elements are exact for windows of 2^k pixels, and sums of them
        return integers(random, size, dtype, 8)

    for images in (1, 3, 40):
        random = np.random.default_rng(images)
        step = SingleStep(kind, [shape], [*window, *stride, *pad], [], dtype, images)
        for l in {images, max(images - 7, 1)}:
            passes = Passes(step, [shape], l, draw, random)
            # each element of a gradient is the sum of the same terms in another order
            exact = kind == "MaxPool" or window[0] <= stride[0]
            bound = 64 * np.finfo(dtype).eps * 8 * window[0] * window[1]

            def close(actual, expected, what):
                np.testing.assert_allclose(actual, expected, 0, bound, err_msg=what)

            forward, backward = check(passes, assert_same if exact else close)
    assert forward[0] > 1
    assert len(backward) == (3 if window[0] > stride[0] else 2)
    assert all(pieces > 1 for pieces in backward)


def test_pieces_of_small_steps_are_not_shared():
    for kind, shapes, words, images in (
        ("Add", [(24, 24, 6)] * 2, [], 2),
        ("MaxPool", [(24, 24, 6)], [2, 2, 2, 2, 0, 0, 0, 0], 4),
        ("Scale", [(12, 12, 16)], [1], 1),
    ):
        step = SingleStep(kind, shapes, words, [1, 1], "float64", images)
        assert step.phases(FORWARD) == step.phases(BACKWARD) == [1]
