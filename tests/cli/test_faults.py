"""Bad input of the command line: usage, files, outputs, paths, streams that are no terminals."""

import os
import sys

import numpy as np
import pytest
from support.cli_runs import SMALL, complaint, environment, run, write_idx

from matconv import load_model
from matconv.cli import main, message


@pytest.mark.catalogue(54)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            (),
            "a command is needed: train, evaluate, predict, convert, info, check or simplenn-train",
        ),
        (("paint",), "invalid choice: 'paint'"),
        (
            ("train", "--colour", "red"),
            "unrecognized arguments: --colour red (see: matconv train --help)",
        ),
        (("train", "--iter", "3"), "unrecognized arguments: --iter 3"),
        (("train", "extra"), "unrecognized arguments: extra"),
        (("evaluate",), "the following arguments are required: MODEL"),
        (("train", "--data"), "argument --data: expected one argument"),
        (("train", "--iterations", "0"), "expected a whole number of at least 1, got '0'"),
        (("train", "--epochs", "1.5"), "expected a whole number of at least 1, got '1.5'"),
        (("train", "--threads", "-1"), "expected a whole number of at least 1, got '-1'"),
        (("train", "--seed", "x"), "expected a whole number of at least 0, got 'x'"),
        (("train", "--batch-size", "many"), "expected a whole number of at least 1, got 'many'"),
        (("train", "--C", "0"), "expected a number above 0, got '0'"),
        (("train", "--C", "nan"), "expected a number above 0, got 'nan'"),
        (("train", "--learning-rate", "-1"), "expected a number at least 0 and finite, got '-1'"),
        (("train", "--learning-rate", "inf"), "at least 0 and finite, got 'inf'"),
        (("train", "--momentum", "1"), "expected a number at least 0 and below 1, got '1'"),
        (("train", "--test-fraction", "1"), "expected a number at least 0 and below 1, got '1'"),
        (("train", "--loss", "l1"), "squared, squared_hinge or structured_hinge, got 'l1'"),
        (
            ("train", "--loss", "huber:0"),
            "squared, squared_hinge or structured_hinge, got 'huber:0'",
        ),
        (("train", "--penalty", "biases"), "or a list such as biases=0,conv1=2, got 'biases'"),
        (("train", "--penalty", "biases=-1"), "a number at least 0, or a list such as"),
        (("train", "--rates", "b=inf"), "a number at least 0, or a list such as"),
        (("train", "--rates", "2", "--solver", "lbfgs"), "--rates goes with --solver sgd"),
        (("train", "--top-k", "0"), "expected a whole number of at least 1, got '0'"),
        (("train", "--dtype", "float16"), "invalid choice: 'float16'"),
        (("train", "--solver", "adam"), "invalid choice: 'adam'"),
        (("check", "--input-shape", "4", "4"), "expected 3 arguments"),
        (
            ("train", "--labels", "x"),
            "--labels goes with an IDX or .npy file, not with --data digits",
        ),
        (("train", "--solver", "lbfgs", "--momentum", "0"), "--momentum goes with --solver sgd"),
        (
            ("train", "--resume", "m.npz", "--dtype", "float32"),
            "--network, --width, --input-shape, --dtype and --pixels come from the file of --resume",
        ),
        (
            ("train", "--resume", "m.npz", "--width", "0.5"),
            "--network, --width, --input-shape, --dtype and --pixels come from the file of --resume",
        ),
        (
            ("train", "--resume", "m.npz", "--input-shape", "16", "16", "1"),
            "--network, --width, --input-shape, --dtype and --pixels come from the file of --resume",
        ),
        (("train", "--width", "0"), "expected a number above 0 and finite, got '0'"),
    ],
)
def test_command_wrong_usage_exits_2(folder, capsys, arguments, expected):
    line = complaint(capsys, *arguments, status=2)
    assert expected in line
    assert line.endswith(" --help)")
    assert len(list(folder.iterdir())) == 3


@pytest.mark.catalogue(43, 54)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("evaluate", "missing.npz"), "'missing.npz': No such file or directory"),
        (("predict", "missing.npz"), "'missing.npz': No such file or directory"),
        (("info", "missing.npz"), "'missing.npz': No such file or directory"),
        (("train", "--resume", "missing.npz"), "'missing.npz': No such file or directory"),
        (("train", "--data", "missing.npz"), "'missing.npz': No such file or directory"),
        (("train", "--data", "missing"), "'missing': No such file or directory"),
        (("info", "."), "'.': Is a directory"),
        (("info", "small.npz"), "'small.npz': missing 'theta', 'header'; unexpected 'Z', 'y'"),
        (("info", "small.toml"), "'small.toml': expected a model: an .npz file"),
        (("info", "empty"), "'empty': the file is empty (0 bytes)"),
        (("info", "fifo"), "'fifo': expected a regular file, got a FIFO"),
        (("train", "--data", "m.npz"), "'m.npz': missing 'Z', 'y'; unexpected 'theta', 'header'"),
        (("train", "--data", "empty", "--labels", "empty"), "'empty': the file is empty (0 bytes)"),
        (("train", "--data", "."), "'.': No such file in this directory: looked for train-images"),
        (("train", "--network", "vgg"), "'vgg' is neither a file nor one of digits, lenet, "),
        (("check", "--network", "x.toml"), "'x.toml': No such file or directory"),
        (
            ("train", "--network", "small.toml"),
            "the network has 3 outputs, but the images have 10 different labels",
        ),
        (
            ("evaluate", "m.npz", "--data", "digits"),
            "the images of digits (test part) are 8 x 8 x 1, those of the network 4 x 4 x 1",
        ),
        (("predict", "m.npz", "--data", "digits"), "those of the network 4 x 4 x 1"),
        (("train", "--resume", "m.npz", "--data", "digits"), "those of the network 4 x 4 x 1"),
        (
            ("evaluate", "m.npz", "--data", "other.npz"),
            "other.npz: no output of the network has the label",
        ),
        (("train", "--threads", "9999"), "n_threads must be from 1 to 1024, got 9999"),
    ],
)
def test_command_wrong_files_exit_1(folder, capsys, arguments, expected):
    (folder / "empty").touch()
    os.mkfifo(folder / "fifo")
    np.savez("other.npz", Z=np.zeros((3, 4, 4, 1), np.uint8), y=[0, 1, 9])
    before = sorted(folder.iterdir())
    line = complaint(capsys, *arguments, status=1)
    assert expected in line
    assert sorted(folder.iterdir()) == before


@pytest.mark.catalogue(35)
def test_train_one_class_refused(folder, capsys):
    np.savez("one.npz", Z=np.zeros((9, 4, 4, 1), np.uint8), y=np.full(9, 4))
    line = complaint(capsys, "train", "--data", "one.npz", status=1)
    assert line == "the training images have 1 different labels, 2 are needed"


@pytest.mark.catalogue(51)
def test_idx_counts_differ(folder, capsys):
    write_idx(folder / "images", np.zeros((5, 4, 4)))
    write_idx(folder / "labels", np.zeros(4))
    line = complaint(capsys, "train", "--data", "images", "--labels", "labels", status=1)
    assert line == "'images': 5 images, but 4 labels in 'labels'"


@pytest.mark.catalogue(54)
def test_debug_shows_the_traceback(folder, capsys):
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        main(["info", "missing.npz", "--debug"])
    status, out, err = run("info", "missing.npz", "--debug", cwd=folder)
    assert status == 1 and out == ""
    assert "Traceback" in err and "FileNotFoundError" in err
    status, out, err = run("info", "missing.npz", cwd=folder)
    assert (status, out) == (1, "")
    assert err == "matconv: error: 'missing.npz': No such file or directory\n"


@pytest.mark.catalogue(54)
def test_messages_are_one_printable_line():
    assert message(ValueError("a\nb\x1b[1m")) == "a\\nb\\x1b[1m"
    assert message(MemoryError()) == "out of memory"
    assert message(MemoryError("10 TB")) == "out of memory: 10 TB"
    assert message(OSError("odd")) == "odd"
    assert message(IndexError("k")) == "unexpected IndexError: k; --debug shows more"
    error = ArithmeticError("f is nan")
    error.add_note("saved")
    assert message(error) == "f is nan; saved"


@pytest.mark.catalogue(54)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"settings": 3}, "training: settings: expected an object"),
        ({"settings": {"C": [3]}}, "training: settings: C is [3], expected a number above 0"),
        ({"settings": {"seed": True}}, "training: settings: seed is True"),
        ({"settings": {"solver": "adam"}}, "solver is 'adam', expected lbfgs, sgd, "),
        (
            {"settings": {"loss": "l1"}},
            "loss is 'l1', expected absolute, hinge, huber, huber:DELTA",
        ),
        ({"settings": {"loss": ["hinge"]}}, "loss is ['hinge'], expected absolute, hinge, huber"),
        ({"settings": {"loss": "huber:-1"}}, "loss is 'huber:-1', expected absolute, hinge"),
        ({"settings": {"penalty": -1}}, "penalty is -1, expected a number at least 0, or a list"),
        ({"settings": {"penalty": [1]}}, "penalty is [1], expected a number at least 0, or a list"),
        ({"settings": {"rates": {"a": True}}}, "rates is {'a': True}, expected a number at least"),
        ({"settings": {"C": "x"}}, "C is 'x', expected a number above 0"),
        ({"settings": {"C": 0}}, "C is 0, expected a number above 0"),
        ({"settings": {"data": 3}}, "data is 3, expected text"),
        ({"settings": {"iterations": 2.5}}, "iterations is 2.5, expected a whole number of at lea"),
        ({"settings": {"seed": -1}}, "seed is -1, expected a whole number of at least 0"),
        ({"settings": {"batch_size": 0}}, "batch_size is 0, expected a whole number of at least 1"),
        ({"settings": {"momentum": 1}}, "momentum is 1, expected a number at least 0 and below 1"),
        ({"settings": {"nesterov": 1}}, "nesterov is 1, expected true or false"),
        ({"settings": {"schedule": "up"}}, "schedule is 'up', expected constant, step or cosine"),
        ({"iterations": -4}, "training: iterations is -4"),
        ({"iterations": "a"}, "training: iterations is 'a'"),
    ],
)
def test_settings_of_a_strange_file(folder, capsys, change, expected):
    from matconv import save_model

    model = load_model("m.npz")
    record = {**model.training, **change}
    save_model("strange.npz", model.network, model.theta, model.labels, None, record)
    line = complaint(capsys, "train", "--resume", "strange.npz", status=1)
    assert expected in line


def test_info_model_without_record_works(folder, capsys):
    from matconv import save_model

    model = load_model("m.npz")
    save_model("bare.npz", model.network, model.theta)
    capsys.readouterr()
    assert main(["info", "bare.npz"]) == 0
    assert "labels  none\npixels  as they are\n" in capsys.readouterr().out
    assert main(["evaluate", "bare.npz", "--data", "small.npz"]) == 0
    assert main(["predict", "bare.npz", "--data", "small.npz"]) == 0
    assert main(["train", "--resume", "bare.npz", "--data", "small.npz", "--iterations", "2"]) == 0
    assert load_model("bare-2.npz").training["iterations"] == 2


# 55: output exists


@pytest.mark.catalogue(55)
def test_output_exists(folder, capsys):
    before = (folder / "m.npz").read_bytes()
    line = complaint(capsys, *SMALL, "--output", "m.npz", status=1)
    assert line == "'m.npz': File exists; --force replaces it"
    line = complaint(capsys, "predict", "m.npz", "--output", "small.toml", status=1)
    assert line == "'small.toml': File exists; --force replaces it"
    assert (folder / "m.npz").read_bytes() == before
    assert main([*SMALL, "--seed", "8", "--output", "m.npz", "--force"]) == 0
    assert (folder / "m.npz").read_bytes() != before
    (folder / "labels.csv").write_text("old")
    assert main(["predict", "m.npz", "--output", "labels.csv", "--force"]) == 0
    assert (folder / "labels.csv").read_text().startswith("index,label,score\n0,")


@pytest.mark.catalogue(55)
def test_output_that_appears_meanwhile_stays(folder, capsys, monkeypatch):
    from matconv.commands import training

    def appear(*arguments, **options):
        (folder / "new.npz").write_bytes(b"somebody else's")
        return real(*arguments, **options)

    real = training.minimize
    monkeypatch.setattr(training, "minimize", appear)
    assert main([*SMALL, "--output", "new.npz"]) == 0
    assert (folder / "new.npz").read_bytes() == b"somebody else's"
    assert "model          new-2.npz\n" in capsys.readouterr().out
    assert load_model("new-2.npz").training["iterations"] == 4


@pytest.mark.catalogue(52, 55)
def test_output_that_cannot_be_written_is_known_before(folder, capsys, monkeypatch):
    from matconv.commands import training

    monkeypatch.setattr(training, "minimize", None)
    (folder / "sub").mkdir()
    for output, expected in (
        ("sub", "'sub': Is a directory"),
        ("missing/m.npz", "'missing': No such directory"),
        ("small.toml/m.npz", "'small.toml': No such directory"),
        ("", "'': No such file or directory"),
    ):
        for force in ((), ("--force",)):
            line = complaint(capsys, *SMALL, "--output", output, *force, status=1)
            assert line == expected
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    line = complaint(capsys, *SMALL, "--output", "sub/m.npz", status=1)
    assert line == f"{str(folder / 'sub')!r}: Not a directory to write in"


# 58: not a terminal; 59: paths


@pytest.mark.catalogue(58)
def test_messages_have_no_control_characters(folder):
    for solver in ("lbfgs", "sgd"):
        status, out, err = run("train", "--iterations", "2", "--solver", solver, cwd=folder)
        assert (status, err) == (0, "")
        assert out.replace("\n", "").isprintable()


@pytest.mark.catalogue(59)
@pytest.mark.parametrize(
    "locale",
    [
        {"LANG": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii:strict"},
    ],
)
def test_paths_beyond_ascii_are_shown(folder, locale):
    env = environment(**locale)
    (folder / "données").mkdir()
    os.rename("small.npz", "données/图.npz")
    data, output = "données/图.npz", "données/modèle.npz"
    train = [data if x == "small.npz" else x for x in SMALL]
    status, out, err = run(*train, "--output", output, cwd=folder, env=env)
    assert (status, err) == (0, "")
    assert load_model(output).training["settings"]["data"] == data or locale.get("LC_ALL")
    for arguments in (("evaluate", output), ("info", output)):
        status, out, err = run(*arguments, cwd=folder, env=env)
        assert (status, err) == (0, "")
    status, out, err = run("info", "données", cwd=folder, env=env)
    assert status == 1 and out == "" and err.count("\n") == 1
    assert "Is a directory" in err and "Traceback" not in err


@pytest.mark.catalogue(59)
def test_paths_that_are_not_utf_8_are_shown(folder):
    name, env = os.fsdecode(b"m\xff.npz"), environment(PYTHONIOENCODING="utf-8:strict")
    status, out, err = run(*SMALL, "--output", name, cwd=folder, env=env)
    assert (status, err) == (0, "")
    assert load_model(name).training["iterations"] == 4
    status, out, err = run("info", name, cwd=folder, env=env)
    assert (status, err) == (0, "")
    assert out.isascii() and "model           m\\udcff.npz\n" in out


@pytest.mark.catalogue(54)
def test_main_reads_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["matconv", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("matconv ")
