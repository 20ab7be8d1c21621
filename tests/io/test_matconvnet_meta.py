"""What MatConvNet's files say beside the layers: sizes, classes, normalisation."""

import numpy as np
import pytest
from support.matlab_files import save5

from matconv import Dense, Network
from matconv.io import FormatError, load_matconvnet, load_model, save_matconvnet


@pytest.fixture
def load(tmp_path):
    """Load a network with a ReLU and some fields of meta."""

    def load(**meta):
        meta = {"inputSize": np.array([8.0, 9.0, 3.0]), **meta}
        save5(tmp_path / "net.mat", {"net": {"layers": [{"type": "relu"}], "meta": meta}})
        return load_matconvnet(tmp_path / "net.mat")

    return load


def notes_of(model):
    return model.training["imported"]["notes"]


@pytest.mark.parametrize("labels", [(1, 2, 3), (7, -3, 2**53 - 1), (2**53, 1, 2), ("a", "b", "1")])
def test_save_matconvnet_integer_labels_come_back_as_integers(tmp_path, labels):
    net = Network((2, 2, 1), [Dense(3)])
    save_matconvnet(tmp_path / "net.mat", net, net.init(0), labels)
    # float64 does not have every integer from 2^53
    expected = tuple(map(str, labels)) if 2**53 in labels else labels
    assert load_model(tmp_path / "net.mat").labels == expected


def test_load_matconvnet_classes_changed_in_the_file_are_taken(load):
    classes = {"name": ["n1", "n2", "n3"]}
    model = load(
        classes=classes, inputSize=np.array([1.0, 1.0, 3.0]), matconv={"labels": np.arange(3.0)}
    )
    assert model.labels == ("n1", "n2", "n3")


@pytest.mark.parametrize(
    ("fields", "border", "keep_aspect"),
    [
        ({"border": np.array([29.0, 30.0])}, [29, 30], True),
        ({"border": 29.0}, [29, 29], True),
        ({"border": 29.0, "keepAspect": False}, [29, 29], False),
        ({"cropSize": 227 / 256}, [29, 29], True),
        ({"cropSize": np.array([1.0, 227 / 256])}, [0, 29], True),
        ({"cropSize": 227 / 256, "border": np.array([1.0, 2.0])}, [1, 2], True),
        ({}, None, False),
        ({"keepAspect": True}, None, True),
    ],
)
def test_load_matconvnet_border_and_crop(load, fields, border, keep_aspect):
    model = load(inputSize=np.array([227.0, 227.0, 3.0]), normalization={"x": 1.0, **fields})
    assert model.preprocessing.get("border") == border
    assert model.preprocessing["keep_aspect"] is keep_aspect
    assert notes_of(model) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"border": np.array([-1.0, 2.0])}, "border must be 1 or 2 integers from 0 .*-1.0, 2.0"),
        ({"border": np.array([1.5, 2.0])}, "border must be 1 or 2 integers from 0 .*1.5, 2.0"),
        ({"border": np.ones(3)}, "border must be 1 or 2 integers"),
        ({"cropSize": 0.0}, "cropSize must be 1 or 2 numbers from 0 to 1, got .0.0"),
        ({"cropSize": 227.0}, "cropSize must be 1 or 2 numbers from 0 to 1, got .227.0"),
        ({"cropSize": 1e-300}, "cropSize .1e-300. leaves more than 65536 rows"),
        ({"averageImage": "mean.mat"}, "averageImage must be numbers, got 'mean.mat'"),
        ({"averageImage": [1.0]}, "averageImage must be numbers, got .array"),
        ({"interpolation": 3.0}, "interpolation must be a text"),
    ],
)
def test_load_matconvnet_invalid_normalization_refused(load, fields, message):
    with pytest.raises(FormatError, match=f"normalization: {message}"):
        load(normalization={"x": 1.0, **fields})


def test_load_matconvnet_unknown_interpolation_has_a_note(load):
    model = load(normalization={"interpolation": "lanczos3"})
    assert model.preprocessing["interpolation"] == "bilinear"
    assert notes_of(model) == ["normalization.interpolation 'lanczos3': bilinear in its place"]


def test_load_matconvnet_mean_image_of_another_size_has_a_note(load):
    mean = np.zeros((16, 18, 3)) + np.arange(3.0)
    model = load(normalization={"averageImage": mean})
    assert model.preprocessing["mean"] == [0.0, 1.0, 2.0]
    assert notes_of(model) == [
        "normalization.averageImage is 16 x 18, the images are 8 x 9: its mean colour in its place"
    ]


def test_load_matconvnet_size_with_the_name_of_the_input(load):
    model = load(inputSize=["input", np.array([4.0, 5.0, 3.0, 32.0])])
    assert model.network.input_shape == (4, 5, 3)
