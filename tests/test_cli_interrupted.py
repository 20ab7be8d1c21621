"""The command line interrupted: a reader that goes away, Ctrl-C, a training that diverges."""

import os
import signal

import numpy as np
import pytest
from cli_runs import SMALL, run, start

from matconv import Objective, load_model
from matconv.cli import main

# 56: whoever reads has gone


@pytest.mark.catalogue(56)
@pytest.mark.parametrize("arguments", [("train", "--iterations", "3"), ("info",), ("--help",)])
def test_head(folder, arguments):
    """As in ``matconv ... | head -1``, with a reader that is gone before the first line."""
    reader, writer = os.pipe()
    os.close(reader)
    with start(*arguments, cwd=folder, stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate(timeout=120)
    assert err == b""
    assert process.returncode == 141


@pytest.mark.catalogue(56)
def test_a_reader_that_goes_away_costs_no_training(folder):
    with start("train", "--iterations", "30", cwd=folder) as process:
        for line in process.stdout:
            if line.split()[:1] == [b"2"]:
                break
        process.stdout.close()
        err = process.stderr.read()
        assert (process.wait(120), err) == (141, b"")
    assert load_model(folder / "digits-model.npz").training["iterations"] >= 2


# 57: Ctrl-C


@pytest.mark.catalogue(57)
@pytest.mark.parametrize(("solver", "part"), [("lbfgs", "iteration"), ("sgd", "epoch")])
def test_ctrl_c(folder, solver, part):
    count = "100000"
    with start("train", "--solver", solver, "--iterations", count, cwd=folder) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.split()[:1] == [b"3"]:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    model = load_model(folder / "digits-model.npz")
    done = model.training["iterations"]
    assert done >= 3 and len(model.training["history"]) == done
    assert err.decode() == (
        f"matconv: interrupted after {part} {done}, saved; go on with: "
        "matconv train --resume digits-model.npz\n"
    )
    assert b"ended" not in out
    # the line says the truth
    resume = ("train", "--resume", "digits-model.npz", "--iterations", "1")
    status, out, err = run(*resume, cwd=folder)
    assert (status, err) == (0, "")
    assert f"after {done} before" in out and "digits-model-2.npz" in out


@pytest.mark.catalogue(57)
def test_ctrl_c_before_there_is_anything_to_save(folder, capsys, monkeypatch):
    from matconv.commands import datasets

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load_digits", interrupt)
    capsys.readouterr()
    assert main(["train"]) == 130
    assert capsys.readouterr() == ("", "matconv: interrupted\n")


@pytest.mark.catalogue(57)
@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_ctrl_c_before_the_first_step(folder, capsys, monkeypatch, solver):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Objective, "value_and_gradient", interrupt)
    capsys.readouterr()
    assert main([*SMALL, "--quiet", "--solver", solver, "--output", "n.npz"]) == 130
    line = "matconv: interrupted before the first step; nothing is saved\n"
    assert capsys.readouterr() == ("", line)
    assert not (folder / "n.npz").exists()


@pytest.mark.catalogue(57)
def test_ctrl_c_in_the_last_evaluation_saves(folder, capsys, monkeypatch):
    from matconv.commands import training

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_accuracy", interrupt)
    capsys.readouterr()
    assert main([*SMALL, "--quiet", "--output", "a b.npz"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "matconv: interrupted after iteration 4, saved; go on with: "
        "matconv train --resume 'a b.npz'\n"
    )
    assert load_model("a b.npz").training["iterations"] == 4


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
    assert err.endswith(
        "; a smaller learning rate may help; what was reached before is saved in d.npz\n"
    )
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
def test_a_fault_within_training_saves_what_there_is(folder, capsys, monkeypatch):
    from matconv.commands import training

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
        "matconv: error: out of memory: for test images; "
        "what was reached before is saved in f.npz\n"
    )
    assert load_model("f.npz").training["iterations"] == 3
