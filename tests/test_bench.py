"""The benchmark suite measures what it says: shapes, truth, arithmetic and files. No timings."""

import doctest
import json
import math
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import reference

import matconv

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import layers
import machine
import nets
import peers
import run
import shapes
import table
import timing
import truth

TINY = shapes.Layer("tiny", 3, 4, (6, 5), 6, (3, 2), stride=2, pad=1, dilation=2, groups=2)
PLAIN = shapes.Layer("plain", 2, 3, (5, 5), 4, (3, 3), pad=1)


def integers(layer, seed=0):
    """Operands of small integers, so that sums are exact."""
    rng = np.random.default_rng(seed)
    sizes = (layer.image_shape, layer.weight_shape, layer.filters, layer.output_shape)
    return {
        name: rng.integers(-8, 9, size).astype(float)
        for name, size in zip(("Z", "W", "b", "dS"), sizes)
    }


# ---- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", shapes.LAYERS.values(), ids=lambda layer: layer.name)
def test_layer_has_the_output_that_matconv_gives(layer):
    empty = layer.with_batch(0)
    S = matconv.conv2d(np.empty(empty.image_shape), np.zeros(layer.weight_shape), **layer.options)
    assert S.shape == empty.output_shape
    assert layer.n_positions == layer.batch * S.shape[1] * S.shape[2]


def test_core_is_the_first_table_of_the_speed_targets():
    core = [
        (x.batch, x.channels, x.size[0], x.filters, x.kernel[0], x.pad)
        for x in shapes.select(["core"])
    ]
    assert core == [
        (8, 64, 56, 64, 3, 1),
        (8, 128, 28, 128, 3, 1),
        (16, 256, 14, 256, 3, 1),
        (16, 512, 7, 512, 3, 1),
        (64, 32, 32, 32, 3, 1),
    ]


def test_flops_count_each_product_and_each_sum():
    assert PLAIN.flops("forward") == 2 * (2 * 25) * (27) * 4
    assert PLAIN.flops("both") == PLAIN.flops("forward") + PLAIN.flops("backward")


def test_select_takes_names_and_sets_once_each():
    assert [x.name for x in shapes.select(["vgg-256", "core"])] == [
        "vgg-256",
        "vgg-64",
        "vgg-128",
        "vgg-512",
        "cifar-32",
    ]
    with pytest.raises(ValueError, match="unknown layer or set 'vgg-63'; there are: core, "):
        shapes.select(["vgg-63"])


def test_every_set_names_layers():
    assert all(name in shapes.LAYERS for names in shapes.SETS.values() for name in names)


@pytest.mark.parametrize("name", shapes.NETS)
def test_net_has_the_shapes_that_matconv_gives(name):
    net = shapes.NETS[name]
    network = nets.for_matconv(net, np.float64)
    theta = network.pack(nets.parameters(net))
    assert theta.shape == (network.n,)
    activations = [layer.activation for layer in network.layers if hasattr(layer, "activation")]
    assert activations == ["relu"] * (len(activations) - 1) + [None]
    Z, y = nets.data(net, 2, np.float64)
    assert network.forward(theta, Z).shape == (2, *nets.shapes_of(net)[-1][3])
    assert y.shape == (2,)


# ---- truth --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [TINY, PLAIN], ids=str)
def test_truth_is_that_of_the_six_loops(layer):
    data = integers(layer)
    found = truth.convolution(layer, **data)
    options = layer.options
    S = reference.conv2d(data["Z"], data["W"], data["b"], **options)
    dZ, dW, db = reference.conv2d_backward(data["dS"], data["Z"], data["W"], **options)
    for name, exact in (("S", S), ("dZ", dZ), ("dW", dW), ("db", db)):
        np.testing.assert_array_equal(found[name], exact, err_msg=name)
    np.testing.assert_array_equal(found["W phi"] + data["b"], S)


def test_truth_lets_honest_rounding_pass():
    data = peers.operands(PLAIN)
    expected = truth.Truth(PLAIN, data)
    eps = np.finfo(float).eps
    results = {name: value * (1 + eps) for name, value in expected.values.items()}
    assert 0 < expected.check(results, eps, "me") < 1


@pytest.mark.parametrize("name", ["W phi", "S", "dZ", "dW", "db"])
@pytest.mark.parametrize("damage", [1e-9, math.nan], ids=["small", "nan"])
def test_truth_finds_one_wrong_element(name, damage):
    expected = truth.Truth(PLAIN, peers.operands(PLAIN))
    results = {key: value.copy() for key, value in expected.values.items()}
    results[name].flat[3] += damage
    with pytest.raises(ArithmeticError, match=f"^me: {name} leaves the rounding bound at 1 of "):
        expected.check(results, np.finfo(float).eps, "me")


def test_truth_allows_slack_where_told():
    expected = truth.Truth(PLAIN, peers.operands(PLAIN))
    eps = np.finfo(float).eps
    results = {"db": expected.values["db"] + 3 * 2 * 52 * eps * expected.sizes["db"]}
    assert 0.7 < expected.check(results, eps, "me", slack=4) < 0.8
    with pytest.raises(ArithmeticError, match="^me: db leaves the rounding bound"):
        expected.check(results, eps, "me")


def test_truth_finds_a_wrong_shape():
    expected = truth.Truth(PLAIN, peers.operands(PLAIN))
    with pytest.raises(ArithmeticError, match=r"^me: db has shape \(3,\), expected \(4,\)"):
        expected.check({"db": expected.values["db"][:3]}, 1.0, "me")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layer", [TINY, PLAIN], ids=str)
def test_sides_compute_the_layer(layer, threads, dtype):
    data = peers.operands(layer)
    expected = truth.Truth(layer, data)
    sides = [
        peers.Matconv(layer, data, dtype, threads),
        peers.Matconv(layer, data, dtype, threads, reuse=True),
        peers.Gemm(layer, data, dtype, threads),
    ]
    for side in sides:
        assert layers.check(expected, side) <= 1


# ---- timing -------------------------------------------------------------------------------------


def test_samples_are_taken_in_turns_inside_their_contexts(monkeypatch):
    said = []

    @contextmanager
    def context(name):
        said.append(f"{name}(")
        yield
        said.append(f"){name}")

    monkeypatch.setattr(timing, "rest", lambda: said.append("rest"))
    a = (lambda: said.append("a"), lambda: context("A"))
    b = (lambda: said.append("b"), lambda: context("B"))
    found = timing.pair(a, b, repeats=2, seconds=0)
    each = ["A(", "rest", "a", "a", ")A", "B(", "rest", "b", "b", ")B"]
    assert said == each * 3  # once to see how long a call takes, twice to measure
    assert found.a.n == found.b.n == found.ratio.n == 2


def test_ratio_is_the_median_of_pairs_not_of_sides():
    found = timing.paired([1.0, 4.0, 2.0], [3.0, 4.0, 4.0])
    assert (found.a.median, found.b.median, found.ratio.median) == (2.0, 4.0, 2.0)
    assert (found.ratio.least, found.ratio.lower, found.ratio.upper) == (1.0, 1.5, 2.5)


def test_spread_of_one_and_of_none():
    assert timing.Spread.of([2.0]) == timing.Spread(2.0, 2.0, 2.0, 2.0, 1)
    with pytest.raises(ValueError, match="^Spread.of: no samples$"):
        timing.Spread.of([])


def test_geometric_mean():
    assert timing.geometric_mean([2.0, 8.0]) == pytest.approx(4.0, rel=1e-15)
    with pytest.raises(ValueError, match="^geometric_mean: no values$"):
        timing.geometric_mean([])


def test_rest_ends_when_the_process_is_idle_and_when_time_is_up(monkeypatch):
    class Clock:
        def __init__(self, busy):
            self.now, self.busy = 0.0, busy

        def perf_counter(self):
            return self.now

        def process_time(self):
            return self.now * self.busy

        def sleep(self, seconds):
            self.now += seconds

    for busy, slept in ((0.0, 0.005), (1.0, 0.3)):
        clock = Clock(busy)
        monkeypatch.setattr(timing, "time", clock)
        timing.rest()
        assert clock.now == pytest.approx(slept, abs=0.0051)


# ---- the program --------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    """One tiny layer as the only one, and no waiting."""
    monkeypatch.setattr(shapes, "LAYERS", {"tiny": TINY})
    monkeypatch.setattr(shapes, "SETS", {"core": ("tiny",)})
    monkeypatch.setattr(timing, "rest", lambda: None)
    monkeypatch.setattr(layers, "QUICK", {"repeats": 3, "seconds": 1e-4, "budget": 1})


def test_run_prints_a_table_and_writes_what_it_shows(tiny, tmp_path, capsys):
    path = tmp_path / "found.json"
    arguments = ["--quick", "--peers", "gemm", "--threads", "1", "2", "--json", str(path)]
    assert run.main([*arguments, "--dtypes", "float64", "float32"]) == 0
    out = capsys.readouterr().out
    assert "forward + backward, float32, 2 threads: matconv against gemm" in out
    assert "backward, float64, 1 thread: matconv against gemm" in out
    found = json.loads(path.read_text(encoding="utf-8"))
    assert len(found["records"]) == len(found["means"]) == 3 * 2 * 2
    assert found["skipped"] == {}
    assert found["options"]["layers"] == ["core"]
    for one in found["records"]:
        assert one["name"] == "tiny"
        assert one["flops"] == TINY.flops(one["pass"])
        assert one["matconv"]["n"] == one["other"]["n"] == one["ratio"]["n"] == 3
        assert 0 < one["ratio"]["least"] <= one["ratio"]["median"] <= one["ratio"]["upper"]
        assert 0 < one["bound_used"] <= 1
        assert f"{one['ratio']['median']:.2f}" in out
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert any("file" in pool for pool in found["machine"]["libraries"])


def test_means_are_geometric_over_the_layers_of_a_section():
    spread = {"least": 1.0, "lower": 1.0, "median": 1.0, "upper": 1.0, "n": 1}
    records = [
        {
            "kind": "layer",
            "pass": p,
            "algorithm": "auto",
            "dtype": "float64",
            "threads": 1,
            "peer": "gemm",
            "ratio": {**spread, "median": r},
        }
        for p, r in (("both", 2.0), ("forward", 3.0), ("both", 0.5))
    ]
    assert [
        (one["pass"], one["geometric_mean"], one["least"], one["n"])
        for one in layers.means(records)
    ] == [("forward", pytest.approx(3.0), 3.0, 1), ("both", pytest.approx(1.0), 0.5, 2)]


def test_run_refuses_to_time_wrong_numbers(tiny, monkeypatch, capsys):
    right = matconv.conv2d

    def wrong(*args, out, **options):
        right(*args, out=out, **options)
        out.flat[-1] += 1e-6

    monkeypatch.setattr(matconv, "conv2d", wrong)
    assert run.main(["--quick", "--peers", "gemm"]) == 1
    captured = capsys.readouterr()
    assert "bench/run.py: matconv, tiny: S leaves the rounding bound at 1 of" in captured.err
    assert "ratio" not in captured.out


def test_run_skips_a_peer_that_is_not_installed_by_name(tiny, monkeypatch, capsys, tmp_path):
    def missing():
        raise peers.Missing("PyTorch is not installed")

    monkeypatch.setitem(layers.REQUIRED, "torch", missing)
    path = tmp_path / "found.json"
    arguments = ["--quick", "--threads", "1", "--passes", "forward", "--json", str(path)]
    assert run.main([*arguments, "--peers", "gemm", "torch"]) == 0
    assert "skipped   torch: PyTorch is not installed" in capsys.readouterr().out
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["skipped"] == {"torch": "PyTorch is not installed"}
    assert [one["peer"] for one in found["records"]] == ["gemm"]


def test_run_names_an_unknown_layer(capsys):
    assert run.main(["--layers", "vgg-63"]) == 1
    assert "bench/run.py: unknown layer or set 'vgg-63'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "0"], "argument --repeats: must be at least 1, not 0"),
        (["--threads", "x"], "argument --threads: invalid"),
        (["--json", "no/such/folder.json"], "argument --json: there is no folder no/such"),
    ],
)
def test_run_refuses_options_at_once(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        run.parse(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_run_is_a_program():
    command = [sys.executable, run.__file__, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--layers" in done.stdout


# ---- small parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module", [layers, machine, nets, peers, run, shapes, table, timing, truth]
)
def test_examples_of_the_documentation(module):
    assert doctest.testmod(module).failed == 0


def test_table_is_aligned():
    assert table.aligned([("layer", "ms"), ("x", 1.5), ("longer", 12)]) == [
        "  layer    ms",
        "  x       1.5",
        "  longer   12",
    ]
    assert table.aligned([]) == []
    assert [table.digits(x) for x in (0.0, math.inf, 99.96)] == ["0.0", "inf", "100.0"]


def test_blas_of_scipy_comes_first():
    pool = {"user_api": "blas", "internal_api": "openblas", "version": "1", "architecture": "Zen"}
    pools = [pool | {"folder": folder} for folder in ("numpy.libs", "scipy.libs", "lib")]
    owners = [text.removeprefix("openblas 1 (Zen)") for text in machine.blas({"libraries": pools})]
    assert owners == [" of scipy", " of numpy", ""]


def test_machine_tells_blas_kernel_and_versions():
    lines = machine.lines(machine.describe())
    assert [line.split()[0] for line in lines[:3]] == ["machine", "BLAS", "versions"]
    assert f"matconv {machine.versions()['matconv']}" in lines[2]
