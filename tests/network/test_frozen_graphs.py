"""Frozen graphs: affine steps in the parameters of the step before, shared parameters, outputs."""

import copy
import pickle

import numpy as np
import pytest
from support.exported_files import (
    CLIP,
    GRAPH_OUTPUTS,
    LEAKY,
    RELU,
    SHAPE,
    conv,
    dense,
    exported,
    graph,
    pool,
    record,
)
from support.exported_values import computed
from support.tolerances import assert_same_bytes, assert_within, rounding_bound

from matconv.kernels.predictor import Predictor

DTYPES = ("float64", "float32")
PAD = (1, 1, 1, 1)
ACTIVATIONS = {
    "none": (0, 0.0, 0.0), "relu": (RELU, 0.0, 0.0), "leaky": (LEAKY, 0.5, 0.0),
    "clip": (CLIP, -3.0, 8.0),
}  # fmt: skip


def integers(sizes, seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(-3, 4, size) for size in sizes]


def outputs(data, Z):
    """What a Predictor gives, as a list."""
    found = Predictor(data)(Z)
    return list(found) if isinstance(found, tuple) else [found]


def check_exact(data, dtype, images=5, shape=SHAPE):
    Z = np.random.default_rng(9).integers(-3, 4, (images, *shape)).astype(dtype)
    for found, expected in zip(outputs(data, Z), computed(data, Z), strict=True):
        assert np.count_nonzero(expected) > 0 and abs(expected).max() < 2**20
        assert np.array_equal(found, expected)


# Scales -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("biases", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_merged_scale_is_exact_on_integers(biases, activation, dtype):
    """Behind a convolution and behind a dense layer, each with and without a bias."""
    act = {"activation": ACTIVATIONS[activation]}
    b, bias = biases
    records = [
        conv(0, 4, (2, 3), pad=PAD, groups=2, bias=b, algorithm=1),
        record("Scale", [1], [bias], **act),
        dense(2, 3, bias=b),
        record("Scale", [3], [bias], **act),
    ]
    # of the groups' one channel; 5 x 5 outputs
    sizes = [1 * 2 * 3 * 4] + [4] * (b + 1 + bias) + [5 * 5 * 4 * 3] + [3] * (b + 1 + bias)
    data = exported(SHAPE, records, integers(sizes), dtype, outputs=[4])
    check_exact(data, dtype)
    data = exported(SHAPE, records, integers(sizes), dtype, outputs=[4, 2])
    check_exact(data, dtype)


# A convolution with a diagonal W, and a scale: what follows them, the outputs, whether the scale is
# merged, and the first output, of x the convolution's output and s the scale's.
READERS = {
    "nothing else": ([], [2], True, lambda x, s, W: s),
    "an output": ([], [2, 1], False, lambda x, s, W: s),
    "a second reader": (
        [record("Add", [1, 2], numbers=[1.0, 1.0])], [3], False, lambda x, s, W: x + s
    ),
    "the same filters again": (
        [conv(2, 2, (1, 1), bias=0, owner=1)], [3], False, lambda x, s, W: s @ W
    ),
    "twice the scale": (
        [record("Add", [2, 2], numbers=[1.0, 1.0])], [3], True, lambda x, s, W: s + s
    ),
    "the same gain again": (
        [record("Scale", [2], [0], owner=2)], [3], True, lambda x, s, W: s * W.dtype.type(1 / 3)
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("readers", READERS)
def test_scale_is_merged_where_nothing_else_sees_the_filters(readers, relu, dtype):
    """The bits of (W gain) Z or of gain (W Z) tell whether it was."""
    more, wanted, merged, first = READERS[readers]
    activation = {"activation": ACTIVATIONS["relu" if relu else "none"]}
    records = [conv(0, 2, (1, 1), bias=0, **activation), record("Scale", [1], [0]), *more]
    W = np.array([[0.1, 0], [0, 0.7]], dtype)
    gain = np.full(2, 1 / 3, dtype)
    data = exported((1, 1, 2), records, [W, gain], dtype, outputs=wanted)
    Z = np.random.default_rng(0).standard_normal((50, 1, 1, 2)).astype(dtype)
    x = np.maximum(Z @ W, 0) if relu else Z @ W
    inside, behind = Z @ (W * gain), x * gain
    assert not np.array_equal(inside, behind)
    expected = first(x, inside if merged and not relu else behind, W)
    assert np.array_equal(outputs(data, Z)[0], expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", [0, 1, 2])
def test_merged_scale_is_as_near_as_the_two_steps(algorithm, dtype):
    """Rounding W gain costs one more eps for each product."""
    random = np.random.default_rng(3)
    arrays = [random.standard_normal(size) for size in (9 * 3 * 8, 8, 8, 8)]
    records = [
        conv(0, 8, (3, 3), pad=PAD, algorithm=algorithm),
        record("Scale", [1], [1], activation=(RELU, 0.0, 0.0)),
    ]
    data = exported((9, 8, 3), records, arrays, dtype, outputs=[2], images=8)
    Z = random.standard_normal((8, 9, 8, 3)).astype(dtype)
    (expected,) = computed(data, Z)
    (size,) = computed(
        exported((9, 8, 3), records, [abs(array) for array in arrays], dtype, outputs=[2]), abs(Z)
    )
    # (K + 3) eps of the sum of absolute values by im2col; Winograd's is larger
    factor = 2 * (27 + 3) * (1 if algorithm == 1 else 40)
    (found,) = outputs(data, Z)
    assert_within(found, expected, rounding_bound(factor, size, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_scales_in_every_place_are_exact(dtype):
    """Between steps that are merged and steps that are not, values are numbered anew."""
    records = [
        conv(0, 2, (1, 1), bias=0, algorithm=1),  # 1
        record("Scale", [0], [1]),  # 2: of the image
        record("Scale", [1], [1]),  # 3: merged into 1
        record("Scale", [3], [0]),  # 4: a second one is not merged
        record("Concat", [4, 2, 4]),  # 5
        conv(5, 3, (2, 2), algorithm=1),  # 6
        pool("MaxPool", 6, (2, 2), (1, 1)),  # 7
        record("Scale", [6], [0], activation=(LEAKY, 0.5, 0.0)),  # 8: 6 is read twice
        record("Crop", [8], [0, 1, 1, 0]),  # 9
        record("Multiply", [7, 9]),  # 10
        record("Scale", [10], [1]),  # 11
        dense(11, 2),  # 12
        record("Scale", [12], [1], activation=(CLIP, -900.0, 900.0)),  # 13: merged
    ]
    sizes = (4, 2, 2, 2, 2, 2, 6 * 4 * 3, 3, 3, 3, 3, 2 * 3 * 3 * 2, 2, 2, 2)
    data = exported(SHAPE, records, integers(sizes, 2), dtype, outputs=[13, 11, 8])
    check_exact(data, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scale_whose_owner_is_merged_keeps_its_parameters(dtype):
    records = [
        conv(0, 2, (1, 1), bias=0, algorithm=1),
        record("Scale", [1], [1]),  # merged
        record("Scale", [2], [1], owner=2),
        record("Scale", [3], [1], owner=2),
    ]
    data = exported(SHAPE, records, integers((4, 2, 2), 4), dtype, outputs=[4])
    check_exact(data, dtype)


# Shared parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", [1, 2])
def test_shared_filters_on_other_images(algorithm, dtype):
    """Other sizes take other tiles, and so other forms of the same filters."""
    records = [
        conv(0, 4, (3, 3), pad=PAD, algorithm=algorithm),
        pool("MaxPool", 1, (2, 2)),
        conv(2, 4, (3, 3), pad=PAD, algorithm=algorithm, owner=1),
        conv(3, 4, (3, 3), pad=PAD, algorithm=algorithm, owner=1),
        conv(4, 4, (3, 3), pad=PAD, algorithm=1, owner=1),
        dense(5, 4),
    ]
    arrays = integers((9 * 4 * 4, 4, 5 * 6 * 4 * 4, 4))
    arrays = [array / 8 for array in arrays]
    shape = (10, 12, 4)
    data = exported(shape, records, arrays, dtype, outputs=[6, 4])
    Z = np.random.default_rng(0).integers(-3, 4, (3, *shape)).astype(dtype)
    for found, expected in zip(outputs(data, Z), computed(data, Z), strict=True):
        assert_within(found, expected, rounding_bound(4000, abs(expected).max(), dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_shared_by_operations_of_other_kinds(dtype):
    """A scale needs as they are the arrays that a convolution and a dense layer prepare."""
    records = [
        conv(0, 3, (1, 1), algorithm=1),  # W (1, 1, 1, 3), b
        record("Scale", [1], [1], owner=1),
        dense(2, 5),
        record("Crop", [0], [0, 1, 0, 1]),
        dense(4, 3, owner=1),
        record("Scale", [5], [1], owner=1),
    ]
    arrays = integers((3, 3, 12 * 5, 5))
    data = exported((2, 2, 1), records, arrays, dtype, outputs=[3, 6])
    check_exact(data, dtype, shape=(2, 2, 1))


# Several outputs ----------------------------------------------------------------------------------


@pytest.fixture(params=DTYPES)
def two(request):
    """A predictor with outputs of 3 and of 4 x 4 x 6 numbers, and images."""
    Z = np.random.default_rng(1).integers(-9, 10, (5, *SHAPE)).astype(request.param)
    return Predictor(graph(request.param)), Z


def test_predictor_outputs_are_a_tuple_in_order(two):
    predictor, Z = two
    found = predictor(Z)
    assert type(found) is tuple
    assert predictor.output_shape == ((3,), (4, 4, 6))
    other = Predictor(graph(Z.dtype, outputs=GRAPH_OUTPUTS[::-1]))
    assert other.output_shape == ((4, 4, 6), (3,))
    for one, two_ in zip(found, reversed(other(Z)), strict=True):
        assert_same_bytes(one, two_)
    assert [out.shape for out in predictor(Z[:0])] == [(0, 3), (0, 4, 4, 6)]


def test_into_several_outputs(two):
    predictor, Z = two
    expected = predictor(Z)
    scratch = np.empty(predictor.workspace_size(5), Z.dtype)
    outs = tuple(np.full_like(out, np.nan) for out in expected)
    for given in (outs, list(outs), (None, None), (outs[0], None), None):
        found = predictor.into(Z, given, scratch)
        assert type(found) is tuple
        for k, (out, values) in enumerate(zip(found, expected, strict=True)):
            assert_same_bytes(out, values)
            assert given is None or given[k] is None or out is given[k]


@pytest.mark.parametrize("images", [1, 255, 256, 257, 600])
def test_predictor_several_outputs_of_many_images(images):
    """More than go at once: integers are the same however they are divided."""
    Z = np.random.default_rng(1).integers(-9, 10, (images, *SHAPE)).astype(float)
    for found, expected in zip(outputs(graph(), Z), computed(graph(), Z), strict=True):
        assert np.array_equal(found, expected)


def test_into_several_outputs_refuses(two):
    predictor, Z = two
    a, b = (np.full_like(out, 7) for out in predictor(Z))
    other = np.dtype("float32" if Z.dtype == "float64" else "float64")
    block = np.full(500, 7, Z.dtype)
    over = block[:15].reshape(5, 3), block[14:494].reshape(b.shape)
    for out, error, message in (
        (a, TypeError, "out must be a tuple of 2 arrays, got ndarray"),
        ((a,), TypeError, "out must be a tuple of 2 arrays, got tuple of 1"),
        ([a, b, a], TypeError, "out must be a tuple of 2 arrays, got list of 3"),
        ({0: a, 1: b}, TypeError, "out must be a tuple of 2 arrays, got dict"),
        ((b, a), ValueError, "out[0] must have shape (5, 3), got (5, 4, 4, 6)"),
        ((a, b[:4]), ValueError, "out[1] must have shape (5, 4, 4, 6), got (4, 4, 4, 6)"),
        ((a, b.astype(other)), TypeError, f"out[1] is {other} where {Z.dtype} was expected"),
        ((a, "b"), TypeError, "out[1] must be an ndarray, got str"),
        (over, ValueError, "out[1] overlaps out[0]"),
    ):
        held = a.tobytes(), b.tobytes(), block.tobytes()
        with pytest.raises(error) as caught:
            predictor.into(Z, out)
        assert f"Predictor: {message}" in str(caught.value)
        assert held == (a.tobytes(), b.tobytes(), block.tobytes())
    size = predictor.workspace_size(5)
    block = np.full(size + 15, 7, Z.dtype)
    with pytest.raises(ValueError, match=r"Predictor: scratch overlaps out\[0\]"):
        predictor.into(Z, (block[:15].reshape(5, 3), b), block[14 : 14 + size])
    # an image is as large as the output of a step: what overlaps Z is refused as well
    images = np.zeros(5 * 40 + 15, Z.dtype)
    with pytest.raises(ValueError, match=r"Predictor: out\[0\] overlaps Z"):
        predictor.into(images[:200].reshape(Z.shape), (images[199:214].reshape(5, 3), b))


def test_predictor_of_a_graph_is_pickled_as_its_bytes(two):
    predictor, Z = two
    data = graph(Z.dtype)
    assert predictor.nbytes == len(data)
    assert copy.copy(predictor) is predictor is copy.deepcopy(predictor)
    pickled = pickle.dumps(predictor)
    assert len(pickled) < len(data) + 200
    for found, expected in zip(pickle.loads(pickled)(Z), predictor(Z), strict=True):
        assert_same_bytes(found, expected)
