"""What is made of results files: a comparison, tables for the README, a picture."""

import copy
import doctest
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import algorithms
import compare
import frozen
import peers
import peers_onnx
import plot
import readme
import run
import shapes
import timing


def spread(median):
    return {"least": median, "lower": median, "median": median, "upper": median, "n": 3}


def record(name, mine, other, **changes):
    """A measurement: matconv took `mine` seconds, PyTorch `other`."""
    return {
        "kind": "layer",
        "name": name,
        "sizes": "1, 2",
        "pass": "forward",
        "dtype": "float64",
        "threads": 1,
        "algorithm": "auto",
        "peer": "torch",
        "form": "nchw",
        "flops": 10**9,
        "matconv": spread(mine),
        "other": spread(other),
        "ratio": spread(other / mine),
        **changes,
    }


@pytest.fixture
def document():
    """Two layers and a network on a machine that is not this one."""
    pool = {"user_api": "blas", "internal_api": "openblas", "architecture": "Zen"}
    return {
        "machine": {
            "date": "2026-11-22T10:00:00+00:00",
            "processor": "Abacus",
            "cores": 2,
            "system": "Linux x86_64",
            "load": 0.0,
            "libraries": [pool | {"version": "0.3", "folder": "scipy.libs"}],
            "versions": {"matconv": "0.1", "torch": "2.13"},
        },
        "command": "python bench/run.py layers",
        "records": [
            record("vgg-64", 1.0, 2.0),
            record("vgg-128", 1.0, 4.5),
            record("vgg-64", 1.0, 1.5, threads=2),
            record("lenet", 2.0, 1.0, kind="net", peer="torch-f32", **{"pass": "step"}),
        ],
    }


@pytest.fixture
def write(tmp_path):
    """Write a document to a file of this name."""

    def put(name, content):
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return put


# ---- compare ------------------------------------------------------------------------------------


def test_same_files_have_no_regression(document, write, capsys):
    path = write("a.json", document)
    assert compare.main([path, path]) == 0
    assert "0 of 4 measurements lost more than 10%" in capsys.readouterr().out


def test_compare_slower_than_peer_is_marked_and_first(document, write, capsys):
    new = copy.deepcopy(document)
    new["records"][1] = record("vgg-128", 1.25, 4.5)
    assert compare.main([write("a.json", document), write("b.json", new)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-4:] == ["0.80", "1.00", "0.80", "SLOWER"]
    assert lines[1].startswith("vgg-128 forward, float64, 1 thread, auto against torch")
    assert not any("SLOWER" in line for line in lines[2:])
    assert compare.main([write("a.json", document), write("b.json", new), "--threshold", "21"]) == 0


def test_a_slower_machine_is_no_regression(document, write, capsys):
    new = copy.deepcopy(document)
    new["records"] = [record("vgg-64", 2.0, 4.0)]
    new["machine"]["processor"] = "Slower abacus"
    assert compare.main([write("a.json", document), write("b.json", new)]) == 0
    out = capsys.readouterr().out
    assert "processor: Abacus -> Slower abacus" in out
    assert "0.50  0.50          1.00" in out
    assert "0 of 1 measurements" in out


@pytest.mark.parametrize("key", ["sizes", "threads", "dtype", "algorithm", "peer"])
def test_different_measurements_are_not_compared(document, key):
    new = copy.deepcopy(document)
    new["records"] = [{**document["records"][1], key: "other"}]
    assert compare.changes(document, new) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not JSON {", "not JSON, so not a results file"),
        ([1], "no records of bench/run.py's"),
        ({"gradient": []}, "no records of bench/run.py's"),
        ({"records": [{"layer": "vgg-64"}]}, "no records of bench/run.py's"),
        ({"records": []}, "no measurement is in both"),
    ],
)
def test_files_that_cannot_be_compared(document, write, capsys, content, message):
    assert compare.main([write("a.json", document), write("b.json", content)]) == 2
    err = capsys.readouterr().err
    assert message in err and "b.json" in err


def test_a_file_that_is_missing(document, write, capsys, tmp_path):
    assert compare.main([str(tmp_path / "no.json"), write("a.json", document)]) == 2
    assert "no.json: No such file or directory" in capsys.readouterr().err


# ---- readme -------------------------------------------------------------------------------------


def test_readme_has_date_machine_command_and_numbers(document):
    text = readme.markdown(document)
    for part in ("2026-11-22", "Abacus", "openblas 0.3 (Zen) of scipy", "PyTorch 2.13"):
        assert part in text
    assert "```sh\npython bench/run.py layers\n```" in text
    assert "| layer (l, d, b, f, h) | PyTorch, 1 thread | PyTorch, 2 threads |" in text
    assert "| vgg-64 (1, 2) | 2.00 | 1.50 |" in text
    assert "| vgg-128 (1, 2) | 4.50 |  |" in text
    assert "| geometric mean | 3.00 | 1.50 |" in text
    assert "Networks: training step, float64" in text
    assert "| lenet (1, 2) | 0.50 |" in text


def test_readme_has_the_targets(document):
    one = {"row": "S1", "measure": "a", "threads": None, "target": ">= 1", "measured": "2"}
    document["targets"] = [{**one, "met": True}, {**one, "met": False, "threads": 2}]
    text = readme.markdown(document, ["both"])
    assert "| S1 | a |  | >= 1 | 2 | met |\n| S1 | a | 2 | >= 1 | 2 | NOT met |" in text
    assert "vgg-64" not in text


def test_readme_replaces_what_is_between_the_markers(document, write, capsys):
    path = write("README.md", f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    results = write("a.json", document)
    for _ in range(2):  # the second time changes nothing more
        assert run.main(["readme", results, "--write", path]) == 0
        text = Path(path).read_text(encoding="utf-8")
        assert text == (
            f"before\n{readme.BEGIN}\n\n{readme.markdown(document)}\n\n{readme.END}\nafter\n"
        )
    assert run.main(["readme", results]) == 0
    assert readme.markdown(document) in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        readme.BEGIN,
        f"{readme.END} {readme.BEGIN}",
        2 * readme.BEGIN + readme.END,
        readme.BEGIN + 2 * readme.END,
    ],
)
def test_readme_without_its_markers_is_left_alone(document, write, capsys, text):
    path = write("README.md", text)
    assert run.main(["readme", write("a.json", document), "--write", path]) == 1
    assert "README.md: needs <!-- numbers --> and after it" in capsys.readouterr().err
    assert Path(path).read_text(encoding="utf-8") == text


# ---- plot ---------------------------------------------------------------------------------------


def test_speeds_are_useful_flops_over_time():
    records = [
        record("vgg-64", 0.5, 2.0),
        record("vgg-64", 0.25, 1.0, peer="gemm"),
        record("vgg-64", 1.0, 1.0, algorithm="im2col", peer="gemm"),
        record("vgg-64", 0.1, 0.1, dtype="float32"),
        record("vgg-64", 0.1, 0.1, threads=2),
        record("vgg-64", 0.1, 0.1, peer="1 thread"),
        record("vgg-64", 0.1, 0.1, **{"pass": "both"}),
    ]
    assert plot.speeds(records, "float64", 1) == {
        ("matconv", "auto"): {"vgg-64": 4.0},
        ("matconv", "im2col"): {"vgg-64": 1.0},
        ("other", "torch"): {"vgg-64": 0.5},
        ("other", "gemm"): {"vgg-64": 1.0},
    }


def test_picture_is_written(document, write, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "speed.png"
    assert run.main(["plot", write("a.json", document), str(path)]) == 0
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(content) > 20_000


def test_plot_without_records_refused(document, write, capsys, tmp_path):
    document["records"] = document["records"][-1:]
    assert run.main(["plot", write("a.json", document), str(tmp_path / "speed.png")]) == 1
    assert "nothing to draw: no forward passes of layers" in capsys.readouterr().err


def test_picture_without_matplotlib(document, write, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run.main(["plot", write("a.json", document), str(tmp_path / "speed.png")]) == 1
    assert "matplotlib is not installed" in capsys.readouterr().err


# ---- algorithms ---------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    """One tiny layer as the only one, and no waiting."""
    layer = shapes.Layer("tiny", 2, 3, (5, 5), 4, (3, 3), pad=1)
    monkeypatch.setattr(shapes, "LAYERS", {"tiny": layer})
    monkeypatch.setattr(shapes, "SETS", {"all": ("tiny",)})
    monkeypatch.setattr(timing, "rest", lambda: None)
    return layer


@pytest.mark.parametrize("channels, takes", [(1, "im2col"), (32, "winograd")])
def test_taken_names_the_algorithm_by_bits(tiny, monkeypatch, tmp_path, capsys, channels, takes):
    layer = shapes.Layer("tiny", 8, channels, (8, 8), channels, (3, 3), pad=1)
    monkeypatch.setattr(shapes, "LAYERS", {"tiny": layer})
    path = tmp_path / "found.json"
    assert run.main(["algorithms", "--quick", "--dtypes", "float64", "--json", str(path)]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))["algorithms"]
    assert [(one["pass"], one["auto"]) for one in found] == [("forward", takes), ("both", takes)]
    assert "of 2 measurements" in capsys.readouterr().out


@pytest.mark.parametrize("module", [algorithms, compare, plot, readme])
def test_examples_of_the_documentation(module):
    assert doctest.testmod(module).failed == 0


def test_one_image_is_measured_with_and_without_its_python(tmp_path, capsys):
    path = tmp_path / "latency.json"
    assert run.main(["latency", "--dtypes", "float32", "--json", str(path)]) == 0
    (found,) = json.loads(path.read_text(encoding="utf-8"))["latency"]
    assert found["overhead"] == found["call"] - found["layers"] + found["python"]
    assert 0 < found["python"] < found["layers"]
    assert "lenet, 1 image  call us" in capsys.readouterr().out


def test_frozen_networks_without_the_peer_say_so(monkeypatch, capsys):
    def missing():
        raise peers.Missing("onnxruntime is not installed")

    monkeypatch.setattr(peers_onnx, "require", missing)
    assert run.main(["frozen", "--quick"]) == 0
    assert "skipped   onnxruntime: onnxruntime is not installed" in capsys.readouterr().out


def test_frozen_networks_agree_with_the_peer_before_they_are_timed(monkeypatch, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(frozen, "IMAGES", (1, 3))
    path = tmp_path / "frozen.json"
    assert run.main(["frozen", "--quick", "--json", str(path)]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))["frozen"]
    expected = [(dtype, images) for dtype in ("float64", "float32") for images in (1, 3)]
    assert [(one["dtype"], one["images"]) for one in found] == expected
    assert all(one["ratio"]["median"] > 0 for one in found)
    monkeypatch.setattr(frozen, "AGREEMENT", -1.0)
    assert run.main(["frozen", "--quick"]) == 1
    assert "1 images, float64: outputs differ by " in capsys.readouterr().err


def test_epochs_on_real_images_learn(tmp_path, capsys):
    random = np.random.default_rng(0)
    for part, count in (("train", 640), ("t10k", 50)):
        y = random.integers(0, 2, count).astype(np.uint8)
        Z = random.integers(0, 100, (count, 28, 28)).astype(np.uint8)
        Z[y == 1, :14] += 150  # the upper half is bright or not
        for name, shape, array in (
            ("images-idx3", (count, 28, 28), Z), ("labels-idx1", (count,), y),
        ):  # fmt: skip
            head = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
            (tmp_path / f"{part}-{name}-ubyte").write_bytes(head + array.tobytes())
    path = tmp_path / "epochs.json"
    command = ["epoch", "--data", str(tmp_path), "--epochs", "2", "--threads", "1"]
    assert run.main([*command, "--json", str(path)]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))["epochs"]
    assert [one["who"] for one in found[:2]] == ["matconv float64", "matconv float32"]
    assert all(len(one["seconds"]) == 2 and one["accuracy"] > 0.9 for one in found)
    assert "test accuracy" in capsys.readouterr().out
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert run.main(command) == 1
    assert "no t10k-labels-idx1-ubyte" in capsys.readouterr().err
