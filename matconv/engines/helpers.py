"""Threads that help with a call and stay for the next one, of whichever engine."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from .cores import move

# those that are free, by process: threads do not survive a fork; list.append and list.pop are atomic
_free: dict[int, list["_Helper"]] = {}


class _Helper:
    """One thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="matconv")
        self._number = self._pool.submit(threading.get_native_id).result()

    def start(self, function: Callable[[], object], cores: list[int]) -> Future:
        # before it wakes, or it may wake behind the caller, on the same core
        move(self._number, cores)
        return self._pool.submit(function)


def _one_of(free: list[_Helper]) -> _Helper:
    try:
        return free.pop()
    except IndexError:
        return _Helper()


@contextmanager
def helping(function: Callable[[], object], places: list[list[int]]) -> Iterator[None]:
    """While the block runs, threads call ``function()``, one on each of these places.

    At its end they are waited for. With fewer, or none, where the system has no more threads.
    """
    free = _free.setdefault(os.getpid(), [])
    helpers: list[_Helper] = []
    started: list[Future] = []
    try:
        try:
            for cores in places:
                helpers.append(_one_of(free))
                started.append(helpers[-1].start(function, cores))
        except RuntimeError:
            pass  # no more threads: the others go on
        yield
    finally:
        # cancelled are those that have not come to it yet
        wait([future for future in started if not future.cancel()])
        free.extend(helpers)
