"""Passes of convolutions and dense layers in pieces: the same bits in any order, and the whole."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from matconv.kernels._single import SingleStep
from support.conv_pieces import IM2COL, WINOGRAD, conv_words, random_convolutions
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
from support.tolerances import assert_same, assert_within, inner_product_bound

DTYPES = ("float64", "float32")

# image, most images, options; with the phases of both passes, so that every way to cut is met
CONVOLUTIONS = {
    "bands": ((64, 40, 16), 1, {"d_out": 24, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    "bands-of-images": (
        (70, 33, 8), 3, {"d_out": 20, "kernel": (5, 3), "stride": (2, 1), "pad": (4, 1, 0, 2)},
    ),
    "bands-padded-far": ((40, 33, 16), 2, {"d_out": 24, "kernel": (3, 3), "pad": (40, 60, 1, 1)}),
    "bands-apart": ((99, 64, 8), 2, {"d_out": 64, "kernel": (2, 3), "stride": (3, 1)}),
    "bands-direct": ((64, 64, 24), 2, {"d_out": 48, "kernel": (1, 1)}),
    "bands-strided-pixel": ((120, 120, 24), 2, {"d_out": 48, "kernel": (1, 1), "stride": (2, 2)}),
    "bands-padded-pixel": ((64, 64, 3), 2, {"d_out": 200, "kernel": (1, 1), "pad": (1, 0, 0, 0)}),
    "bands-dilated": (
        (80, 40, 8), 1,
        {"d_out": 32, "kernel": (3, 3), "dilation": (4, 2), "pad": (4, 4, 2, 2)},
    ),
    "bands-tall": ((100, 16, 4), 1, {"d_out": 16, "kernel": (25, 3), "pad": (12, 12, 1, 1)}),
    "bands-groups": (
        (64, 40, 16), 2, {"d_out": 24, "kernel": (3, 3), "groups": 4, "pad": (1, 1, 1, 1)},
    ),
    "few-channels": ((70, 33, 3), 2, {"d_out": 32, "kernel": (7, 5), "pad": (3, 3, 2, 2)}),
    "one-channel": ((90, 64, 1), 3, {"d_out": 32, "kernel": (7, 5), "bias": False}),
    "images": ((24, 24, 8), 40, {"d_out": 16, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    "images-depthwise": (
        (24, 24, 32), 30, {"d_out": 32, "kernel": (3, 3), "groups": 32, "pad": (1, 1, 1, 1)},
    ),
    "images-grouped": (
        (24, 24, 12), 40, {"d_out": 20, "kernel": (3, 3), "groups": 4, "pad": (1, 1, 1, 1),
                           "algorithm": 0},
    ),
    "images-loops": (
        (40, 40, 35), 40, {"d_out": 35, "kernel": (3, 3), "groups": 35, "pad": (1, 1, 1, 1),
                           "stride": (2, 1), "algorithm": 0},
    ),
    "bands-loops": (
        (96, 80, 35), 2, {"d_out": 35, "kernel": (5, 3), "groups": 35, "pad": (1, 3, 1, 1),
                          "algorithm": 0},
    ),
    "images-direct": ((24, 24, 16), 40, {"d_out": 48, "kernel": (1, 1)}),
    "images-groups": ((20, 20, 24), 30, {"d_out": 48, "kernel": (3, 2), "groups": 3}),
    "channels": ((7, 7, 256), 4, {"d_out": 96, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    "channels-strided": ((9, 9, 200), 3, {"d_out": 130, "kernel": (4, 3), "stride": (2, 1)}),
    "channels-direct": ((5, 5, 500), 3, {"d_out": 300, "kernel": (1, 1)}),
    "taps": ((2, 2, 160), 64, {"d_out": 96, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    "taps-groups": (
        (2, 2, 160), 90, {"d_out": 96, "kernel": (3, 3), "groups": 2, "pad": (1, 1, 1, 1)},
    ),
}  # fmt: skip


def conv_check(shape, images, options, dtype, compare, activation, fewer=True):
    step = SingleStep("Conv", [shape], conv_words(**options), [], dtype, images, activation)
    gradients = 2 + options.get("bias", True)
    flags = [tuple(k != left for k in range(gradients)) for left in range(-1, gradients)]
    for l in {images, max(images - 3, 1), max(images // 3, 1)} if fewer else {images}:
        random = np.random.default_rng(l)
        several = flags if fewer and l == images else None
        check(Passes(step, [shape], l, integers, random), compare, several)
    check(Passes(step, [shape], images, normal, random), any_value)
    return step.phases(FORWARD), step.phases(BACKWARD)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_conv_pieces_are_the_whole_exactly(name, dtype):
    forward, backward = conv_check(*CONVOLUTIONS[name], dtype, assert_same, LEAKY)
    way = name.partition("-")[0]
    assert forward[0] > 1
    if way == "channels":
        assert len(backward) == 2 and backward[1] > 1
    elif way == "bands":
        apart = name in ("bands-apart", "bands-direct", "bands-strided-pixel", "bands-padded-pixel")
        assert len(backward) == (3 if apart else 4) and backward[1] > 1
    elif way == "images":
        assert len(backward) == 3 and backward[1] > 1
    else:
        assert max(backward[1:]) > 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_conv_forward_pieces_write_each_element_once(name, dtype):
    """Two threads that write the same element may differ in when it has its activation."""
    shape, images, options = CONVOLUTIONS[name]
    step = SingleStep("Conv", [shape], conv_words(**options), [], dtype, images, RELU)
    passes, written = Passes(step, [shape], images, integers, np.random.default_rng(0)), 0
    (pieces,) = step.phases(FORWARD)
    for k in range(pieces):
        written += ~np.isnan(passes.forward(lambda phase, n, k=k: [k])[0])
    assert_same(written, np.ones_like(written))


DENSE = [(3000, 1500, 1), (1500, 170, 20), (600, 900, 64), (33, 400, 700), (2100, 1024, 3)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", DENSE)
def test_dense_pieces_are_the_whole_exactly(size, dtype):
    inputs, units, images = size
    for activation, bias in (((0, 0, 0), 1), (RELU, 1), (CLIP, 0)):
        step = SingleStep("Dense", [(inputs,)], [units, bias], [], dtype, images, activation)
        for l in {images, max(images - 5, 1)}:
            passes = Passes(step, [(inputs,)], l, integers, np.random.default_rng(l))
            forward, backward = check(passes, assert_same)
    assert forward[0] > 1 and max(backward) > 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_convolutions_in_pieces_are_the_whole_exactly(dtype):
    shared = Counter()
    for k, (shape, images, options) in enumerate(random_convolutions(40, 1)):
        forward, backward = conv_check(
            shape, images, options, dtype, assert_same, RELU, fewer=k % 4 == 0
        )
        shared["forward"] += forward[0] > 1
        shared[len(backward)] += 1
    # channels, runs apart, overlapping bands
    assert shared["forward"] >= 35 and min(shared[3], shared[4]) >= 10 and shared[2] > 0, shared


REAL = [
    ((64, 40, 16), 2, {"d_out": 24, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    ((24, 24, 8), 40, {"d_out": 16, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    ((7, 7, 256), 4, {"d_out": 96, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    ((2, 2, 160), 64, {"d_out": 96, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", REAL)
def test_conv_pieces_of_reals_are_within_the_bound(case, dtype):
    shape, images, options = case
    step = SingleStep("Conv", [shape], conv_words(**options), [], dtype, images)
    passes = Passes(step, [shape], images, normal, np.random.default_rng(0))
    sizes = passes.of_sizes()
    results = size_S, _ = sizes.forward()[0], None
    of_backward = sizes.backward(results, True, (True,) * 3)
    d_out, taps = options["d_out"], 9
    n = images * step.shape[0] * step.shape[1]
    # one element more of each sum: what the gradients are added to
    lengths = taps * d_out + 1, n + 1, n + 1

    def compare(actual, expected, what):
        # both are within the bound of the truth
        if what == "output":
            length, size = taps * shape[2], size_S
        elif what.startswith("tangent"):  # V phi(Z) + W phi(tZ)
            length, size = 2 * taps * shape[2], sizes.tangent(results)
        else:
            k = int(what[-1])
            curved = what.startswith("curvature")
            length, size = lengths[k], (sizes.curved(results) if curved else of_backward)[k]
        assert_within(actual, expected, 2 * inner_product_bound(length, size, dtype), what)

    forward, backward = check(passes, compare)
    assert forward[0] > 1 and max(backward) > 1


def test_network_of_one_small_image_is_not_shared():
    """The layers of LeNet for one image: threads would cost more than they give."""
    for shape, options in (
        ((28, 28, 1), {"d_out": 20, "kernel": (5, 5)}),
        ((12, 12, 20), {"d_out": 50, "kernel": (5, 5)}),
    ):
        for algorithm in (IM2COL, WINOGRAD):
            words = conv_words(**options, algorithm=algorithm)
            step = SingleStep("Conv", [shape], words, [], "float64", 1)
            assert step.phases(FORWARD) == step.phases(BACKWARD) == [1]
    for inputs, units in ((800, 500), (500, 10)):
        step = SingleStep("Dense", [(inputs,)], [units, 1], [], "float64", 1)
        assert step.phases(FORWARD) == step.phases(BACKWARD) == [1]


def test_numbers_of_pieces_and_shared_memory_are_limited():
    for shape, images, options in (
        ((512, 512, 64), 1, {"d_out": 64, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
        ((28, 28, 512), 15, {"d_out": 512, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
        ((14, 14, 512), 256, {"d_out": 512, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
        ((224, 224, 3), 13, {"d_out": 64, "kernel": (7, 7), "stride": (2, 2)}),
        ((1, 1, 25088), 64, {"d_out": 4096, "kernel": (1, 1)}),
    ):
        for algorithm, dtype in product((IM2COL, WINOGRAD), DTYPES):
            words = conv_words(**options, algorithm=algorithm)
            step = SingleStep("Conv", [shape], words, [], dtype, images)
            phases = step.phases(FORWARD) + step.phases(BACKWARD)
            assert 1 < max(phases) <= 64
            # sums for dW, or two; W'; a sum for db of each piece
            filters = step.array_sizes[0]
            item = np.dtype(dtype).itemsize
            sums = max(1 << 26, 2 * filters * item)
            rest = (1 << 26) + 64 * options["d_out"] * item + 128
            assert step.sizes["shared_backward"] * item <= sums + rest
