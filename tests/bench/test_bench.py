"""The benchmark measures what it says: shapes, truth, arithmetic, records. No timing decides."""

import doctest
import json
import re
import shlex
import signal
import subprocess
import sys
import types
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from support import reference

import matconv

BENCH = Path(__file__).resolve().parents[2] / "bench"

import cases
import journal
import latency
import measuring
import memory
import nets
import peers
import peers_gemm
import peers_matconv
import run
import shapes
import startup
import timing
import truth

TINY = shapes.Layer("tiny", 3, 4, (6, 5), 6, (3, 2), stride=2, pad=1, dilation=2, groups=2)
PLAIN = shapes.Layer("plain", 2, 3, (5, 5), 4, (3, 3), pad=1)
SMALL = nets.Net(
    (9, 9, 4),
    (
        ("conv", {"channels": 6, "kernel": 3, "relu": True, "stride": 2, "pad": 1, "groups": 2}),
        ("pool", {"window": 3, "stride": 2}),
        ("dense", {"units": 3, "relu": False}),
    ),
    batch=2,
)
EPS = float(np.finfo(float).eps)


@pytest.fixture
def tiny(monkeypatch):
    """Two tiny layers and a small network as the only ones, and no waiting."""
    for layer in (TINY, PLAIN):
        monkeypatch.setitem(shapes.LAYERS, layer.name, layer)
    monkeypatch.setitem(nets.NETS, "small", SMALL)
    for kind in ("layer", "net", "latency"):
        names = ("tiny", "plain", "small")
        monkeypatch.setitem(measuring.KINDS, kind, measuring.KINDS[kind]._replace(names=names))
    monkeypatch.setattr(timing, "rest", lambda: None)
    yield
    for cached in (measuring._case, measuring._mine, measuring._others):
        cached.cache_clear()


@pytest.fixture
def layer_case(monkeypatch):
    """Make the case of a layer."""

    def make(layer):
        monkeypatch.setitem(shapes.LAYERS, layer.name, layer)
        return cases.LayerCase(layer.name)

    return make


# ---- layers and networks ------------------------------------------------------------------------


@pytest.mark.parametrize("layer", shapes.LAYERS.values(), ids=lambda layer: layer.name)
def test_layer_output_shape_is_that_of_conv2d(layer):
    empty = layer.with_batch(0)
    S = matconv.conv2d(np.empty(empty.image_shape), np.zeros(layer.weight_shape), **layer.options)
    assert S.shape == empty.output_shape
    assert layer.n_positions == layer.batch * S.shape[1] * S.shape[2]


def test_layer_flops_count_each_product_and_sum():
    assert PLAIN.flops("forward") == 2 * (2 * 25) * 27 * 4
    assert PLAIN.flops("both") == PLAIN.flops("forward") + PLAIN.flops("backward")


def test_sets_name_layers():
    assert all(name in shapes.LAYERS for names in shapes.SETS.values() for name in names)


#: h h d_in/groups d_out + d_out of each convolution, m n + n of each dense layer; the shape that
#: reaches the first dense layer.
COUNTED = {
    "lenet": (520 + 25_050 + 400_500 + 5_010, (4, 4, 50)),
    "simplenn-4": (2_432 + 18_496 + 36_928 + 10_250, (4, 4, 64)),
    "simplenn-7": (2_432 + 9_248 + 18_496 + 2 * 36_928 + 73_856 + 20_490, (4, 4, 128)),
    "vgg11": (1_792 + 73_856 + 295_168 + 590_080 + 1_180_160 + 3 * 2_359_808 + 5_130, (1, 1, 512)),
    "alexnet": (60_965_224, (6, 6, 256)),
}


@pytest.mark.parametrize("name", nets.NETS)
def test_network_parameters_are_as_counted_by_hand(name):
    net, (count, last) = nets.NETS[name], COUNTED[name]
    zeros = [x.weights and (np.zeros(x.weights), np.zeros(x.weights[-1])) for x in nets.steps(net)]
    network, theta = peers_matconv.network(net, [x or None for x in zeros], np.float32)
    assert theta.shape == (network.n,) == (count,)
    assert next(step.before for step in nets.steps(net) if step.kind == "dense") == last
    activations = [layer.activation for layer in network.layers if hasattr(layer, "activation")]
    assert activations == ["relu"] * (len(activations) - 1) + [None]


def test_steps_stride_pad_groups_pools():
    steps = nets.steps(SMALL)
    assert [step.after for step in steps] == [(5, 5, 6), (2, 2, 6), (3,)]
    assert [step.weights for step in steps] == [(2, 3, 3, 6), (), (24, 3)]
    thirds = nets.Net((10, 9, 2), (("pool", {"window": 3}),))
    assert nets.steps(thirds)[0].after == (3, 3, 2)  # a pool steps by its window unless told
    assert nets.flops(SMALL, 2) == 2 * 2 * (25 * 18 * 6 + 24 * 3)


def test_channels_first_reorders_filters_and_dense_rows():
    conv, _, dense = nets.steps(SMALL)
    W = np.arange(2 * 3 * 3 * 6.0).reshape(conv.weights)
    assert nets.channels_first(conv, W)[5, 1, 2, 0] == W[1, 2, 0, 5]
    W = np.arange(24 * 3.0).reshape(dense.weights)
    found = nets.channels_first(dense, W)
    assert found.reshape(3, 6, 2, 2)[1, 4, 0, 1] == W.reshape(2, 2, 6, 3)[0, 1, 4, 1]
    assert found.flags.c_contiguous


def test_layer_as_network_is_conv2d_with_squared_loss(tiny):
    case = cases.NetCase("tiny")
    side = peers_matconv.net(case, "float64", 2)
    (W, b), Z = case.values[0], case.data[0]
    S = matconv.conv2d(Z, W, b, relu=True, **TINY.options)
    np.testing.assert_array_equal(side.passes["forward"](), S)
    assert side.passes["gradient"]()[0] == pytest.approx((S**2).sum() / len(S), rel=1e-12)
    assert case.flops("forward") == TINY.flops("forward")


def test_step_subtracts_the_gradient(tiny, monkeypatch):
    monkeypatch.setattr(peers_matconv, "RATE", 1e-3)
    side = peers_matconv.net(cases.NetCase("small"), "float64", 1)
    before = side.passes["gradient"]()[0]
    assert side.passes["step"]() == before
    assert side.passes["gradient"]()[0] < before


# ---- truth --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [TINY, PLAIN], ids=str)
def test_truth_equals_six_loops(layer):
    rng = np.random.default_rng(0)
    sizes = (layer.image_shape, layer.weight_shape, layer.filters, layer.output_shape)
    Z, W, b, dS = (rng.integers(-8, 9, size).astype(float) for size in sizes)
    found = truth.convolution(layer, Z, W, b, dS)
    S = reference.conv2d(Z, W, b, **layer.options)
    dZ, dW, db = reference.conv2d_backward(dS, Z, W, **layer.options)
    for name, exact in (("S", S), ("dZ", dZ), ("dW", dW), ("db", db)):
        np.testing.assert_array_equal(found[name], exact, err_msg=name)


@pytest.mark.parametrize("name", ["S", "dZ", "dW", "db"])
@pytest.mark.parametrize("damage", [1e-9, np.nan], ids=["small", "nan"])
def test_truth_one_wrong_element_is_refused(name, damage):
    expected = truth.Truth(PLAIN, cases.operands(PLAIN))
    results = {key: value * (1 + EPS) for key, value in expected.values.items()}
    assert 0 < expected.check(results, EPS, "me") < 1  # rounding passes
    results[name].flat[3] += damage
    with pytest.raises(ArithmeticError, match=f"^me: {name} leaves the rounding bound at 1 of "):
        expected.check(results, EPS, "me")
    results[name] = results[name][:1]
    with pytest.raises(ArithmeticError, match=f"^me: {name} has shape .*, expected "):
        expected.check(results, EPS, "me")


def test_truth_slack_is_a_factor_of_the_bound():
    expected = truth.Truth(PLAIN, cases.operands(PLAIN))
    results = {"db": expected.values["db"] + 3 * 2 * 52 * EPS * expected.sizes["db"]}
    assert 0.7 < expected.check(results, EPS, "me", slack=4) < 0.8
    with pytest.raises(ArithmeticError, match="^me: db leaves the rounding bound"):
        expected.check(results, EPS, "me")


def test_agree_refuses_differences_and_nan():
    mine = {"outputs": np.array([1.0, -2.0]), "f": 3.0}
    assert truth.agree(mine, {**mine, "f": 3.0 * (1 + 1e-11)}, 1e-10, "me") < 2e-11
    for key, value in (("f", 3.001), ("f", np.nan), ("outputs", np.array([1.001, -2.0]))):
        with pytest.raises(ArithmeticError, match=f"^me: {key} differs by "):
            truth.agree(mine, {key: value}, 1e-10, "me")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layer", [TINY, PLAIN], ids=str)
def test_own_sides_compute_the_layer(layer_case, layer, threads, dtype):
    case = layer_case(layer)
    made = [peers_matconv.layer(case, dtype, threads, form) for form in peers_matconv.FORMS]
    made += [peers_matconv.layer(case, dtype, threads, reuse=True)]
    made += [peers_gemm.layer(case, dtype, threads)]
    for side in made:
        for which in shapes.PASSES:
            assert 0 <= case.check(side, which) <= 1


# ---- timing -------------------------------------------------------------------------------------


def test_pair_takes_samples_in_turns_inside_contexts(monkeypatch):
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
    assert found["mine"]["n"] == found["other"]["n"] == found["ratio"]["n"] == 2


def test_compared_ratio_is_the_median_of_pairs_not_of_sides():
    found = timing.compared([1.0, 4.0, 2.0], [3.0, 4.0, 4.0])
    medians = [found[key]["median"] for key in ("mine", "other", "ratio", "excess")]
    assert medians == [2.0, 4.0, 2.0, -2.0]
    ratio = found["ratio"]
    assert (ratio["minimum"], ratio["lower"], ratio["upper"]) == (1.0, 1.5, 2.5)


def test_spread_and_mean_of_one_and_of_none():
    assert list(timing.spread([2.0]).values()) == [2.0, 2.0, 2.0, 2.0, 1]
    with pytest.raises(ValueError, match="^spread: no samples$"):
        timing.spread([])
    assert timing.geometric_mean([2.0, 8.0]) == pytest.approx(4.0, rel=1e-15)
    with pytest.raises(ValueError, match="^geometric_mean: no values$"):
        timing.geometric_mean([])


@pytest.mark.parametrize(("busy", "slept"), [(0.0, 0.005), (1.0, 0.3)])
def test_rest_ends_when_idle_or_when_time_is_up(monkeypatch, busy, slept):
    clock = types.SimpleNamespace(now=0.0)
    clock.perf_counter, clock.process_time = lambda: clock.now, lambda: clock.now * busy
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(timing, "time", clock)
    timing.rest()
    assert clock.now == pytest.approx(slept, abs=0.0051)


# ---- jobs and records ---------------------------------------------------------------------------


def test_plan_leaves_out_what_a_peer_has_not_and_itself(tiny):
    jobs = measuring.plan(
        *("net", ["small"], ["forward", "step", "predict"], ["float64"], [1, 2], ["auto"]),
        ("onnxruntime", "im2col", "1-thread"),
    )
    found = [(job["threads"], job["peer"], job["pass"]) for job in jobs]
    assert found == [
        *((1, "onnxruntime", which) for which in ("forward", "predict")),
        *((1, "im2col", which) for which in ("forward", "step", "predict")),
        (2, "onnxruntime", "forward"),
        *((2, peer, which) for peer in ("im2col", "1-thread") for which in ("forward", "step")),
    ]


def test_together_keeps_cases_together_and_each_job_once():
    jobs = [{"what": "net", "name": n, "images": 1, "pass": p} for n, p in ("ax", "bx", "ay", "ax")]
    assert [job["name"] + job["pass"] for job in measuring.together(jobs)] == ["ax", "ay", "bx"]


def test_run_writes_records_and_prints_them(tiny, tmp_path, capsys):
    path = tmp_path / "found.json"
    arguments = ["layers", "tiny", "--quick", "--peers", "gemm", "--json", str(path)]
    assert run.main([*arguments, "--dtypes", "float64", "float32"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(path.read_text(encoding="utf-8"))
    assert len(found["records"]) == 3 * 2 * 2
    assert found["skipped"] == {} and found["refused"] == []
    assert found["command"].endswith("--json found.json --dtypes float64 float32")
    assert found["machine"]["versions"]["numpy"] == np.__version__
    for k, one in enumerate(found["records"], 1):
        assert set(measuring.KEYS) <= set(one)
        assert (one["name"], one["images"], one["quick"]) == ("tiny", 1, True)
        assert one["flops"] == TINY.with_batch(1).flops(one["pass"])
        assert one["mine"]["n"] == one["other"]["n"] == one["ratio"]["n"] == 3
        assert 0 < one["ratio"]["minimum"] <= one["ratio"]["median"] <= one["ratio"]["upper"]
        assert all(0 <= share <= 1 for share in one["difference"])
        assert f"{one['ratio']['median']:.2f} (" in out
        assert f"\n[{k}/12 " in "\n" + err  # standard error is no terminal here


def test_run_killed_after_two_records_leaves_valid_json(tmp_path):
    path = tmp_path / "found.json"
    command = [sys.executable, run.__file__, "layers", "lenet-1", "lenet-2", "--quick"]
    command += ["--peers", "gemm", "im2col", "--json", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        for line in process.stderr:
            if line.startswith(b"[2/"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    found = json.loads(path.read_text(encoding="utf-8"))
    assert len(found["records"]) >= 2
    assert run.main(["show", str(path)]) == 0


def test_journal_failing_write_keeps_the_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "found.json"
    book = journal.Journal({"command": "x"}, path)
    book.begin(1)
    before = path.read_bytes()
    assert json.loads(before) == {"command": "x", "records": [], "skipped": {}, "refused": []}
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        book.write()
    assert path.read_bytes() == before


def test_run_refuses_wrong_results_and_goes_on(tiny, monkeypatch, tmp_path, capsys):
    right = matconv.conv2d

    def wrong(Z, W, b, **options):
        out = right(Z, W, b, **options)
        if options["dilation"] == 2:
            out.flat[-1] += 1e-6
        return out

    monkeypatch.setattr(matconv, "conv2d", wrong)
    path = tmp_path / "found.json"
    arguments = ["layers", "tiny", "plain", "--passes", "forward", "--peers", "gemm"]
    assert run.main([*arguments, "--threads", "1", "--quick", "--json", str(path)]) == 1
    assert "REFUSED matconv auto, tiny: S leaves the rounding bound" in capsys.readouterr().err
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [one["name"] for one in found["records"]] == ["plain"]
    assert [one["name"] for one in found["refused"]] == ["tiny"]


@pytest.mark.parametrize(("which", "key"), [("forward", "outputs"), ("gradient", "f")])
def test_run_refuses_a_wrong_peer(tiny, monkeypatch, capsys, which, key):
    def net(case, dtype, threads, form):
        side = peers_matconv.net(case, dtype, threads)
        right = side.results
        side.results = lambda which: {k: 1.001 * value for k, value in right(which).items()}
        side.name = "fake"
        return side

    fake = types.SimpleNamespace(
        PASSES=peers_matconv.PASSES, FORMS=("only",), require=lambda: None, net=net
    )
    monkeypatch.setitem(sys.modules, "peers_fake", fake)
    monkeypatch.setitem(peers.PEERS, "torch", peers.Peer("peers_fake", "fake"))
    arguments = ["nets", "small", "--passes", which, "--peers", "torch", "--quick"]
    assert run.main([*arguments, "--threads", "1"]) == 1
    assert f"REFUSED fake, small: {key} differs by 0.001 of its" in capsys.readouterr().err


def test_run_skips_a_missing_peer_by_name(tiny, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "found.json"
    arguments = ["layers", "tiny", "--quick", "--threads", "1", "--passes", "forward"]
    assert run.main([*arguments, "--peers", "gemm", "torch", "--json", str(path)]) == 0
    assert "skipped torch: PyTorch is not installed\n" in capsys.readouterr().err
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["skipped"] == {"torch": "PyTorch is not installed"}
    assert [one["peer"] for one in found["records"]] == ["gemm"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layers", "vgg-63"], "argument names: 'vgg-63' is none of core, "),
        (["--repeats", "0"], "argument --repeats: must be at least 1, got 0"),
        (["--threads", "x"], "argument --threads: invalid"),
        (["nets", "--passes", "both"], "argument --passes: 'both' is none of forward, gradient, "),
        (["--json", "no/such/folder.json"], "argument --json: there is no folder no/such"),
    ],
)
def test_parse_refuses_wrong_options(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        run.parse(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def _commands():
    texts = [
        path.read_text(encoding="utf-8") for path in (BENCH / "README.md", *BENCH.glob("*.py"))
    ]
    found = re.findall(
        r"^(?:\| `|[ ]*)python (bench/run\.py[^`\n#|]*)", "\n".join(texts), re.MULTILINE
    )
    return sorted({re.split(r"  +", command.strip())[0] for command in found})


@pytest.mark.parametrize("command", _commands())
def test_commands_of_the_documentation_are_valid(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = run.parse(shlex.split(command)[1:])
    if given.command not in ("show", "plot"):
        assert run.jobs_of(given)


def test_commands_of_the_documentation_are_found():
    assert {command.split()[1] for command in _commands() if len(command.split()) > 1} > {
        *run.COMMANDS, *("targets", "show", "plot")
    } - {"layers"}  # fmt: skip


# ---- memory, latency, startup -------------------------------------------------------------------


def fake_processes(monkeypatch, **answers):
    """Let `memory` see processes that end as told, {side: (status, stdout, stderr)}, and PyTorch."""

    def start(command, **_):
        side = json.loads(command[2])[0]
        return subprocess.CompletedProcess(command, *answers[side])

    monkeypatch.setattr(memory.subprocess, "run", start)
    monkeypatch.setattr(peers, "absent", lambda names: {})


def answer(size=2**20, **changes):
    return 0, json.dumps({"bytes": size, "f": 2.0, "norm": 3.0, "seconds": [0.5], **changes}), ""


MEMORY = ["memory", "lenet", "--threads", "1", "--peers", "torch"]


def test_memory_of_a_fresh_process_is_of_the_same_gradient():
    found = memory.fresh("matconv", "lenet", "float64", 1, 40)
    net = nets.NETS["lenet"]
    network, theta = peers_matconv.network(net, nets.parameters(net), np.float64)
    objective = matconv.Objective(network, *nets.data(net, 40, np.float64), loss="softmax")
    f, gradient = objective.value_and_gradient(theta)
    assert (found["f"], found["norm"]) == (float(f), float(np.linalg.norm(gradient)))
    assert found["bytes"] > gradient.nbytes and len(found["seconds"]) == 1


def test_memory_ratio_and_missing_library(monkeypatch, capsys):
    fake_processes(monkeypatch, matconv=answer(), torch=answer(2**22))
    assert run.main(MEMORY) == 0
    assert "1.05 MB; PyTorch 4.19 MB, ratio 4.00 (4.00-4.00)" in capsys.readouterr().err
    gone = (1, "", "Traceback\npeers.Missing: PyTorch is not installed\n")
    fake_processes(monkeypatch, matconv=answer(), torch=gone)
    assert run.main(MEMORY) == 0
    assert "skipped torch: PyTorch is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["f", "norm"])
@pytest.mark.parametrize("value", [2.5, np.nan])
def test_memory_of_different_gradients_is_refused(monkeypatch, capsys, key, value):
    fake_processes(monkeypatch, matconv=answer(), torch=answer(**{key: value}))
    assert run.main(MEMORY) == 1
    assert f"REFUSED {key} of torch is {value}, of matconv" in capsys.readouterr().err


def test_memory_of_a_process_that_dies(monkeypatch, capsys):
    fake_processes(monkeypatch, matconv=(-9, "", ""))
    assert run.main(["scaling", "--quick", "--threads", "1"]) == 1
    assert "matconv: process ended with status -9: no output" in capsys.readouterr().err


@pytest.mark.parametrize("which", latency.PASSES)
def test_latency_calls_are_the_work_of_the_pass(which):
    case = cases.NetCase("lenet", 70)
    network, theta = peers_matconv.network(case.net, case.values, np.float64)
    work, entry, result = latency.program_calls(network, theta, *case.data, which)
    work()
    entry()
    objective = matconv.Objective(network, *case.data, loss="softmax", n_threads=1)
    expected = {"forward": network.forward, "gradient": lambda theta, _: objective.gradient(theta)}
    np.testing.assert_allclose(
        result(), expected[which](theta, case.data[0]), rtol=0, atol=1e-12, strict=True
    )


def test_latency_beside_is_the_excess_and_the_entry(tiny):
    job = dict(zip(measuring.KEYS, ("latency", "lenet", 1, "float32", 1, "auto", "kernels")))
    found = latency.measure({**job, "pass": "forward"}, measuring.Effort(3, 1e-4, 1.0))
    assert found["beside"] == found["excess"]["median"] + found["entry"]
    assert found["entry"] > 0


def test_startup_import_and_wheel(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(startup, "_process", lambda code: 0.25 if "matconv" in code else 0.2)
    wheel = tmp_path / "matconv-0-py3-none-any.whl"
    wheel.write_bytes(bytes(1_500_000))
    path = tmp_path / "found.json"
    command = ["startup", "--quick", "--json", str(path), "--wheel"]
    assert run.main([*command, str(wheel)]) == 0
    text = path.read_text(encoding="utf-8")
    imported, size = json.loads(text)["records"]
    assert imported["mine"]["median"] == pytest.approx(0.05) and imported["mine"]["n"] == 3
    assert (size["mine"]["median"], size["unit"]) == (1_500_000, "bytes")
    assert json.loads(text)["skipped"] == {"build": "needs --build"}
    assert str(tmp_path) not in text
    assert run.main([*command, str(tmp_path / "missing.whl")]) == 1
    assert "bench/run.py: not a wheel: " in capsys.readouterr().err


MODULES = sorted(path.stem for path in BENCH.glob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_docstrings(name):
    assert doctest.testmod(import_module(name)).failed == 0
