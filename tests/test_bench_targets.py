"""The table of targets says met where results meet it, and not met where they do not."""

import doctest
import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import layers
import machine
import measuring
import run
import scaling
import shapes
import startup
import targets


def record(name, ratio, **changes):
    """A measurement of a layer with this ratio: auto against PyTorch, float64, forward."""
    spread = {"least": ratio, "lower": ratio, "median": ratio, "upper": ratio, "n": 1}
    return {
        "kind": "layer",
        "name": name,
        "sizes": "1",
        "pass": "forward",
        "dtype": "float64",
        "threads": 1,
        "algorithm": "auto",
        "peer": "torch",
        "form": None,
        "flops": 10**9,
        "matconv": spread,
        "other": spread,
        "ratio": spread,
        **changes,
    }


def verdict(records, row, threads=1, which="forward"):
    """The line of a row for one number of threads; of a pass where there are several."""
    lines = targets.verdicts({"records": records}, [row], [threads])
    return next(one for one in lines if which in one["measure"])


# ---- verdicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratios", "met"),
    [
        ((0.95, 0.95), True),
        ((0.94, 0.95), False),  # the geometric mean is below 0.95
        ((0.8, 1.2), True),
        ((0.79, 2.0), False),  # one is below 0.8
        ((), None),
    ],
)
def test_im2col_against_the_plain_products(ratios, met):
    names = ("vgg-64", "resnet-stem")
    records = [
        record(name, ratio, algorithm="im2col", peer="gemm")
        for name, ratio in zip(names, ratios, strict=False)
    ]
    found = verdict(records, "S1")
    assert found["met"] is met
    assert found["target"] == "gm >= 0.95, each >= 0.8"


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 2},
        {"dtype": "float32"},
        {"pass": "both"},
        {"algorithm": "im2col"},
        {"peer": "torch-f32"},
        {"kind": "net"},
    ],
    ids=str,
)
def test_target_ignores_other_records(changes):
    records = [record("vgg-64", 5.0), record("mine", 0.1), record("vgg-128", 0.1, **changes)]
    found = verdict(records, "S3")
    assert found["values"] == {"vgg-64": 5.0}
    assert found["met"] is True


def test_only_3x3_and_5x5_of_stride_1_count_against_the_products_for_auto():
    records = [record(name, 2.5, peer="gemm") for name in shapes.LAYERS]
    assert sorted(verdict(records, "S2")["values"]) == sorted(
        name
        for name in shapes.LAYERS
        if name not in ("alexnet-1", "resnet-stem", "resnet-3x3-s2") and "1x1" not in name
    )


def test_each_training_step_must_be_as_fast():
    about = {"kind": "net", "pass": "step", "peer": "torch-f32"}
    nets = targets.CIFAR_AND_OTHERS
    slow = [record(name, 1.0, **about) for name in nets]
    assert verdict(slow, "S4", which="")["met"] is True
    slow[-1] = record(nets[-1], 0.99, **about)
    found = verdict(slow, "S4", which="")
    assert found["met"] is False
    assert found["measured"] == f"gm 0.997, least 0.990 ({nets[-1]}), 4 of them"


def test_threads_against_one_have_no_line_for_one():
    records = [record("vgg-64", 1.9, peer="1 thread", threads=2)]
    lines = targets.verdicts({"records": records}, ["S7"], [1, 2])
    assert [(one["threads"], one["met"]) for one in lines] == [(2, True), (2, None), (2, None)]


@pytest.mark.parametrize(("mine", "met"), [(50, True), (51, False)])
def test_memory_target_is_relative_to_pytorch(mine, met):
    sides = [{"who": "matconv", "bytes": mine}, {"who": "torch", "bytes": 100}]
    about = {"net": "lenet", "images": 10, "threads": 1}
    (found,) = targets.verdicts({"gradient": [{**about, "sides": sides}]}, ["S6"], [1])
    assert (found["met"], found["values"]) == (met, {"lenet, 10 images": mine / 100})
    sides[1] = {"who": "torch", "missing": "No module named 'torch'"}
    (found,) = targets.verdicts({"gradient": [{**about, "sides": sides}]}, ["S6"], [1])
    assert found["met"] is None


@pytest.mark.parametrize(
    ("power", "met"), [(1.0, True), (1.029, True), (1.031, False), (0.9, False)]
)
def test_scaling_targets_bound_exponent_and_growth(power, met):
    found = [
        {"images": n, "threads": 1, "seconds": 2e-5 * n**power, "bytes": 100}
        for n in scaling.IMAGES
    ]
    exponent, growth = targets.verdicts({"scaling": found}, ["S8"], [1])
    assert exponent["values"] == {"lenet": pytest.approx(power, abs=1e-12)}
    assert (exponent["met"], growth["met"]) == (met, True)
    found[-1]["bytes"] = 111
    assert targets.verdicts({"scaling": found}, ["S8"], [1])[1]["met"] is False


def test_exponent_is_the_least_squares_slope():
    # log2 seconds 0, 0, 3 at log2 images 0, 1, 2: the line through them has slope 3/2
    found = [{"images": n, "seconds": s} for n, s in ((1, 1), (2, 1), (4, 8))]
    assert scaling.exponent(found) == pytest.approx(1.5, rel=1e-12)


def test_startup_targets_and_unmeasured_rows():
    document = {"startup": {"import_seconds": 0.0501, "wheel_bytes": 2_000_000}}
    lines = targets.verdicts(document, ["S9", "S10"], [1, 2])
    assert [(one["row"], one["threads"], one["met"]) for one in lines] == [
        ("S9", None, None),
        ("S9", None, None),
        ("S10", None, False),
        ("S10", None, True),
    ]
    text = "\n".join(targets.report(lines))
    assert "frozen LeNet f32 against ONNX Runtime f32" in text
    assert text.endswith("1 met, 1 not met, 2 not measured")


def test_rows_are_those_of_the_table():
    assert targets.ROWS == tuple(f"S{k}" for k in range(1, 11))


# ---- measuring ----------------------------------------------------------------------------------


def test_every_target_of_layers_and_nets_is_measured(monkeypatch):
    asked = []

    class Fake:
        def __init__(self, what, *_):
            self.name = getattr(what, "name", what)

        def records(self, *key):
            asked.append((self.name, *key))
            return []

        def speedup(self, dtype, threads, passes):
            asked.append((self.name, dtype, threads, "auto", "1 thread", passes))
            return []

    monkeypatch.setattr(layers, "Bench", Fake)
    monkeypatch.setattr(measuring.wholenets, "Bench", Fake)
    monkeypatch.setattr(measuring.wholenets, "LayerBench", Fake)
    monkeypatch.setattr(layers, "absent", lambda wanted: {})
    given = run.parse(["targets", "--rows", "S1", "S3", "S4", "S7", "--threads", "2"])
    given.layers = ["vgg-64"]
    measuring.run(given, lambda text: None)
    steps = [("S4", "torch-f32"), ("S7", "1 thread")]
    assert asked == [
        ("vgg-64", "float64", 2, "im2col", "gemm", ["forward"]),
        ("vgg-64", "float64", 2, "auto", "torch", ["forward", "both"]),
        ("vgg-64", "float64", 2, "auto", "1 thread", ["forward", "gradient"]),
        *(
            (name, "float64", 2, "auto", peer, ["step"])
            for name in targets.CIFAR_AND_OTHERS
            for _, peer in steps
        ),
    ]


def test_frozen_networks_have_a_bound_in_single_precision_only():
    found = [
        {"images": images, "dtype": dtype, "ratio": {"median": ratio}}
        for dtype, ratios in (("float32", (1.5, 0.99)), ("float64", (0.7, 0.8)))
        for images, ratio in zip((1, 8), ratios)
    ]
    single, double = targets.verdicts({"frozen": found}, ["S9"], [1, 2])
    assert single["values"] == {"1 images": 1.5, "8 images": 0.99} and single["met"] is False
    assert double["measured"].startswith("gm 0.748, least 0.700 (1 images)")
    assert (double["target"], double["met"]) == ("", None)
    found[1]["ratio"]["median"] = 1.0
    assert targets.verdicts({"frozen": found}, ["S9"], [1])[0]["met"] is True


def test_targets_is_a_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(layers, "absent", lambda wanted: dict.fromkeys(wanted, "not installed"))
    monkeypatch.setattr(startup, "_process", lambda code: 0.25 if code == startup.OURS else 0.2)
    wheel = tmp_path / "matconv-0-py3-none-any.whl"
    wheel.write_bytes(bytes(1_500_000))
    path = tmp_path / "found.json"
    arguments = ["targets", "--rows", "S9", "S10", "--quick", "--wheel", str(wheel)]
    assert run.main([*arguments, "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert "1.50 (one file)" in out and "2 met, 0 not met, 2 not measured" in out
    found = json.loads(path.read_text(encoding="utf-8"))
    assert math.isclose(found["startup"]["import_seconds"], 0.05)
    assert found["command"].endswith("--wheel matconv-0-py3-none-any.whl --json found.json")
    assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_wheel_bytes_of_another_file_refused(capsys, tmp_path):
    archive = tmp_path / "matconv.zip"
    archive.write_bytes(b"x")
    for path in (archive, tmp_path / "missing.whl"):
        with pytest.raises(ValueError, match="^not a wheel: "):
            startup.wheel_bytes(path)
    assert run.main(["targets", "--rows", "S10", "--quick", "--wheel", str(archive)]) == 1
    assert f"bench/run.py: not a wheel: {archive}" in capsys.readouterr().err


def test_scaling_in_fresh_processes():
    found = scaling.measure(1, [20, 40])
    assert [one["images"] for one in found] == [20, 40]
    assert all(one["seconds"] > 0 and one["bytes"] > 0 for one in found)


@pytest.mark.parametrize("module", [machine, scaling, startup, targets, measuring])
def test_examples_of_the_documentation(module):
    assert doctest.testmod(module).failed == 0
