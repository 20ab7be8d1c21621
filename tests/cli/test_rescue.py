"""Results are saved elsewhere if the output cannot be written at the end."""

import errno
import os
import re
import warnings

import numpy as np
import pytest
from support.cli_runs import SMALL

from matconv import load_model, minimize
from matconv.cli import main
from matconv.commands import outputs, training
from matconv.commands.outputs import write_elsewhere


def complain(monkeypatch, action, *arguments):
    """Run the command line, with something happening after the training; gives the status."""

    def act(*minimize_arguments, **options):
        result = minimize(*minimize_arguments, **options)
        action()
        return result

    monkeypatch.setattr(training, "minimize", act)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        return main(arguments)


@pytest.fixture
def temporary(tmp_path_factory, monkeypatch):
    """The directory for temporary files."""
    directory = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(outputs.tempfile, "tempdir", str(directory))
    return directory


def test_train_output_directory_is_gone(folder, capsys, monkeypatch, temporary):
    (folder / "models").mkdir()
    capsys.readouterr()
    status = complain(monkeypatch, (folder / "models").rmdir, *SMALL, "--output", "models/new.npz")
    out, err = capsys.readouterr()
    assert status == 1
    assert err == (
        "matconv: warning: 'models/new.npz' could not be written (No such file or directory); "
        "saved as 'new.npz' instead\n"
    )
    assert "model          new.npz\n" in out and out.endswith("next: matconv evaluate new.npz\n")
    assert load_model("new.npz").training["iterations"] == 4
    assert main(["evaluate", "new.npz"]) == 0


def test_train_output_becomes_a_directory(folder, capsys, monkeypatch, temporary):
    def act():
        os.remove("m.npz")
        os.mkdir("m.npz")

    status = complain(monkeypatch, act, *SMALL, "--output", "m.npz", "--force")
    assert status == 1
    assert (
        "'m.npz' could not be written (Is a directory); saved as 'm-2.npz'"
        in capsys.readouterr().err
    )
    assert load_model("m-2.npz").training["iterations"] == 4


def test_train_output_gets_a_hard_link(folder, capsys, monkeypatch, temporary):
    before = (folder / "m.npz").read_bytes()
    status = complain(
        monkeypatch,
        lambda: os.link("m.npz", "snapshot.npz"),
        *SMALL, "--seed", "5", "--output", "m.npz", "--force",
    )  # fmt: skip
    assert status == 1 and "2 names (hard links)" in capsys.readouterr().err
    assert (folder / "m.npz").read_bytes() == (folder / "snapshot.npz").read_bytes() == before
    assert load_model("m-2.npz").training["settings"]["seed"] == 5


def test_train_name_that_has_become_too_long_gets_a_short_one(
    folder, capsys, monkeypatch, temporary
):
    name = "x" * 251 + ".npz"
    status = complain(monkeypatch, (folder / name).touch, *SMALL, "--output", name)
    assert status == 1 and "(File name too long)" in capsys.readouterr().err
    assert (folder / name).read_bytes() == b""
    assert load_model("matconv-model.npz").training["iterations"] == 4


def test_train_disk_full_saves_in_the_temporary_directory(folder, capsys, monkeypatch, temporary):
    real = training.save_model

    def full(path, *arguments, **options):
        if not str(path).startswith(str(temporary)):
            raise OSError(errno.ENOSPC, "No space left on device", path)
        real(path, *arguments, **options)

    monkeypatch.setattr(training, "save_model", full)
    (temporary / "new.npz").touch()
    status = complain(monkeypatch, lambda: None, *SMALL, "--output", "new.npz")
    path = temporary / "new-2.npz"
    out, err = capsys.readouterr()
    assert status == 1 and str(path) in out
    assert f"(No space left on device); saved as {str(path)!r} instead" in err
    assert load_model(path).training["iterations"] == 4
    assert sorted(os.listdir(folder)) == ["m.npz", "small.npz", "small.toml"]


def test_train_disk_full_everywhere_is_the_first_error(folder, capsys, monkeypatch, temporary):
    def full(path, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(training, "save_model", full)
    assert complain(monkeypatch, lambda: None, *SMALL, "--output", "new.npz") == 1
    err = capsys.readouterr().err
    assert err == "matconv: error: 'new.npz': No space left on device\n"


def test_train_interrupted_and_rescued_says_how_to_go_on(folder, capsys, monkeypatch, temporary):
    import dataclasses

    (folder / "models").mkdir()

    def interrupted(*arguments, **options):
        (folder / "models").rmdir()
        return dataclasses.replace(minimize(*arguments, **options), interrupted=True)

    monkeypatch.setattr(training, "minimize", interrupted)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*SMALL, "--output", "models/new.npz"]) == 130
    warning, line = capsys.readouterr().err.splitlines()
    assert warning.endswith("saved as 'new.npz' instead")
    assert line.endswith("continue with: matconv train --resume new.npz")


def test_train_weird_history_is_saved(folder, capsys, monkeypatch):
    """Whatever a callback may have put there."""

    def odd(*arguments, **options):
        result = minimize(*arguments, **options)
        result.history[0].update(f=np.float32("nan"), odd={1}, z=1j, big=10**5000)
        return result

    monkeypatch.setattr(training, "minimize", odd)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*SMALL, "--output", "new.npz"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("matconv: warning: save_model: training['history'][0]['odd'] is a set, ")
    assert err.count("\n") == 1
    row = load_model("new.npz").training["history"][0]
    assert np.isnan(row["f"]) and (row["odd"], row["z"], row["big"]) == ("{1}", "1j", "<int>")


def test_train_labels_beyond_the_header_are_known_before(folder, capsys, monkeypatch):
    monkeypatch.setattr(training, "minimize", None)
    monkeypatch.setattr("matconv.io.header._MAX_FIXED_BYTES", 100)
    assert main([*SMALL, "--output", "new.npz"]) == 1
    assert "the network and its labels take" in capsys.readouterr().err


def test_train_long_history_is_thinned_and_resumed(folder, capsys, monkeypatch):
    monkeypatch.setattr("matconv.io.record.MAX_ROWS", 10)
    options = ("--solver", "sgd", "--quiet")
    assert main([*SMALL, *options, "--iterations", "30", "--output", "a.npz"]) == 0
    first = load_model("a.npz").training
    assert first["history_thinned"] == {"of": 30} and len(first["history"]) == 10
    assert main(["train", "--resume", "a.npz", "--iterations", "5", "--quiet"]) == 0
    second = load_model("a-2.npz").training
    assert second["history_thinned"] == {"of": 35} and second["iterations"] == 35
    numbers = [row["iteration"] for row in second["history"]]
    assert (numbers[0], numbers[-1]) == (1, 35) and len(numbers) <= 10
    capsys.readouterr()
    assert main(["info", "a-2.npz"]) == 0
    out = capsys.readouterr().out
    expected = rf"^history +{len(numbers)} of 35 rows: the first, the last, evenly between$"
    assert re.search(expected, out, re.MULTILINE)
    assert "history_thinned" not in out
    assert main(["info", "m.npz"]) == 0
    assert re.search(r"^history +4 rows$", capsys.readouterr().out, re.MULTILINE)


def test_predict_output_directory_is_gone(folder, capsys, monkeypatch, temporary):
    from matconv.commands import predict

    (folder / "out").mkdir()
    real = predict._table

    def act(*arguments):
        (folder / "out").rmdir()
        return real(*arguments)

    monkeypatch.setattr(predict, "_table", act)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["predict", "m.npz", "--output", "out/labels.csv"]) == 1
    assert capsys.readouterr().err.endswith("saved as 'labels.csv' instead\n")
    assert (folder / "labels.csv").read_text().startswith("index,label,score\n0,")


def test_predict_output_that_appears_meanwhile_stays(folder, capsys, monkeypatch):
    from matconv.commands import predict

    real = predict._table

    def act(*arguments):
        (folder / "labels.csv").write_text("somebody else's")
        return real(*arguments)

    capsys.readouterr()
    monkeypatch.setattr(predict, "_table", act)
    assert main(["predict", "m.npz", "--output", "labels.csv"]) == 0
    assert (folder / "labels.csv").read_text() == "somebody else's"
    assert (folder / "labels-2.csv").read_text().startswith("index,label,score\n0,")
    assert capsys.readouterr().out == (
        "labels.csv was written by another program meanwhile and is not replaced\n"
        "the labels are in labels-2.csv\n"
    )


def test_predict_label_that_utf_8_cannot_encode(folder, capsys):
    from matconv import save_model

    model = load_model("m.npz")
    save_model("odd.npz", model.network, model.theta, ["\ud800", "b\u00e4", "c"])
    assert main(["predict", "odd.npz", "--data", "small.npz", "--output", "labels.csv"]) == 0
    text = (folder / "labels.csv").read_text(encoding="utf-8")
    names = {line.split(",")[1] for line in text.splitlines()[1:]}
    assert names == {"\\ud800", "b\u00e4", "c"}


def test_write_elsewhere_tries_directories_in_order(folder, temporary):
    tried = []

    def write(path):
        tried.append(path)
        raise OSError(errno.EIO, "Input/output error", path)

    (folder / "own").mkdir()
    first = OSError(errno.ENOSPC, "No space left on device", "own/a.npz")
    with pytest.raises(OSError, match="No space left on device: 'own/a.npz'") as caught:
        write_elsewhere("own/a.npz", first, write, "spare.npz")
    assert caught.value is first
    others = ["own/spare.npz", "a.npz", "spare.npz"]
    assert tried == others + [f"{temporary}/{name}.npz" for name in ("a", "spare")]
    tried.clear()
    (folder / "own" / "a.npz").touch()
    with pytest.raises(OSError, match="No space left"):
        write_elsewhere("own/a.npz", first, write, "spare.npz")
    assert tried[:3] == ["own/a-2.npz", *others[:2]]


def test_checkpoint_that_fails_is_not_written_elsewhere(folder, capsys, monkeypatch, temporary):
    """Only the last save is: the next checkpoint may succeed."""
    tried = []
    real = training.save_model

    def save(path, *arguments, **options):
        tried.append(path)
        if arguments[4].get("unfinished"):
            raise OSError(errno.ENOSPC, "No space left on device", path)
        real(path, *arguments, **options)

    monkeypatch.setattr(training, "save_model", save)
    assert main([*SMALL, "--checkpoint", "1e-9", "--output", "new.npz"]) == 0
    assert set(tried) == {"new.npz"} and len(tried) > 1
    assert "warning: no checkpoint" in capsys.readouterr().err
    assert load_model("new.npz").training["iterations"] == 4
