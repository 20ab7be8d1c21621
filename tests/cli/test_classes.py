"""Labels of images and names of directories, matched with the classes of a model."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image
from support.cli_runs import complaint
from support.matlab_files import save5

from matconv import Conv, Network, load_model, save_model
from matconv.cli import main
from matconv.commands.labels import first_label
from matconv.io import save_matconvnet

RANDOM = np.random.default_rng(0)
LABELS = ("cat", "cow", "dog")
COLOURS = {"cat": (250, 0, 0), "cow": (0, 250, 0), "dog": (0, 0, 250)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def network():
    """Return a network whose output k is the mean of channel k, and its theta."""
    net = Network((4, 5, 3), [Conv(3, (4, 5), bias=False)])
    W = np.zeros((3, 4, 5, 3))
    for k in range(3):
        W[k, ..., k] = 1 / 20
    return net, net.pack([(W,)])


@pytest.fixture
def model(folder):
    """A file of MatConvNet, net.mat, with classes that have names."""
    net, theta = network()
    save_matconvnet("net.mat", net, theta, LABELS)


def images(y):
    """Return images whose class is that of y."""
    Z = RANDOM.random((len(y), 4, 5, 3))
    for k, c in enumerate(y):
        Z[k, ..., c] += 1
    return Z


def save(ending, Z, y):
    """Save images in a file of some format; return the arguments that name it."""
    if ending == "mat":
        scipy.io.savemat("data.mat", {"Z": Z, "y": y})
    elif ending == "npz":
        np.savez("data.npz", Z=Z, y=y)
    else:
        np.save("data.npy", Z)
        np.save("y.npy", y)
        return ["--data", "data.npy", "--labels", "y.npy"]
    return ["--data", f"data.{ending}"]


def accuracy(capsys, *arguments):
    assert main(["evaluate", *arguments]) == 0
    out = capsys.readouterr().out
    return next(line.split("  ")[-1] for line in out.splitlines() if line.startswith("accuracy"))


@pytest.mark.parametrize("ending", ["mat", "npy", "npz"])
@pytest.mark.parametrize("first", [0, 1])
def test_evaluate_numeric_labels_first_is_found(capsys, model, ending, first):
    y = np.array([2, 0, 1, 1, 2])
    data = save(ending, images(y), y + first)
    assert accuracy(capsys, "net.mat", *data) == "100.00 % (5 of 5)"


def test_evaluate_labels_that_are_no_numbers_refused(capsys, model):
    data = save("mat", images([0, 1]), ["cat", "cow"])
    error = complaint(capsys, "evaluate", "net.mat", *data, status=1)
    assert error == "'data.mat': the labels y must be an array of numbers"
    np.save("x.npy", images([0]))
    Image.new("L", (5, 4)).save("p.png")
    error = complaint(
        capsys, "evaluate", "net.mat", "--data", "x.npy", "--labels", "p.png", status=1
    )
    assert error == "'p.png': expected an IDX or .npy file with labels, got a picture"


@pytest.mark.parametrize("ending", ["mat", "npy", "npz"])
def test_evaluate_ambiguous_labels_refused_unless_first_is_given(capsys, model, ending):
    data = save(ending, images([0, 1]), np.array([1, 2]))
    error = complaint(capsys, "evaluate", "net.mat", *data, status=1)
    assert "the labels are from 1 to 2, which may number the model's 3 classes from 0 or" in error
    assert error.endswith("--first-label 0 or --first-label 1 says which")
    assert accuracy(capsys, "net.mat", *data, "--first-label", "1") == "100.00 % (2 of 2)"
    assert accuracy(capsys, "net.mat", *data, "--first-label", "0") == "0.00 % (0 of 2)"


def test_evaluate_imported_model_without_names_decides_too(capsys, folder):
    net, theta = network()
    save_matconvnet("net.mat", net, theta)
    data = save("mat", images([0, 1]), np.array([1, 2]))
    assert "--first-label" in complaint(capsys, "evaluate", "net.mat", *data, status=1)


@pytest.mark.parametrize("labels", [None, (0, 1, 2)])
def test_evaluate_own_model_with_numbers_keeps_them(capsys, folder, labels):
    net, theta = network()
    save_model("net.npz", net, theta, labels)
    data = save("mat", images([1, 2]), np.array([1, 2]))
    assert accuracy(capsys, "net.npz", *data) == "100.00 % (2 of 2)"


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            [0, 3],
            "the labels are from 0 to 3; those of the model's 3 classes are 0 to 2, or 1 to 3",
        ),
        ([7], "the labels are all 7; those"),
        ([-1, 1], "the labels are from -1 to 1; those"),
        ([1], "the labels are all 1, which may number"),
    ],
)
def test_first_label_other_labels_refused(y, message):
    with pytest.raises(ValueError, match=f"x: {message}"):
        first_label(np.array(y), 3, "x")


def test_train_resume_first_label_is_that_of_all_images(capsys, model):
    data = save("npz", images([0, 1, 0, 1]), np.array([1, 2, 1, 2]))
    np.savez("test.npz", Z=images([2, 1]), y=np.array([3, 2]))
    arguments = ["train", "--resume", "net.mat", "--iterations", "1", "--output", "m.npz", *data]
    assert "--first-label" in complaint(
        capsys, *arguments, "--test-fraction", "0", "--new-split", status=1
    )
    assert main([*arguments, "--test-data", "test.npz", "--new-split"]) == 0
    assert load_model("m.npz").training["settings"]["first_label"] == "1"
    assert accuracy(capsys, "m.npz", "--part", "train") == "100.00 % (4 of 4)"
    assert accuracy(capsys, "m.npz").endswith(" of 2)")


def test_train_resume_first_label_0_is_recorded(capsys, model):
    data = save("npz", images([0, 1, 0, 1]), np.array([0, 1, 0, 1]))
    np.savez("test.npz", Z=images([1, 1]), y=np.array([1, 1]))
    more = ["--test-data", "test.npz", "--new-split", "--iterations", "1", "--output", "m.npz"]
    assert main(["train", "--resume", "net.mat", *data, *more]) == 0
    assert load_model("m.npz").training["settings"]["first_label"] == "0"
    assert accuracy(capsys, "m.npz").endswith(" of 2)")


# a directory for each class


def pictures(*names):
    for name in names:
        colour = COLOURS.get(name, (9, 9, 9))
        Path("data", name).mkdir(parents=True)
        Image.new("RGB", (5, 4), colour).save(f"data/{name}/1.png")


def test_evaluate_directories_are_matched_by_name_not_by_order(capsys, folder):
    net, theta = network()
    W = net.unpack(theta)[0].W
    # outputs in another order than that of the names
    theta = net.pack([(W[..., [2, 0, 1]],)])
    save_matconvnet("net.mat", net, theta, ("dog", "cat", "cow"))
    pictures("cow", "dog")
    assert accuracy(capsys, "net.mat", "--data", "data") == "100.00 % (2 of 2)"


@pytest.mark.parametrize("convert", [False, True])
def test_evaluate_directories_have_names_of_classes_beside_descriptions(capsys, folder, convert):
    net, theta = network()
    save_matconvnet("net.mat", net, theta, LABELS)
    content = scipy.io.loadmat("net.mat", simplify_cells=True)["net"]
    layers = [{**content["layers"], "weights": [*content["layers"]["weights"]]}]
    layers[0]["weights"][0] = net.unpack(theta)[0].W.transpose(1, 2, 0, 3)
    layers[0]["weights"] = layers[0]["weights"][:1]
    classes = {"name": [*LABELS], "description": ["a tame cat", "a cow", "a large dog"]}
    meta = {"inputSize": np.array([4.0, 5, 3]), "classes": classes}
    save5("named.mat", {"net": {"layers": layers, "meta": meta}})
    model = load_model("named.mat")
    assert model.labels == ("a tame cat", "a cow", "a large dog")
    assert model.training["imported"]["classes"] == [*LABELS]
    file = "named.mat"
    if convert:
        file = "named.npz"
        assert main(["convert", "named.mat", file]) == 0
        capsys.readouterr()
    pictures(*LABELS)
    assert accuracy(capsys, file, "--data", "data") == "100.00 % (3 of 3)"
    pictures("horse")
    error = complaint(capsys, "evaluate", file, "--data", "data", status=1)
    assert error.endswith(
        "data: no output of the network has the label 'horse', the name of a directory; the labels "
        "are a tame cat, a cow, a large dog; the names are cat, cow, dog"
    )


def test_evaluate_directories_for_a_model_without_labels_refused(capsys, folder):
    net, theta = network()
    save_model("net.npz", net, theta)
    pictures("cow", "dog")
    error = complaint(capsys, "evaluate", "net.npz", "--data", "data", status=1)
    assert error.endswith(
        "the labels 'cow', 'dog', the names of directories; the labels are 0, 1, 2"
    )


def test_train_other_number_of_outputs_than_directories_refused(capsys, folder):
    pictures("cow", "dog")
    Path("net.toml").write_text('[[layers]]\nkind = "Dense"\nunits = 3\n')
    error = complaint(
        capsys, "train", "--data", "data", "--network", "net.toml", "--test-fraction", "0", status=1
    )
    assert error == "the network has 3 outputs, but data has 2 directories of classes"
