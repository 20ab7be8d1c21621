"""Layers that change shapes, and pooling with "image", ceil and count_pad: values and errors."""

import json

import numpy as np
import pytest
from support.tolerances import assert_same

import matconv
from matconv import (
    AvgPool,
    Conv,
    ConvTranspose,
    Crop,
    Dense,
    MaxPool,
    Multiply,
    Network,
    Pad,
    Slice,
    Upsample,
)

DTYPES = [np.float64, np.float32]


def output(layers, Z, **options):
    net = Network(Z.shape[1:], layers, Z.dtype, **options)
    return net.forward(np.zeros(net.n, Z.dtype), Z)


@pytest.fixture(params=DTYPES)
def Z(request):
    return np.random.default_rng(0).integers(-9, 10, (3, 5, 7, 4)).astype(request.param)


def test_pad_adds_zeros(Z):
    expected = np.pad(Z, ((0, 0), (1, 0), (2, 3), (0, 0)))
    assert_same(output([Pad(((1, 0), (2, 3)))], Z), expected)


def test_slice_takes_channels(Z):
    assert_same(output([Slice(1, 3)], Z), Z[..., 1:3])
    assert_same(output([Slice(0, 4)], Z), Z)


def test_crop_like_is_centred_or_at_a_place(Z):
    small = [Slice(0, 1, name="s"), MaxPool((2, 3), 1, name="like", inputs="s")]
    for crop, top, left in ((None, 0, 1), (0, 0, 0), ((1, 2), 1, 2)):
        layers = [*small, Crop(crop, "like", inputs="input", name="c")]
        found = output(layers, Z, outputs=["like", "c"])[1]
        assert_same(found, Z[:, top : top + 4, left : left + 5])


def test_multiply_pixel_and_vector_scale_channels(Z):
    net = Network(
        Z.shape[1:],
        [AvgPool("image", name="mean"), Dense(4, name="gates"),
         Multiply(inputs=["input", "mean", "gates"])],
        Z.dtype,
    )  # fmt: skip
    theta = net.pack([(np.eye(4, dtype=Z.dtype), np.ones(4, Z.dtype))])
    mean = Z.mean(axis=(1, 2), keepdims=True, dtype=Z.dtype)
    found = net.forward(theta, Z)
    np.testing.assert_allclose(found, Z * mean * (mean + 1), rtol=64 * np.finfo(Z.dtype).eps)


def test_pool_of_the_image_is_global(Z):
    assert_same(output([MaxPool("image")], Z), Z.max(axis=(1, 2), keepdims=True))
    sums = Z.astype(float).sum(axis=(1, 2), keepdims=True)
    assert_same(output([AvgPool("image")], Z), (sums / 35).astype(Z.dtype))


def test_pool_ceil_windows_extend_beyond_the_image():
    Z = np.arange(5.0).reshape(1, 1, 5, 1)
    assert output([MaxPool((1, 2))], Z).ravel().tolist() == [1, 3]
    assert output([MaxPool((1, 2), ceil=True)], Z).ravel().tolist() == [1, 3, 4]
    assert output([AvgPool((1, 2), ceil=True)], Z).ravel().tolist() == [0.5, 2.5, 4]
    # the third window would begin in the padding at the right
    padded = MaxPool((1, 2), 3, ((0, 0), (0, 1)), ceil=True)
    assert output([padded], Z).ravel().tolist() == [1, 4]


def test_avg_pool_count_pad_divides_by_the_padded_window():
    Z = np.ones((1, 2, 2, 1))
    mean = output([AvgPool(2, 1, 1, count_pad=True)], Z)[0, :, :, 0]
    assert mean.tolist() == [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]]
    # what extends beyond the padding does not count
    mean = output([AvgPool((1, 3), 2, ((0, 0), (1, 0)), True, True)], np.ones((1, 1, 3, 1)))
    assert mean[0, 0, :, 0].tolist() == [2 / 3, 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_upsample2d_values_written_by_hand(dtype):
    Z = np.array([[0, 8], [16, 24]], dtype).reshape(1, 2, 2, 1)
    nearest = matconv.upsample2d(Z, (1, 2))[0, :, :, 0]
    assert nearest.tolist() == [[0, 0, 8, 8], [16, 16, 24, 24]]
    half = matconv.upsample2d(Z, 2, "bilinear")[0, :, :, 0]
    assert half.tolist() == [[0, 2, 6, 8], [4, 6, 10, 12], [12, 14, 18, 20], [16, 18, 22, 24]]
    Z = np.array([0, 9], dtype).reshape(1, 1, 2, 1)
    aligned = matconv.upsample2d(Z, (1, 2), "bilinear", True).ravel()
    np.testing.assert_allclose(aligned, [0, 3, 6, 9], rtol=4 * np.finfo(dtype).eps)
    assert matconv.upsample2d(Z, (1, 1), "bilinear", True).ravel().tolist() == [0, 9]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_upsample2d_not_finite_pixel_affects_outputs_with_its_weight(value, dtype):
    Z = np.zeros((1, 1, 3, 1), dtype)
    Z[0, 0, 1] = value
    found = ~np.isfinite(matconv.upsample2d(Z, (2, 2), "bilinear"))[0, 0, :, 0]
    assert found.tolist() == [False, True, True, True, True, False]
    found = ~np.isfinite(matconv.upsample2d(Z, (1, 2)))[0, 0, :, 0]
    assert found.tolist() == [False, False, True, True, False, False]


@pytest.mark.parametrize("options", [(2,), ((2, 3), "bilinear"), (3, "bilinear", True)])
def test_upsample2d_backward_is_the_adjoint(options):
    random = np.random.default_rng(1)
    Z = random.standard_normal((2, 4, 5, 3))
    out = matconv.upsample2d(Z, *options)
    dOut = random.standard_normal(out.shape)
    dZ = matconv.upsample2d_backward(dOut, Z.shape, *options)
    bound = out.size * np.finfo(float).eps * (np.abs(out) * np.abs(dOut)).sum()
    assert abs((out * dOut).sum() - (Z * dZ).sum()) <= bound


X = np.ones((1, 4, 4, 2))
INVALID = {
    "Pad: pad must be at least 0, got -1": lambda: Pad(-1),
    "Slice: 0 <= start < stop is needed, got 2 and 2": lambda: Slice(2, 2),
    "layer 0 (Slice) on images 4 x 4 x 2: the slice must be a part of the channels":
        lambda: output([Slice(1, 3)], X),
    "Upsample: factor must be at least 1, got 0 x 2": lambda: Upsample((0, 2)),
    "Upsample: method must be 'nearest' or 'bilinear', got 'cubic'": lambda: Upsample(2, "cubic"),
    "Upsample: align_corners needs the method 'bilinear', got 'nearest'":
        lambda: Upsample(2, align_corners=True),
    "upsample2d: factor must be at least 1, got 2 x -1": lambda: matconv.upsample2d(X, (2, -1)),
    "upsample2d_backward: dZ_out must have shape (1, 8, 8, 2), got (1, 4, 4, 2)":
        lambda: matconv.upsample2d_backward(X, X.shape, 2),
    "AvgPool: the window 'image' has neither a stride nor a pad": lambda: AvgPool("image", 2),
    "avg_pool2d: the window 'image' has neither a stride nor a pad":
        lambda: matconv.avg_pool2d(X, "image", pad=1),
    "max_pool2d: pad ((2, 2), (2, 2)) must be smaller than the window (2 x 2)":
        lambda: matconv.max_pool2d(X, 2, pad=2, ceil=True),
    "Crop: crop must be at least 0, got 0 x -1": lambda: Crop((0, -1), "input"),
    "layer 0 (Crop): like must name earlier layers (input), got 'x'":
        lambda: output([Crop(like="x")], X),
    "layer 1 (Crop) on images 2 x 2 x 2, 4 x 4 x 2: there is no part of 4 x 4 pixels at row -1, "
    "column -1": lambda: output([MaxPool(2), Crop(like="input")], X),
    "ConvTranspose: extra must be at least 0 and less than upsample (2, 2), got (2, 2)":
        lambda: ConvTranspose(2, 3, 2, extra=2),
    "ConvTranspose: upsample must be at least 1, got 0 x 1": lambda: ConvTranspose(2, 3, (0, 1)),
}  # fmt: skip


@pytest.mark.parametrize("text", INVALID)
def test_invalid_argument_is_refused(text):
    with pytest.raises(ValueError) as caught:
        INVALID[text]()
    assert str(caught.value) == text or str(caught.value).removeprefix("Network: ") == text


def test_crop_without_sizes_or_layer_is_refused():
    with pytest.raises(TypeError, match="^Crop: crop must be sizes, or like must name a layer$"):
        Crop()


def test_pool_of_a_word_other_than_image_is_refused():
    for call in (lambda: MaxPool("all"), lambda: matconv.max_pool2d(X, "all")):
        with pytest.raises(TypeError, match="window must be an integer or a pair"):
            call()


def test_upsample2d_sizes_that_overflow_are_refused():
    with pytest.raises(OverflowError, match=r"^upsample2d: the sizes overflow \(input 4 x 4 x 2"):
        matconv.upsample2d(X, 2**40)
    with pytest.raises(OverflowError, match="the sizes overflow"):
        output([Upsample(2**61)], X)
    with pytest.raises(OverflowError, match="the sizes overflow"):
        output([Pad(2**62)], X)


def test_descriptions_of_new_arguments_survive_json():
    layers = [
        Conv(4, 3, pad=1), MaxPool(2, ceil=True), AvgPool(3, 2, 1, True, True, name="small"),
        Upsample(2, "bilinear", True), Crop(like="small"), Pad(((1, 0), (0, 2))), Slice(1, 3),
        ConvTranspose(2, 3, 2, 1, extra=1), AvgPool("image"),
    ]  # fmt: skip
    net = Network((9, 9, 1), layers)
    data = json.loads(json.dumps(net.description()))
    assert Network.from_description(data).layers == net.layers == tuple(layers)
