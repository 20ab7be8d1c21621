"""Models and images in the formats of others, on the command line: convert, info, predict."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matconv import (
    Conv,
    Dense,
    Dropout,
    MaxPool,
    Network,
    Softmax,
    load_model,
    load_predictor,
    save_model,
)
from matconv.cli import main
from matconv.io import save_matconvnet, save_simplenn

REAL = str(Path(__file__).parents[1] / "io" / "matconvnet" / "net_stage_1.mat")
RANDOM = np.random.default_rng(1)
MEAN = [100.0, 110.0, 120.0]
LABELS = ("cat", "cow", "dog")
PIXELS = {"dtype": "uint8", "min": 0.0, "max": 255.0}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(folder):
    """A file of MatConvNet, net.mat, for pictures of 6 x 7."""
    net = Network((6, 7, 3), [Conv(3, (6, 7))], np.float32)
    how = {"shift": 0.0, "scale": 1.0, "mean": MEAN, "resize": [6, 7]}
    save_matconvnet("net.mat", net, net.init(2), LABELS, how, PIXELS)
    return load_model("net.mat")


def run(capsys, *arguments):
    """Run a command that succeeds; return its output."""
    assert main([*map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def noted(capsys, *arguments):
    """Run a command that succeeds; return its notes, on standard error."""
    assert main([*map(str, arguments)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("matconv: note: ") for line in lines)
    return [line.removeprefix("matconv: note: ") for line in lines]


def fail(capsys, status, *arguments):
    """Run a command that fails; return its error, one line."""
    assert main([*map(str, arguments)]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def picture(path, shape=(6, 7, 3)):
    Path(path).parent.mkdir(exist_ok=True, parents=True)
    pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_info_of_a_matconvnet_file(capsys, model):
    out = run(capsys, "info", "net.mat")
    assert "pixels      (pixel - (100, 110, 120)) * 1\n" in out
    assert "pictures    6 x 7, bilinear\n" in out
    assert "imported    from MatConvNet SimpleNN\n" in out
    assert "cat, cow, dog" in out


def test_info_tells_what_was_left_out(capsys):
    assert "layers{8} 'layer8' (softmaxloss): left out" in run(capsys, "info", REAL)


@pytest.mark.parametrize("name", ["net_stage_1", "net_stage_2", "DCFNet-net-7-125-2"])
def test_info_and_predict_of_a_real_file(capsys, folder, name):
    file = str(Path(REAL).with_name(f"{name}.mat"))
    net = load_model(file).network
    out = run(capsys, "info", file)
    assert "imported" in out and out.endswith(f"{net.summary()}\n")
    picture("p.png", net.input_shape)
    if name.startswith("DCFNet"):
        for command in ("predict", "evaluate"):
            error = fail(capsys, 1, command, file, "--data", "p.png")
            assert "the outputs are images 125 x 125 x 32, not scores of classes" in error
        return
    rows = list(csv.reader(io.StringIO(run(capsys, "predict", file, "--data", "p.png"))))
    assert len(rows) == 2 and rows[1][3] == "p.png" and 0 <= int(rows[1][1]) < net.n_outputs


def test_real_file_with_an_unknown_layer_refused(capsys, folder):
    file = str(Path(REAL).with_name("net_stage_1_dilation.mat"))
    for command in (["info", file], ["convert", file, "b.npz"], ["predict", file]):
        error = fail(capsys, 1, *command)
        assert "layers{3} 'pool_m1' (dpool) is not supported; layers{4} 'pool_b1' (dpool)" in error
    assert not Path("b.npz").exists()


@pytest.mark.parametrize("command", ["info", "evaluate", "predict"])
def test_picture_in_place_of_a_model_refused(capsys, folder, command):
    picture("p.png")
    error = fail(capsys, 1, command, "p.png")
    assert "'p.png': expected a model: an .npz file that save_model wrote, or a MATLAB" in error
    assert error.endswith(", got a picture\n")


def test_predict_one_picture(capsys, model):
    pixels = picture("p.png")
    rows = list(csv.reader(io.StringIO(run(capsys, "predict", "net.mat", "--data", "p.png"))))
    z = model.network.forward(model.theta, (pixels[None] - np.array(MEAN)).astype(np.float32))
    z = z.reshape(3).astype(float)
    probability = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    expected = ["0", LABELS[z.argmax()], f"{probability.max():.6g}", "p.png"]
    assert rows == [["index", "label", "score", "file"], expected]


def test_predict_and_evaluate_a_folder_of_classes(capsys, model):
    pixels = [picture(f"data/{name}/{k}.png") for name in ("cow", "dog") for k in range(3)]
    rows = list(csv.reader(io.StringIO(run(capsys, "predict", "net.mat", "--data", "data"))))
    found = model.predict(np.stack(pixels))
    assert [row[1] for row in rows[1:]] == found.tolist()
    assert rows[1][3] == "data/cow/0.png"
    right = sum(found == ["cow"] * 3 + ["dog"] * 3)
    out = run(capsys, "evaluate", "net.mat", "--data", "data")
    assert f"({right} of 6)" in out


def test_evaluate_folder_with_an_unknown_class_refused(capsys, model):
    picture("data/horse/1.png")
    err = fail(capsys, 1, "evaluate", "net.mat", "--data", "data")
    assert "data: no output of the network has the label 'horse'" in err


def test_predict_pictures_of_other_sizes_are_resized(capsys, model):
    picture("data/a.png", (30, 40, 3))
    picture("data/b.jpg", (9, 5, 3))
    out = run(capsys, "predict", "net.mat", "--data", "data")
    assert [row[3] for row in csv.reader(io.StringIO(out))] == ["file", "data/a.png", "data/b.jpg"]


def test_pictures_in_a_directory_and_its_subdirectories_refused(capsys, model):
    picture("data/a.png")
    picture("data/cow/b.png")
    error = fail(capsys, 1, "predict", "net.mat", "--data", "data")
    assert "pictures in the directory, 'a.png', and in subdirectories, 'cow'" in error


def test_directory_without_images_and_pictures_without_labels_refused(capsys, model):
    Path("empty").mkdir()
    error = fail(capsys, 1, "predict", "net.mat", "--data", "empty")
    assert "it holds nothing; there are no pictures (.png, .jpg) or files of CIFAR" in error
    picture("data/a.png")
    for data in ("data", "data/a.png"):
        error = fail(capsys, 1, "evaluate", "net.mat", "--data", data)
        assert f"{data} has no labels: a directory of pictures needs a subdirectory for" in error


def test_predict_npy_of_one_image(capsys, model):
    pixels = picture("p.png")
    np.save("x.npy", pixels)
    out = run(capsys, "predict", "net.mat", "--data", "x.npy")
    assert out.splitlines()[1].split(",")[1] == model.predict(pixels[np.newaxis])[0]


def test_predict_npy_and_evaluate_with_labels(capsys, model):
    pixels = RANDOM.integers(0, 256, (4, 6, 7, 3), dtype=np.uint8)
    np.save("x.npy", pixels)
    np.save("y.npy", np.array([0, 1, 2, 2]))
    out = run(capsys, "predict", "net.mat", "--data", "x.npy")
    assert [row[1] for row in csv.reader(io.StringIO(out))][1:] == model.predict(pixels).tolist()
    assert "of 4)" in run(capsys, "evaluate", "net.mat", "--data", "x.npy", "--labels", "y.npy")
    assert "--labels is needed" in fail(capsys, 2, "evaluate", "net.mat", "--data", "x.npy")


@pytest.mark.parametrize("target", ["b.npz", "b.mat", "b.matconv"])
def test_convert_keeps_theta_and_outputs(capsys, model, target):
    assert main(["convert", "net.mat", target]) == 0
    out = capsys.readouterr().out
    assert out.endswith(f", {model.theta.size} parameters\n") and f"{target}: " in out
    Z = RANDOM.standard_normal((2, 6, 7, 3)).astype(np.float32)
    expected = model.network.forward(model.theta, Z)
    if target.endswith("matconv"):
        assert np.array_equal(load_predictor(target)(Z), model.network.freeze(model.theta)(Z))
        return
    again = load_model(target)
    assert again.labels == LABELS and again.preprocessing == model.preprocessing
    assert np.array_equal(again.network.forward(again.theta, Z), expected)


SIMPLE = [
    Conv(3, 3, pad=1, activation="relu"),
    MaxPool(2),
    Conv(4, 2, activation="relu"),
    Dense(5, activation="relu"),
    Dense(3),
]
COLUMNS = {"shift": 0.0, "scale": 1.0, "transpose": True}
CENTRED = {"shift": 1.0, "scale": 0.25, "mean": RANDOM.uniform(0, 9, (6, 9, 2)).tolist()}
ROWS_NOTE = "simpleNN needs Z with the pixels of a channel by rows"


@pytest.mark.parametrize("labels", [(1, 5, 7), LABELS, None])
@pytest.mark.parametrize("how", [None, COLUMNS, CENTRED, {**CENTRED, "transpose": True}])
def test_convert_to_simplenn_and_back_same_bits(capsys, folder, labels, how):
    net = Network((6, 9, 2), SIMPLE)
    save_model("a.npz", net, net.init(0), labels, how)
    before = load_model("a.npz")
    notes = noted(capsys, "convert", "a.npz", "s.mat", "--to", "simplenn")
    assert ("by columns" in notes[-1]) == bool(how and "transpose" in how)
    assert ("prepared as `matconv info` shows" in notes[-1]) == bool(how and "mean" in how)
    assert ("the labels are 1 to 3 for simpleNN" in notes) == (labels is LABELS)
    run(capsys, "convert", "s.mat", "b.npz")
    model = load_model("b.npz")
    assert np.array_equal(model.theta, before.theta)
    assert model.labels == (labels or (1, 2, 3))
    Z = RANDOM.integers(0, 256, (5, *before.pixel_shape)).astype(float)
    outputs = [one.network.forward(one.theta, one.prepare(Z)) for one in (before, model)]
    assert outputs[0].tobytes() == outputs[1].tobytes()


@pytest.mark.parametrize("how", [COLUMNS, {**CENTRED, "transpose": True}])
def test_convert_simplenn_to_matconvnet_for_pictures(capsys, folder, how):
    net = Network((6, 9, 2), SIMPLE)
    save_simplenn("s.mat", net, net.init(0), LABELS, how)
    before = load_model("s.mat")
    notes = noted(capsys, "convert", "s.mat", "m.mat", "--to", "matconvnet")
    assert notes[0] == "filters are transposed, for images that are not"
    assert ("its images must then be multiplied by 0.25" in notes[-1]) == (how is not COLUMNS)
    model = load_model("m.mat")
    assert model.network.input_shape == (9, 6, 2) and "transpose" not in model.preprocessing
    assert model.labels == LABELS
    Z = RANDOM.integers(0, 256, (5, 9, 6, 2), dtype=np.uint8)
    found, expected = (one.network.forward(one.theta, one.prepare(Z)) for one in (model, before))
    assert abs(found - expected).max() < 1e-13 * abs(expected).max()


def test_convert_matconvnet_to_simplenn_with_dense_layers(capsys, folder):
    layers = [
        Conv(3, 3, pad=1, activation="relu"),
        MaxPool(2),
        Dropout(0.5),
        Conv(5, (3, 4), activation="relu"),
        Conv(3, 1),
    ]
    net = Network((6, 9, 2), layers)
    save_matconvnet("m.mat", net, net.init(0), LABELS, CENTRED)
    before = load_model("m.mat")
    notes = noted(capsys, "convert", "m.mat", "s.mat", "--to", "simplenn")
    assert notes[0] == "dropout3 (Dropout) acts in training only: left out"
    assert notes[-1].startswith(ROWS_NOTE)
    model = load_model("s.mat")
    assert [layer.kind for layer in model.network.layers] == ["Conv", "MaxPool", "Dense", "Dense"]
    assert model.labels == LABELS and model.preprocessing == before.preprocessing
    Z = RANDOM.integers(0, 256, (5, 6, 9, 2), dtype=np.uint8)
    found, expected = (one.network.forward(one.theta, one.prepare(Z)) for one in (model, before))
    assert found.shape == (5, 3)
    assert abs(found - expected.reshape(5, 3)).max() < 1e-13 * abs(expected).max()


def test_convert_to_exported_tells_what_it_does_not_have(capsys, model):
    notes = noted(capsys, "convert", "net.mat", "b.matconv")
    assert notes[0].startswith("an exported network has no labels and no preprocessing: left out")
    out = run(capsys, "info", "b.matconv")
    assert out.startswith("exported  b.matconv, a network for load_predictor, Cython, C and C++\n")
    assert "images    6 x 7 x 3\noutputs   1 x 1 x 3\ndtype     float32\n" in out
    for command in (["predict", "b.matconv"], ["convert", "b.matconv", "c.npz"]):
        error = fail(capsys, 1, *command)
        assert "b.matconv': an exported network, without labels and preprocessing" in error


def test_info_of_a_damaged_exported_file_refused(capsys, model):
    noted(capsys, "convert", "net.mat", "b.matconv")
    content = Path("b.matconv").read_bytes()
    Path("b.matconv").write_bytes(content[:-9])
    assert "'b.matconv': " in fail(capsys, 1, "info", "b.matconv")


def test_convert_existing_target_is_kept(capsys, model):
    Path("b.npz").write_text("precious")
    assert "File exists; --force replaces it" in fail(capsys, 1, "convert", "net.mat", "b.npz")
    assert Path("b.npz").read_text() == "precious"
    run(capsys, "convert", "net.mat", "b.npz", "--force")
    assert load_model("b.npz").labels == LABELS


@pytest.mark.parametrize(
    ("status", "arguments", "message"),
    [
        (2, ["net.mat", "b.foo"], "b.foo does not end with .npz, .matconv or .mat; use --to"),
        (1, ["missing.mat", "b.npz"], "No such file or directory"),
        (1, ["text.mat", "b.npz"], "text.mat"),
        (1, [REAL, "b.mat", "--to", "simplenn"], "simpleNN has chains of square convolutions"),
        (
            1,
            ["a.npz", "b.mat", "--input-shape", "3", "3", "1"],
            "'a.npz' is for images of 2 x 2 x 1",
        ),
        (1, ["net.mat", "none/b.npz"], "No such directory"),
    ],
)
def test_convert_wrong_arguments_refused(capsys, model, status, arguments, message):
    Path("text.mat").write_text("text")
    net = Network((2, 2, 1), [Dense(2)])
    save_model("a.npz", net, net.init(0))
    assert message in fail(capsys, status, "convert", *arguments)
    assert not Path("b.npz").exists() and not Path("b.mat").exists()


def test_convert_tells_what_was_left_out(capsys, folder):
    notes = noted(capsys, "convert", REAL, "b.npz")
    assert notes[0] == "layers{8} 'layer8' (softmaxloss): left out"


def test_train_on_a_folder_of_classes(capsys, folder):
    for name in ("cat", "dog"):
        for k in range(4):
            picture(f"data/{name}/{k}.png", (8, 8, 3))
    toml = '[[layers]]\nkind = "Dense"\nunits = 2\n'
    Path("net.toml").write_text(toml)
    out = run(capsys, "train", "--data", "data", "--network", "net.toml", "--input-shape", "8",
              "8", "3", "--iterations", "2", "--output", "m.npz")  # fmt: skip
    assert "8 x 8 x 3" in out
    assert load_model("m.npz").labels == ("cat", "dog")
    run(capsys, "evaluate", "m.npz")


@pytest.mark.parametrize("labels", [[1, 2, 3], ["1", "2", "3"]])
def test_evaluate_matconvnet_file_with_labels_from_1(capsys, folder, labels):
    net = Network((6, 7, 1), [Dense(3)])
    save_matconvnet("net.mat", net, net.init(0), labels)
    Z = RANDOM.random((30, 6, 7, 1))
    np.savez("data.npz", Z=Z, y=net.predict(net.init(0), Z) + 1)
    assert "100.00 % (30 of 30)" in run(capsys, "evaluate", "net.mat", "--data", "data.npz")


def test_evaluate_network_that_ends_with_softmax_has_the_loss_of_its_probabilities(capsys, folder):
    net = Network((6, 7, 1), [Dense(3), Softmax()])
    save_matconvnet("net.mat", net, net.init(0))
    Z, y = RANDOM.random((30, 6, 7, 1)), np.arange(30) % 3
    np.savez("data.npz", Z=Z, y=y)
    scores = net.forward(net.init(0), Z).reshape(30, 3)
    loss = -np.log(scores[np.arange(30), y]).mean()
    out = run(capsys, "evaluate", "net.mat", "--data", "data.npz")
    assert f"{loss:.6g}, the mean softmax loss of an image" in out
