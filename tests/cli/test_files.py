"""Files of the command line: content before endings, paths, ``-``."""

import gzip
import os
import shutil

import numpy as np
import pytest
from support.cli_runs import (
    SMALL,
    TOML,
    complaint,
    images,
    same_images,
    write_idx,
    write_pair,
    write_small,
)

from matconv import FormatError, load_model, save_model
from matconv.cli import main
from matconv.commands.datasets import load
from matconv.commands.options import UsageError
from matconv.presets import make_network

# Content before endings


@pytest.fixture
def kinds(tmp_path, monkeypatch):
    """The same images as small.npz, and as the IDX files images and labels."""
    monkeypatch.chdir(tmp_path)
    Z, y = write_small(tmp_path, l=20)
    write_idx(tmp_path / "images", Z[..., 0])
    write_idx(tmp_path / "labels", y)
    return Z, y


@pytest.mark.parametrize(
    "name", ["data", "data.NPZ", "data.zip", "data.gz", "data.idx3-ubyte", "-"]
)
def test_npz_any_ending_is_read(kinds, name):
    shutil.copy("small.npz", name)
    same_images(load(name, test_fraction=0).train, kinds)
    same_images(load("small.npz", test_data=name).test, kinds)
    with pytest.raises(
        UsageError, match="--labels goes with an IDX or .npy file, not with the .npz file"
    ):
        load(name, "labels")


@pytest.mark.parametrize("name", ["data.npz", "data", "data.gz"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_idx_any_ending_is_read(kinds, tmp_path, name, compress):
    (tmp_path / name).write_bytes(compress((tmp_path / "images").read_bytes()))
    same_images(load(name, "labels", test_fraction=0).train, kinds)
    with pytest.raises(UsageError, match="--labels is needed: the IDX file data"):
        load(name)
    np.testing.assert_array_equal(
        load(name, labelled=False, test_fraction=0).train.pixels, kinds[0]
    )


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_npz_any_ending_is_evaluated(folder, capsys, command):
    shutil.copy("small.npz", "data")
    texts = []
    for name in ("small.npz", "data"):
        capsys.readouterr()
        assert main([command, "m.npz", "--data", name]) == 0
        texts.append(capsys.readouterr().out.replace("small.npz", "data"))
    assert texts[0] == texts[1]


@pytest.mark.catalogue(44)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n", "not a picture that can be read"),
        (b"1,2,3\n", "expected an .npz file with Z and y, an IDX file"),
        (b"\x93NUMPY\1\0", "truncated in the header length"),
        (gzip.compress(b"1,2,3\n"), "expected an .npz file with Z and y, an IDX file"),
        (b"\x1f\x8b broken", "damaged gzip content"),
        (b"PK\5\6" + bytes(18), "not an .npz file: it does not start as a zip archive"),
        (b"\0\0\x08\3\0\0", "an IDX file|truncated"),
        (b"P", "expected an .npz file with Z and y, an IDX file"),
        (b"", "the file is empty"),
    ],
)
@pytest.mark.parametrize("name", ["data.npz", "data"])
def test_data_of_another_kind_is_refused(kinds, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=f"'{name}': .*({message})"):
        load(name, "labels" if content[:1] in b"\x1f\0\x93" and content else None)


# TOML


@pytest.mark.catalogue(72)
@pytest.mark.parametrize("text", [TOML, TOML.replace("\n", "\r\n")])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_toml_byte_order_mark_and_line_ends(tmp_path, text, mark):
    path = tmp_path / "net.TOML"
    path.write_bytes((mark + text).encode())
    expected = tmp_path / "expected.toml"
    expected.write_bytes(TOML.encode())
    networks = [make_network(str(name), (4, 4, 1), 3) for name in (path, expected)]
    assert networks[0].description() == networks[1].description()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_toml_in_utf_16_says_what_to_do(tmp_path, encoding):
    path = tmp_path / "net.toml"
    path.write_bytes(
        ("" if encoding == "utf-16" else "\ufeff").encode(encoding) + TOML.encode(encoding)
    )
    with pytest.raises(FormatError, match="net.toml': the text is UTF-16, but TOML is UTF-8: save"):
        make_network(str(path), (4, 4, 1), 3)


def test_toml_two_marks_are_an_error(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text("\ufeff\ufeff" + TOML, encoding="utf-8")
    with pytest.raises(FormatError, match="net.toml': not TOML: Invalid statement"):
        make_network(str(path), (4, 4, 1), 3)


def test_toml_missing_file_with_upper_case_ending(capsys):
    with pytest.raises(FileNotFoundError, match="NET.TOML"):
        make_network("NET.TOML", (4, 4, 1), 3)


# Standard output


def test_predict_output_dash_is_standard_output(folder, capsys):
    texts = []
    for options in ((), ("--output", "-"), ("--output", "-", "--force")):
        capsys.readouterr()
        assert main(["predict", "m.npz", *options]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].startswith("index,label,score\n0,") and texts == texts[:1] * 3
    assert not os.path.lexists("-")


def test_predict_output_named_dash(folder, capsys):
    assert main(["predict", "m.npz", "--output", "./-"]) == 0
    assert capsys.readouterr().out == ""
    assert (folder / "-").read_text().startswith("index,label,score\n0,")
    assert main(["predict", "m.npz", "--output", "-"]) == 0
    assert capsys.readouterr().out == (folder / "-").read_text()


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_train_output_dash_is_refused(folder, capsys, monkeypatch, force):
    monkeypatch.setattr("matconv.commands.training.minimize", None)
    line = complaint(capsys, *SMALL, "--output", "-", *force, status=2)
    assert line.startswith(
        "--output -: a model file is not written to standard output; name a file"
    )
    assert main(["info", "m.npz"]) == 0


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_output_to_a_pipe_or_device_is_refused(folder, capsys, monkeypatch, force):
    monkeypatch.setattr("matconv.commands.training.minimize", None)
    os.mkfifo("fifo")
    for command in (SMALL, ("predict", "m.npz")):
        line = complaint(capsys, *command, "--output", "fifo", *force, status=1)
        assert line == "'fifo': expected a regular file, got a FIFO"
        line = complaint(capsys, *command, "--output", "/dev/null", *force, status=1)
        assert line == "'/dev/null': expected a regular file, got a character device"


def test_output_with_hard_links_is_known_before(folder, capsys, monkeypatch):
    monkeypatch.setattr("matconv.commands.training.minimize", None)
    os.link("m.npz", "n.npz")
    line = complaint(capsys, *SMALL, "--output", "m.npz", "--force", status=1)
    assert line.startswith("'m.npz': the file has 2 names (hard links), of which only one can be")


def test_output_with_a_name_that_is_too_long_is_known_before(folder, capsys, monkeypatch):
    monkeypatch.setattr("matconv.commands.training.minimize", None)
    line = complaint(capsys, *SMALL, "--output", "x" * 256, status=1)
    assert line.endswith("': File name too long")


# Paths that a model file records


@pytest.mark.parametrize("command", [("evaluate",), ("predict",), ("train", "--resume")])
@pytest.mark.parametrize(
    ("missing", "what"),
    [
        ("small.npz", "data"),
        ("labels", "labels"),
        ("test-images", "test data"),
        ("test-labels", "test labels"),
    ],
)
def test_recorded_path_missing_is_named_with_its_folder(
    folder, capsys, monkeypatch, command, missing, what
):
    data = ["--data", "images", "--labels", "labels"] if missing != "small.npz" else []
    for part, prefix in ((images(20), ""), (images(8, seed=1), "test-")):
        write_pair(folder, f"{prefix}images", f"{prefix}labels", part)
    test = ["--test-data", "test-images", "--test-labels", "test-labels"]
    if missing.startswith("test"):
        data += test
    assert main([*SMALL, *data, "--output", "model.npz"]) == 0
    assert main([*command, "model.npz"]) == 0
    os.remove(missing)
    line = complaint(capsys, *command, "model.npz", status=1)
    assert line == (
        f"'{missing}': No such file; 'model.npz' records it as its {what}, a relative path that "
        f"was looked for in {str(folder)!r}; --data names other images"
    )
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    model = os.path.join("..", "model.npz")
    line = complaint(capsys, *command, model, status=1)
    assert f"was looked for in {str(folder / 'elsewhere')!r}" in line


def test_recorded_absolute_path_missing_is_named(folder, capsys):
    path = str(folder / "small.npz")
    assert main([*SMALL, "--data", path, "--output", "model.npz"]) == 0
    os.remove(path)
    line = complaint(capsys, "evaluate", "model.npz", status=1)
    assert line == (
        f"{path!r}: No such file; 'model.npz' records it as its data; --data names other images"
    )


@pytest.mark.parametrize("command", [("evaluate",), ("predict",), ("train", "--resume")])
def test_recorded_path_does_not_matter_where_data_is_given(folder, capsys, command):
    shutil.move("small.npz", "other.npz")
    assert main([*command, "m.npz", "--data", "other.npz"]) == 0


def test_data_given_and_missing_is_not_said_to_be_recorded(folder, capsys):
    line = complaint(capsys, "evaluate", "m.npz", "--data", "none.npz", status=1)
    assert line == "'none.npz': No such file or directory"


def test_recorded_path_where_the_working_directory_is_gone(folder, capsys, monkeypatch):
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    line = complaint(capsys, "evaluate", str(folder / "m.npz"), status=1)
    assert line.startswith("'small.npz': No such file; ") and "looked for" not in line


def test_model_without_settings_needs_data(folder, capsys):
    model = load_model("m.npz")
    save_model("bare.npz", model.network, model.theta)
    for command in ("evaluate", "predict"):
        line = complaint(capsys, command, "bare.npz", status=2)
        assert "--data is needed: bare.npz does not say which images it was trained on" in line
