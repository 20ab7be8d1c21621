"""The benchmark's command line: jobs, records, files. No test depends on a time."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import types
from pathlib import Path

import machine
import measuring
import numpy as np
import peers
import peers_matconv
import pytest
import run
import timing

import matconv

BENCH = Path(run.__file__).parent


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


def test_run_writes_records_and_prints_them(measured, capsys):
    arguments = ["layers", "grouped", "--peers", "gemm", "--dtypes", "float64", "float32"]
    found = measured(*arguments)
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


def test_run_refuses_wrong_results_and_goes_on(monkeypatch, measured, capsys):
    right = matconv.conv2d

    def wrong(Z, W, b, **options):
        out = right(Z, W, b, **options)
        out.flat[-1] += 1e-6 * (options["groups"] == 2)
        return out

    monkeypatch.setattr(matconv, "conv2d", wrong)
    arguments = ["layers", "grouped", "plain", "--passes", "forward", "--peers", "gemm"]
    found = measured(*arguments, status=1)
    err = capsys.readouterr().err
    assert "REFUSED matconv auto, grouped: S exceeds the rounding bound" in err
    assert [one["name"] for one in found["records"]] == ["plain"]
    assert [one["name"] for one in found["refused"]] == ["grouped"]


def test_run_skips_a_missing_peer_by_name(monkeypatch, measured, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "peers_torch", raising=False)
    found = measured("layers", "plain", "--passes", "forward")
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
def test_run_refuses_a_wrong_peer(fake, measured, capsys, which, key):
    def change(side):
        right = side.results
        side.results = lambda which: {k: 1.001 * value for k, value in right(which).items()}

    fake(change)
    measured("nets", "small", "--peers", "torch", "--passes", which, status=1)
    assert f"REFUSED fake, small: {key} differs by 0.001 of its" in capsys.readouterr().err


def test_faster_form_of_a_peer_is_measured(fake, monkeypatch, measured, capsys):
    def change(side):
        side.passes, side.results = {"forward": side.form}, lambda which: {}

    times = {"slow": 3.0, "fast": 2.0}
    fake(change, tuple(times))
    monkeypatch.setattr(timing, "_sample", lambda action, *_, **__: times.get(action, 1.0))
    measured("nets", "small", "--peers", "torch", "--passes", "forward")
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
