"""What `matconv convert` says on standard error, and what it keeps of the pixels."""

import numpy as np
import pytest
from PIL import Image
from support.cli_runs import complaint
from support.matlab_files import save5

from matconv import Dense, Dropout, Network, load_model, save_model
from matconv.cli import main
from matconv.io import save_matconvnet, save_simplenn

DIGITS = {"dtype": "uint8", "min": 0.0, "max": 16.0}
BYTES = {"dtype": "uint8", "min": 0.0, "max": 255.0}
FLOATS = {"dtype": "float32", "min": 0.0, "max": 1.0}
SCALED = {"shift": 0.0, "scale": 0.0625}
RECORD = {"settings": {"loss": "squared", "C": 10.0}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def convert(capsys, *arguments):
    """Convert a file; return the notes on standard error."""
    assert main(["convert", *arguments]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    lines = err.splitlines()
    assert all(line.startswith("matconv: note: ") for line in lines)
    return [line.removeprefix("matconv: note: ") for line in lines]


def own(layers, **more):
    """Save a model of matconv, a.npz."""
    net = Network((4, 5, 1), layers)
    save_model("a.npz", net, net.init(0), **more)


@pytest.mark.parametrize("to", ["matconvnet", "simplenn"])
@pytest.mark.parametrize("pixels", [DIGITS, BYTES, FLOATS, None])
def test_convert_there_and_back_keeps_range_and_preprocessing(capsys, folder, to, pixels):
    own([Dense(3)], labels=(0, 1, 2), preprocessing=SCALED, pixels=pixels)
    notes = convert(capsys, "a.npz", "b.mat", "--to", to)
    assert load_model("b.mat").pixels == pixels
    convert(capsys, "b.mat", "c.npz")
    model = load_model("c.npz")
    assert model.pixels == pixels
    Z = np.full((1, 4, 5, 1), 3.0)
    assert np.array_equal(model.convert(Z), load_model("a.npz").convert(Z))
    if to == "matconvnet":
        other = [f"those of this model are from 0 to {pixels['max']:g}"] if pixels else []
        other = [] if pixels is BYTES else other
        assert [text for text in notes if "multiplied by 0.0625" in text]
        assert [text.partition(", ")[2] for text in notes if "from 0 to 255" in text] == other


def test_save_wrong_pixels_refused(folder):
    net = Network((4, 5, 1), [Dense(3)])
    wrong = {"dtype": "uint8", "min": 0, "max": -1}
    for save in (save_matconvnet, save_simplenn):
        with pytest.raises(ValueError, match="save_model: pixels: 'min' 0 is over 'max' -1"):
            save("b.mat", net, net.init(0), pixels=wrong)


@pytest.mark.parametrize(
    ("target", "to", "expected"),
    [
        ("b.npz", "model", []),
        ("b.matconv", "exported", ["dropout1 (Dropout) acts in training only: left out"]),
        ("b.mat", "simplenn", ["dropout1 (Dropout) acts in training only: left out"]),
        ("b.mat", "matconvnet", []),
    ],
)
def test_convert_tells_which_loss_and_dropout_are_left_out(capsys, folder, target, to, expected):
    own([Dropout(0.5, name="dropout1"), Dense(3)], training=RECORD)
    notes = convert(capsys, "a.npz", target, "--to", to)
    loss = "the record of the training, with the loss squared: left out"
    assert notes[: len(expected)] == expected
    assert (loss in notes) == (to != "model")


@pytest.mark.parametrize("name", ["a.npz", "m.mat", "s.mat"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convert_dtype_of_any_file(capsys, folder, name, dtype):
    own([Dense(3)])
    net = Network((4, 5, 1), [Dense(3)])
    save_matconvnet("m.mat", net, net.init(0))
    save_simplenn("s.mat", net, net.init(0))
    convert(capsys, name, "b.npz", "--dtype", dtype)
    model = load_model("b.npz")
    assert model.network.dtype == dtype
    assert model.theta.tobytes() == load_model(name).theta.astype(dtype).tobytes()


def test_convert_wrong_dtype_says_which_there_are(capsys, folder):
    own([Dense(3)])
    error = complaint(capsys, "convert", "a.npz", "b.npz", "--dtype", "float16", status=2)
    assert "argument --dtype: invalid choice: 'float16' (choose from" in error


def test_imported_model_without_data_is_not_compared_with_the_digits(capsys, folder):
    net = Network((8, 8, 1), [Dense(10)])
    save_matconvnet("net.mat", net, net.init(0))
    for command in ("predict", "evaluate"):
        error = complaint(capsys, command, "net.mat", status=2)
        assert "--data is needed: net.mat does not say which images it was trained on" in error
        error = complaint(capsys, command, "net.mat", "--pixel-order", "row", status=2)
        assert "--pixel-order goes with --data" in error


def test_file_without_normalization_says_that_pixels_are_used_as_they_are(capsys, folder):
    layers = [{"type": "conv", "weights": [np.ones((4, 5, 1, 2)), np.zeros((1, 2))]}]
    save5("net.mat", {"net": {"layers": layers, "meta": {"inputSize": np.array([4.0, 5, 1])}}})
    text = "no normalization in the file: pixels are used as they are"
    assert convert(capsys, "net.mat", "b.npz") == [text]
    assert main(["info", "net.mat"]) == 0
    assert f"note      {text}\n" in capsys.readouterr().out
    Image.new("L", (5, 4), 9).save("p.png")
    assert main(["predict", "b.npz", "--data", "p.png"]) == 0
    assert "0,0,0.5,p.png" in capsys.readouterr().out
