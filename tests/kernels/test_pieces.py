"""Passes in pieces: the same bits in any order, and the result of the pass as a whole.

Each piece gets a scratch of its own, full of NaN. The sizes are such that there are several pieces:
one has 2^15 elements or 2^21 multiply-adds at least. Those of convolutions are in test_conv_pieces,
test_conv_transpose_pieces and test_winograd_pieces.
"""

import numpy as np
import pytest
from matconv.kernels._single import SingleStep
from support.step_passes import (
    BACKWARD,
    CLIP,
    FORWARD,
    LEAKY,
    RELU,
    Passes,
    any_value,
    check,
    integers,
    normal,
)
from support.tolerances import assert_same, assert_within, rounding_bound

DTYPES = ("float64", "float32")

IMAGE, DEEP, ROW = (40, 33, 21), (7, 9, 512), (64, 37, 2)
ELEMENTWISE = {
    "add": ("Add", [IMAGE] * 3, [], [1, -2, 0.5]),
    "add-vectors": ("Add", [(3001,)] * 2, [], [1, 1]),
    "multiply": ("Multiply", [IMAGE] * 3, [], []),
    "activation": ("Activation", [IMAGE], [], []),
    "dropout": ("Dropout", [IMAGE], [], [0.5]),
    "concat": ("Concat", [IMAGE, (40, 33, 1), IMAGE], [], []),
    "crop": ("Crop", [IMAGE], [1, 3, 0, 5], []),
    "crop-nothing": ("Crop", [ROW], [0, 0, 0, 0], []),
    "crop-like": ("Crop", [IMAGE, (36, 28, 3)], [1, 3, 0, 5], []),
    "multiply-pixel": ("Multiply", [(1, 1, 21), IMAGE, (21,)], [], []),
    "pad": ("Pad", [IMAGE], [1, 3, 0, 5], []),
    "slice": ("Slice", [IMAGE], [3, 17], []),
    "slice-vector": ("Slice", [(3001,)], [0, 3000], []),
    "upsample": ("Upsample", [IMAGE], [2, 3, 0], []),
    "upsample-bilinear": ("Upsample", [IMAGE], [2, 4, 1], []),
    "upsample-aligned": ("Upsample", [(5, 9, 70)], [1, 1, 2], []),
    "scale": ("Scale", [IMAGE], [0], []),
    "scale-bias": ("Scale", [DEEP], [1], []),
    "scale-vector": ("Scale", [(3001,)], [1], []),
    "prelu": ("PReLU", [IMAGE], [], []),
    "prelu-vector": ("PReLU", [(3001,)], [], []),
    "lrn": ("LRN", [IMAGE], [5], [2, 0.5, 0.75]),
    "lrn-wide": ("LRN", [DEEP], [4], [1, 0.25, 0.6]),
    "softmax": ("Softmax", [IMAGE], [], []),
    "softmax-vector": ("Softmax", [(3001,)], [], []),
    "log-softmax": ("LogSoftmax", [DEEP], [], []),
    "normalize": ("Normalize", [IMAGE], [0], [2, 0.5]),
    "normalize-spatial": ("Normalize", [IMAGE], [1], [2, 0.5]),
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


# pixels of Multiply, bands of Multiply's sums, rows of Upsample
SINGLE_IMAGES = {
    "multiply-pixel": ("Multiply", [(1, 1, 21), (64, 65, 21), (21,)], []),
    "multiply-pixel-second": ("Multiply", [(70, 33, 40), (40,)], []),
    "multiply-many-pixels": ("Multiply", [(200, 201, 2), (1, 1, 2)], []),
    "upsample": ("Upsample", [(40, 33, 21)], [2, 3, 0]),
    "upsample-bilinear": ("Upsample", [(41, 17, 16)], [3, 4, 1]),
    "upsample-bilinear-column": ("Upsample", [(99, 1, 128)], [7, 1, 1]),
    "upsample-aligned": ("Upsample", [(40, 33, 21)], [2, 4, 2]),
    "upsample-aligned-rows": ("Upsample", [(2, 64, 64)], [8, 2, 2]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SINGLE_IMAGES)
def test_pieces_of_a_single_image_are_the_whole(name, dtype):
    kind, shapes, words = SINGLE_IMAGES[name]
    for images in (1, 2, 7):
        random = np.random.default_rng(images)
        step = SingleStep(kind, shapes, words, [], dtype, images)
        flags = [tuple(k != left for k in range(len(shapes))) for left in range(-1, len(shapes))]
        for l in {images, images - 1}:
            passes = Passes(step, shapes, l, integers, random)
            forward, backward = check(passes, assert_same, flags)
            assert l < images or forward[0] > images
            assert l < images or backward[0] > images or (kind, images) == ("Upsample", 7)
            # the sums of Multiply have another order
            exact = kind == "Upsample"
            check(Passes(step, shapes, l, normal, random), assert_same if exact else any_value)


def test_upsample_adjoint_does_not_depend_on_the_rows_of_a_piece():
    """Every output row that reads a row of the input is found, for any factor and height."""
    random = np.random.default_rng(0)
    for _ in range(30):
        height, factor = (int(n) for n in random.integers(1, 12, 2))
        for method in range(3):
            shape = (height, 1, 1 + (1 << 15) // (factor * (1 + int(random.integers(3)))))
            step = SingleStep("Upsample", [shape], [factor, 1, method], [], "float64", 1)
            passes = Passes(step, [shape], 1, normal, random)
            check(passes, assert_same)


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
        counted = [-1, -1] if kind == "AvgPool" else []
        step = SingleStep(kind, [shape], [*window, *stride, *pad, *counted], [], dtype, images)
        for l in {images, max(images - 7, 1)}:
            passes = Passes(step, [shape], l, draw, random)
            # each element of a gradient is the sum of the same terms in another order
            exact = kind == "MaxPool" or window[0] <= stride[0]
            bound = rounding_bound(64 * window[0] * window[1], 8, dtype)

            def close(actual, expected, what, bound=bound):
                assert_within(actual, expected, bound, what)

            forward, backward = check(passes, assert_same if exact else close)
        check(Passes(step, [shape], images, normal, random), any_value)
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
