"""Networks by name and from TOML files, and matconv check on them."""

import json
import re

import numpy as np
import pytest
from support.cli_runs import TOML, write_small

from matconv import Add, Conv, Dense, FormatError, Network, Objective, load_model, save_model
from matconv.checking import Check
from matconv.cli import main
from matconv.commands.checks import checks
from matconv.presets import PRESETS, make_network, preset_for


def test_make_network_lenet_has_its_sizes():
    net = make_network("lenet", None, 10)
    assert net.input_shape == (28, 28, 1) and net.output_shape == (10,)
    sizes = [net.layout.places[k].stop - net.layout.places[k].start for k in (0, 2, 4, 5)]
    assert sizes == [20 * 26, 50 * 501, 500 * 801, 10 * 501]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_make_network_presets(name, dtype):
    shape = (72, 70, 3)
    net = make_network(name, shape, 7, dtype)
    assert (net.input_shape, net.dtype) == (shape, dtype)
    assert net.output_shape[-1] == (7 if PRESETS[name].accepts("classes") else 3)
    assert make_network(name, None, 7).input_shape == PRESETS[name].input_shape
    assert preset_for(PRESETS[name].input_shape) == ("digits" if name == "digits" else "lenet")


def test_make_network_width_narrows_the_network():
    net = make_network("resnet18", (32, 32, 1), 7, width=0.125)
    assert net.layers[0].channels == 8 and net.output_shape == (7,)


def test_check_of_a_narrow_network_finds_no_error(capsys):
    arguments = [
        "--network",
        "squeezenet-1.1",
        "--width",
        "0.0625",
        "--input-shape",
        "17",
        "17",
        "1",
    ]
    assert main(["check", *arguments, "--images", "2"]) == 0
    assert "all checks passed" in capsys.readouterr().out


def test_train_width_of_a_network_without_it_is_refused(capsys):
    assert main(["train", "--network", "lenet", "--width", "0.5"]) == 1
    assert "--width goes with --network " in capsys.readouterr().err


def test_make_network_lenet_small_images_refused():
    with pytest.raises(ValueError, match=r"layer 2 \(Conv\) on images 2 x 2 x 20"):
        make_network("lenet", (8, 8, 1), 10)


def toml(tmp_path, text):
    path = tmp_path / "net.toml"
    path.write_text(text)
    return str(path)


def test_make_network_toml(tmp_path):
    path = toml(
        tmp_path,
        '[network]\ndtype = "float32"\ninput_shape = [9, 8, 2]\n'
        '[[layers]]\nkind = "Conv"\nchannels = 4\nkernel = [3, 2]\npad = [[1, 0], [0, 1]]\n'
        'activation = "none"\n'
        '[[layers]]\nkind = "MaxPool"\nwindow = 2\n'
        '[[layers]]\nkind = "Dense"\nunits = 5\nactivation = "relu"\n',
    )
    net = make_network(path, None, 10)
    assert net.description()["layers"][0]["pad"] == [[1, 0], [0, 1]]
    assert net.layers[0].activation is None and net.layers[2].activation == "relu"
    assert (net.input_shape, net.output_shape, net.dtype) == ((9, 8, 2), (5,), "float32")
    assert make_network(path, (9, 8, 2), 10, "float64").dtype == "float64"
    plain = make_network(toml(tmp_path, TOML), (4, 4, 1), 10)
    assert plain.layers == (Conv(3, 2, activation="relu"), Dense(3)) and plain.dtype == "float64"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[layers]\n", "not TOML: "),
        ("\udce9", "not TOML: "),
        ("# nothing", "at least one layer is needed, got none"),
        ("layers = 3", "network: layers must be a list"),
        ("layers = [3]", "layer 0: kind must be one of"),
        (
            TOML + "[more]\n",
            (
                r"expected a table \[network\] with dtype, input_shape, outputs, all optional, and "
                r"tables \[\[layers\]\], and nothing else"
            ),
        ),
        ("[network]\nloss = 3\n" + TOML, r"expected a table \[network\] with dtype"),
        ("network = 3\n" + TOML, r"expected a table \[network\] with dtype"),
        ('[network]\ndtype = "int8"\n' + TOML, "dtype must be 'float64' or 'float32', got 'int8'"),
        (
            "[network]\ninput_shape = [5, 4, 1]\n" + TOML,
            r"\[5, 4, 1\], but the images are \[4, 4, 1\]",
        ),
        ("[network]\ninput_shape = 4\n" + TOML, "input_shape must be a list"),
        (TOML.replace("Conv", "Covn"), "layer 0: kind must be one of .*, got 'Covn'"),
        (
            TOML.replace("channels", "filters"),
            r"layer 0 \(Conv\): missing channels; unknown filters",
        ),
        (
            TOML.replace('activation = "relu"\n', ""),
            r"layer 0 \(Conv\): activation must be given, \"relu\" or \"none\"",
        ),
        (TOML.replace("relu", "swoosh"), r"layer 0 \(Conv\): activation must be .*, got 'swoosh'"),
        (TOML.replace("kernel = 2", "kernel = 9"), r"layer 0 \(Conv\) on images 4 x 4 x 1: "),
        (
            '[network]\noutputs = ["scores"]\n' + TOML,
            r"Network: outputs must name layers \(input, conv1, dense2\), got 'scores'",
        ),
        (
            '[network]\noutputs = ["conv1"]\n' + TOML,
            (
                r"layer 1 \(Dense\): no layer reads its output 'dense2', and it is not one of the "
                "network's outputs"
            ),
        ),
        (
            '[network]\noutputs = "dense2"\n' + TOML,
            "Network: outputs must be a sequence of names, got 'dense2'",
        ),
        (
            "[network]\noutputs = []\n" + TOML,
            r"Network: outputs must be different names, got \(\)",
        ),
        (
            '[network]\noutputs = ["dense2", "dense2"]\n' + TOML,
            r"Network: outputs must be different names, got \('dense2', 'dense2'\)",
        ),
        (
            "[network]\noutputs = [1]\n" + TOML,
            r"Network: outputs must be a sequence of names, got \[1\]",
        ),
        ("#" + "x" * 2**20, "1048577 bytes, a network takes at most 1048576"),
    ],
)
def test_make_network_wrong_toml_refused(tmp_path, text, message):
    path = tmp_path / "net.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError, match=message) as caught:
        make_network(str(path), (4, 4, 1), 3)
    assert str(path) in str(caught.value)


TWO_OUTPUTS = """\
[network]
outputs = ["side", "scores"]

[[layers]]
kind = "Conv"
channels = 3
kernel = 2
activation = { kind = "Clip", lo = 0.0, hi = 6.0 }
name = "first"

[[layers]]
kind = "Dense"
units = 2
inputs = "first"
name = "side"

[[layers]]
kind = "Dense"
units = 2
inputs = "first"
name = "other"

[[layers]]
kind = "Add"
inputs = ["side", "other"]
factors = [1.0, -1.0]
name = "scores"
"""


def test_toml_several_outputs_is_the_network_of_its_description(tmp_path):
    net = make_network(toml(tmp_path, TWO_OUTPUTS), (4, 4, 1), 3)
    assert net.outputs == ("side", "scores") and net.output_shape == ((2,), (2,))
    assert net.layers[3] == Add(inputs=["side", "other"], factors=(1, -1), name="scores")
    description = json.loads(json.dumps(net.description()))
    assert description["outputs"] == ["side", "scores"]
    again = Network.from_description(description)
    assert again == net and hash(again) == hash(net)
    theta, Z = net.init(0), np.ones((2, 4, 4, 1))
    side, scores = make_network(toml(tmp_path, TWO_OUTPUTS), (4, 4, 1), 3).forward(theta, Z)
    for one, other in zip((side, scores), again.forward(theta, Z), strict=True):
        assert one.tobytes() == other.tobytes()
    assert not np.array_equal(side, scores)


def test_toml_one_output_by_name_trains_and_predicts(tmp_path, monkeypatch, capsys):
    write_small(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = '[network]\noutputs = ["scores"]\n' + TOML + 'name = "scores"\n'
    (tmp_path / "net.toml").write_text(text)
    assert main(["train", "--data", "small.npz", "--network", "net.toml", "--iterations", "1",
                 "--output", "m.npz", "--quiet"]) == 0  # fmt: skip
    assert main(["evaluate", "m.npz"]) == 0
    assert main(["info", "m.npz"]) == 0
    out, err = capsys.readouterr()
    assert "outputs    scores" in out and err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", "small.npz", "--network", "two.toml"],
        ["train", "--data", "small.npz", "--resume", "two.npz"],
        ["evaluate", "two.npz", "--data", "small.npz"],
        ["predict", "two.npz", "--data", "small.npz"],
        ["check", "--network", "two.toml", "--input-shape", "4", "4", "1"],
    ],
    ids=" ".join,
)
def test_command_several_outputs_are_refused(arguments, tmp_path, monkeypatch, capsys):
    write_small(tmp_path)
    (tmp_path / "two.toml").write_text(TWO_OUTPUTS)
    monkeypatch.chdir(tmp_path)
    net = make_network("two.toml", (4, 4, 1), 2)
    save_model("two.npz", net, net.init(0))
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    name = "two.toml" if "two.toml" in arguments else "two.npz"
    assert (out, err) == (
        "",
        (
            f"matconv: error: {name}: the network has 2 outputs (side, scores), commands work with "
            "one; in Python: matconv.Objective(..., output=...)\n"
        ),
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert Objective(net, np.ones((1, 4, 4, 1)), [0], output="side").n_outputs == 2


def test_info_of_several_outputs_names_them(tmp_path, capsys):
    net = make_network(toml(tmp_path, TWO_OUTPUTS), (4, 4, 1), 2)
    save_model(tmp_path / "two.npz", net, net.init(0))
    assert main(["info", str(tmp_path / "two.npz")]) == 0
    out, err = capsys.readouterr()
    assert err == "" and re.search(r"^outputs +side, scores$", out, re.MULTILINE)


def test_toml_without_a_shape(tmp_path):
    with pytest.raises(
        FormatError, match=r"input_shape is needed in \[network\] if there are no images"
    ):
        make_network(toml(tmp_path, TOML), None, 3)


def test_make_network_unknown_name_refused(tmp_path):
    with pytest.raises(
        ValueError, match="'lenet5' is neither a file nor one of digits, lenet, lenet-m"
    ):
        make_network("lenet5", (28, 28, 1), 10)
    with pytest.raises(FileNotFoundError, match=r"missing\.toml"):
        make_network(str(tmp_path / "missing.toml"), (28, 28, 1), 10)


# matconv check


NET = Network(
    (6, 5, 2), [Conv(4, 3, stride=(1, 2), pad="same", groups=2, activation="relu"), Dense(3)]
)


@pytest.mark.parametrize("loss", ["softmax", "squared"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_checks_are_well_within_their_bounds(dtype, loss):
    found = list(checks(Network(NET.input_shape, NET.layers, dtype), loss, 5, seed=0))
    assert [check.name for check in found if not check.holds] == []
    single = dtype == np.float32
    assert len(found) == 4 + 7 + single * (3 + 3) + 4
    for check in found:
        assert 0 <= check.difference < check.bound / 10


def test_check_command(capsys):
    status = main(
        ["check", "--network", "simplenn-3", "--input-shape", "9", "10", "2", "--images", "3"]
    )
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    assert out.endswith("\nall checks passed\n") and "WRONG" not in out
    assert "adjoint of layer 0 (Conv), weights " in out and "adjoint of layer 1 (MaxPool), " in out
    assert "9 x 10 x 2\n" in out


def test_check_command_bound_that_decides_nothing_fails(monkeypatch, capsys):
    found = [Check("wide", 0.2, 0.3), Check("wrong", 0.4, 0.3), Check("right", 0.01, 0.02)]
    monkeypatch.setattr("matconv.commands.checks.checks", lambda *arguments: iter(found))
    assert main(["check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    ends = {line.split()[0]: line.split(None, 3)[3:] for line in lines if "e-0" in line}
    assert ends == {"wide": ["NOT DECIDED"], "wrong": ["WRONG"], "right": []}
    assert lines[-1] == "some checks FAILED: see the lines above"


def test_check_of_a_toml_file(tmp_path, capsys):
    write_small(tmp_path)
    path = str(tmp_path / "small.toml")
    assert main(["check", "--network", path, "--input-shape", "4", "4", "1", "--seed", "3"]) == 0
    assert "all checks passed" in capsys.readouterr().out


@pytest.mark.parametrize("fault", ["dZ", "dW", "db", "pool"])
def test_check_finds_a_wrong_backward_pass(monkeypatch, capsys, fault):
    monkeypatch.setattr(Network, "_compile", lambda net: Wrong(compiled(net), net, fault))
    assert main(["check", "--images", "4"]) == 1
    out, err = capsys.readouterr()
    assert err == "" and "some checks FAILED" in out
    wrong = [line for line in out.splitlines() if line.endswith("WRONG")]
    assert any(line.startswith("gradient along itself") for line in wrong)
    part = {"dZ": "(Conv), images", "dW": "(Conv), weights", "pool": "(MaxPool), images"}.get(fault)
    assert part is None or any(part in line for line in wrong)


compiled = Network._compile


class Wrong:
    """A program whose gradients are those of a wrong operation."""

    def __init__(self, program, net, fault):
        self._program, self._net, self._fault = program, net, fault

    def __getattr__(self, name):
        return getattr(self._program, name)

    def loss(self, *arguments, **options):
        value = self._program.loss(*arguments, **options)
        if len(arguments) > 7 and arguments[7] is not None:
            self._spoil(arguments[7])
        return value

    def backward(self, *arguments, **options):
        self._program.backward(*arguments, **options)
        self._spoil(arguments[5])

    def _spoil(self, dtheta):
        for k, arrays in self._net.layout.views(dtheta):
            after = [layer.kind for layer in self._net.layers[k + 1 :]]
            if {"dZ": "Conv", "pool": "MaxPool"}.get(self._fault) in after:
                for array in arrays:  # all that the wrong dZ of a later layer reaches
                    array *= 1.001
            part = {"dW": 0, "db": 1}.get(self._fault)
            if self._net.layers[k].kind == "Conv" and part is not None and part < len(arrays):
                arrays[part][...] *= 1.001


def test_train_of_a_network_for_larger_images_enlarges_them(tmp_path, capsys):
    path = str(tmp_path / "m.npz")
    arguments = [
        "--network",
        "squeezenet-1.1",
        "--width",
        "0.0625",
        "--input-shape",
        "24",
        "24",
        "1",
    ]
    assert main(["train", *arguments, "--iterations", "1", "--output", path]) == 0
    model = load_model(path)
    assert model.network.input_shape == (8, 8, 1) and model.network.names[0] == "enlarged"
    assert main(["evaluate", path]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_train_of_images_that_cannot_be_enlarged_is_refused(capsys):
    assert main(["train", "--input-shape", "20", "20", "1"]) == 1
    assert "images of 8 x 8 x 1 cannot be enlarged to 20 x 20 x 1" in capsys.readouterr().err
