"""Samples in turns, and what is made of them. No test depends on a time."""

from contextlib import contextmanager

import pytest
import timing


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


def test_turns_of_three_sides_are_in_their_order(monkeypatch):
    said = []
    monkeypatch.setattr(timing, "_sample", lambda action, *_, **__: said.append(action) or 1.0)
    found = timing.turns([(name, None) for name in "abc"], timing.Effort(repeats=2, budget=99))
    assert "".join(said) == "abc" * 3
    assert found == ([1.0, 1.0],) * 3


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
