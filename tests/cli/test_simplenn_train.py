"""matconv simplenn-train: the options of simpleNN, and data with a row for each image."""

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from support.cli_runs import complaint

from matconv import Network, Objective, load_model, minimize
from matconv.cli import main
from matconv.commands import simplenn_train
from matconv.commands.datasets import load
from matconv.commands.options import UsageError
from matconv.data import load_digits
from matconv.io import kinds, load_simplenn, read_simplenn_config
from matconv.solvers import METHODS

CONFIG = """\
% of the digits
L = 3;
LC = 2;
LF = 1;
wd_input = [8];
ht_input = [8];
ch_input = [1,8,16];
wd_pad_added = [1,1];
wd_filter = [3,3];
strides = [1,1];
wd_subimage_pool = [2,2];
full_neurons = [10];
"""
SGD = ("simplenn-train", "digits.config", "train.mat", "-s", "2", "--output", "m.npz")
DIGITS = load_digits()


def rows(Z):
    """Z of simpleNN: for each image its channels in turn, each by columns."""
    return Z.transpose(0, 3, 2, 1).reshape(len(Z), -1).astype(float)


def libsvm(Z, y):
    """Text of LIBSVM of images by columns."""
    text = io.StringIO()
    for row, label in zip(rows(Z), y, strict=True):
        pairs = (f" {k}:{value:g}" for k, value in enumerate(row, 1) if value)
        text.write(f"{label}{''.join(pairs)}\n")
    return text.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The digits as simpleNN has them, train.mat and test.libsvm, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("digits.config").write_text(CONFIG)
    scipy.io.savemat("train.mat", {"Z": rows(DIGITS.Z_train), "y": DIGITS.y_train[:, None]})
    Path("test.libsvm").write_text(libsvm(DIGITS.Z_test, DIGITS.y_test))
    return tmp_path


def run(capsys, *arguments):
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_simplenn_train_c_is_that_of_simplenn(folder, capsys):
    # known: what simpleNN made of -C 0.01 for images whose columns are the rows of the digits
    pictures = DIGITS.Z_train.transpose(0, 2, 1, 3)
    scipy.io.savemat("train.mat", {"Z": rows(pictures), "y": DIGITS.y_train})
    known = np.load(Path(__file__).parents[1] / "io" / "simplenn" / "digits-start.npz")
    out = run(capsys, *SGD, "-epoch_max", "1")
    model = load_model("m.npz")
    settings = model.training["settings"]
    assert settings["C"] == known["C"]
    assert "objective  squared loss, C = 14.38\n" in out
    images = load("train.mat", shape=(8, 8, 1), test_fraction=0).train
    Z, y = model.prepare(images.pixels), images.truth
    f = Objective(model.network, Z, y, "squared", settings["C"])
    value, gradient = f.value_and_gradient(known["theta0"])
    assert abs(value - known["f0"]) < 1e-13 * known["f0"]
    assert abs(gradient - known["gradient0"]).max() < 1e-12 * abs(known["gradient0"]).max()


def test_simplenn_train_one_batch_is_a_gradient_step(folder, capsys):
    run(
        capsys, *SGD, "-epoch_max", "1", "-bsize", "1438", "-lr", "0.5", "-C", "0.25", "--seed", "4"
    )
    model = load_model("m.npz")
    net = model.network
    Z = np.ascontiguousarray(DIGITS.Z_train.transpose(0, 2, 1, 3), dtype=float)
    f = Objective(net, Z, DIGITS.y_train, "squared", 0.25 * 1438)
    theta = net.init(4)
    expected = theta - 0.5 * f.gradient(theta)
    assert abs(model.theta - expected).max() < 1e-13


def test_simplenn_train_defaults_are_those_of_simplenn(folder, capsys):
    run(capsys, *SGD, "-epoch_max", "1")
    settings = load_model("m.npz").training["settings"]
    expected = {"batch_size": 128, "learning_rate": 0.01, "momentum": 0.0, "schedule": "constant",
                "loss": "squared", "test_fraction": 0.0}  # fmt: skip
    assert {name: settings[name] for name in expected} == expected
    defaults = {option.name: option.usual for option in simplenn_train.OPTIONS}
    assert defaults == {
        "s": "1", "C": 0.01, "ftype": "1", "gpu_use": "0", "GNsize": None, "iter_max": 100,
        "xi": 0.1, "CGmax": 250, "lambda": 1.0, "drop": 2 / 3, "boost": 1.5, "eta": 1e-4,
        "Jacobian": None, "epoch_max": 500, "lr": 0.01, "decay": 0.0, "momentum": 0.0,
        "bsize": 128,
    }  # fmt: skip


def test_simplenn_train_options_are_settings_of_the_solver(folder, capsys):
    out = run(capsys, *SGD, "-epoch_max", "2", "-bsize", "300", "-lr", "0.02", "-momentum", "0.5",
              "-ftype", "0", "-gpu_use", "0", "-decay", "0", "-Jacobian", "1",
              "--test-data", "test.libsvm")  # fmt: skip
    model = load_model("m.npz")
    settings = model.training["settings"]
    expected = {"iterations": 2, "batch_size": 300, "learning_rate": 0.02, "momentum": 0.5}
    assert {name: settings[name] for name in expected} == expected
    assert model.theta.dtype == np.float32
    assert out.startswith("note: -Jacobian has no effect: ")
    assert "359 test images: test.libsvm" in out and "test_accuracy" in model.training


@pytest.mark.parametrize("name", METHODS)
def test_simplenn_train_settings_are_options_of_the_method(name):
    found = [value for value, method in simplenn_train.SOLVERS.items() if method == name]
    for option in simplenn_train.OPTIONS:
        if option.solver in found and option.setting != "iterations" and option.setting:
            assert option.setting in METHODS[name].names


def test_simplenn_train_model_goes_to_simplenn_and_on(folder, capsys):
    run(capsys, *SGD, "-epoch_max", "1")
    assert main(("convert", "m.npz", "m.mat", "--to", "simplenn")) == 0
    assert "the record of the training, with the loss squared: left out" in capsys.readouterr().err
    assert np.array_equal(load_simplenn("m.mat").theta, load_model("m.npz").theta)
    assert load_simplenn("m.mat").labels == tuple(range(10))
    run(capsys, "train", "--resume", "m.npz", "--epochs", "1", "--output", "n.npz")
    assert load_model("n.npz").training["iterations"] == 2
    assert load_model("n.npz").training["settings"]["C"] == 14.38


def test_simplenn_train_centred_pixels_are_those_of_the_example_of_simplenn(folder, capsys):
    Z = np.round(DIGITS.Z_train * 255)
    scipy.io.savemat("train.mat", {"Z": rows(Z), "y": DIGITS.y_train})
    run(capsys, *SGD, "-epoch_max", "1", "--pixels", "centred")
    model = load_model("m.npz")
    found = rows(model.prepare(Z).transpose(0, 2, 1, 3))
    # the mean of integers is rounded once
    expected = rows(Z - Z.sum(axis=0) / len(Z)) / 255
    assert abs(found - expected).max() < 4 * np.finfo(float).eps
    assert "  (pixel - mean image) * 0.00392157, rows and columns exchanged\n" in run(
        capsys, "info", "m.npz"
    )


@pytest.mark.parametrize(
    ("status", "arguments", "message"),
    [
        (2, ["-s", "3"], "argument -s: invalid choice: '3'"),
        (2, ["-s", "2", "-seed", "3"], "unrecognized arguments: -seed 3"),
        (2, ["-s", "2", "-bsiz", "3"], "unrecognized arguments: -bsiz 3"),
        (2, ["-s", "2", "-gpu_use", "1"], "-gpu_use 1: matconv computes on CPUs, only 0"),
        (2, ["-s", "2", "-decay", "0.1"], "-decay: the learning rate of matconv has no decay by"),
        (2, ["-s", "2", "-xi", "0.1"], "-xi goes with -s 1"),
        (2, ["-s", "2", "-lr", "x"], "argument -lr: expected a number at least 0 and finite"),
        (2, ["-s", "2", "-C", "0"], "argument -C: expected a number above 0 and finite, got '0'"),
        (2, ["-s", "2", "-bsize"], "argument -bsize: expected one argument"),
    ],
)
def test_simplenn_train_wrong_options_refused(folder, capsys, status, arguments, message):
    error = complaint_of(capsys, "simplenn-train", "digits.config", "train.mat", *arguments)
    assert error[0] == status and message in error[1]
    assert not Path("train-model.npz").exists()


def complaint_of(capsys, *arguments):
    """Return the exit status and the error, one line, of a command that fails."""
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("matconv: error: ") and err.count("\n") == 1
    return status, err


def test_simplenn_train_newton_gets_the_options_of_simplenn(folder, capsys):
    run(
        capsys,
        "simplenn-train",
        "digits.config",
        "train.mat",
        "-iter_max",
        "2",
        "--output",
        "m.npz",
    )
    settings = load_model("m.npz").training["settings"]
    expected = {
        "solver": "newton", "iterations": 2, "subsample": 72 / 1438, "damping": 1, "drop": 2 / 3,
        "boost": 1.5, "cg_tolerance": 0.1, "cg_iterations": 250, "eta": 1e-4, "gtol": 0,
    }  # fmt: skip
    assert {name: settings[name] for name in expected} == expected
    out = run(capsys, "simplenn-train", "digits.config", "train.mat", "-s", "1", "-iter_max", "1",
              "-GNsize", "100", "-lambda", "0.5", "-CGmax", "9", "-xi", "0.3", "-drop", "0.25",
              "-boost", "4", "-eta", "0.01", "-bsize", "512", "--output", "n.npz")  # fmt: skip
    settings = load_model("n.npz").training["settings"]
    expected = {
        "subsample": 100 / 1438, "damping": 0.5, "drop": 0.25, "boost": 4, "cg_tolerance": 0.3,
        "cg_iterations": 9, "eta": 0.01,
    }  # fmt: skip
    assert {name: settings[name] for name in expected} == expected
    assert out.startswith("note: -bsize has no effect: ")
    error = complaint(capsys, "simplenn-train", "digits.config", "train.mat", "-lr", "1", status=2)
    assert error.startswith("-lr goes with -s 2")


def test_simplenn_train_newton_has_the_bits_of_minimize(folder, capsys):
    run(capsys, "simplenn-train", "digits.config", "train.mat", "-iter_max", "3", "-C", "0.02",
        "-GNsize", "90", "-xi", "0.2", "-drop", "0.5", "--seed", "6", "--output", "m.npz")  # fmt: skip
    model = load_model("m.npz")
    Z = np.ascontiguousarray(DIGITS.Z_train.transpose(0, 2, 1, 3), dtype=float)
    f = Objective(model.network, Z, DIGITS.y_train, "squared", 0.02 * 1438)
    expected = minimize(
        f, model.network.init(6), "newton", 3, subsample=90 / 1438, cg_tolerance=0.2, drop=0.5,
        gtol=0, seed=6,
    )  # fmt: skip
    assert model.theta.tobytes() == expected.theta.tobytes()
    history = model.training["history"]
    assert [row["products"] for row in history[-3:]] == [
        row["products"] for row in expected.history[-3:]
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-xi", "1"], "argument -xi: expected a number at least 0 and below 1, got '1'"),
        (["-drop", "1.5"], "argument -drop: expected a number above 0 and at most 1, got '1.5'"),
        (["-boost", "0.5"], "argument -boost: expected a number at least 1 and finite, got '0.5'"),
        (["-eta", "1"], "argument -eta: expected a number above 0 and below 1, got '1'"),
        (["-lambda", "-1"], "argument -lambda: expected a number at least 0 and finite, got '-1'"),
        (["-CGmax", "0"], "argument -CGmax: expected a whole number of at least 1, got '0'"),
        (["-GNsize", "2000"], "-GNsize 2000: there are 1438 training images"),
    ],
)
def test_simplenn_train_newton_wrong_values_refused(folder, capsys, arguments, message):
    status, error = complaint_of(
        capsys, "simplenn-train", "digits.config", "train.mat", "-s", "1", *arguments
    )
    assert status == 2 and message in error


@pytest.mark.parametrize(
    ("config", "data", "message"),
    [
        ("train.mat", "train.mat", "'train.mat': a configuration has at most 65536 bytes"),
        ("test.libsvm", "train.mat", "'test.libsvm': a configuration has at most"),
        ("none", "train.mat", "No such file or directory"),
        ("digits.config", "digits.config", "'digits.config': expected an .npz file with Z and y"),
        ("digits.config", "small.mat", "got (3, 63)"),
        ("digits.config", "small.libsvm", "the indices must increase from 1 to at most 64"),
        ("five.config", "train.mat", "the network has 5 outputs, but the images have 10"),
    ],
)
def test_simplenn_train_wrong_files_refused(folder, capsys, config, data, message):
    scipy.io.savemat("small.mat", {"Z": np.ones((3, 63)), "y": np.arange(3)})
    Path("small.libsvm").write_text("1 65:1\n")
    Path("five.config").write_text(CONFIG.replace("[10]", "[5]"))
    error = complaint(capsys, "simplenn-train", config, data, "-s", "2", status=1)
    assert message in error


# the same files with the other commands


def test_file_kind_libsvm_is_recognised_by_content(folder):
    for text in ("1 1:2\n", "# a\n\n-1\n+1 3:1e-3 4:5", "3\r\n2 7:1\r\n", "1.0 5:-.5\n"):
        Path("x").write_text(text)
        assert kinds.file_kind("x") == "libsvm"
    for text in ("1\n2\n", "text", "1 2 3\n", "a 1:2\n", "1:2\n", "key: 1\n"):
        Path("x").write_text(text)
        assert kinds.file_kind("x") == "unknown"


def test_train_libsvm_with_a_network_by_name(folder, capsys):
    arguments = ("train", "--data", "test.libsvm", "--iterations", "2", "--output", "m.npz")
    error = complaint(capsys, *arguments, status=2)
    assert "--input-shape is needed: the LIBSVM file test.libsvm does not say it" in error
    run(capsys, *arguments, "--input-shape", "8", "8", "1", "--test-fraction", "0")
    model = load_model("m.npz")
    assert model.preprocessing is None
    found = run(capsys, "evaluate", "m.npz")
    assert "359 of 8 x 8 x 1: test.libsvm" in found
    np.savez("same.npz", Z=DIGITS.Z_test, y=DIGITS.y_test)
    again = run(capsys, "evaluate", "m.npz", "--data", "same.npz")
    assert found.replace("test.libsvm", "same.npz") == again


def test_predict_pixel_order_is_that_of_the_training_unless_given(folder, capsys):
    Z = DIGITS.Z_test.transpose(0, 2, 1, 3)
    Path("by-rows.libsvm").write_text(libsvm(Z, DIGITS.y_test))
    run(capsys, "train", "--data", "by-rows.libsvm", "--input-shape", "8", "8", "1", "--iterations",
        "2", "--pixel-order", "row", "--output", "m.npz")  # fmt: skip
    model = load_model("m.npz")
    assert model.training["settings"]["pixel_order"] == "row"
    expected = [str(label) for label in model.predict(DIGITS.Z_test)]

    def predicted(*arguments):
        text = run(capsys, "predict", "m.npz", *arguments)
        return [line.split(",")[1] for line in text.splitlines()[1:]]

    assert predicted("--data", "by-rows.libsvm") == expected
    assert predicted("--data", "test.libsvm", "--pixel-order", "column") == expected
    assert predicted("--data", "test.libsvm") != expected
    error = complaint(capsys, "predict", "m.npz", "--pixel-order", "row", status=2)
    assert error.startswith("--pixel-order goes with --data")


def test_train_configuration_of_simplenn_as_network(folder, capsys):
    run(capsys, "train", "--data", "digits", "--network", "digits.config", "--iterations", "1",
        "--output", "m.npz")  # fmt: skip
    model = load_model("m.npz")
    assert model.network == read_simplenn_config("digits.config")
    assert model.preprocessing["transpose"] is True
    Path("wide.config").write_text(CONFIG.replace("wd_input = [8]", "wd_input = [9]"))
    arguments = ("train", "--data", "digits", "--network", "wide.config")
    error = complaint(capsys, *arguments, status=1)
    assert "are 8 x 8 x 1, those of the network 8 x 9 x 1" in error
    error = complaint(capsys, *arguments, "--input-shape", "8", "8", "1", status=2)
    assert "--width and --input-shape do not go with wide.config" in error


def test_simplenn_train_share_of_a_subsample_is_that_of_simplenn():
    # known: simpleNN's subsamples of 1,438 images have 72
    assert round(1438 * simplenn_train._share(None, 1438)) == 72
    assert all(round(n * simplenn_train._share(k, n)) == k for n in (7, 60000) for k in range(1, 8))
    with pytest.raises(UsageError, match="-GNsize 9: there are 8 training images"):
        simplenn_train._share(9, 8)


def test_check_configuration_of_simplenn(folder, capsys):
    out = run(capsys, "check", "--network", "digits.config", "--images", "3")
    assert out.startswith(read_simplenn_config("digits.config").summary())
    assert out.endswith("all checks passed\n")


def test_simplenn_train_config_is_not_square(folder, capsys):
    # 6 rows, 8 columns: a filter sees the columns of the picture as its rows
    random = np.random.default_rng(0)
    Z, y = random.standard_normal((20, 6, 8, 1)), np.arange(20) % 10
    scipy.io.savemat("wide.mat", {"Z": rows(Z), "y": y})
    Path("wide.config").write_text(CONFIG.replace("ht_input = [8]", "ht_input = [6]"))
    run(capsys, "simplenn-train", "wide.config", "wide.mat", "-s", "2", "-epoch_max", "1",
        "-bsize", "20", "--output", "m.npz")  # fmt: skip
    model = load_model("m.npz")
    assert isinstance(model.network, Network) and model.network.input_shape == (8, 6, 1)
    assert model.pixel_shape == (6, 8, 1)
    theta = model.network.init(0)
    f = Objective(model.network, model.prepare(Z), y, "squared", 0.2)
    assert abs(model.theta - (theta - 0.01 * f.gradient(theta))).max() < 1e-14
