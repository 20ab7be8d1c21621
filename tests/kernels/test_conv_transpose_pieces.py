"""Passes of transposed convolutions in pieces: the same bits in any order, and the whole."""

import numpy as np
import pytest
from matconv.kernels._single import SingleStep
from support.conv_pieces import IM2COL
from support.step_passes import CLIP, LEAKY, RELU, Passes, any_value, check, integers, normal
from support.tolerances import assert_same

DTYPES = ("float64", "float32")

# image, images, words without bias and algorithm
TRANSPOSED = {
    "plain": ((12, 11, 16), 30, [24, 1, 3, 3, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0]),
    "upsampled": ((9, 8, 32), 12, [20, 1, 4, 3, 2, 2, 1, 1, 0, 1, 1, 1, 1, 0]),
    "groups": ((14, 9, 24), 20, [36, 3, 3, 3, 1, 2, 1, 0, 1, 1, 2, 1, 0, 1]),
    "depthwise": ((20, 20, 64), 30, [64, 64, 4, 4, 2, 2, 1, 1, 1, 1, 1, 1, 0, 0]),
    "pixel": ((12, 12, 64), 16, [48, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TRANSPOSED)
def test_conv_transpose_pieces_are_the_whole_exactly(name, dtype):
    shape, images, words = TRANSPOSED[name]
    for bias, algorithm, activation in ((1, IM2COL, LEAKY), (0, 0, CLIP)):
        exact = algorithm == IM2COL or name == "depthwise"
        step = SingleStep(
            "ConvTranspose", [shape], [*words, bias, algorithm], [], dtype, images, activation
        )
        flags = [tuple(k != left for k in range(2 + bias)) for left in range(-1, 2 + bias)]
        for l in (images, images - 5, 1):
            passes = Passes(step, [shape], l, integers, np.random.default_rng(l))
            check(passes, assert_same if exact else any_value, flags)
        passes = Passes(step, [shape], images, normal, np.random.default_rng(0))
        forward, backward = check(passes, any_value)
        assert forward[0] > 1 and len(backward) == 2 and backward[0] > 1


# a single image, or few: bands of an image; with the number of phases of both passes
TRANSPOSED_BANDS = {
    "plain": ((64, 61, 16), [24, 1, 3, 3, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0], (2, 3)),
    "upsampled": ((34, 31, 32), [20, 1, 4, 4, 2, 2, 1, 1, 1, 1, 1, 1, 0, 0], (2, 3)),
    "extra": ((34, 31, 48), [20, 1, 3, 4, 2, 3, 0, 1, 2, 1, 1, 1, 1, 2], (2, 3)),
    "apart": ((33, 40, 24), [64, 1, 2, 2, 2, 2, 0, 0, 0, 0, 1, 1, 0, 0], (1, 3)),
    "gaps": ((33, 40, 24), [64, 1, 2, 2, 3, 3, 0, 0, 1, 0, 1, 1, 2, 2], (1, 3)),
    "gaps-cropped": ((33, 40, 64), [64, 1, 1, 2, 3, 1, 0, 0, 1, 0, 1, 1, 2, 0], (1, 3)),
    "cropped-far": ((60, 64, 32), [24, 1, 3, 3, 1, 1, 30, 24, 1, 0, 1, 1, 0, 0], (2, 3)),
    "dilated": ((60, 60, 32), [24, 1, 3, 3, 2, 1, 2, 0, 1, 1, 5, 2, 1, 0], (2, 3)),
    "tall": ((70, 60, 16), [8, 1, 17, 3, 1, 1, 8, 8, 1, 1, 1, 1, 0, 0], (2, 3)),
    "groups": ((64, 61, 24), [36, 3, 3, 3, 1, 2, 1, 0, 1, 1, 2, 1, 0, 1], (2, 3)),
    "depthwise": ((70, 64, 64), [64, 64, 6, 6, 1, 1, 3, 2, 3, 2, 1, 1, 0, 0], (2, 3)),
    "pixel": ((40, 37, 64), [48, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0], (1, 3)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TRANSPOSED_BANDS)
def test_conv_transpose_bands_are_the_whole_exactly(name, dtype):
    shape, words, phases = TRANSPOSED_BANDS[name]
    cases = ((1, IM2COL, LEAKY, 1), (0, IM2COL, CLIP, 3), (1, 0, RELU, 1))
    for bias, algorithm, activation, images in cases[2:] if name == "depthwise" else cases:
        exact = algorithm == IM2COL or name == "depthwise"
        step = SingleStep(
            "ConvTranspose", [shape], [*words, bias, algorithm], [], dtype, images, activation
        )
        # all gradients; only that of the input; all others
        flags = [(True,) * (2 + bias)]
        if bias and exact:
            flags += [tuple((k == 0) == which for k in range(2 + bias)) for which in (True, False)]
        for l in {images, max(images - 1, 1)}:
            draw = integers if exact else normal
            passes = Passes(step, [shape], l, draw, np.random.default_rng(l))
            forward, backward = check(passes, assert_same if exact else any_value, flags)
            if exact and l == images:
                assert (len(forward), len(backward)) == phases
                assert forward[0] > images and backward[1] > images
