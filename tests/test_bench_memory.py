"""Memory of a gradient: measured in a fresh process, of the same gradient, with honest ratios."""

import doctest
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import matconv

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import memory
import nets
import run
import shapes


def test_memory_of_a_fresh_process():
    (found,) = memory.measure(images=40, threads=1, who=["matconv"])
    assert found["who"] == "matconv"
    assert 0 < found["bytes"] == found["peak"] - found["before"]
    assert math.isfinite(found["f"]) and found["norm"] > 0
    net = shapes.NETS["lenet"]
    network = nets.for_matconv(net, np.float64)
    theta = network.pack(nets.parameters(net))
    Z, y = nets.data(net, 40, np.float64)
    f, gradient = matconv.Objective(network, Z, y, loss="softmax").value_and_gradient(theta)
    assert found["f"] == float(f)
    assert found["norm"] == float(np.linalg.norm(gradient))


def fake_processes(monkeypatch, **answers):
    """Let memory.measure see processes that end as told: {who: (status, stdout, stderr)}."""

    def start(command, **_):
        status, out, err = answers[command[2].replace("-", "_")]
        return subprocess.CompletedProcess(command, status, out, err)

    monkeypatch.setattr(memory.subprocess, "run", start)


def answer(**changes):
    """What a process says, with changes."""
    one = {"who": "matconv", "bytes": 2**20, "f": 2.0, "norm": 3.0, "seconds": 0.5}
    return 0, json.dumps({**one, **changes}), ""


def test_memory_of_a_library_that_is_missing(monkeypatch, capsys, tmp_path):
    gone = (1, "", "Traceback\nModuleNotFoundError: No module named 'torch'\n")
    fake_processes(monkeypatch, matconv=answer(), torch=gone, torch_256=gone)
    path = tmp_path / "found.json"
    assert run.main(["gradient", "--threads", "1", "--json", str(path)]) == 0
    assert "skipped torch: No module named 'torch'" in capsys.readouterr().out
    sides = json.loads(path.read_text(encoding="utf-8"))["gradient"][0]["sides"]
    assert sides[1] == {"who": "torch", "missing": "No module named 'torch'"}


def test_memory_table_has_the_ratio(monkeypatch, capsys):
    four = answer(who="torch", bytes=2**22)
    fake_processes(monkeypatch, matconv=answer(), torch=four, torch_256=four)
    assert run.main(["gradient", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "one gradient, lenet, 10000 images, float64, 1 thread" in out
    assert "4.0            0.250     0.50" in out


@pytest.mark.parametrize("key", ["f", "norm"])
@pytest.mark.parametrize("value", [2.5, math.nan])
def test_memory_of_different_gradients_is_refused(monkeypatch, capsys, key, value):
    other = answer(who="torch", **{key: value})
    fake_processes(monkeypatch, matconv=answer(), torch=other, torch_256=other)
    assert run.main(["gradient"]) == 1
    assert f"bench/run.py: {key} of torch is {value}, of matconv" in capsys.readouterr().err


def test_memory_of_a_process_that_dies(monkeypatch, capsys):
    fake_processes(monkeypatch, matconv=(-9, "", ""))
    assert run.main(["gradient"]) == 1
    assert "matconv: process ended with status -9: no output" in capsys.readouterr().err


def test_examples_of_the_documentation():
    assert doctest.testmod(memory).failed == 0
