"""Long runs of the compiled code, failing allocations, hostile files; each figure is printed.

    pytest tests/reliability

`sanitized.py` beside this file is the other half: the tests of the kernels under sanitizers;
`threads_sanitized.py` is that for the thread pool.
"""

import platform
import re
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent

from reliability import fuzz
from support import compiled, describing, processes
from support.capi import FORMAT
from support.exported_files import conv, dense, exported, graph, record, resigned, with_word
from support.exported_reading import steps_of
from support.opened import Opened
from support.terminated import ignored, terminations

from matconv import Conv, Dense, MaxPool, Network

if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
    pytest.skip("guard pages and the stand-in for malloc are Linux's", allow_module_level=True)


def script(name, *arguments, timeout=300):
    """Run a script of this folder; return its last line, which has the figure."""
    return processes.script(HERE / name, *arguments, timeout=timeout).splitlines()[-1]


@pytest.fixture
def figure(capsys):
    """Print a figure, though the test passes."""

    def show(text):
        with capsys.disabled():
            print(f"\n  {text}", end="")

    return show


def test_mutated_networks(figure, tmp_path):
    """Half a minute; every run the same files, as far as it gets."""
    text = script("fuzz.py", "--seconds", "30", "--seed", "0", "--current", str(tmp_path / "now"))
    figure(text)
    executions, opened = map(int, re.search(r"(\d+) executions .* opened (\d+)", text).groups())
    # in both directions: the parser is reached, and what it lets through is used
    assert executions > 2000 and 0.05 < opened / executions < 0.9


def test_failing_allocations(figure):
    text = script("allocations.py")
    figure(text)
    functions, raised = map(int, re.search(r"(\d+) functions, (\d+) calls", text).groups())
    assert functions >= 30 and raised > 1000


def test_operators_and_networks_leak_nothing(figure):
    figure(script("endurance.py", "leaks"))


def test_narrow_alexnet_learns(figure):
    figure(script("alexnet.py"))


def test_threads_share_networks(figure):
    figure(script("endurance.py", "hammer"))


def test_fork_between_predictions(figure):
    figure(script("endurance.py", "forks"))


def test_terminated_trainings_are_saved(figure):
    """Two minutes; the process waits for the digits to be trained on, again and again."""
    figure(terminations(50))
    figure(ignored(5))


def test_threads_with_a_small_stack(figure):
    text = script("endurance.py", "stack")
    figure(text)
    # a quarter is left to the caller
    assert float(re.search(r"at most ([\d.]+) KiB", text)[1]) < 48


# Files by hand ------------------------------------------------------------------------------------


def encoded(shape, layers, dtype=np.float64, algorithm="auto"):
    net = Network(shape, layers, dtype, algorithm)
    return describing.encoded(net, net.init(seed=0))


def test_sizes_whose_product_wraps():
    """-1 x 3 x d is 4 modulo 2**64, which a dense layer of 4 inputs could take for its own."""
    data = encoded((1, 1, 4), [Dense(2)])
    d = 4 * (2**62 - 1) // 3
    assert -3 * d % 2**64 == 4
    for sizes in ((-1, 3, d), (3, -1, d), (d, 3, -1), (2**32, 2**32, 4), (2**63 - 1, 2**62, 4)):
        for k, size in zip((6, 7, 8), sizes):
            data = with_word(data, k, size)
        with Opened(data) as network:
            assert network.status == FORMAT, sizes


def graphs(dtype):
    """Thousands of small steps, and parameters that many steps use."""
    small = [
        conv(k, 1, (2, 2), pad=(1, 0, 1, 0), bias=0, algorithm=2) for k in range(2000)
    ]  # fmt: skip
    scales = [record("Scale", [k], [0]) for k in range(4096)]
    merged = [
        step for k in range(0, 4096, 2)
        for step in (conv(k, 1, (1, 1), bias=0), record("Scale", [k + 1], [0]))
    ]  # fmt: skip
    fan = [record("Activation", [0]) for _ in range(4095)]
    fan.append(record("Add", range(1, 4096), numbers=[1.0] * 4095))
    # in many forms, by the sizes of the images
    shared = [dense(0, 300), *(dense(0, 300, owner=1) for _ in range(50))]
    shared.append(record("Concat", range(1, 52)))
    pyramid = [conv(0, 16, (3, 3), pad=(1, 1, 1, 1))]
    for k in range(150):
        pad = (1 + k % 7, 1, 1 + k % 5, 1)
        pyramid.append(conv(2 * k + 1, 16, (3, 3), pad=pad, owner=1))
        pyramid.append(record("Crop", [2 * k + 2], [k % 7, 0, k % 5, 0]))
    return {
        "small filters": exported((9, 9, 1), small, [np.ones(8000)], dtype),
        "scales": exported((1, 1, 1), scales, [np.ones(4096)], dtype),
        "merged": exported((1, 1, 1), merged, [np.ones(4096)], dtype),
        "fan": exported((1, 1, 1), fan, [], dtype),
        "shared": exported((5, 5, 4), shared, [np.ones(30300)], dtype),
        "pyramid": exported((20, 17, 16), pyramid, [np.ones(9 * 256 + 16)], dtype),
    }


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_opening_costs_a_bounded_multiple_of_the_file(dtype, figure):
    """The files that cost the most: largest transforms, many tiny layers."""
    files = {
        "winograd": encoded((40, 40, 64), [Conv(64, 2, algorithm="winograd")], dtype),
        "strided": encoded((40, 40, 64), [Conv(64, 3, stride=2, algorithm="winograd")], dtype),
        "wide": encoded(
            (7, 7, 1), [Conv(4096, 3, pad=((0, 0), (0, 4096)), algorithm="winograd")], dtype
        ),
        "tiny": encoded((1, 1, 1), [Conv(1, 1) for _ in range(4096)], dtype),
        "pools": encoded((1, 1, 1), [MaxPool(1) for _ in range(4096)], dtype),
        **graphs(dtype),
    }
    runner = fuzz.Runner(limited=True)
    for name, data in files.items():
        assert fuzz.MEMORY_FACTOR * len(data) > 3 * fuzz.MEMORY_BESIDE  # the bound means something
        assert runner.execute(data), name
    figure(f"opened within {fuzz.MEMORY_FACTOR} x the file's size + 1 MiB: {', '.join(files)}")


@pytest.mark.parametrize("name", ["layers", "graph"])
def test_small_file_every_flip_and_truncation_refused(name, figure):
    """With the CRC that goes with them: what opens is what a second reading says."""
    data = graph() if name == "graph" else encoded((6, 6, 1), [Conv(2, 3), MaxPool(2), Dense(2)])
    runner = fuzz.Runner(limited=False)
    for at in range(8 * steps_of(data)[1]):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            runner.execute(resigned(changed))
    for length in range(len(data)):
        assert not runner.execute(data[:length])
    for at in range(8 * len(data)):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        assert not runner.execute(bytes(changed))  # the CRC tells
    figure(f"flips and truncations, {name}: {dict(runner.counts)}")


# Interrupts and forks -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", ["1", "2", "4"])
@pytest.mark.parametrize("call", ["forward", "value_and_gradient", "lbfgs", "python_loss", "sgd"])
def test_random_interrupts_restore_state(figure, call, n_threads):
    """Calls that last a millisecond and calls that last longer; 10,000 signals in all."""
    figure(script("../support/interrupts.py", "signals", call, n_threads, "700"))


@pytest.mark.parametrize("call", ["forward", "forward_one_image", "value_and_gradient"])
def test_interrupts_at_every_point(figure, call):
    figure(script("../support/interrupts.py", "points", call, "2", "1"))


def test_forks_while_threads_compute(figure):
    figure(script("../support/forking.py", "300"))


@pytest.mark.parametrize("name, argument", [("hammer", "10000"), ("forks", "300")])
def test_teams_of_native_pieces(figure, name, argument, tmp_path):
    compiled.build(tmp_path)
    figure(script("../support/teamwork.py", str(tmp_path), name, argument))
