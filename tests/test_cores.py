"""Threads on cores of their own while they compute; whoever calls has its own back."""

import os
import threading

import pytest

from matconv.engines import ThreadEngine, available_cores, cores
from matconv.kernels import cpu


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity of threads")
def test_the_core_of_a_thread():
    before = os.sched_getaffinity(0)
    for core in before:
        with cores.kept_on([core]):
            assert cpu.core() == core and os.sched_getaffinity(0) == {core}
        assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_parts_share_out_the_cores(monkeypatch, n):
    monkeypatch.setattr(cores, "core", lambda: 5)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {0, 3, 5, 8, 9, 11, 20})
    parts = cores.parts(n)
    assert len(parts) == n and 5 in parts[0]
    assert sorted(core for part in parts for core in part) == [0, 3, 5, 8, 9, 11, 20]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_more_threads_than_cores_use_them_all(monkeypatch):
    monkeypatch.setattr(cores, "core", lambda: 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {0, 1})
    assert cores.parts(3) == [[0, 1]] * 3


def test_where_nothing_is_known_of_cores_nothing_is_asked_for(monkeypatch):
    def never(thread, cores):
        raise AssertionError(thread)

    monkeypatch.setattr(os, "sched_setaffinity", never)
    monkeypatch.setattr(cores, "core", lambda: -1)
    seen = []
    ThreadEngine(2).run(lambda k: k, range(9), seen.append)
    assert seen == list(range(9))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity of threads")
@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_have_cores_of_their_own_and_the_caller_its_own_back(n_threads):
    before, all_at_once, places = os.sched_getaffinity(0), threading.Barrier(n_threads), []

    def evaluate(k):
        all_at_once.wait(20)
        return os.sched_getaffinity(0)

    for _ in range(5):
        places.clear()
        ThreadEngine(n_threads).run(evaluate, range(n_threads), places.append)
        if len(before) >= n_threads:
            assert sorted(core for place in places for core in place) == sorted(before)
        else:
            assert places == [before] * n_threads
        assert os.sched_getaffinity(0) == before

    def fail(k):
        raise RuntimeError("item")

    with pytest.raises(RuntimeError, match="item"):
        ThreadEngine(n_threads).run(fail, range(5), places.append)
    assert os.sched_getaffinity(0) == before


def test_cores_may_be_forbidden(monkeypatch):
    tried = []

    def refuse(thread, cores):
        tried.append(thread)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    seen = []
    ThreadEngine(2).run(lambda k: k, range(9), seen.append)
    assert seen == list(range(9))
    assert not hasattr(os, "sched_getaffinity") or len(tried) == 3


def test_all_cores_by_default():
    assert ThreadEngine().n_threads == available_cores() >= 1
