"""Interrupted commands: a closed pipe, signals, a training that diverges."""

import os

import numpy as np
import pytest
from support.cli_runs import SMALL, environment, start

from matconv import load_model
from matconv.cli import main
from matconv.commands import training

# 56: the reader is gone


@pytest.mark.catalogue(56)
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [("train", "--iterations", "3"), ("info",), ("--help",), ("predict", "m.npz")],
)
def test_broken_pipe_is_quiet(folder, arguments, unbuffered):
    """As in ``matconv ... | head -1``, with a reader that is gone before the first line."""
    reader, writer = os.pipe()
    os.close(reader)
    env = environment(PYTHONUNBUFFERED=unbuffered)
    with start(*arguments, cwd=folder, stdout=writer, env=env) as process:
        os.close(writer)
        _, err = process.communicate(timeout=120)
    assert err == b""
    assert process.returncode == 141
    assert (folder / "digits-model.npz").exists() == (arguments[0] == "train")


@pytest.mark.catalogue(56)
def test_broken_pipe_train_is_finished_and_saved(folder):
    with start("train", "--iterations", "30", cwd=folder) as process:
        for line in process.stdout:
            if line.split()[:1] == [b"2"]:
                break
        process.stdout.close()
        err = process.stderr.read()
        assert (process.wait(120), err) == (141, b"")
    assert load_model(folder / "digits-model.npz").training["message"] == "30 iterations done"


# 37, 38: training goes wrong


@pytest.mark.catalogue(37)
def test_training_that_diverges_says_where_and_saves(folder, capsys):
    np.savez("large.npz", Z=np.full((60, 4, 4, 1), 1e3), y=np.arange(60) % 3)
    capsys.readouterr()
    arguments = ("--data", "large.npz", "--loss", "squared", "--schedule", "constant",
                 "--batch-size", "48", "--learning-rate", "1e8", "--output", "d.npz")  # fmt: skip
    assert main([*SMALL, *arguments, "--iterations", "99"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("matconv: error: sgd: f is ") and err.count("\n") == 1
    assert err.endswith("; a smaller learning rate may help; the result so far is saved in d.npz\n")
    model = load_model("d.npz")
    assert np.isfinite(model.theta).all()
    assert f" of epoch {model.training['iterations'] + 1};" in err


@pytest.mark.catalogue(37)
def test_not_finite_at_the_start_saves_nothing(folder, capsys):
    np.savez("nan.npz", Z=np.full((9, 4, 4, 1), np.nan), y=np.arange(9) % 3)
    capsys.readouterr()
    assert main([*SMALL, "--data", "nan.npz", "--output", "n.npz"]) == 1
    assert capsys.readouterr().err == "matconv: error: lbfgs: f is nan at theta0\n"
    assert not (folder / "n.npz").exists()


@pytest.mark.catalogue(38)
def test_error_in_last_evaluation_saves(folder, capsys, monkeypatch):
    def fail(objective, theta):
        raise MemoryError("for test images")

    monkeypatch.setattr(training, "_accuracy", fail)
    capsys.readouterr()
    assert main([*SMALL, "--quiet", "--output", "f.npz"]) == 1
    assert capsys.readouterr().err == (
        "matconv: error: out of memory: for test images; the result so far is saved in f.npz\n"
    )
    assert load_model("f.npz").training["message"] == "4 iterations done"


@pytest.mark.catalogue(38)
def test_error_within_training_saves_last_step(folder, capsys, monkeypatch):
    def fail(objective, theta):
        calls.append(1)
        if len(calls) == 6:
            raise MemoryError("for test images")
        return 0.5

    calls = []
    monkeypatch.setattr(training, "_accuracy", fail)
    capsys.readouterr()
    assert main([*SMALL, "--output", "f.npz"]) == 1
    assert capsys.readouterr().err == (
        "matconv: error: out of memory: for test images; the result so far is saved in f.npz\n"
    )
    assert load_model("f.npz").training["iterations"] == 3
