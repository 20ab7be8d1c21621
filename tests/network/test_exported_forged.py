"""Files of exported networks with wrong content and the right CRC; graphs that do not fit."""

import itertools
import random

import numpy as np
import pytest
from support.exported_checks import HARD_VALUES, agrees, refused, theta_offset
from support.exported_files import (
    CLIP,
    LEAKY,
    conv,
    dense,
    exported,
    graph,
    normalizing,
    pool,
    record,
    resigned,
    small,
    with_word,
    word,
)
from support.exported_reading import understood

from matconv.kernels.predictor import Predictor

# Where most words are free: a window over large padding, strides, dilation.
FREE = {
    "conv": exported((6, 5, 4), [conv(0, 4, (3, 2), groups=2)], [np.arange(52)]),
    "winograd": exported((6, 5, 1), [conv(0, 1, (2, 2), algorithm=2)], [np.arange(5)]),
    "mean": exported((6, 5, 4), [pool("AvgPool", 0, (3, 2))], []),
    "dense": exported((2, 3, 2), [dense(0, 3)], [np.arange(39)], "float32"),
    "graph": graph("float32"),
    "normalizing": normalizing(),
}


@pytest.mark.parametrize("name", ["small", *FREE])
def test_predictor_each_word_set_to_hard_values(name):
    """Each word 0, 1, -1, powers of 2 and their neighbours, and one more or less than it was."""
    good = small() if name == "small" else FREE[name]
    assert agrees(good)
    networks = files = 0
    for k in range(theta_offset(good) // 8):
        own = word(good, k)
        for value in {*HARD_VALUES, own + 1, own - 1, own * 2, -own}:
            networks += agrees(with_word(good, k, value))
            files += 1
    assert files > 400 and networks > 20


@pytest.mark.parametrize("seed", range(4))
def test_predictor_several_words_changed(seed):
    """Random changes of a few words, mostly to small numbers."""
    draw = random.Random(seed)
    networks = 0
    for data in itertools.islice(itertools.cycle([small(), *FREE.values()]), 3000):
        last = theta_offset(data) // 8
        changed = data
        for _ in range(draw.randint(1, 4)):
            k = draw.randrange(3, last)
            value = draw.choice([0, 1, 1, 2, 2, 3, 4, 6, draw.choice(HARD_VALUES)])
            changed = with_word(changed, k, value)
        networks += agrees(changed)
    assert networks > 100


ADD = ("Add", [1, 2], (), [1.0, 1.0])


BASE = (pool("MaxPool", 0, (1, 1)), pool("AvgPool", 0, (1, 1)))


def described(*records, outputs=None, arrays=(), **changes):
    return exported((2, 2, 2), records, arrays, outputs=outputs, **changes)


SCALES = (record("Scale", [0], [0]), record("Scale", [1], [0], owner=1))


GRAPHS = {
    "input is the step's own value": described(*BASE, record("Add", [1, 3], (), [1.0, 1.0])),
    "input is a later value": described(record("Add", [0, 2], (), [1.0, 1.0]), BASE[0]),
    "input is negative": described(*BASE, record("Add", [1, -1], (), [1.0, 1.0])),
    "value that nothing reads": described(*BASE),
    "image that nothing reads": described(record("Scale", [1], [0]), arrays=[[1, 1]]),
    "output twice": described(*BASE, outputs=[1, 2, 1]),
    "output is the image": described(*BASE, outputs=[1, 2, 0]),
    "output is no value": described(*BASE, outputs=[1, 2, 3]),
    "output is negative": described(*BASE, outputs=[1, 2, -1]),
    "no outputs": described(BASE[0], outputs=[]),
    "unknown operation": described(record("Sqrt", [0])),
    "operation in small letters": described(record("maxpool", [0], [1, 1, 1, 1, 0, 0, 0, 0])),
    "no operation": described(record("", [0])),
    "name of 16 characters": described(record("A" * 16, [0])),
    "bytes after the name's zero": described(record("Scale\0x", [0], [0]), arrays=[[1, 1]]),
    "one input too few": described(BASE[0], record("Add", [1], (), [1.0])),
    "no inputs": described(record("Activation", [])),
    "one input too many": described(*BASE, record("Activation", [1, 2])),
    "one word too many": described(record("Scale", [0], [0, 0]), arrays=[[1, 1]]),
    "one word too few": described(record("Scale", [0]), arrays=[[1, 1]]),
    "numbers that are not asked for": described(record("Activation", [0], (), [1.0])),
    "one factor too few": described(*BASE, record("Add", [1, 2], (), [1.0])),
    "shapes that differ": described(BASE[0], record("Crop", [0], [1, 0, 0, 0]), record(*ADD)),
    "an image and a vector": described(
        BASE[0], dense(0, 8), record("Multiply", [1, 2]), arrays=[np.ones(72)]
    ),
    "vectors have no windows": described(
        dense(0, 4), pool("MaxPool", 1, (1, 1)), arrays=[np.ones(36)]
    ),
    "rate of 1": described(record("Dropout", [0], numbers=[1.0])),
    "negative rate": described(record("Dropout", [0], numbers=[-1e-300])),
    "rate of NaN": described(record("Dropout", [0], numbers=[np.nan])),
    "no rate": described(record("Dropout", [0])),
    "two rates": described(record("Dropout", [0], numbers=[0.5, 0.5])),
    "crop of everything": described(record("Crop", [0], [1, 1, 0, 0])),
    "crop that is negative": described(record("Crop", [0], [-1, 0, 0, 0])),
    "crop whose sum wraps": described(record("Crop", [0], [2**62, 2**62, 0, 0])),
    "activation that is unknown": described(record("Activation", [0], activation=(12, 0.0, 0.0))),
    "negative activation": described(record("Activation", [0], activation=(-1, 0.0, 0.0))),
    "numbers beside a ReLU": described(record("Activation", [0], activation=(1, 1.0, 0.0))),
    "numbers beside a sigmoid": described(record("Activation", [0], activation=(4, 1.0, 0.0))),
    "second number of an ELU": described(record("Activation", [0], activation=(7, 1.0, 0.5))),
    "slope of an ELU is negative": described(record("Activation", [0], activation=(7, -1.0, 0.0))),
    "offset is infinite": described(record("Activation", [0], activation=(8, 1.0, np.inf))),
    "window of 0 channels": described(record("LRN", [0], [0], [1.0, 1.0, 1.0])),
    "k is negative": described(record("LRN", [0], [1], [-1.0, 1.0, 1.0])),
    "beta is NaN": described(record("LRN", [0], [1], [1.0, 1.0, np.nan])),
    "LRN without numbers": described(record("LRN", [0], [1])),
    "norm of less than 1": described(record("Normalize", [0], [0], [0.5, 0.0])),
    "epsilon is negative": described(record("Normalize", [0], [0], [2.0, -1.0])),
    "pixels of a vector": described(
        dense(0, 4), record("Normalize", [1], [1], [2.0, 0.0]), arrays=[np.ones(36)]
    ),
    "slope of 0": described(record("Activation", [0], activation=(LEAKY, 0.0, 0.0))),
    "slope of NaN": described(record("Activation", [0], activation=(LEAKY, np.nan, 0.0))),
    "clip the wrong way": described(record("Activation", [0], activation=(CLIP, 1.0, 1.0))),
    "clip at NaN": described(record("Activation", [0], activation=(CLIP, 0.0, np.nan))),
    "bias that is neither 0 nor 1": described(record("Scale", [0], [2]), arrays=[np.ones(4)]),
    "owner is the step itself": described(record("Scale", [0], [0], owner=1)),
    "owner is a later step": described(
        record("Scale", [0], [0], owner=2), record("Scale", [1], [0]), arrays=[[1, 1]]
    ),
    "owner is negative": described(record("Scale", [0], [0], owner=-1), arrays=[[1, 1]]),
    "owner has an owner": described(
        *SCALES, record("Scale", [2], [0], owner=2), arrays=[[1, 1]]
    ),
    "owner without parameters": described(BASE[0], record("Scale", [1], [0], owner=1)),
    "owner of a step without parameters": described(
        record("Scale", [0], [0]), record("Activation", [1], owner=1), arrays=[[1, 1]]
    ),
    "owner with other sizes": described(
        record("Scale", [0], [0]), record("Concat", [1, 1]), record("Scale", [2], [0], owner=1),
        arrays=[[1, 1]],
    ),
    "owner with more arrays": described(
        record("Scale", [0], [1]), record("Scale", [1], [0], owner=1), arrays=[[1, 1, 1, 1]]
    ),
    "theta is too long": described(record("Scale", [0], [0]), arrays=[[1, 1, 1]]),
    "theta is too short": described(record("Scale", [0], [0]), arrays=[[1]]),
}  # fmt: skip


@pytest.mark.catalogue(55)
@pytest.mark.parametrize("name", GRAPHS)
def test_predictor_graph_error_is_refused(name):
    assert understood(GRAPHS[name]) is None
    assert refused(GRAPHS[name])


@pytest.mark.parametrize(
    "data",
    [
        described(*BASE, record(*ADD)),
        described(*BASE, record(*ADD), outputs=[3, 1, 2]),
        described(BASE[0], record("Add", [1, 1, 1], (), [1.0, np.nan, np.inf])),
        described(*SCALES, arrays=[[1, 1]]),
        described(record("Crop", [0], [1, 0, 0, 1])),
        described(record("Dropout", [0], numbers=[-0.0], activation=(1, 0.0, 0.0))),
        described(BASE[0], record("Dropout", [1], numbers=[0.5], activation=(LEAKY, 0.5, 0.0)),
                  record("Dropout", [2], numbers=[0.5]), outputs=[3, 1]),
        described(record("Activation", [0], activation=(CLIP, -np.inf, 0.0))),
        described(record("Activation", [0], activation=(0, -0.0, 0.0))),
        # the same sizes, another operation
        described(
            conv(0, 4, (2, 2)), dense(0, 4, owner=1), record("Concat", [2, 2]), arrays=[np.ones(36)],
            outputs=[1, 3],
        ),
    ],
)  # fmt: skip
def test_predictor_unusual_graph_is_accepted(data):
    assert agrees(data)


def product_of(wanted):
    """Three sizes whose product is this, modulo 2**64, and far too large."""
    for a in range(2**61 + 1, 2**62, 2):
        d = wanted * pow(3 * a, -1, 2**64) % 2**64
        if 0 < d < 2**63:
            return 3, a, d
    return None


def test_predictor_shape_whose_product_wraps_is_refused():
    wrapped = [product_of(wanted) for wanted in (1, 2, 6)]
    for shape, numbers in zip(wrapped, (1, 2, 6)):
        assert np.prod(shape, dtype=object) % 2**64 == numbers
        assert refused(exported(shape, [dense(0, 1)], [range(numbers + 1)]))
    for shape in ((2**32, 2**32, 1), (2**62, 4, 1), (2**21, 2**21, 2**22), (2**63 - 1, 1, 2)):
        assert refused(exported(shape, [dense(0, 1)], [[1, 2]]))
        assert refused(exported(shape, [pool("AvgPool", 0, (1, 1))], []))


def test_predictor_parameters_may_be_any_numbers():
    """NaN and infinities are weights too."""
    data = exported((1, 1, 1), [dense(0, 3)], [[np.nan, np.inf, 1, 0, 0, -np.inf]])
    out = Predictor(data)(np.ones((1, 1, 1, 1)))
    assert np.isnan(out[0, 0]) and out[0, 1:].tolist() == [np.inf, -np.inf]


def test_resigned_good_file_is_unchanged():
    for data in (small(), small("float32"), *FREE.values()):
        assert resigned(data) == data and understood(data)
