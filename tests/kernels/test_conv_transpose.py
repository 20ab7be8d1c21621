"""Transposed convolution: the adjoint of conv2d, exact on integers; bad arguments."""

import numpy as np
import pytest
from support import reference
from support.tolerances import assert_same, assert_within, inner_product_bound

import matconv
from matconv import ConvTranspose, Network
from matconv.kernels._conv_transpose import transposed_shape

DTYPES = ("float64", "float32")
ALGORITHMS = ("im2col", "auto")


def cases(count, seed):
    """Shapes of Z and W, options, and the size of the output."""
    random = np.random.default_rng(seed)
    while count:
        groups = int(random.choice([1, 1, 2, 3, 8]))
        d, channels = (groups * int(random.integers(1, 5)) for _ in range(2))
        kernel, upsample, dilation = (random.integers(1, high, 2) for high in (6, 4, 3))
        crop, extra = random.integers(0, 4, (2, 2)), random.integers(0, upsample)
        size = random.integers(1, 8, 2)
        out = upsample * (size - 1) + (kernel - 1) * dilation + 1 - crop.sum(axis=1) + extra
        if out.min() < 1:
            continue
        count -= 1
        options = {
            "upsample": tuple(upsample.tolist()), "crop": tuple(map(tuple, crop.tolist())),
            "dilation": tuple(dilation.tolist()), "groups": groups,
        }  # fmt: skip
        shape = (int(random.integers(0, 4)), *size.tolist(), d)
        filters = (channels // groups, *kernel.tolist(), d)
        yield shape, filters, options, tuple(extra.tolist()), tuple(out.tolist())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_conv_transpose2d_is_the_reference(dtype, algorithm):
    for k, (shape, filters, options, extra, size) in enumerate(cases(200, 1)):
        random = np.random.default_rng(k)
        channels = filters[0] * options["groups"]
        Z, W, b = (random.integers(-4, 5, s).astype(dtype) for s in (shape, filters, channels))
        given = {**options, "extra": extra, "algorithm": algorithm}
        S = matconv.conv_transpose2d(Z, W, b, **given)
        truth = reference.conv_transpose2d(Z, W, b, size, **options)
        dS = random.integers(-4, 5, S.shape).astype(dtype)
        found = (S, *matconv.conv_transpose2d_backward(dS, Z, W, **given))
        exact = (truth, *reference.conv_transpose2d_backward(dS, Z, W, **options))
        if algorithm == "im2col":
            for name, one, other in zip(("S", "dZ", "dW", "db"), found, exact, strict=True):
                assert_same(one, other, f"{name} of case {k}")
            activated = matconv.conv_transpose2d(Z, W, b, relu=True, **given)
            assert_same(activated, reference.relu(truth), "relu")
            continue
        # integers of at most 4: all sums are far below 2^20 eps of single precision, and those of
        # Winograd's algorithm have an error of less than 2^12 eps of the terms
        for name, one, other in zip(("S", "dZ", "dW", "db"), found, exact, strict=True):
            terms = 16 * np.prod(filters) * max(shape[0], 1) * np.prod(size)
            assert_within(one, other, 2**12 * np.finfo(dtype).eps * terms, f"{name} of case {k}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_conv_transpose2d_reals_are_within_the_bound(dtype):
    for k, (shape, filters, options, extra, size) in enumerate(cases(60, 2)):
        random = np.random.default_rng(k)
        channels = filters[0] * options["groups"]
        Z, W, b = (random.standard_normal(s).astype(dtype) for s in (shape, filters, channels))
        S = matconv.conv_transpose2d(Z, W, b, extra=extra, algorithm="im2col", **options)
        wide = [x.astype(np.longdouble) for x in (Z, W, b)]
        truth, magnitude = (
            reference.conv_transpose2d(*arrays, size, **options)
            for arrays in (wide, [np.abs(x) for x in wide])
        )
        K = filters[1] * filters[2] * filters[3] + 1
        assert_within(S, truth, inner_product_bound(K, magnitude, dtype), f"case {k}")


def test_conv_transpose2d_is_the_adjoint_of_conv2d():
    for shape, filters, options, extra, size in cases(60, 3):
        random = np.random.default_rng(0)
        Z, W = (random.integers(-4, 5, s).astype(float) for s in (shape, filters))
        X = random.integers(-4, 5, (shape[0], *size, filters[0] * options["groups"])).astype(float)
        other = {"stride": options["upsample"], "pad": options["crop"]}
        other |= {name: options[name] for name in ("dilation", "groups")}
        left = (
            matconv.conv_transpose2d(Z, W, extra=extra, algorithm="im2col", **options) * X
        ).sum()
        right = (Z * matconv.conv2d(X, W, algorithm="im2col", **other)).sum()
        assert left == right


@pytest.mark.parametrize("dtype", DTYPES)
def test_conv_transpose2d_nan_affects_the_outputs_of_its_filters(dtype):
    Z, W = np.ones((1, 4, 4, 2), dtype), np.ones((3, 2, 2, 2), dtype)
    Z[0, 1, 2, 0] = np.nan
    S = matconv.conv_transpose2d(Z, W, upsample=2, algorithm="im2col")
    expected = np.zeros(S.shape, bool)
    expected[0, 2:4, 4:6] = True
    assert_same(np.isnan(S), expected)


def test_conv_transpose2d_needs_decide_what_is_computed():
    Z, W, dS = np.ones((1, 2, 2, 1)), np.ones((1, 2, 2, 1)), np.ones((1, 3, 3, 1))
    for k, name in enumerate(("need_dZ", "need_dW", "need_db")):
        found = matconv.conv_transpose2d_backward(dS, Z, W, **{name: False})
        assert [x is None for x in found] == [j == k for j in range(3)]


Z, W = np.ones((1, 3, 4, 2)), np.ones((2, 2, 2, 2))
BAD = {
    "filters": (lambda: matconv.conv_transpose2d(Z, np.ones((2, 2, 2, 3))), ValueError,
                "conv_transpose2d: W has 3 filters where Z has 2 channels"),
    "upsample": (lambda: matconv.conv_transpose2d(Z, W, upsample=0), ValueError,
                 "conv_transpose2d: upsample must be at least 1, got 0 x 0"),
    "upsample type": (lambda: matconv.conv_transpose2d(Z, W, upsample=1.5), TypeError,
                      ("conv_transpose2d: upsample must be an integer or a pair (height, width), " "got 1.5 (float)")),
    "extra": (lambda: matconv.conv_transpose2d(Z, W, upsample=2, extra=2), ValueError,
              ("conv_transpose2d: extra must be at least 0 and less than upsample (2, 2), " "got (2, 2)")),
    "crop": (lambda: matconv.conv_transpose2d(Z, W, crop=2), ValueError,
             ("conv_transpose2d: crop ((2, 2), (2, 2)) must leave at least one row and one column " "of 4")),
    "negative crop": (lambda: matconv.conv_transpose2d(Z, W, crop=-1), ValueError,
                      "conv_transpose2d: crop must be at least 0, got ((-1, -1), (-1, -1))"),
    "groups": (lambda: matconv.conv_transpose2d(Z, W, groups=3), ValueError,
               ("conv_transpose2d: groups 3 must divide the 2 input channels and the 2 output " "channels")),
    "overflow": (lambda: matconv.conv_transpose2d(Z, W, upsample=2**62), OverflowError,
                 "conv_transpose2d: the sizes overflow"),
    "bias": (lambda: matconv.conv_transpose2d(Z, W, np.ones(3)), ValueError,
             "conv_transpose2d: b must have shape (2,), got (3,)"),
    "dtype": (lambda: matconv.conv_transpose2d(Z, W.astype(np.float32)), TypeError,
              "conv_transpose2d: W is float32 where float64 was expected"),
    "gradient": (lambda: matconv.conv_transpose2d_backward(np.ones((1, 4, 4, 2)), Z, W), ValueError,
                 "conv_transpose2d_backward: dS must have shape (1, 4, 5, 2), got (1, 4, 4, 2)"),
    "algorithm": (lambda: matconv.conv_transpose2d(Z, W, algorithm="fft"), ValueError,
                  "conv_transpose2d: algorithm must be 'auto', 'im2col' or 'winograd', got 'fft'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_conv_transpose2d_bad_argument_is_refused(name):
    call, error, text = BAD[name]
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(text)


def test_conv_transpose2d_overlapping_out_is_refused():
    block = np.zeros(200)
    with pytest.raises(ValueError, match="conv_transpose2d: out overlaps"):
        matconv.conv_transpose2d(
            block[:24].reshape(1, 3, 4, 2), W, out=block[:40].reshape(1, 4, 5, 2)
        )


def test_transposed_shape_of_lengths_is_counted():
    for n in range(1, 6):
        for h in range(1, 5):
            for up in range(1, 4):
                for dilation in range(1, 3):
                    image = transposed_shape("x", (n, 1), (h, 1), up, 0, dilation)[0]
                    # the largest index that a tap reaches, and one
                    assert image == 1 + max(
                        q * up + u * dilation for q in range(n) for u in range(h)
                    )


@pytest.mark.parametrize("algorithm", ["im2col", "auto"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("factors", [(1, 2), (1, 3), (2, 5), (5, 1)])
def test_layers_that_share_filters_have_the_outputs_of_single_layers(factors, channels, algorithm):
    """The order of prepared filters depends on the upsampling, so they may not be shared."""
    layers = [
        ConvTranspose(channels, 3, upsample=factors[0], name="A", inputs=["input"]),
        ConvTranspose(channels, 3, upsample=factors[1], parameters="A", name="B", inputs=["input"]),
    ]
    options = {"algorithm": algorithm}
    net = Network((5, 5, 16), layers, outputs=["A", "B"], **options)
    theta = net.init(0)
    Z = np.random.default_rng(0).standard_normal((2, 5, 5, 16))
    frozen = net.freeze(theta)(Z)
    for k, found in enumerate(net.forward(theta, Z)):
        layer = ConvTranspose(channels, 3, upsample=factors[k])
        single = Network((5, 5, 16), [layer], **options)
        assert_same(found, single.forward(theta, Z), f"output {k}")
        assert_same(frozen[k], single.freeze(theta)(Z), f"frozen output {k}")
