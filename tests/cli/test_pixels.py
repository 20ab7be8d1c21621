"""Images unlike those of training: one line on standard error, naming both."""

import warnings

import numpy as np
import pytest
from support.cli_runs import SMALL, images, run

from matconv import load_model, save_model
from matconv.cli import main
from matconv.commands.messages import warnings_as_lines

UNLIKE = {
    "float64": (lambda Z: Z / 255, "float64 from 0 to 0.8"),
    "float32": (lambda Z: (Z / 255).astype(np.float32), "float32 from 0 to 0.8"),
    "uint16": (lambda Z: Z.astype(np.uint16) * 257, "uint16 from 0 to 5"),
}
LIKE = {
    "itself": lambda Z: Z,
    "few": lambda Z: Z[:3],
    "dark": lambda Z: Z // 100,
    "int64": lambda Z: Z.astype(np.int64),
    "none": lambda Z: Z[:0],
}


def told(capsys, *arguments, status=0):
    """Standard error of a command."""
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(arguments) == status
    return capsys.readouterr().err


@pytest.fixture
def changed(folder):
    """Write the images of small.npz, changed, to other.npz."""
    with np.load("small.npz") as file:
        Z, y = file["Z"], file["y"]

    def write(change):
        new = change(Z)
        np.savez("other.npz", Z=new, y=y[: len(new)])

    return write


@pytest.mark.parametrize(("change", "expected"), UNLIKE.values(), ids=UNLIKE)
@pytest.mark.parametrize("command", [("evaluate",), ("predict",)])
def test_command_unlike_images_warns_once(changed, capsys, command, change, expected):
    changed(change)
    err = told(capsys, *command, "m.npz", "--data", "other.npz")
    assert err.startswith(f"matconv: warning: other.npz: the pixels are {expected}")
    assert ", those of training were uint8 from 0 to 2" in err and err.count("\n") == 1


@pytest.mark.parametrize(("change", "expected"), UNLIKE.values(), ids=UNLIKE)
def test_resume_unlike_images_warns_for_each_part(changed, capsys, change, expected):
    changed(change)
    err = told(capsys, "train", "--resume", "m.npz", "--data", "other.npz", "--iterations", "1",
               "--new-split", "--quiet", "--output", "n.npz")  # fmt: skip
    lines = err.splitlines()
    assert [line.split("pixels are")[0] for line in lines] == [
        "matconv: warning: other.npz (the rest): the ",
        "matconv: warning: other.npz (20 %, seed 0): the ",
    ]
    # Shift and scale are those of the first training, and so is the description.
    assert load_model("n.npz").pixels == load_model("m.npz").pixels


def test_train_unlike_test_images_warns(changed, capsys):
    changed(lambda Z: Z / 255)
    err = told(capsys, *SMALL, "--test-data", "other.npz", "--quiet", "--output", "n.npz")
    assert err.startswith("matconv: warning: other.npz: the pixels are float64 from 0 to 0.8")
    assert err.count("\n") == 1


@pytest.mark.parametrize("change", LIKE.values(), ids=LIKE)
def test_command_like_images_is_silent(changed, capsys, change):
    changed(change)
    assert told(capsys, "predict", "m.npz", "--data", "other.npz") == ""
    assert told(capsys, "predict", "m.npz", "--part", "train") == ""


def test_command_float_images_of_either_size_are_silent(folder, capsys):
    Z, y = images(40, dtype=np.float64)
    for dtype in (np.float64, np.float32):
        np.savez("floats.npz", Z=(Z / 210).astype(dtype), y=y)
        for options in ((), ("--dtype", "float32")):
            train = (*SMALL, "--data", "floats.npz", *options, "--output", "n.npz", "--force")
            assert told(capsys, *train) == ""
            for other in (np.float64, np.float32):
                np.savez("other.npz", Z=(Z / 210).astype(other), y=y)
                assert told(capsys, "evaluate", "n.npz", "--data", "other.npz") == ""
    np.savez("other.npz", Z=Z, y=y)
    err = told(capsys, "evaluate", "n.npz", "--data", "other.npz")
    assert "other.npz: the pixels are float64 from 0 to 2" in err
    assert "those of training were float32 from 0 to 0.9" in err


def test_train_records_the_pixels_of_its_training_part(folder, capsys):
    Z, y = images(60)
    order = np.random.default_rng(0).permutation(60)
    # The brightest pixel is in the test part.
    Z[order[0], 0, 0, 0] = 255
    np.savez("small.npz", Z=Z, y=y)
    assert told(capsys, *SMALL, "--output", "n.npz") == ""
    rest = Z[np.sort(order[12:])]
    assert load_model("n.npz").pixels == {
        "dtype": "uint8",
        "min": float(rest.min()),
        "max": float(rest.max()),
    }
    assert main(["info", "n.npz"]) == 0
    assert f"trained on      uint8 from 0 to {rest.max()}\n" in capsys.readouterr().out


def test_command_model_without_description_is_silent(changed, capsys):
    model = load_model("m.npz")
    save_model("bare.npz", model.network, model.theta, model.labels, model.preprocessing)
    changed(lambda Z: Z / 255)
    assert told(capsys, "evaluate", "bare.npz", "--data", "other.npz") == ""
    assert main(["info", "bare.npz"]) == 0
    assert "trained on" not in capsys.readouterr().out
    resume = ("train", "--resume", "bare.npz", "--data", "other.npz", "--iterations", "1")
    assert told(capsys, *resume, "--output", "n.npz") == ""
    assert load_model("n.npz").pixels["dtype"] == "float64"


def test_command_as_a_process_prints_one_line(changed, folder):
    changed(lambda Z: Z / 255)
    status, out, err = run("evaluate", "m.npz", "--data", "other.npz", cwd=folder)
    assert status == 0 and "accuracy" in out
    assert err.startswith("matconv: warning: other.npz: the pixels are float64 ")
    assert err.count("\n") == 1


def test_warnings_as_lines_restores_what_was_there():
    before = warnings.showwarning
    lines = []
    with pytest.raises(KeyError), warnings.catch_warnings():
        warnings.simplefilter("always")
        with warnings_as_lines(lines.append):
            warnings.warn("one\ntwo\x1b[1m", UserWarning, stacklevel=1)
            warnings.warn("three", RuntimeWarning, stacklevel=1)
            raise KeyError
    assert lines == ["warning: one\\ntwo\\x1b[1m", "warning: three"]
    assert warnings.showwarning is before
