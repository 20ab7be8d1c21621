"""BLAS has one thread while shards are evaluated, and afterwards what it had."""

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from matconv.engines import ThreadEngine
from matconv.engines import blas_threads as blas_threads_module
from matconv.engines.blas_threads import single_blas_thread


def blas_threads():
    return sorted({info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"})


@pytest.mark.parametrize("n_threads", [1, 2])
def test_blas_has_one_thread_inside_and_what_it_had_after(n_threads):
    with threadpool_limits(2, user_api="blas"):
        seen = []
        ThreadEngine(n_threads).run(lambda k: blas_threads(), range(3), seen.append)
        assert seen == [[1]] * 3
        assert blas_threads() == [2]

        with single_blas_thread():
            with single_blas_thread():
                assert blas_threads() == [1]
            assert blas_threads() == [1]
        assert blas_threads() == [2]


def test_threads_that_come_first_at_once_share_one_limit(monkeypatch):
    """Otherwise the one that leaves last restores what another had set: BLAS on one thread."""
    with threadpool_limits(2, user_api="blas"):
        for _ in range(20):
            monkeypatch.setattr(blas_threads_module, "_limits", {})
            barrier = threading.Barrier(4)
            inside = []

            def work(barrier=barrier, inside=inside):
                barrier.wait()
                with single_blas_thread():
                    inside.append(blas_threads())
                    barrier.wait()

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert inside == [[1]] * 4
            assert blas_threads() == [2]


def test_whichever_thread_comes_first_or_leaves_last():
    """The thread that sets the limit need not be the one that restores it, nor the main one."""
    with threadpool_limits(2, user_api="blas"):
        entered, left = threading.Event(), threading.Event()

        def first():
            with single_blas_thread():
                entered.set()
                left.wait(10)

        def alone():
            with single_blas_thread():
                seen.append(blas_threads())

        thread = threading.Thread(target=first)
        thread.start()
        entered.wait(10)
        with single_blas_thread():
            left.set()
            thread.join()
            assert blas_threads() == [1]
        assert blas_threads() == [2]

        seen = []
        thread = threading.Thread(target=alone)
        thread.start()
        thread.join()
        assert seen == [[1]]
        assert blas_threads() == [2]
