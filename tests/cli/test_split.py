"""The split into training and test images: kept by --resume or reported as changed; classes."""

import numpy as np
import pytest
from support.cli_runs import SMALL, complaint, images

from matconv import load_model, save_model
from matconv.cli import main
from matconv.commands.datasets import DataSet, Images
from matconv.commands.split import fingerprint, fingerprints

LEAK = "note           some of the test images may have been trained on\n"
MORE = ("train", "--resume", "m.npz", "--iterations", "1", "--quiet", "--output", "n.npz")


def printed(capsys, *arguments):
    """Standard output of a command that succeeds."""
    capsys.readouterr()
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def evaluated(capsys, path, *options):
    """The lines of `matconv evaluate` that name the images, and the notes."""
    lines = printed(capsys, "evaluate", path, *options).splitlines()
    return [line.split(None, 1)[1] for line in lines if line.split()[:1] in (["images"], ["note"])]


def as_version_0_1_0(path):
    """The model without what version 0.1.0 did not record."""
    model = load_model(path)
    record = {key: value for key, value in model.training.items() if key != "fingerprints"}
    record["settings"] = {k: v for k, v in record["settings"].items() if k != "split_seed"}
    save_model(path, model.network, model.theta, model.labels, model.preprocessing, record)


# --seed


@pytest.mark.catalogue(69)
def test_resume_another_seed_keeps_the_split(folder, capsys):
    text = printed(capsys, *MORE, "--seed", "7")
    assert "note" not in text
    before, after = load_model("m.npz"), load_model("n.npz")
    assert after.training["settings"]["seed"] == 7
    assert after.training["settings"]["split_seed"] == 0
    assert after.training["fingerprints"] == before.training["fingerprints"]
    assert evaluated(capsys, "n.npz") == ["12 of 4 x 4 x 1: small.npz (20 %, seed 0)"]
    text = printed(capsys, "predict", "n.npz")
    with np.load("small.npz") as file:
        test = np.sort(np.random.default_rng(0).permutation(60)[:12])
        found = after.predict(file["Z"][test])
    assert [int(line.split(",")[1]) for line in text.splitlines()[1:]] == list(found)
    # and the next resume as well, whatever seed the last one had
    printed(capsys, "train", "--resume", "n.npz", "--iterations", "1", "--output", "o.npz")
    assert load_model("o.npz").training["fingerprints"] == before.training["fingerprints"]


@pytest.mark.catalogue(69)
def test_resume_another_seed_shuffles_anew(folder, capsys):
    sgd = ("--solver", "sgd", "--batch-size", "8")
    for seed in "01":
        printed(capsys, *MORE, *sgd, "--seed", seed, "--output", f"{seed}.npz")
    assert load_model("0.npz").theta.tobytes() != load_model("1.npz").theta.tobytes()


def test_train_seed_draws_the_split(folder, capsys):
    printed(capsys, *SMALL, "--seed", "5", "--output", "five.npz")
    assert load_model("five.npz").training["settings"]["split_seed"] == 5
    assert evaluated(capsys, "five.npz") == ["12 of 4 x 4 x 1: small.npz (20 %, seed 5)"]


# other test images


def write(name, seed=0, l=60):
    Z, y = images(l, seed=seed)
    np.savez(name, Z=Z, y=y)
    return Z, y


OTHER = {
    "fraction": ("--test-fraction", "0.5"),
    "no fraction": ("--test-fraction", "0"),
    "data": ("--data", "other.npz"),
    "test data": ("--test-data", "other.npz"),
}
NOW = {
    "fraction": "the test images are not those of m.npz (12 then, now 30: small.npz (50 %, seed "
    "0)); some may have been trained on",
    "no fraction": "the test images of m.npz (12 then, none now) would be trained on",
    "data": "the test images are not those of m.npz (12 then, now 12: other.npz (20 %, seed 0)); "
    "some may have been trained on",
    "test data": "the test images are not those of m.npz (12 then, now 60: other.npz); some may "
    "have been trained on",
}


@pytest.mark.catalogue(69)
@pytest.mark.parametrize("kind", OTHER)
def test_resume_other_test_images_are_refused(folder, capsys, kind):
    write("other.npz", seed=3)
    line = complaint(capsys, *MORE, *OTHER[kind], status=2)
    assert line == f"{NOW[kind]}; --new-split accepts this (see: matconv train --help)"
    assert not (folder / "n.npz").exists()


@pytest.mark.catalogue(69)
@pytest.mark.parametrize("kind", OTHER)
def test_resume_new_split_accepts_and_says_so(folder, capsys, kind):
    write("other.npz", seed=3)
    text = printed(capsys, *MORE, *OTHER[kind], "--new-split")
    leak = kind != "no fraction"
    assert (LEAK in text) == leak
    assert load_model("n.npz").training.get("new_split", False) == leak
    if not leak:
        return
    assert evaluated(capsys, "n.npz")[1:] == ["some of the test images may have been trained on"]
    assert len(evaluated(capsys, "n.npz", "--part", "train")) == 1
    assert len(evaluated(capsys, "n.npz", "--data", "other.npz")) == 1
    assert "new_split" in printed(capsys, "info", "n.npz")
    # what has been trained on stays trained on; loud, it is said before the training as well
    text = printed(capsys, "train", "--resume", "n.npz", "--iterations", "1", "--output", "o.npz")
    assert text.count("some of the test images may have been trained on") == 2
    assert load_model("o.npz").training["new_split"] is True


@pytest.mark.catalogue(69)
def test_resume_new_split_draws_by_the_seed(folder, capsys):
    text = printed(capsys, *MORE, "--seed", "5", "--new-split")
    assert LEAK in text
    assert evaluated(capsys, "n.npz")[0] == "12 of 4 x 4 x 1: small.npz (20 %, seed 5)"


@pytest.mark.catalogue(69)
def test_resume_new_split_that_is_the_old_one_is_no_leak(folder, capsys):
    assert "note" not in printed(capsys, *MORE, "--new-split", "--test-fraction", "0.2")
    assert "new_split" not in load_model("n.npz").training


def test_new_split_without_resume(folder, capsys):
    line = complaint(capsys, *SMALL, "--new-split", status=2)
    assert line == "--new-split goes with --resume (see: matconv train --help)"


@pytest.mark.catalogue(69)
def test_resume_same_images_under_another_name(folder, capsys):
    (folder / "small.npz").rename("moved.npz")
    assert "note" not in printed(capsys, *MORE, "--data", "moved.npz", "--test-fraction", "0.2")
    assert evaluated(capsys, "n.npz") == ["12 of 4 x 4 x 1: moved.npz (20 %, seed 0)"]


@pytest.mark.catalogue(69)
def test_resume_fraction_that_is_not_the_default_is_kept(folder, capsys):
    printed(capsys, *SMALL, "--test-fraction", "0.5", "--seed", "2", "--output", "m.npz", "--force")
    (folder / "small.npz").rename("moved.npz")
    printed(capsys, *MORE, "--data", "moved.npz")
    assert evaluated(capsys, "n.npz") == ["30 of 4 x 4 x 1: moved.npz (50 %, seed 2)"]


# files that change


CHANGED = "small.npz has changed since the training: the test images are not those of m.npz "


@pytest.mark.catalogue(69)
@pytest.mark.parametrize(
    ("change", "now"),
    [("more", "13"), ("fewer", "10"), ("order", "12"), ("label", "12"), ("pixel", "12")],
)
def test_resume_changed_file_is_refused(folder, capsys, change, now):
    Z, y = images(66 if change == "more" else 60)
    test = np.random.default_rng(0).permutation(60)[:12]
    if change == "fewer":
        Z, y = Z[:50], y[:50]
    elif change == "order":
        Z, y = Z[::-1], y[::-1]
    elif change == "label":
        y[test[0]] = (y[test[0]] + 1) % 3
    elif change == "pixel":
        Z[test[0], 3, 3, 0] ^= 1
    np.savez("small.npz", Z=Z, y=y)
    line = complaint(capsys, *MORE, status=1)
    assert line == (
        f"{CHANGED}(12 then, now {now}: small.npz (20 %, seed 0)); some may have been trained on; "
        "--new-split accepts this"
    )
    assert evaluated(capsys, "m.npz")[1:] == [
        "the images have changed since the training",
        "some of the test images may have been trained on",
    ]
    assert LEAK in printed(capsys, *MORE, "--new-split")


@pytest.mark.catalogue(69)
def test_resume_changed_training_images_are_said(folder, capsys):
    write("test.npz", seed=1, l=20)
    train = (*SMALL, "--test-data", "test.npz", "--force", "--output", "m.npz")
    printed(capsys, *train)
    write("small.npz", l=70)
    text = printed(capsys, *MORE)
    assert (
        "note           the training images are not those that m.npz was trained on "
        "(60 then, 70 now)\n"
    ) in text
    assert LEAK not in text and "new_split" not in load_model("n.npz").training
    assert len(evaluated(capsys, "m.npz")) == 1
    assert evaluated(capsys, "m.npz", "--part", "train")[1:] == [
        "the images have changed since the training"
    ]


@pytest.mark.catalogue(69)
def test_resume_without_test_images_changed_file_is_said(folder, capsys):
    printed(capsys, *SMALL, "--test-fraction", "0", "--force", "--output", "m.npz")
    assert "note" not in printed(capsys, *MORE, "--output", "same.npz")
    write("small.npz", l=70)
    assert "(60 then, 70 now)" in printed(capsys, *MORE)
    assert evaluated(capsys, "m.npz")[1:] == ["the images have changed since the training"]


# files of version 0.1.0, and files without a record


@pytest.mark.catalogue(69)
def test_resume_of_an_older_file_keeps_its_split(folder, capsys):
    printed(capsys, *SMALL, "--seed", "3", "--force", "--output", "m.npz")
    as_version_0_1_0("m.npz")
    assert evaluated(capsys, "m.npz") == ["12 of 4 x 4 x 1: small.npz (20 %, seed 3)"]
    assert "note" not in printed(capsys, *MORE, "--seed", "4")
    assert evaluated(capsys, "n.npz") == ["12 of 4 x 4 x 1: small.npz (20 %, seed 3)"]
    line = complaint(capsys, *MORE, "--force", "--test-fraction", "0.4", status=2)
    assert line.startswith(
        "the test images are not those of m.npz (now 24: small.npz (40 %, seed 3)); some may"
    )
    write("small.npz", l=66)
    line = complaint(capsys, *MORE, "--force", status=1)
    assert line.startswith("small.npz has changed since the training: the test images are not")
    assert LEAK in printed(capsys, *MORE, "--force", "--new-split")


@pytest.mark.catalogue(69)
def test_resume_of_a_file_without_a_record_says_that_nothing_is_known(folder, capsys):
    model = load_model("m.npz")
    save_model("bare.npz", model.network, model.theta, model.labels, model.preprocessing)
    resume = ("train", "--resume", "bare.npz", "--iterations", "1")
    text = printed(capsys, *resume, "--data", "small.npz", "--quiet")
    assert "note           bare.npz does not say which images it was trained on\n" + LEAK in text
    assert evaluated(capsys, "bare-2.npz")[1:] == [
        "some of the test images may have been trained on"
    ]
    text = printed(capsys, *resume, "--data", "small.npz", "--quiet", "--test-fraction", "0")
    assert "note" not in text


@pytest.mark.parametrize("strange", [3, {"train": 3, "test": [1]}, {"test": {"images": "x"}}, {}])
def test_resume_wrong_fingerprints_are_refused_or_ignored(folder, capsys, strange):
    model = load_model("m.npz")
    record = {**model.training, "fingerprints": strange}
    save_model("m.npz", model.network, model.theta, model.labels, model.preprocessing, record)
    assert main(["info", "m.npz"]) == main(["evaluate", "m.npz"]) == 0
    if isinstance(strange, dict):
        assert "small.npz has changed since" in complaint(capsys, *MORE, status=1)
    else:
        printed(capsys, *MORE)


# fingerprints


def test_fingerprint_differs_for_other_images():
    Z, y = images(9)
    same = fingerprint(Images(Z, y, "a"))
    assert same == fingerprint(Images(np.asfortranarray(Z), y.copy(), "b"))
    other = [
        Images(Z[:8], y[:8], "a"),
        Images(Z.astype(float), y, "a"),
        Images(Z.reshape(9, 2, 8, 1), y, "a"),
        Images(Z, y[::-1], "a"),
        Images(Z[::-1], y, "a"),
        Images(Z, None, "a"),
    ]
    found = [fingerprint(one) for one in other]
    assert same not in found and len({str(one) for one in found}) == len(other)


def test_fingerprint_of_no_images():
    empty = Images(np.zeros((0, 4, 4, 1)), np.zeros(0, np.int64), "a")
    assert fingerprint(empty)["images"] == 0
    assert fingerprints(DataSet(empty)) == {"train": fingerprint(empty), "test": None}


# classes


@pytest.mark.catalogue(70)
def test_rare_class_in_the_test_part_only_has_an_output(folder, capsys):
    Z, y = images(60, classes=2)
    rare = np.random.default_rng(4).permutation(60)[0]
    y[rare] = 9
    np.savez("rare.npz", Z=Z, y=y)
    train = ("train", "--data", "rare.npz", "--iterations", "2")
    text = printed(capsys, *train, "--seed", "4", "--output", "r.npz")
    assert text.count("no training image has the label 9\n") == 2
    assert load_model("r.npz").labels == (0, 1, 9)
    assert "12 of 4 x 4 x 1" in printed(capsys, "evaluate", "r.npz")
    for seed in "012":
        printed(capsys, *train, "--seed", seed, "--output", f"r{seed}.npz")
        assert load_model(f"r{seed}.npz").labels == (0, 1, 9)


@pytest.mark.catalogue(70)
def test_class_of_separate_test_images_has_an_output(folder, capsys):
    Z, _ = images(9, seed=1)
    np.savez("test.npz", Z=Z, y=[0, 1, 2, 13, 14, 15, 16, 17, 18])
    train = ("train", "--data", "small.npz", "--iterations", "2", "--test-data", "test.npz")
    text = printed(capsys, *train, "--output", "t.npz")
    assert load_model("t.npz").labels == (0, 1, 2, 13, 14, 15, 16, 17, 18)
    assert "note           no training image has the label 13, 14, 15, 16, 17, ...\n" in text


@pytest.mark.catalogue(70)
def test_class_beyond_the_outputs_of_a_given_network(folder, capsys):
    Z, y = images(20, classes=4, seed=1)
    np.savez("test.npz", Z=Z, y=y)
    line = complaint(capsys, *SMALL, "--test-data", "test.npz", "--output", "t.npz", status=1)
    assert line == (
        "the network has 3 outputs, but the images have 4 different labels, from 0 to 3"
    )


@pytest.mark.catalogue(35)
def test_one_class_in_the_training_part_is_refused(folder, capsys):
    Z, _ = images(20)
    y = np.zeros(20, np.int64)
    y[np.random.default_rng(0).permutation(20)[:2]] = 1
    np.savez("one.npz", Z=Z, y=y)
    line = complaint(capsys, "train", "--data", "one.npz", status=1)
    assert line == "the training images have 1 different labels, 2 are needed"
