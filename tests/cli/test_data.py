"""Data sets of the option --data: digits, .npz, IDX files, directories; splits, labels, scaling."""

import numpy as np
import pytest
from support.cli_runs import SMALL, images, write_idx, write_small

from matconv import FormatError, load_model
from matconv.cli import main
from matconv.commands.datasets import load
from matconv.commands.labels import as_indices, class_labels
from matconv.commands.options import UsageError
from matconv.commands.pixels import scaling
from matconv.commands.tables import confusion
from matconv.data import load_digits


def same(images_, Z, y):
    np.testing.assert_array_equal(images_.pixels, Z)
    assert images_.pixels.dtype == Z.dtype
    np.testing.assert_array_equal(images_.y, y)


def test_digits():
    digits, data = load_digits(), load("digits")
    same(data.train, digits.Z_train, digits.y_train)
    same(data.test, digits.Z_test, digits.y_test)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_directory(empty_folder, ending):
    train, test = images(20), images(8, seed=1)
    for part, (Z, y) in (("train", train), ("t10k", test)):
        write_idx(empty_folder / f"{part}-images-idx3-ubyte{ending}", Z[..., 0])
        write_idx(empty_folder / f"{part}-labels-idx1-ubyte{ending}", y)
    data = load(str(empty_folder))
    same(data.train, *train)
    same(data.test, *test)
    (empty_folder / f"t10k-images-idx3-ubyte{ending}").unlink()
    with pytest.raises(FileNotFoundError, match="looked for t10k-images-idx3-ubyte, or the"):
        load(str(empty_folder))
    (empty_folder / f"t10k-labels-idx1-ubyte{ending}").unlink()
    # without test files, a part of the others is kept
    data = load(str(empty_folder))
    assert (len(data.train), len(data.test)) == (16, 4)
    (empty_folder / f"train-labels-idx1-ubyte{ending}").unlink()
    with pytest.raises(FileNotFoundError, match="train-labels-idx1-ubyte"):
        load(str(empty_folder))


def test_npz_and_idx_files(empty_folder):
    Z, y = write_small(empty_folder, l=20)
    write_idx(empty_folder / "images", Z[..., 0])
    write_idx(empty_folder / "labels", y)
    for data in (load("small.npz", test_fraction=0), load("images", "labels", test_fraction=0)):
        same(data.train, Z, y)
        assert data.test is None
    test_Z, test_y = images(6, seed=2)
    np.savez("test.npz", Z=test_Z, y=test_y)
    write_idx(empty_folder / "test-images.gz", test_Z[..., 0])
    write_idx(empty_folder / "test-labels", test_y)
    for test in (("test.npz", None), ("test-images.gz", "test-labels")):
        data = load("small.npz", None, *test)
        same(data.train, Z, y)
        same(data.test, test_Z, test_y)


def test_split(empty_folder):
    np.savez("small.npz", Z=np.arange(50.0).reshape(50, 1, 1, 1), y=np.arange(50) % 3)
    data = load("small.npz", test_fraction=0.3, seed=4)
    train, test = data.train.pixels.ravel(), data.test.pixels.ravel()
    assert len(test) == 15
    assert sorted([*train, *test]) == list(range(50))
    assert list(train) == sorted(train) and list(test) == sorted(test)
    np.testing.assert_array_equal(data.train.y, train % 3)
    np.testing.assert_array_equal(data.test.y, test % 3)
    again, other = (load("small.npz", test_fraction=0.3, seed=seed) for seed in (4, 5))
    np.testing.assert_array_equal(again.test.pixels.ravel(), test)
    assert set(other.test.pixels.ravel()) != set(test)
    assert len(load("small.npz").test) == 10


def test_options_that_do_not_go_together(empty_folder):
    write_idx(empty_folder / "images", write_small(empty_folder)[0][..., 0])
    for arguments, message in (
        (
            {"data": "digits", "labels": "x"},
            "--labels goes with an IDX or .npy file, not with --data digits",
        ),
        (
            {"data": "small.npz", "labels": "x"},
            "--labels goes with an IDX or .npy file, not with the .npz",
        ),
        ({"data": "images"}, "--labels is needed: the IDX file images holds images only"),
        ({"data": "small.npz", "test_labels": "x"}, "--test-labels goes with --test-data"),
        (
            {"data": "small.npz", "test_data": "images"},
            "--test-labels is needed: the IDX file images holds",
        ),
        (
            {"data": "digits", "test_fraction": 0.5},
            "--test-fraction: there are test images already",
        ),
        ({"data": "small.npz", "test_fraction": 0.999}, "leaves none of the 60 images to train on"),
    ):
        with pytest.raises(UsageError, match=message):
            load(**arguments)


def test_directory_parts_of_different_shapes_refused(empty_folder):
    write_small(empty_folder)
    np.savez("test.npz", Z=np.zeros((3, 5, 4, 1), np.uint8), y=[0, 1, 2])
    with pytest.raises(
        FormatError, match=r"of test.npz are 5 x 4 x 1, those of small.npz 4 x 4 x 1"
    ):
        load("small.npz", test_data="test.npz")


@pytest.mark.parametrize(
    ("pixels", "scale"),
    [
        (np.array([0, 7], np.uint8), 1 / 255),
        (np.array([0, 7], np.uint16), 1 / 65535),
        (np.array([0, 16], np.int64), 1 / 16),
        (np.array([-128, 127], np.int8), 1 / 128),
        (np.array([0, 0], np.int32), 1.0),
        (np.zeros(0, np.int32), 1.0),
    ],
)
def test_scaling_of_integers(pixels, scale):
    assert scaling(pixels) == {"shift": 0.0, "scale": scale}


def test_scaling_of_floats_is_none():
    assert scaling(np.array([0.0, 16.0])) is None


def test_float_images_stay_as_they_are(empty_folder, capsys):
    Z, y = images(40, dtype=np.float64)
    np.savez("floats.npz", Z=Z / 200, y=y)
    write_small(empty_folder)
    assert main([*SMALL, "--data", "floats.npz", "--output", "m.npz"]) == 0
    assert load_model("m.npz").preprocessing is None
    assert main(["evaluate", "m.npz"]) == 0
    # another dtype than the network's
    assert main([*SMALL, "--data", "floats.npz", "--dtype", "float32", "--output", "n.npz"]) == 0
    assert load_model("n.npz").network.dtype == np.float32
    capsys.readouterr()


def test_class_labels():
    assert class_labels(np.array([5, 2, 5])) == [2, 5]
    assert class_labels(np.array([0, 2]), 4) == [0, 1, 2, 3]
    assert class_labels(np.array([7, 9]), 2) == [7, 9]
    with pytest.raises(ValueError, match="the images have 1 different labels, 2 are needed"):
        class_labels(np.array([3, 3]))
    with pytest.raises(ValueError, match="have 0 different labels"):
        class_labels(np.array([], np.int64))
    with pytest.raises(
        ValueError, match="the network has 3 outputs, but the images have 2 "
        "different labels, from 2 to 5"
    ):  # fmt: skip
        class_labels(np.array([5, 2]), 3)


def test_as_indices_maps_labels():
    y = np.array([5, 2, 5])
    np.testing.assert_array_equal(as_indices(y, [2, 5], 2, "x"), [1, 0, 1])
    np.testing.assert_array_equal(as_indices(y, [5, 2], 2, "x"), [0, 1, 0])
    np.testing.assert_array_equal(as_indices(y, None, 6, "x"), y)
    np.testing.assert_array_equal(as_indices(y, list("abcdef"), 6, "x"), y)
    for labels, n, strange in (([2, 6], 2, 5), ([5, 9], 2, 2), (None, 3, 5), (list("abcde"), 5, 5)):
        with pytest.raises(ValueError, match=f"x: no output .* has the label {strange}; the"):
            as_indices(y, labels, n, "x")
    with pytest.raises(ValueError, match="has the label -1"):
        as_indices(np.array([-1]), None, 3, "x")


def test_labels_other_than_indices_come_back(empty_folder, capsys):
    Z, y = images(60)
    names = np.array([3, 70, -5])
    np.savez("small.npz", Z=Z, y=names[y])
    write_small(empty_folder, name="unused.npz")
    assert main([*SMALL, "--iterations", "30", "--output", "m.npz"]) == 0
    assert load_model("m.npz").labels == (-5, 3, 70)
    capsys.readouterr()
    assert main(["predict", "m.npz", "--data", "small.npz"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    found = np.array([int(line.split(",")[1]) for line in lines])
    assert (found == names[y]).mean() > 0.9
    assert main(["evaluate", "m.npz", "--data", "small.npz"]) == 0
    assert "true \\ predicted  -5   3  70\n" in capsys.readouterr().out


def test_predict_needs_no_labels(empty_folder, capsys):
    Z, y = write_small(empty_folder)
    assert main([*SMALL, "--output", "m.npz"]) == 0
    np.savez("unlabelled.npz", Z=Z)
    np.savez("flat.npz", Z=Z[..., 0])
    write_idx(empty_folder / "images.gz", Z[..., 0])
    capsys.readouterr()
    texts = []
    for data in ("small.npz", "unlabelled.npz", "flat.npz", "images.gz"):
        assert main(["predict", "m.npz", "--data", data]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].count("\n") == 61 and len(set(texts)) == 1
    write_idx(empty_folder / "vector", y)
    assert main(["predict", "m.npz", "--data", "vector"]) == 1
    assert "'vector': images have 3 dimensions, got 1: (60,)" in capsys.readouterr().err


def test_predict_of_no_images(empty_folder, capsys):
    write_small(empty_folder)
    assert main([*SMALL, "--output", "m.npz"]) == 0
    np.savez("none.npz", Z=np.zeros((0, 4, 4, 1), np.uint8))
    capsys.readouterr()
    assert main(["predict", "m.npz", "--data", "none.npz"]) == 0
    assert capsys.readouterr().out == "index,label,score\n"


def test_predict_part_selects_images(empty_folder, capsys):
    write_small(empty_folder)
    assert main([*SMALL, "--output", "m.npz"]) == 0
    capsys.readouterr()
    for arguments, count in (((), 12), (("--part", "test"), 12), (("--part", "train"), 48)):
        assert main(["predict", "m.npz", *arguments]) == 0
        assert capsys.readouterr().out.count("\n") == count + 1
    assert main(["predict", "m.npz", "--data", "small.npz", "--part", "test"]) == 2
    assert "--part test: small.npz has no test part" in capsys.readouterr().err
    assert main(["predict", "m.npz", "--labels", "x"]) == 2
    assert "--labels goes with --data" in capsys.readouterr().err


def test_confusion_of_many_classes():
    truth = np.repeat(np.arange(30), 4)
    labels = [f"c{k}" for k in range(30)]
    assert confusion(truth, truth, labels) == "no image was taken for another class"
    found = truth.copy()
    found[:3] = 7
    found[4] = 8
    assert confusion(truth, found, labels).splitlines() == [
        "images  true -> predicted, the most frequent mistakes",
        "     3  c0 -> c7",
        "     1  c1 -> c8",
    ]
