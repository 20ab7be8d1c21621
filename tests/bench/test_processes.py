"""Memory in fresh processes, the time beside the kernels, the start."""

import json
import subprocess
import sys
from pathlib import Path

import cases
import latency
import memory
import nets
import numpy as np
import peers
import peers_matconv
import peers_processes
import pytest
import run
import startup
import timing

import matconv


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
        if json.loads(command[2])[0] == "peers_torch":
            if changes is None:
                return subprocess.CompletedProcess(command, -9, "", "")
            answer |= changes
        return subprocess.CompletedProcess(command, 0, json.dumps(answer), "")

    monkeypatch.setattr(memory.subprocess, "run", start)
    monkeypatch.setattr(peers, "absent", lambda names: {})
    assert run.main(["memory", "lenet", "--threads", "1", "--peers", "torch"]) == 1
    assert message in capsys.readouterr().err


def test_budgets_have_the_peak_of_the_first_product_and_the_time_of_the_others(monkeypatch):
    calls = []

    def fresh(*arguments):
        calls.append(arguments)
        return {"bytes": 7, "seconds": [9.0, 1.0, 2.0, 4.0]}

    monkeypatch.setattr(memory, "fresh", fresh)
    job = {"images": 5, "pass": "hessian within 0"}
    found = memory.budgets(job, timing.Effort())
    assert (found["bytes"], found["mine"]["median"]) == (7, 2.0)
    assert calls == [("matconv", job, 3.0, "hessian within 0", "products")]


def test_products_within_any_budget_are_the_same_and_repeat_no_kept_work():
    job = {"name": "lenet", "dtype": "float64", "threads": 1, "images": 40}
    found = {
        which: memory.fresh("matconv", job, which=which, module="products")
        for which in ("hessian within 0", "hessian within inf", "gradient")
    }
    nothing, everything, gradient = found.values()
    assert nothing["norm"] == everything["norm"] != gradient["norm"]
    assert everything["bytes"] > nothing["bytes"]


@pytest.mark.parametrize("which", ["forward", "gradient"])
def test_latency_calls_are_the_work_of_the_pass(which):
    case = cases.NetCase("lenet", 70)
    network, theta = peers_matconv.network(case, np.float64)
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


def test_startup_builds_only_where_told(monkeypatch, measured):
    monkeypatch.setattr(startup, "seconds", lambda *x, env: 0.25 if "matconv" in x[-1] else 0.2)
    monkeypatch.setattr(startup, "built", lambda: {"wheel": 1_500_000, "build": 80.0})
    for options in ([], ["--build"]):
        records = measured("startup", *options)["records"]
        found = [one["mine"]["median"] for one in records]
        assert found == pytest.approx([0.05, 1_500_000, 80.0] if options else [0.05])


def processor_time(process):
    """Clock ticks that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11])


def stopped(process):
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_import_is_timed_with_compiled_files(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    found = []

    def seconds(*command, env):
        subprocess.run([sys.executable, *command], check=True, env=env)
        names = {x.name.partition(".")[0] for x in Path(env["PYTHONPYCACHEPREFIX"]).rglob("*.pyc")}
        found.append("matconv" in command[-1] and "objective" in names)
        return float(len(found))

    monkeypatch.setattr(startup, "seconds", seconds)
    assert startup.imports(1) == [1.0]
    assert found == [False, True, False, True]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_processes_run_in_the_context_of_their_side_and_end_with_it(monkeypatch):
    started, start = [], subprocess.Popen

    def popen(*arguments, **options):
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(peers_processes.subprocess, "Popen", popen)
    side = peers_processes.net(cases.NetCase("lenet", 2), "float64", 3, "auto")
    assert len(started) == 2
    for _ in range(2):
        while not all(map(stopped, started)):
            pass
        before = [processor_time(process) for process in started]
        with side.context():
            while not all(processor_time(p) > n for p, n in zip(started, before, strict=True)):
                pass
    assert (
        side.passes["step"]()
        == peers_matconv.net(cases.NetCase("lenet", 2), "float64", 1).passes["step"]()
    )
    del side
    assert [process.returncode for process in started] == [-9, -9]
