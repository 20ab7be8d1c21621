"""Preprocessing as data: mean, order of channels, transposition, and their checks."""

import numpy as np
import pytest

from matconv import Dense, Network
from matconv.io import FormatError, Model, load_model, save_model
from matconv.io.preparing import prepared, preprocessing_problem

RANDOM = np.random.default_rng(8)
PIXELS = RANDOM.integers(0, 256, (5, 4, 3, 3), dtype=np.uint8)
SHAPE = (4, 3, 3)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_prepared_mean_image_is_subtracted_in_double_precision(dtype):
    mean = RANDOM.uniform(0, 255, SHAPE)
    how = {"shift": 0.5, "scale": 1 / 3, "mean": mean.tolist()}
    Z = prepared(PIXELS, how, np.dtype(dtype))
    expected = ((PIXELS.astype(np.float64) - (mean + 0.5)) * (1 / 3)).astype(dtype)
    assert Z.dtype == dtype and Z.flags.c_contiguous
    assert Z.tobytes() == expected.tobytes()


def test_prepared_transposition_and_order_come_before_the_mean():
    mean = RANDOM.uniform(0, 255, (3, 4, 3))
    how = {"shift": 0, "scale": 1, "mean": mean.tolist(), "channels": "BGR", "transpose": True}
    Z = prepared(PIXELS, how, np.dtype(np.float64))
    assert Z.shape == (5, 3, 4, 3)
    assert Z[2, 1, 3, 0] == PIXELS[2, 3, 1, 2] - mean[1, 3, 0]


def test_prepared_large_images_in_parts_are_equal():
    pixels = RANDOM.integers(0, 256, (7, 300, 200, 3), dtype=np.uint8)
    how = {"shift": 0, "scale": 2, "mean": [1.0, 2.0, 3.0]}
    Z = prepared(pixels, how, np.dtype(np.float32))
    assert np.array_equal(Z, (pixels - np.array([1.0, 2, 3])) * 2)


def test_model_with_transposition_takes_pixels_of_the_picture(tmp_path):
    net = Network((4, 3, 1), [Dense(2)])
    how = {"shift": 1.0, "scale": 2.0, "transpose": True, "resize": [3, 4], "keep_aspect": True}
    save_model(tmp_path / "m.npz", net, net.init(0), preprocessing=how)
    model = load_model(tmp_path / "m.npz")
    assert model.preprocessing == how
    assert model.pixel_shape == (3, 4, 1)
    pixels = RANDOM.standard_normal((2, 3, 4, 1))
    expected = net.predict(model.theta, (pixels.transpose(0, 2, 1, 3) - 1) * 2)
    assert np.array_equal(model.predict(pixels), expected)
    with pytest.raises(
        ValueError, match=r"must have the shape \('l', 3, 4, 1\), got \(2, 4, 3, 1\)"
    ):
        model.prepare(pixels.transpose(0, 2, 1, 3))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"mean": [1, 2]}, r"'mean' must have the shape \(3,\) or \(4, 3, 3\), got \(2,\)"),
        ({"mean": [1, 2, None]}, "'mean' must be finite|'mean' must be numbers"),
        ({"mean": [[1], [2, 3]]}, "'mean' must be numbers"),
        ({"mean": [1, 2, float("inf")]}, "'mean' must be finite"),
        ({"channels": "rgb"}, "'channels' must be one of RGB, BGR, got 'rgb'"),
        ({"transpose": 1}, "'transpose' must be one of False, True, got 1"),
        ({"resize": [4]}, "'resize' must be two integers from 1 to 65536"),
        ({"resize": [4, 4]}, r"'resize' must be \[4, 3\], the size of the network's images"),
        ({"resize": [3, 4]}, r"'resize' must be \[4, 3\]"),
        ({"border": [-1, 0]}, "'border' must be two integers from 0"),
        ({"interpolation": "lanczos"}, "'interpolation' must be one of nearest, bilinear, bicubic"),
        ({"keep_aspect": "yes"}, "'keep_aspect' must be one of False, True"),
        ({"other": 1}, "expected 'shift' and 'scale', got"),
    ],
)
def test_preprocessing_invalid_entry_refused(tmp_path, more, message):
    net = Network(SHAPE, [Dense(2)])
    how = {"shift": 0.0, "scale": 1.0, **more}
    with pytest.raises(ValueError, match=message):
        save_model(tmp_path / "m.npz", net, net.init(0), preprocessing=how)
    assert not (tmp_path / "m.npz").exists()


def test_preprocessing_bgr_needs_three_channels():
    how = {"shift": 0, "scale": 1, "channels": "BGR"}
    assert preprocessing_problem(how, (2, 2, 1)) == "'channels' is BGR, the network has 1 channels"
    assert preprocessing_problem(how, SHAPE) is None


def test_model_file_with_invalid_preprocessing_refused(tmp_path, monkeypatch):
    net = Network(SHAPE, [Dense(2)])
    monkeypatch.setattr("matconv.io.header.preprocessing_problem", lambda value, shape: None)
    how = {"shift": 0, "scale": 1, "mean": [1, 2]}
    save_model(tmp_path / "m.npz", net, net.init(0), preprocessing=how)
    monkeypatch.undo()
    with pytest.raises(FormatError, match="'header': preprocessing: 'mean' must have the shape"):
        load_model(tmp_path / "m.npz")


def test_model_prepare_subtracts_the_mean():
    net = Network(SHAPE, [Dense(2)])
    how = {"shift": 0.0, "scale": 1.0, "mean": [1.0, 2.0, 3.0]}
    model = Model(net, net.init(0), preprocessing=how)
    assert np.array_equal(model.prepare(PIXELS), PIXELS - np.array([1.0, 2, 3]))
