"""A directory with the files of MNIST: usual spellings of their names, and what is missing."""

import pytest
from support.cli_runs import complaint, images, same_images, write_idx, write_pair

from matconv import FormatError
from matconv.commands.datasets import load
from matconv.commands.mnist import find_pairs

TRAIN, TEST = images(20), images(8, seed=1)


@pytest.mark.catalogue(71)
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("train", "test", "tail"),
    [
        ("train-{}", "t10k-{}", "-idx{}-ubyte"),
        ("train-{}", "t10k-{}", ".idx{}-ubyte"),
        ("train-{}", "test-{}", "-idx{}-ubyte"),
        ("train-{}", "test-{}", ".idx{}.ubyte"),
        ("train_{}", "test_{}", "_idx{}_ubyte"),
        ("train-{}", "t10k-{}", ".idx{}"),
        ("train-{}", "t10k-{}", "-ubyte"),
        ("train-{}", "t10k-{}", ""),
        ("emnist-letters-train-{}", "emnist-letters-test-{}", "-idx{}-ubyte"),
        ("a.b.train-{}", "A.B.T10K-{}", "-idx{}-ubyte"),
        ("my train-{}", "my test-{}", "-idx{}-ubyte"),
    ],
)
@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_directory_usual_spelling_is_found(tmp_path, ending, train, test, tail, change):
    for part, prefix in ((TRAIN, train), (TEST, test)):
        pair = [
            (prefix.format(kind) + tail.format(number), kind)
            for kind, number in (("images", 3), ("labels", 1))
        ]
        names = [change(name + ending) for name, _ in pair]
        Z, y = part
        for name, array in zip(names, (Z[..., 0], y), strict=True):
            write_idx(tmp_path / f"plain{ending}", array)
            (tmp_path / f"plain{ending}").rename(tmp_path / name)
    data = load(str(tmp_path))
    same_images(data.train, TRAIN)
    same_images(data.test, TEST)


def test_directory_files_of_other_names_are_ignored(tmp_path):
    write_pair(tmp_path, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", TRAIN)
    for name in (
        "contrain-images-idx3-ubyte",
        "train-images-idx3-ubyte.png",
        "train-images-idx3-ubyte.gz.part",
        "train-labels.txt",
        "t10k-imagery",
        "train",
    ):
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / "t10k-images-idx3-ubyte").mkdir()
    assert load(str(tmp_path)).train.pixels.shape == (16, 4, 4, 1)
    assert find_pairs(str(tmp_path))[1] is None


def test_directory_of_directories_named_as_the_files(tmp_path):
    """Some archives hold each file in a directory of its name, beside a copy with a dot."""
    for kind in ("images", "labels"):
        (tmp_path / f"train-{kind}-idx3-ubyte").mkdir()
    write_pair(tmp_path, "train-images.idx3-ubyte", "train-labels.idx1-ubyte", TRAIN)
    assert find_pairs(str(tmp_path))[0].images == str(tmp_path / "train-images.idx3-ubyte")


@pytest.mark.parametrize(
    ("preferred", "other"),
    [
        ("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"),
        ("train-images.idx3-ubyte", "train-images-idx3-ubyte.gz"),
        ("train-images-idx3-ubyte", "train-images.idx3-ubyte"),
        ("train-images-idx3-ubyte", "TRAIN-IMAGES-IDX3-UBYTE"),
        ("train-images-idx3-ubyte", "emnist-letters-train-images-idx3-ubyte"),
    ],
)
def test_directory_several_spellings_the_published_one_first(tmp_path, preferred, other):
    write_pair(tmp_path, preferred, "train-labels-idx1-ubyte", TRAIN)
    write_pair(tmp_path, other, f"{other.partition('train')[0]}train-labels-idx1-ubyte", TRAIN)
    pair, test = find_pairs(str(tmp_path))
    assert pair == (str(tmp_path / preferred), str(tmp_path / "train-labels-idx1-ubyte"))
    assert test is None


def test_directory_links_to_files_are_followed(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "data").mkdir()
    write_pair(tmp_path / "store", "1", "2", TRAIN)
    (tmp_path / "data" / "train-images-idx3-ubyte").symlink_to("../store/1")
    (tmp_path / "data" / "train-labels-idx1-ubyte").symlink_to("../store/2")
    same_images(load(str(tmp_path / "data"), test_fraction=0).train, TRAIN)


def test_directory_several_sets_are_refused(tmp_path):
    for name in ("digits", "letters"):
        write_pair(
            tmp_path,
            f"emnist-{name}-train-images-idx3-ubyte",
            f"emnist-{name}-train-labels-idx1",
            TRAIN,
        )
    with pytest.raises(
        FormatError,
        match=r"several sets of images \(emnist-digits-train-images, emnist-letters-train-images\)"
        ", expected one in a directory",
    ):
        load(str(tmp_path))


def test_directory_part_of_another_set_does_not_count(tmp_path):
    write_pair(tmp_path, "a-train-images-idx3-ubyte", "a-train-labels-idx1-ubyte", TRAIN)
    write_pair(tmp_path, "b-test-images-idx3-ubyte", "b-test-labels-idx1-ubyte", TRAIN)
    train, test = find_pairs(str(tmp_path))
    assert train.images.endswith("a-train-images-idx3-ubyte") and test is None


def test_directory_of_something_else_lists_what_was_looked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    message = (
        "'other': No such file in this directory: looked for train-images-idx3-ubyte and "
        "train-labels-idx1-ubyte, or the same with dots (-images.idx3-ubyte), 'test' for 't10k', "
        "upper case, a prefix (emnist-letters-) or .gz; it holds "
    )
    end = "; there are no pictures (.png, .jpg) or files of CIFAR either"
    assert complaint(capsys, "train", "--data", "other", status=1) == message + "nothing" + end
    for k in range(7):
        (tmp_path / "other" / f"{k}.gif").touch()
    line = complaint(capsys, "train", "--data", "other", status=1)
    assert line == message + "'0.gif', '1.gif', '2.gif', '3.gif', '4.gif' and 2 more" + end


@pytest.mark.parametrize("kind", ["images", "labels"])
@pytest.mark.parametrize("part", ["train", "t10k"])
def test_directory_missing_file_is_named(tmp_path, part, kind):
    for other in ("train", "t10k"):
        write_pair(tmp_path, f"{other}-images-idx3-ubyte", f"{other}-labels-idx1-ubyte", TRAIN)
    name = f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"looked for {name}, or the same") as caught:
        load(str(tmp_path))
    assert caught.value.filename == str(tmp_path)
