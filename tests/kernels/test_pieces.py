"""Passes in pieces: the same bits in any order, and the result of the pass as a whole.

Each piece gets a scratch of its own, full of NaN. The sizes are such that there are several pieces:
one has 2^15 elements or 2^21 multiply-adds at least.
"""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from matconv.kernels._single import SingleStep
from support.step_passes import BACKWARD, FORWARD, Passes, any_value, check, integers, normal
from support.tolerances import assert_same, assert_within, inner_product_bound, rounding_bound
from support.winograd_bounds import magnitudes

from matconv.kernels._conv import ConvPlan
from matconv.kernels._geometry import WindowGeometry

IM2COL, WINOGRAD = 1, 2
DTYPES = ("float64", "float32")
RELU, LEAKY, CLIP = (1, 0, 0), (2, 0.25, 0), (3, -2, 3)


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


def conv_words(
    d_out, kernel, groups=1, stride=(1, 1), pad=(0, 0, 0, 0), dilation=(1, 1), bias=True,
    algorithm=IM2COL,
):  # fmt: skip
    return [d_out, groups, *kernel, *stride, *pad, *dilation, int(bias), algorithm]


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
        (96, 80, 35), 2, {"d_out": 35, "kernel": (5, 3), "groups": 35, "pad": (2, 2, 1, 1),
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


def random_convolutions(count, seed, transforms=False):
    """Shapes, images and options of convolutions that are shared, or nearly."""
    random = np.random.default_rng(seed)
    found = 0
    while found < count:
        groups = int(random.choice([1, 1, 1, 2, 3]))
        d = groups * int(random.choice([1, 2, 3, 8, 17, 33, 70]))
        d_out = groups * int(random.choice([1, 3, 8, 16, 31, 65, 130]))
        kernel = tuple(int(h) for h in random.integers(1, 8, 2))
        dilation = tuple(int(e) for e in random.choice([1, 1, 1, 2, 3], 2))
        stride = tuple(int(s) for s in random.choice([1, 1, 2, 3], 2))
        pad = tuple(int(p) for p in random.integers(0, 5, 4))
        size = tuple(int(n) for n in random.integers(2, 90, 2))
        out = [
            (n + p - ((h - 1) * e + 1)) // s + 1
            for n, p, h, e, s in zip(
                size, (pad[0] + pad[1], pad[2] + pad[3]), kernel, dilation, stride, strict=True
            )
        ]
        if min(out) < 1 or (transforms and (max(kernel) > 5 or max(dilation) > 1)):
            continue
        one = out[0] * out[1] * d_out * np.prod(kernel) * d // groups
        images = int(random.choice([1, 1, 2, 3, 6, 30]))
        if 1 << 22 <= one * images <= 1 << 25:
            found += 1
            options = {
                "d_out": d_out, "kernel": kernel, "groups": groups, "stride": stride, "pad": pad,
                "dilation": dilation, "bias": bool(random.integers(2)),
            }  # fmt: skip
            yield (*size, d), images, options


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
    # the same sums over absolute values
    sizes = Passes(step, [shape], images, normal, np.random.default_rng(0))
    for arrays in (sizes.inputs, sizes.arrays, sizes.before, sizes.arrays_before):
        arrays[:] = map(np.abs, arrays)
    sizes.d_output = np.abs(sizes.d_output)
    size_S = sizes.forward()[0]
    size_of = dict(enumerate(sizes.backward((size_S, None), True, (True,) * 3)))
    d_out, taps = options["d_out"], 9
    n = images * step.shape[0] * step.shape[1]
    # one element more of each sum: what the gradients are added to
    length = {0: taps * d_out + 1, 1: n + 1, 2: n + 1}

    def compare(actual, expected, what):
        # both are within the bound of the truth
        k = int(what[-1]) if what[-1].isdigit() else None
        bound = (
            inner_product_bound(taps * shape[2], size_S, dtype)
            if k is None
            else inner_product_bound(length[k], size_of[k], dtype)
        )
        assert_within(actual, expected, 2 * bound, what)

    forward, backward = check(passes, compare)
    assert forward[0] > 1 and max(backward) > 1


WINOGRAD_CASES = {
    "blocks": ((61, 59, 24), 2, {"d_out": 40, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    "bands": ((80, 63, 32), 1, {"d_out": 33, "kernel": (3, 3), "pad": (1, 0, 1, 1)}),
    "bands-strided": (
        (64, 60, 16), 2, {"d_out": 40, "kernel": (5, 3), "stride": (2, 1), "pad": (2, 2, 1, 1)},
    ),
    "bands-groups": ((50, 41, 32), 3, {"d_out": 64, "kernel": (4, 3), "groups": 2}),
    "images": ((25, 25, 24), 20, {"d_out": 30, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    "channels": ((10, 13, 150), 1, {"d_out": 144, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    "channels-strided": (
        (21, 17, 128), 2, {"d_out": 128, "kernel": (3, 3), "stride": (2, 2), "pad": (1, 1, 1, 1)},
    ),
}  # fmt: skip


def winograd_check(shape, images, options, dtype):
    """Phases of both passes; None where there are no transforms."""
    window = {name: options[name] for name in ("stride", "dilation", "groups") if name in options}
    pad = options.get("pad", (0,) * 4)
    window = {"stride": 1, "dilation": 1, "groups": 1, **window, "pad": (pad[:2], pad[2:])}
    geometry = WindowGeometry(
        "x", (images, *shape), options["kernel"], channels=options["d_out"], **window
    )
    tile = ConvPlan(geometry, dtype, "winograd").tile
    if tile is None:
        return None
    words = conv_words(**{**options, "bias": True}, algorithm=WINOGRAD)
    step = SingleStep("Conv", [shape], words, [], dtype, images, LEAKY)
    eps = np.finfo(dtype).eps
    for l in {images, max(images // 2, 1)}:
        passes = Passes(step, [shape], l, normal, np.random.default_rng(l))
        filters, bias = passes.arrays
        sizes, counts = magnitudes(
            passes.inputs[0], filters.reshape(geometry.filter_shape), bias, passes.d_output, tile,
            **window,
        )  # fmt: skip
        before = [*passes.before, *passes.arrays_before]
        n = l * step.shape[0] * step.shape[1]
        size_b = np.abs(passes.d_output).sum(axis=(0, 1, 2)) + np.abs(before[2])
        # a sum more for what the gradients are added to, and one for each run
        bounds = {
            "0": (counts[1] + 1) * eps * (sizes[1] + np.abs(before[0])),
            "1": (counts[2] + 33) * eps * (sizes[2].reshape(-1) + np.abs(before[1])),
            "2": inner_product_bound(n + 1, size_b, dtype),
        }

        def compare(actual, expected, what, bounds=bounds, size=counts[0] * eps * sizes[0]):
            assert_within(actual, expected, 2 * bounds.get(what[-1], size), what)

        flags = [(True,) * 3, (False, True, False), (True, False, True)]
        phases = check(passes, compare, flags)
    return phases


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WINOGRAD_CASES)
def test_winograd_pieces_are_within_the_bound(name, dtype):
    forward, backward = winograd_check(*WINOGRAD_CASES[name], dtype)
    assert forward[0] > 1
    assert len(backward) == {"bands": 4, "images": 3, "channels": 2, "blocks": 4}[
        name.partition("-")[0]
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_winograd_pieces_are_within_the_bound(dtype):
    shared = Counter()
    for shape, images, options in random_convolutions(32, 2, transforms=True):
        phases = winograd_check(shape, images, options, dtype)
        if phases is not None:
            forward, backward = phases
            shared["forward"] += forward[0] > 1
            shared["backward"] += max(backward) > 1
    assert min(shared.values()) >= 10, shared


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
