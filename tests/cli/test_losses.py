"""Losses, factors of the regularisation and metrics on the command line."""

import re

import numpy as np
import pytest
from support.cli_runs import SMALL, complaint, write_small
from support.known_losses import NAMES
from support.tolerances import assert_within, printed_bound

from matconv import Objective, load_model, metrics, minimize
from matconv.cli import main
from matconv.data import load_digits


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_small(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(capsys, *arguments):
    """Run a command that succeeds and return what it prints."""
    capsys.readouterr()
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_check_passes_with_every_loss(name, dtype, capsys):
    text = printed(capsys, "check", "--loss", name, "--dtype", dtype, "--images", "8")
    assert text.endswith("\nall checks passed\n")


@pytest.mark.parametrize("name", NAMES)
def test_train_resume_evaluate_and_predict_with_every_loss(name, folder, capsys):
    text = printed(capsys, *SMALL, "--loss", name, "--C", "10", "--output", "m.npz")
    assert f"objective  {name} loss, C = 10\n" in text
    model = load_model("m.npz")
    assert model.training["settings"]["loss"] == name
    more = printed(capsys, "train", "--resume", "m.npz", "--iterations", "2", "--output", "n.npz")
    assert f"objective  {name} loss, C = 10\n" in more
    history = load_model("n.npz").training["history"]
    assert len(history) == 6 and history[-1]["f"] < history[0]["f"]
    shown = printed(capsys, "evaluate", "m.npz", "--part", "train")
    pattern = rf"^loss +(\S+), the mean {name} loss of an image$"
    mean = float(re.search(pattern, shown, re.MULTILINE)[1])
    f = float(re.search(r"^f +(\S+), with", shown, re.MULTILINE)[1])
    # the margin of a multiclass hinge can be met by all images
    assert 0 <= mean < f and (mean > 0 or name == "multiclass_hinge")
    assert abs(f - model.training["f"]) <= printed_bound(f, 6)
    rows = printed(capsys, "predict", "m.npz").splitlines()[1:]
    scores = np.array([float(row.split(",")[2]) for row in rows])
    if name in ("softmax", "logistic"):
        assert ((scores >= 0) & (scores <= 1)).all()


def test_penalty_and_rates_reach_the_training_and_the_model_file(folder, capsys):
    said = ("--penalty", "biases=0,conv1=2", "--rates", "dense2=0.5", "--solver", "sgd")
    text = printed(capsys, *SMALL, *said, "--seed", "3", "--C", "2", "--output", "m.npz")
    assert "softmax loss, C = 2, factors of the regularisation biases=0,conv1=2\n" in text
    model = load_model("m.npz")
    chosen = model.training["settings"]
    assert chosen["penalty"] == {"biases": 0.0, "conv1": 2.0}
    assert chosen["rates"] == {"dense2": 0.5}
    with np.load("small.npz") as file:
        train = np.sort(np.random.default_rng(3).permutation(60)[12:])
        Z, y = model.prepare(file["Z"][train]), file["y"][train]
    f = Objective(model.network, Z, y, "softmax", 2, penalty={"biases": 0, "conv1": 2})
    result = minimize(
        f, model.network.init(3), "sgd", 4, rates={"dense2": 0.5}, schedule="cosine", seed=3
    )
    assert result.theta.tobytes() == model.theta.tobytes()
    shown = printed(capsys, "evaluate", "m.npz", "--part", "train")
    pattern = r"^f +(\S+), with sum p theta\^2 / 2C for p: biases=0,conv1=2 = (\S+), C = 2$"
    total, term = map(float, re.search(pattern, shown, re.MULTILINE).groups())
    assert_within(total, f(model.theta), printed_bound(total, 6))
    assert_within(term, f.regularisation(model.theta), printed_bound(term, 6))
    assert 'penalty = {"biases": 0.0, "conv1": 2.0}' in printed(capsys, "info", "m.npz")
    more = ("train", "--resume", "m.npz", "--iterations", "1", "--output")
    printed(capsys, *more, "n.npz")
    assert load_model("n.npz").training["settings"]["penalty"] == chosen["penalty"]
    assert load_model("n.npz").training["settings"]["rates"] == chosen["rates"]
    printed(capsys, *more, "o.npz", "--penalty", "1")
    assert load_model("o.npz").training["settings"]["penalty"] == 1


def test_penalty_of_an_unknown_layer_is_refused_before_the_training(folder, capsys):
    line = complaint(capsys, *SMALL, "--penalty", "conv9=2", "--output", "m.npz", status=1)
    assert line.startswith(
        "Objective: penalty: 'conv9' names no parameters of the network; expected"
    )
    assert not (folder / "m.npz").exists()
    line = complaint(
        capsys, *SMALL, "--rates", "x.weights=2", "--quiet", "--output", "m.npz", status=1
    )
    assert line.startswith("rates: 'x.weights' names no parameters of the network; expected")


def test_top_k_error_is_in_the_history_and_in_evaluate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = printed(capsys, "train", "--iterations", "3", "--top-k", "2", "--output", "m.npz")
    model, digits = load_model("m.npz"), load_digits()
    z = model.network.forward(model.theta, digits.Z_test)
    error = metrics.top_k_error(z, digits.y_test, 2)
    row = model.training["history"][-1]
    assert row["test_top_2_error"] == model.training["test_top_2_error"] == error > 0
    train = model.network.forward(model.theta, digits.Z_train)
    assert row["train_top_2_error"] == metrics.top_k_error(train, digits.y_train, 2)
    assert row["test_accuracy"] == metrics.accuracy(z, digits.y_test)
    assert re.search(rf"^test top 2 error +{100 * error:.2f} %$", text, re.MULTILINE)
    assert "train top 2 error  test accuracy  test top 2 error" in re.sub(" {3,}", "  ", text)
    shown = printed(capsys, "evaluate", "m.npz", "--top-k", "2", "--per-class")
    assert re.search(rf"^top-2 error +{100 * error:.2f} %$", shown, re.MULTILINE)
    lines = [line.split() for line in shown.splitlines()[-10:]]
    assert [line[0] for line in lines] == [str(k) for k in range(10)]
    counts = np.bincount(digits.y_test)
    assert [int(line[1]) for line in lines] == counts.tolist()
    errors = metrics.class_errors(z, digits.y_test)
    assert [line[2] for line in lines] == [f"{100 * one:.2f}" for one in errors]
    assert "top-2" not in printed(capsys, "evaluate", "m.npz")


def test_class_errors_are_in_the_history_and_after_the_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = printed(capsys, "train", "--iterations", "3", "--per-class", "--output", "m.npz")
    model, digits = load_model("m.npz"), load_digits()
    z = model.network.forward(model.theta, digits.Z_test)
    errors = metrics.class_errors(z, digits.y_test).tolist()
    history = model.training["history"]
    assert len(set(errors)) > 1 and [len(row["test_class_errors"]) for row in history] == [10] * 3
    assert history[-1]["test_class_errors"] == model.training["test_class_errors"] == errors
    train = metrics.class_errors(
        model.network.forward(model.theta, digits.Z_train), digits.y_train
    ).tolist()
    assert history[-1]["train_class_errors"] == model.training["train_class_errors"] == train
    assert "class errors" not in text
    shown = printed(capsys, "evaluate", "m.npz", "--per-class")
    table = shown.splitlines()[-11:]
    assert text[text.index("label") :].splitlines()[:11] == [table[0].strip(), *table[1:]]
    told = printed(capsys, "info", "m.npz")
    assert re.search(r"^test_class_errors +\[0\.\d", told, re.MULTILINE)


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_class_without_images_has_no_error_in_the_model_file(folder, capsys, quiet):
    with np.load("small.npz") as file:
        Z, y = file["Z"], file["y"]
    np.savez("few.npz", Z=Z[y < 2], y=y[y < 2])
    command = (*SMALL, "--test-data", "few.npz", "--per-class", *quiet, "--output", "m.npz")
    text = printed(capsys, *command)
    training = load_model("m.npz").training
    zero, one, none = training["test_class_errors"]
    assert none is None and 0 <= zero <= 1 and 0 <= one <= 1
    assert ("test_class_errors" in training["history"][-1]) == (not quiet)
    assert re.search(r"^ +2 +0 +-$", text, re.MULTILINE)
    assert main([*SMALL, "--output", "n.npz"]) == 0
    assert not any("class" in name for name in load_model("n.npz").training)


def test_top_k_above_the_outputs_is_refused(folder, capsys):
    line = complaint(capsys, *SMALL, "--top-k", "4", "--output", "m.npz", status=1)
    assert line == "--top-k 4: the network has 3 outputs"
    assert main([*SMALL, "--output", "m.npz"]) == 0
    line = complaint(capsys, "evaluate", "m.npz", "--top-k", "4", status=1)
    assert line == "--top-k 4: the network has 3 outputs"
