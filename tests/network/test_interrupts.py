"""Interrupts and forks at any moment of a call: nothing hangs, nothing is lost, all is restored.

Each in a process of its own, which a hang would end; `tests/reliability` tries many more.
"""

import os
import re

import pytest
from support.processes import script


# a step that is prime to the periods of loops, so that every part of them is met
@pytest.mark.catalogue(63)
@pytest.mark.parametrize(
    "call, n_threads, step",
    [
        ("forward", 1, 5),
        ("forward", 2, 3),
        ("forward_one_image", 2, 3),
        ("value_and_gradient", 1, 13),
        ("value_and_gradient", 2, 7),
        ("python_loss", 2, 7),
        ("lbfgs", 2, 41),
        ("lbfgs_python_loss", 2, 41),
        ("sgd", 2, 53),
        ("newton", 2, 199),
    ],
)
def test_interrupt_at_every_point_state_is_restored(call, n_threads, step):
    text = script("interrupts.py", "points", call, n_threads, step)
    assert int(re.search(r": (\d+) points", text)[1]) > 20


@pytest.mark.catalogue(64)
@pytest.mark.parametrize("call", ["forward", "value_and_gradient", "lbfgs"])
def test_signals_at_random_moments_state_is_restored(call):
    text = script("interrupts.py", "signals", call, 2, 60)
    assert "60 signals, 0 hangs, 0 lost" in text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forks_while_threads_compute_children_compute():
    assert "0 hangs" in script("forking.py", 40)
