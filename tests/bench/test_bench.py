"""The benchmark measures what it says: layers, truth, arithmetic, records. No timing decides."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import cases
import latency
import machine
import measuring
import memory
import nets
import numpy as np
import peers
import peers_gemm
import peers_matconv
import pytest
import run
import startup
import timing
from support import reference

import matconv

BENCH = Path(run.__file__).parent
_CONV = nets.conv(6, (3, 2), stride=2, pad=1, dilation=2, groups=2)
GROUPED = nets.Net((6, 5, 4), (_CONV,), 3, "squared")
PLAIN = nets.Net((5, 5, 3), (nets.conv(4, 3, pad=1),), 2, "squared")
SMALL = nets.Net((9, 9, 4), (nets.conv(6, 3, pad=1), nets.pool(3, 2), *nets.dense(3)), 2)
EPS = float(np.finfo(float).eps)
LAYERS = ("grouped", "plain")


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Two tiny layers and a small network by name, and no waiting."""
    monkeypatch.setitem(nets.LAYERS, "grouped", GROUPED)
    monkeypatch.setitem(nets.LAYERS, "plain", PLAIN)
    monkeypatch.setitem(nets.NETS, "small", SMALL)
    both = nets.NETS | nets.LAYERS
    monkeypatch.setitem(measuring.KINDS, "nets", measuring.KINDS["nets"]._replace(known=both))
    monkeypatch.setattr(timing, "rest", lambda: None)
    yield
    measuring._case.cache_clear()
    measuring._sides.cache_clear()


#: Sums of h h d_in/groups d_out + d_out or m n + n; the shape that reaches the first dense layer.
COUNTED = {
    "lenet": (520 + 25_050 + 400_500 + 5_010, (4, 4, 50)),
    "simplenn-4": (2_432 + 18_496 + 36_928 + 10_250, (4, 4, 64)),
    "simplenn-7": (2_432 + 9_248 + 18_496 + 2 * 36_928 + 73_856 + 20_490, (4, 4, 128)),
    "vgg11": (1_792 + 73_856 + 295_168 + 590_080 + 1_180_160 + 3 * 2_359_808 + 5_130, (1, 1, 512)),
    "alexnet": (60_965_224, (6, 6, 256)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_network_parameters_are_as_counted_by_hand(name):
    net, (count, last) = nets.NETS[name], COUNTED[name]
    zeros = [x.weights and (np.zeros(x.weights), np.zeros(x.channels)) for x in nets.steps(net)]
    network, theta = peers_matconv.network(net, zeros, np.float32)
    assert theta.shape == (network.n,) == (count,)
    assert next(step.before for step in nets.steps(net) if step.kind == "dense") == last
    activations = [layer.activation for layer in network.layers if hasattr(layer, "activation")]
    assert activations == ["relu"] * (len(activations) - 1) + [None]


def test_layer_as_network_is_conv2d_with_squared_loss():
    case = cases.NetCase("grouped")
    side = peers_matconv.net(case, "float64", 2)
    S = matconv.conv2d(case.data[0], *case.values[0], relu=True, **GROUPED.layers[0].geometry)
    np.testing.assert_array_equal(side.passes["forward"](), S)
    assert side.passes["gradient"]()[0] == pytest.approx((S**2).sum() / len(S), rel=1e-12)


def test_step_subtracts_the_gradient(monkeypatch):
    monkeypatch.setattr(nets, "RATE", 1e-3)
    side = peers_matconv.net(cases.NetCase("small"), "float64", 1)
    before = side.passes["gradient"]()[0]
    assert side.passes["step"]() == before
    assert side.passes["gradient"]()[0] < before


@pytest.mark.parametrize("name", LAYERS)
def test_truth_equals_six_loops(name):
    case, rng = cases.LayerCase(name), np.random.default_rng(0)
    Z, W, b, dS = (rng.integers(-8, 9, x.shape).astype(float) for x in case.data.values())
    found = cases.convolution(case.step, Z, W, b, dS)
    S = reference.conv2d(Z, W, b, **case.step.geometry)
    dZ, dW, db = reference.conv2d_backward(dS, Z, W, **case.step.geometry)
    for key, exact in (("S", S), ("dZ", dZ), ("dW", dW), ("db", db)):
        np.testing.assert_array_equal(found[key], exact, err_msg=key)


@pytest.mark.parametrize("key", ["S", "dZ", "dW", "db"])
@pytest.mark.parametrize("damage", [1e-9, np.nan], ids=["small", "nan"])
def test_check_refuses_one_wrong_element_and_wrong_shapes(key, damage):
    case = cases.LayerCase("plain")
    results = {name: value * (1 + EPS) for name, value in case.expected.items()}
    side = peers.Side("me", np.dtype(float), {}, lambda which: results)
    assert 0 < case.check(side, "both") < 1  # rounding passes
    results[key].flat[3] += damage
    with pytest.raises(ArithmeticError, match=f"^me, plain: {key} exceeds the rounding bound at 1"):
        case.check(side, "both")
    side.slack = 1e9  # a factor of the bound; no bound admits a NaN
    if damage < 1:
        assert 0 < case.check(side, "both") < 1
    results[key] = results[key][:1]
    with pytest.raises(ArithmeticError, match=f"^me, plain: {key} has shape .*, expected "):
        case.check(side, "both")


def test_agree_refuses_differences_and_nan():
    mine = {"outputs": np.array([1.0, -2.0]), "f": 3.0}
    assert nets.agree(mine, {**mine, "f": 3.0 * (1 + 1e-11)}, "float64", "me") < 2e-11
    for key, value in (("f", 3.001), ("f", np.nan), ("outputs", np.array([1.001, -2.0]))):
        with pytest.raises(ArithmeticError, match=f"^me: {key} differs by .*not the same function"):
            nets.agree(mine, {key: value}, "float64", "me")
    assert nets.agree(mine, {"f": 3.001}, "float32", "me") == pytest.approx(1e-3 / 3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_own_sides_compute_the_layer(name, threads, dtype):
    case = cases.LayerCase(name)
    made = [peers_matconv.layer(case, dtype, threads, form) for form in peers_matconv.FORMS]
    made += [peers_matconv.layer(case, dtype, threads, reuse=True)]
    made += [peers_gemm.layer(case, dtype, threads)]
    for side in made:
        for which in peers.LAYERS:
            assert 0 <= case.check(side, which) <= 1
            assert len(side.results(which)) >= {"forward": 1, "backward": 2, "both": 3}[which]


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
    found = timing.pair(a, b, timing.Effort(repeats=2, seconds=0))
    each = ["A(", "rest", "a", "a", ")A", "B(", "rest", "b", "b", ")B"]
    assert said == each * 3  # once to see how long a call takes, twice to measure
    assert [len(samples) for samples in found] == [2, 2]


@pytest.mark.parametrize(("budget", "n"), [(90.0, 9), (3.6, 5), (0.1, 3)])
def test_pair_takes_the_samples_that_fit_into_the_budget(monkeypatch, budget, n):
    taken = []

    def sample(action, context, calls, warm=True):
        taken.append((action, calls))
        return {"a": 0.1, "b": 0.2}[action]

    monkeypatch.setattr(timing, "_sample", sample)
    effort = timing.Effort(repeats=9, seconds=0.2, budget=budget)
    # 2 calls of 0.1 s, 1 call of 0.2 s, and one untimed call of each: 0.7 s a pair
    assert timing.pair(("a", None), ("b", None), effort) == ([0.1] * n, [0.2] * n)
    assert taken[2:] == [("a", 2), ("b", 1)] * n


def test_compared_ratio_is_the_median_of_pairs_not_of_sides():
    found = timing.compared([1.0, 4.0, 2.0], [3.0, 4.0, 4.0])
    assert [found[key]["median"] for key in ("mine", "other", "ratio")] == [2.0, 4.0, 2.0]
    assert (found["ratio"]["lower"], found["ratio"]["upper"]) == (1.5, 2.5)
    assert list(timing.spread([2.0]).values()) == [2.0, 2.0, 2.0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layers", "lenet"], "layers: 'lenet' is none of vgg-64, "),
        (["layers", "--quick", "--json", "no/such/folder.json"], "No such file or directory"),
        (["plot"], "no results file was given"),
    ],
)
def test_main_wrong_arguments_have_a_message(arguments, message, capsys):
    assert run.main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("bench/run.py: ") and message in err


def test_plan_leaves_out_what_a_peer_has_not_and_itself():
    axes = {"names": ["small"], "passes": ("forward", "step")}
    jobs = measuring.plan("nets", **axes, peers=("onnxruntime", "im2col", "1-thread"))
    assert [f"{job['threads']} {job['peer']} {job['pass']}" for job in jobs] == [
        *("1 onnxruntime forward", "1 im2col forward", "1 im2col step"),
        *("2 onnxruntime forward", "2 im2col forward", "2 im2col step"),
        *("2 1-thread forward", "2 1-thread step"),
    ]
    assert measuring.plan("nets", **axes, peers=("im2col",), algorithms=("im2col",)) == []


def test_together_keeps_cases_together_and_each_job_once():
    jobs = [{"what": "net", "name": n, "images": 1, "pass": p} for n, p in ("ax", "bx", "ay", "ax")]
    assert [job["name"] + job["pass"] for job in measuring.together(jobs)] == ["ax", "ay", "bx"]


def measured(tmp_path, *arguments, status=0):
    """The document of a quick run with one thread."""
    path = tmp_path / "found.json"
    options = ["--quick", "--threads", "1", "--json", str(path)]
    assert run.main([*arguments, *options]) == status
    return json.loads(path.read_text(encoding="utf-8"))


def test_run_writes_records_and_prints_them(tmp_path, capsys):
    arguments = ["layers", "grouped", "--peers", "gemm", "--dtypes", "float64", "float32"]
    found = measured(tmp_path, *arguments)
    out, err = capsys.readouterr()
    assert len(found["records"]) == 3 * 2
    assert found["command"].endswith("--quick --threads 1 --json found.json")
    assert found["machine"]["versions"]["numpy"] == np.__version__
    for k, one in enumerate(found["records"], 1):
        assert (one["name"], one["images"], one["quick"]) == ("grouped", 2, True)
        assert one["mine"]["n"] == one["other"]["n"] == one["ratio"]["n"] == 3
        assert 0 < one["ratio"]["lower"] <= one["ratio"]["median"] <= one["ratio"]["upper"]
        assert all(0 <= share <= 1 for share in one["difference"])
        assert f"{one['ratio']['median']:.2f} (" in out
        assert f"\n[{k}/6, " in err  # standard error is no terminal here


def test_run_refuses_wrong_results_and_goes_on(monkeypatch, tmp_path, capsys):
    right = matconv.conv2d

    def wrong(Z, W, b, **options):
        out = right(Z, W, b, **options)
        out.flat[-1] += 1e-6 * (options["dilation"] == 2)
        return out

    monkeypatch.setattr(matconv, "conv2d", wrong)
    arguments = ["layers", "grouped", "plain", "--passes", "forward", "--peers", "gemm"]
    found = measured(tmp_path, *arguments, status=1)
    err = capsys.readouterr().err
    assert "REFUSED matconv auto, grouped: S exceeds the rounding bound" in err
    assert [one["name"] for one in found["records"]] == ["plain"]
    assert [one["name"] for one in found["refused"]] == ["grouped"]


def test_run_skips_a_missing_peer_by_name(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "peers_torch", raising=False)
    found = measured(tmp_path, "layers", "plain", "--passes", "forward")
    assert "skipped torch: import of torch halted" in capsys.readouterr().err
    assert list(found["skipped"]) == ["torch"]
    assert [one["peer"] for one in found["records"]] == ["gemm"]


def test_run_killed_after_two_records_leaves_valid_json(tmp_path):
    path = tmp_path / "found.json"
    command = [sys.executable, run.__file__, "layers", "lenet-1", "lenet-2", "--quick"]
    command += ["--peers", "gemm", "im2col", "--json", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        next(line for line in process.stderr if line.startswith(b"[2/"))
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(json.loads(path.read_text(encoding="utf-8"))["records"]) >= 2
    assert run.main(["show", str(path)]) == 0


@pytest.fixture
def fake(monkeypatch):
    """A function that lets "torch" be matconv's networks, changed by a function of the side."""

    def install(change, forms=("only",)):
        def net(case, dtype, threads, form):
            side = peers_matconv.net(case, dtype, threads)
            side.name, side.form = "fake", form
            change(side)
            return side

        module = types.SimpleNamespace(FORMS=forms, net=net)
        monkeypatch.setitem(sys.modules, "peers_fake", module)
        monkeypatch.setitem(peers.PEERS, "torch", peers.Peer("peers_fake", "fake", (), peers.NETS))

    return install


@pytest.mark.parametrize(("which", "key"), [("forward", "outputs"), ("gradient", "f")])
def test_run_refuses_a_wrong_peer(fake, tmp_path, capsys, which, key):
    def change(side):
        right = side.results
        side.results = lambda which: {k: 1.001 * value for k, value in right(which).items()}

    fake(change)
    measured(tmp_path, "nets", "small", "--peers", "torch", "--passes", which, status=1)
    assert f"REFUSED fake, small: {key} differs by 0.001 of its" in capsys.readouterr().err


def test_faster_form_of_a_peer_is_measured(fake, monkeypatch, tmp_path, capsys):
    def change(side):
        side.passes, side.results = {"forward": side.form}, lambda which: {}

    times = {"slow": 3.0, "fast": 2.0}
    fake(change, tuple(times))
    monkeypatch.setattr(timing, "_sample", lambda action, *_, **__: times.get(action, 1.0))
    measured(tmp_path, "nets", "small", "--peers", "torch", "--passes", "forward")
    assert "1000 ms; fake fast 2000 ms, ratio 2.00 (2.00-2.00)" in capsys.readouterr().err


def test_isa_runs_the_command_once_in_a_restricted_process(monkeypatch):
    seen = []

    def start(command, env, check):
        seen.append((command, env))
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setenv("OPENBLAS_CORETYPE", "SkylakeX")
    monkeypatch.setattr(run.subprocess, "run", start)
    arguments = ["layers", "plain", "--isa", "avx2"]
    assert run.main(arguments) == 7
    environment = {**os.environ, **machine.ISAS["avx2"]}
    assert seen == [([sys.executable, str(BENCH / "run.py"), *arguments], environment)]
    for name, value in machine.ISAS["avx2"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(run, "measure", lambda given, arguments: 8)
    assert run.main(arguments) == 8


@pytest.mark.parametrize(
    ("kernel", "flags", "restricted", "isa"),
    [
        ("SkylakeX", "fma avx512f", "", "avx512"),
        ("Haswell", "fma avx512f", "AVX2", "avx2, peers emulated"),
        ("Haswell", "fma avx512f", "", "avx2, peers not restricted"),
        ("Haswell", "fma avx2", "AVX2", "avx2"),
    ],
)
def test_isa_of_the_machine(monkeypatch, kernel, flags, restricted, isa):
    monkeypatch.setattr(machine, "_cpuinfo", lambda field: {"flags": flags}[field])
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", restricted)
    assert machine.isa([f"openblas 0.3 ({kernel}) of scipy", "openblas (SkylakeX) of numpy"]) == isa


def _commands():
    text = (BENCH / "README.md").read_text(encoding="utf-8").partition(run.MARKERS[0])[0]
    return re.findall(r"python (bench/run\.py [^`\n#]*\w)", text)


@pytest.mark.parametrize("command", _commands())
def test_commands_of_the_documentation_are_valid(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = run.parse(shlex.split(command)[1:])
    assert {x.split()[1] for x in _commands()} == {
        *measuring.KINDS,
        "targets",
        "tune",
        "show",
        "plot",
    }
    if given.command not in ("tune", "show", "plot"):
        assert run.jobs_of(given)


def test_memory_of_a_fresh_process_is_of_the_same_gradient():
    job = {"name": "lenet", "dtype": "float64", "threads": 1, "images": 40}
    found = memory.fresh("matconv", job)
    case = cases.NetCase("lenet", 40)
    case.data = nets.data(case.net, 40, np.float64)
    expected = peers_matconv.net(case, "float64", 1).results("gradient")
    assert {key: found[key] for key in expected} == expected
    assert found["bytes"] > 8 * 431_080 and len(found["seconds"]) == 1  # more than a gradient


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"f": 2.5}, "REFUSED torch, lenet: f differs by "),
        ({"norm": np.nan}, "REFUSED torch, lenet: norm differs by "),
        (None, "bench/run.py: torch: process ended with status -9: no output"),
    ],
)
def test_memory_of_wrong_gradients_and_dead_processes(monkeypatch, capsys, changes, message):
    def start(command, **_):
        answer = {"bytes": 2**20, "f": 2.0, "norm": 3.0, "seconds": [0.5]}
        if json.loads(command[2])[0] == "torch":
            if changes is None:
                return subprocess.CompletedProcess(command, -9, "", "")
            answer |= changes
        return subprocess.CompletedProcess(command, 0, json.dumps(answer), "")

    monkeypatch.setattr(memory.subprocess, "run", start)
    monkeypatch.setattr(peers, "absent", lambda names: {})
    assert run.main(["memory", "lenet", "--threads", "1", "--peers", "torch"]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("which", ["forward", "gradient"])
def test_latency_calls_are_the_work_of_the_pass(which):
    case = cases.NetCase("lenet", 70)
    network, theta = peers_matconv.network(case.net, case.values, np.float64)
    work, entry, result = latency.program_calls(network, theta, *case.data, which)
    work()
    entry()
    objective = matconv.Objective(network, *case.data, loss="softmax", n_threads=1)
    expected = {"forward": network.forward, "gradient": lambda theta, _: objective.gradient(theta)}
    values = expected[which](theta, case.data[0])
    np.testing.assert_allclose(result(), values, rtol=0, atol=1e-12, strict=True)


def test_latency_beside_is_the_excess_and_the_entry(monkeypatch):
    monkeypatch.setattr(latency.timing, "pair", lambda *_: ([5.0, 9.0, 7.0], [4.0, 4.0, 4.0]))
    monkeypatch.setattr(latency.timeit, "repeat", lambda *_, number, repeat: [0.5 * number, 99.0])
    job = {"name": "lenet", "images": 1, "dtype": "float32", "threads": 1, "algorithm": "auto"}
    found = latency.measure({**job, "pass": "forward"}, timing.Effort())
    assert found["beside"] == 3.0 + 0.5  # median of 1, 5, 3; the minimum of the entries


def test_startup_builds_only_where_told(monkeypatch, tmp_path):
    monkeypatch.setattr(startup, "seconds", lambda *x: 0.25 if "matconv" in x[-1] else 0.2)
    monkeypatch.setattr(startup, "built", lambda: {"wheel": 1_500_000, "build": 80.0})
    for options in ([], ["--build"]):
        records = measured(tmp_path, "startup", *options)["records"]
        found = [one["mine"]["median"] for one in records]
        assert found == pytest.approx([0.05, 1_500_000, 80.0] if options else [0.05])
