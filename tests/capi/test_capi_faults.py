"""Bad arguments of the C functions: the documented status, and outputs unchanged."""

import numpy as np
import pytest
from support import capi, capi_calls, geometries
from support.activations import CLIP, ELU, HARD_SIGMOID, LEAKY_RELU, NEEDS_INPUT
from support.capi import DTYPES, NULL, OK
from support.capi_refusals import CASE, calls, check_refused

import matconv

pytestmark = pytest.mark.catalogue(60)

WORDS = {
    capi.OK: "success",
    capi.SIZE: (
        "a size is less than 1, the number of images or a padding is negative, or the number of "
        "threads is not from 1 to 1024"
    ),
    capi.KERNEL: "the (dilated) kernel is larger than the padded input",
    capi.GROUPS: "groups does not divide the channels or the filters",
    capi.OVERFLOW: "a size or a product of sizes overflows",
    capi.BLAS_INT: "a matrix dimension overflows the integer type of BLAS",
    capi.STRUCT: "struct_size does not match the library: the struct is not initialized",
    capi.NULL: "a required pointer is NULL",
    capi.SCRATCH: "scratch_size is too small",
    capi.ALGORITHM: "unknown algorithm",
    capi.PADDING: "the padding of a pooling window is not smaller than the window",
    capi.INDEX: "an index is outside of the image, or there is no output with this index",
    capi.DTYPE: "the dtype of the network does not match",
    capi.FORMAT: "not an exported network, or a damaged one",
    capi.VERSION: "an exported network of another version of the format",
    capi.MEMORY: "out of memory",
    capi.UNREADABLE: "the file cannot be read",
    capi.ACTIVATION: "unknown activation, or invalid parameters for it",
    capi.INTERRUPTED: "stopped before the end",
    capi.LOSS: "unknown loss, an invalid parameter for it, or the output has fewer elements than it "
    "needs",
    capi.TARGET: "a label, a target, a weight or the divisor is invalid, or there are two kinds",
    capi.DERIVATIVE: "the network or its loss does not have this derivative, or there is no loss",
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_calls_unchanged_succeed(dtype):
    names = set()
    for call in calls(dtype):
        assert call() == OK
        names.add(call.name)
    assert len(names) == 19
    for call in calls(dtype, with_geometry=True):
        assert call() == OK


# Words


@pytest.mark.parametrize("status", WORDS)
def test_status_string_of_each_status(status):
    assert capi.TABLE.status_string(status).decode() == WORDS[status]


def test_status_string_every_status_described():
    assert tuple(WORDS) == tuple(range(len(capi.STATUSES)))
    assert len(set(WORDS.values())) == len(WORDS)


@pytest.mark.parametrize("status", [22, -1, 1000, 2**31 - 1, -(2**31)])
def test_status_string_unknown_status_is_text(status):
    assert capi.TABLE.status_string(status) == b"unknown status"


# NULL


@pytest.mark.parametrize("dtype", DTYPES)
def test_null_for_each_array_in_turn(dtype):
    refused = 0
    for call in calls(dtype):
        for name in call.pointers():
            unused = name == "scratch" and call.arguments.get("scratch_size") == 0
            if name in call.optional or unused:
                call.poison()
                assert call(**{name: None}) == OK
            else:
                check_refused(call, NULL, **{name: None})
                refused += 1
    assert refused == 222


@pytest.mark.parametrize("dtype", DTYPES)
def test_null_for_the_geometry(dtype):
    for call in calls(dtype, with_geometry=True):
        check_refused(call, NULL, g=None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_null_for_the_filters_without_images(dtype):
    """W has elements whatever the number of images."""
    empty = geometries.Case(**{**CASE.__dict__, "l": 0})
    for call in capi_calls.every_call(empty, dtype):
        for name in call.pointers():
            owed = name == "W"
            scratch = name == "scratch" and call.arguments.get("scratch_size", 0)
            if owed or scratch:
                check_refused(call, NULL, **{name: None})


# Algorithms, activations, other arguments


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", [3, -1, 2**31 - 1, -(2**31)])
def test_unknown_algorithm_refused(dtype, algorithm):
    for call in calls(dtype):
        if "algorithm" in call.arguments:
            check_refused(call, capi.ALGORITHM, algorithm=algorithm)


TINY, LARGE = 1e-60, 1e60
UNKNOWN = [(code, 0.5, 0.7) for code in (12, -1, 255, 2**31 - 1, -(2**31))]
BAD_SLOPES = [
    (code, alpha, 0)
    for code in (LEAKY_RELU, ELU, HARD_SIGMOID)
    for alpha in (np.nan, 0, -0.0, -0.1, np.inf, -np.inf)
]
BAD_LIMITS = [
    (CLIP, *limits)
    for limits in (
        (np.nan, 1), (0, np.nan), (np.nan, np.nan), (1, 0.5), (0.5, np.nextafter(0.5, 0)),
        (np.inf, -np.inf), (5e-324, 0),
    )
] + [(HARD_SIGMOID, 0.2, beta) for beta in (np.nan, np.inf, -np.inf)]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", UNKNOWN + BAD_SLOPES + BAD_LIMITS)
def test_activation_unknown_or_invalid_refused(dtype, activation):
    refused = set()
    for call in calls(dtype):
        if "activation" in call.arguments:
            check_refused(call, capi.ACTIVATION, activation=capi.Activation(*activation))
            refused.add(call.name)
    assert len(refused) == 5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("code", NEEDS_INPUT)
def test_activation_whose_derivative_needs_its_input_has_no_backward_pass(dtype, code):
    refused = 0
    for call in calls(dtype):
        if "activation" in call.arguments and "backward" not in call.name:
            assert call(activation=capi.Activation(code, 0, 0)) == OK
        elif "activation" in call.arguments:
            check_refused(call, capi.ACTIVATION, activation=capi.Activation(code, 0, 0))
            refused += 1
    assert refused


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0}, {"size": -5}, {"k": -1.0}, {"k": np.nan}, {"alpha": -0.5}, {"alpha": np.inf},
        {"beta": np.nan}, {"beta": -np.inf}, {"channels": 0}, {"rows": -1},
    ],
)  # fmt: skip
def test_lrn_argument_out_of_range_refused(dtype, wrong):
    refused = 0
    for call in calls(dtype):
        if call.name.startswith("lrn"):
            check_refused(call, capi.SIZE, **wrong)
            refused += 1
    assert refused == 4


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("status", "wrong"),
    [
        (capi.SIZE, {"images": -1}), (capi.SIZE, {"height": 0}), (capi.SIZE, {"width": -3}),
        (capi.SIZE, {"channels": 0}), (capi.SIZE, {"factor_down": 0}),
        (capi.SIZE, {"factor_right": -1}), (capi.ALGORITHM, {"method": 3}),
        (capi.ALGORITHM, {"method": -1}), (capi.OVERFLOW, {"factor_down": 2**60}),
        (capi.OVERFLOW, {"factor_right": 2**60}), (capi.OVERFLOW, {"images": 2**62}),
        (capi.OVERFLOW, {"channels": 2**62}),
    ],
)  # fmt: skip
def test_upsample_argument_out_of_range_refused(dtype, status, wrong):
    refused = 0
    for call in calls(dtype):
        if call.name.startswith("upsample"):
            check_refused(call, status, **wrong)
            refused += 1
    assert refused == 6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [TINY, LARGE])
def test_activation_slope_must_be_a_number_of_the_dtype(dtype, alpha):
    """As float32 it is 0 or infinite: z would not have the sign of s, or be NaN at 0."""
    for call in calls(dtype):
        if "activation" in call.arguments:
            activation = capi.Activation(LEAKY_RELU, alpha, 0)
            if dtype == "float64":
                assert call(activation=activation) == OK
            else:
                check_refused(call, capi.ACTIVATION, activation=activation)


@pytest.mark.parametrize("dtype", DTYPES)
def test_indices_out_of_range_refused(dtype):
    pixels = 7 * 6
    for call in calls(dtype):
        if call.name == "max_pool_backward":
            good = call.arguments["indices"]
            for index in (-1, pixels, 2**31 - 1, -(2**31)):
                for place in range(good.size):
                    bad = good.copy()
                    bad.reshape(-1)[place] = index
                    check_refused(call, capi.INDEX, indices=bad)
            edge = good.copy()
            edge.reshape(-1)[:] = pixels - 1
            assert call(indices=edge) == OK
            expected = matconv.max_pool2d_backward(call.arguments["dS"], edge, CASE.shape)
            assert call.results()[0].tobytes() == expected.tobytes()


# Rows and dense layers


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows(dtype):
    for call in calls(dtype):
        if call.name.startswith("bias_activation"):
            for sizes in (
                {"rows": -1}, {"rows": -(2**63)}, {"channels": 0}, {"channels": -1},
                {"channels": -(2**63)},
            ):  # fmt: skip
                check_refused(call, capi.SIZE, **sizes)
            for n, d in ((2**60, 1), (2**30, 2**30), (2**62, 2**62), (1, 2**63 - 1), (3, 2**62)):
                check_refused(call, capi.OVERFLOW, rows=n, channels=d)
                check_refused(call, capi.OVERFLOW, rows=d, channels=n)
            # the row of sums does not fit, however few rows there are
            for d in (2**60, 2**62, 2**63 - 1):
                check_refused(call, capi.OVERFLOW, rows=0, channels=d)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sizes_of_a_dense_layer(dtype):
    for call in calls(dtype):
        if call.name.startswith("dense"):
            for sizes in (
                {"images": -1}, {"inputs": 0}, {"inputs": -1}, {"units": 0}, {"units": -(2**63)},
            ):  # fmt: skip
                check_refused(call, capi.SIZE, **sizes)
            for sizes in (
                {"images": 2**62}, {"inputs": 2**62}, {"units": 2**62},
                {"inputs": 2**31, "images": 2**31},
            ):  # fmt: skip
                check_refused(call, capi.OVERFLOW, **sizes)
