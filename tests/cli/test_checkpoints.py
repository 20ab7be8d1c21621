"""Checkpoints of a training: their times, their file names, and resuming after a kill."""

import functools
import os
import signal

import numpy as np
import pytest
from support.cli_runs import SMALL, run, start

from matconv import load_model, save_model
from matconv.cli import main
from matconv.commands import training
from matconv.commands.saving import Checkpoints, OutputFile

# when


class Clock:
    """A time that passes by `step` seconds whenever somebody looks."""

    def __init__(self, step=0.0):
        self.now, self.step = 100.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def checkpoints_at(seconds, cost, until):
    """The times at which a training of short steps is saved, when saving takes `cost` seconds."""
    clock, times = Clock(), []

    def save():
        times.append(round(clock.now - 100, 3))
        clock.now += cost

    checkpoints = Checkpoints(seconds, save, clock)
    while clock.now < 100 + until:
        clock.now += 0.5
        checkpoints.consider()
    return times


@pytest.mark.parametrize(
    ("seconds", "cost", "expected"),
    [
        (10, 0, [10, 20, 30, 40]),
        (10, 0.25, [10, 20.25, 30.5, 40.75]),
        (10, 1, [10, 31]),
        (0.75, 0, [1 + k for k in range(45)]),
        (0, 1, []),
        (1e9, 1, []),
    ],
)
def test_checkpoints_interval_is_the_larger_of_seconds_and_20_saves(seconds, cost, expected):
    assert checkpoints_at(seconds, cost, 45) == expected


def test_checkpoints_failing_warn_once_and_try_again(capsys):
    clock, tries = Clock(), []

    def save():
        tries.append(clock.now)
        raise OSError(28, "No space left on device", "m.npz")

    checkpoints = Checkpoints(10, save, clock)
    for _ in range(25):
        clock.now += 1
        checkpoints.consider()
    assert tries == [110, 120]
    assert capsys.readouterr().err == (
        "matconv: warning: no checkpoint, the training continues: 'm.npz': No space left on device\n"
    )


# under which name


def writer(text):
    def write(path):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)

    return write


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_model_file_own_file_is_replaced(empty_folder):
    file = OutputFile("m.npz", force=False, spare="s.npz")
    for text in ("a", "bc", "d"):
        file.write(writer(text))
    assert content(empty_folder) == {"m.npz": "d"} and file.avoided == []
    (empty_folder / "m.npz").unlink()
    file.write(writer("e"))
    assert content(empty_folder) == {"m.npz": "e"} and file.path == "m.npz"


def test_model_file_of_another_stays(empty_folder):
    file = OutputFile("m.npz", force=False, spare="s.npz")
    writer("other")("m.npz")
    file.write(writer("a"))
    file.write(writer("b"))
    assert content(empty_folder) == {"m.npz": "other", "m-2.npz": "b"}
    writer("another")("m-2.npz")
    file.write(writer("c"))
    assert content(empty_folder) == {"m.npz": "other", "m-2.npz": "another", "m-3.npz": "c"}
    assert file.path == "m-3.npz" and file.avoided == ["m.npz", "m-2.npz"]


@pytest.mark.parametrize("replace", [False, True])
def test_model_file_replaced_by_another_of_the_same_size_stays(empty_folder, replace):
    file = OutputFile("m.npz", force=False, spare="s.npz")
    file.write(writer("a"))
    if replace:
        writer("b")("new")
        os.replace("new", "m.npz")
    else:
        before = os.stat("m.npz")
        writer("b")("m.npz")
        os.utime("m.npz", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    file.write(writer("c"))
    assert content(empty_folder) == {"m.npz": "b", "m-2.npz": "c"}


def test_model_file_force_replaces_any(empty_folder):
    file = OutputFile("m.npz", force=True, spare="s.npz")
    for text in ("a", "b"):
        writer("other")("m.npz")
        file.write(writer(text))
    assert content(empty_folder) == {"m.npz": "b"} and file.avoided == []


def test_model_file_failed_write_keeps_the_claim(empty_folder):
    file = OutputFile("m.npz", force=False, spare="s.npz")
    file.write(writer("a"))

    def fail(path):
        raise OSError(28, "No space left on device", path)

    with pytest.raises(OSError, match="No space"):
        file.write(fail)
    file.write(writer("b"))
    assert content(empty_folder) == {"m.npz": "b"}


# in a training


@pytest.fixture
def every_step(folder, monkeypatch):
    """Trainings with a checkpoint at every step; gives what was saved: theta and the record."""
    saved = []

    def save(path, net, theta, labels, preprocessing, record, *, pixels):
        save_model(path, net, theta, labels, preprocessing, record, pixels=pixels)
        model = load_model(path)
        assert model.theta.tobytes() == theta.tobytes()
        saved.append((path, model.theta, model.training))

    clock = Clock(step=1.0)
    monkeypatch.setattr(training, "save_model", save)
    monkeypatch.setattr(training, "Checkpoints", functools.partial(Checkpoints, clock=clock))
    # on this clock saving takes a second, which would delay the next one by 20
    monkeypatch.setattr("matconv.commands.saving._SHARE", 1.0)
    return saved


OFTEN = (*SMALL, "--quiet", "--checkpoint", "0.5", "--output", "c.npz")


def test_checkpoints_of_lbfgs_are_whole_iterations(every_step, capsys):
    assert main(OFTEN) == 0
    assert capsys.readouterr().err == ""
    *unfinished, (path, theta, record) = every_step
    assert len(unfinished) >= 3
    assert "unfinished" not in record and record["message"] == "4 iterations done"
    for k, (name, at, checkpoint) in enumerate(unfinished):
        assert name == path == "c.npz"
        assert checkpoint["unfinished"] is True
        assert checkpoint["message"] == "a checkpoint: the training was not finished"
        assert checkpoint["iterations"] == len(checkpoint["history"])
        assert checkpoint["f"] == record["history"][checkpoint["iterations"] - 1]["f"]
        assert checkpoint["iterations"] == min(k // 2 + 1, 4)
    assert unfinished[-1][1].tobytes() == theta.tobytes()
    assert [file for file in os.listdir() if "tmp" in file] == []


def test_checkpoints_of_sgd_come_within_an_epoch(every_step):
    assert main([*OFTEN, "--solver", "sgd", "--batch-size", "2"]) == 0
    first = [entry for entry in every_step if entry[2]["iterations"] == 0]
    assert len(first) >= 5
    assert len({theta.tobytes() for _, theta, _ in first}) == len(first)
    for _, _, record in first:
        assert record["unfinished"] is True and record["history"] == []
        assert np.isfinite(record["f"])


def test_checkpoint_is_shown_by_info_and_resumed(every_step, capsys):
    def fail(self, *arguments):
        raise OSError(28, "No space left on device", "c.npz")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Training, "finish", fail)
        assert main(OFTEN) == 1
    assert load_model("c.npz").training["iterations"] == 4
    assert main(["info", "c.npz"]) == 0
    out = capsys.readouterr().out
    assert "a checkpoint: the training was not finished\n" in out and "unfinished" in out
    assert main(["train", "--resume", "c.npz", "--iterations", "1", "--output", "d.npz"]) == 0
    record = load_model("d.npz").training
    assert record["iterations"] == 5 and "unfinished" not in record


def test_checkpoint_zero_saves_at_the_end_only(every_step):
    assert main([*OFTEN, "--checkpoint", "0"]) == 0
    assert [record["message"] for _, _, record in every_step] == ["4 iterations done"]


def test_checkpoint_default_is_a_minute(every_step):
    from matconv.cli import make_parser

    assert make_parser().parse_args(["train"]).checkpoint == 60
    assert main([*SMALL, "--quiet", "--output", "c.npz"]) == 0
    assert len(every_step) == 1


def test_checkpoint_another_file_appears_takes_another_name(
    every_step, folder, capsys, monkeypatch
):
    between, calls = training.Training._between_steps, []

    def steal(self, run):
        calls.append(self.output)
        if len(calls) == 4:
            (folder / "c.npz").write_bytes(b"somebody else's")
        between(self, run)

    monkeypatch.setattr(training.Training, "_between_steps", steal)
    assert main(OFTEN) == 0
    assert (folder / "c.npz").read_bytes() == b"somebody else's"
    assert [path for path, _, _ in every_step] == ["c.npz"] * 3 + ["c-2.npz"] * 5
    assert load_model("c-2.npz").training["message"] == "4 iterations done"
    out = capsys.readouterr().out
    assert "model          c-2.npz\n" in out
    assert (
        "note           c.npz was written by another program meanwhile and is not replaced" in out
    )


def test_checkpoint_cannot_be_written_training_goes_on(every_step, capsys, monkeypatch):
    save = training.save_model

    def full(*arguments, **options):
        if "unfinished" in arguments[-1]:
            raise OSError(28, "No space left on device", "c.npz")
        save(*arguments, **options)

    monkeypatch.setattr(training, "save_model", full)
    assert main(OFTEN) == 0
    assert capsys.readouterr().err == (
        "matconv: warning: no checkpoint, the training continues: 'c.npz': No space left on device\n"
    )
    assert len(every_step) == 1


def test_signal_while_a_checkpoint_is_saved(every_step, capsys, monkeypatch):
    save = training.save_model

    def signalled(*arguments, **options):
        signal.raise_signal(signal.SIGTERM)
        save(*arguments, **options)

    monkeypatch.setattr(training, "save_model", signalled)
    assert main(OFTEN) == 143
    assert [record["message"] for _, _, record in every_step] == [
        "a checkpoint: the training was not finished", "interrupted",
    ]  # fmt: skip
    assert "after iteration 1, saved; continue with: " in capsys.readouterr().err


@pytest.mark.catalogue(37)
def test_divergence_in_the_first_epoch_leaves_a_finite_theta(every_step, capsys):
    np.savez("large.npz", Z=np.full((60, 4, 4, 1), 1e3), y=np.arange(60) % 3)
    arguments = ("--data", "large.npz", "--loss", "squared", "--schedule", "constant",
                 "--batch-size", "1", "--learning-rate", "1e8", "--iterations", "9")  # fmt: skip
    assert main([*OFTEN, *arguments]) == 1
    assert "the result so far is saved in c.npz" in capsys.readouterr().err
    model = load_model("c.npz")
    assert np.isfinite(model.theta).all() and "unfinished" not in model.training


# after a kill


@pytest.mark.catalogue(57)
@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_killed_training_leaves_a_checkpoint_to_go_on_from(folder, solver):
    arguments = ("--solver", solver, "--iterations", "1000000", "--checkpoint", "0.001")
    with start("train", *arguments, cwd=folder) as process:
        for _ in process.stdout:
            if (folder / "digits-model.npz").exists():
                break
        process.kill()
        process.wait(60)
    model = load_model(folder / "digits-model.npz")
    assert model.training["unfinished"] is True
    done = model.training["iterations"]
    resume = ("train", "--resume", "digits-model.npz", "--iterations", "1")
    status, _, err = run(*resume, cwd=folder)
    assert (status, err) == (0, "")
    assert load_model(folder / "digits-model-2.npz").training["iterations"] == done + 1
