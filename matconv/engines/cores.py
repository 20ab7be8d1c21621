"""The default number of threads."""

import math
import os
from collections.abc import Iterator

__all__ = ["available_cores", "default_threads"]

_CGROUPS = "/proc/self/cgroup"
_CGROUP_ROOT = "/sys/fs/cgroup"


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """Return the number of threads that is used if none is given.

    It is the minimum of three numbers: the cores that this process may use; ``OMP_NUM_THREADS``, if
    it is set to a positive integer or to a list that begins with one; and the processor time that
    the process's control group grants it, in cores, rounded up.

    Examples
    --------
    >>> from matconv.engines.cores import available_cores, default_threads
    >>> 1 <= default_threads() <= available_cores()
    True
    """
    limits = [available_cores()]
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if text.isascii() and text.isdigit() and int(text) > 0:
        limits.append(int(text))
    limits += [max(math.ceil(quota), 1) for quota in _quotas()]
    return min(limits)


def _quotas() -> Iterator[float]:
    """Yield the limit on processor time, in cores, of each control group that has one."""
    for line in _read(_CGROUPS).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # version 2 has one hierarchy, whose list of controllers is empty
        if controllers == "":
            roots = [_CGROUP_ROOT]
        elif "cpu" in controllers.split(","):
            roots = [f"{_CGROUP_ROOT}/{controllers}", f"{_CGROUP_ROOT}/cpu"]
        else:
            continue
        for root in roots:
            for folder in _ancestors(path):
                quota = _quota(f"{root}{folder}")
                if quota is not None:
                    yield quota


def _ancestors(path: str) -> Iterator[str]:
    """Yield ``/a/b``, ``/a`` and the empty path of the root, whose limit applies as well."""
    path = path.rstrip("/")
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""


def _quota(folder: str) -> float | None:
    """Return the limit of a control group in cores; None if it has none."""
    words = _read(f"{folder}/cpu.max").split()
    if not words:  # version 1
        words = _read(f"{folder}/cpu.cfs_quota_us").split()
        words += _read(f"{folder}/cpu.cfs_period_us").split()
    try:
        quota, period = map(float, words)
    except ValueError:  # no file, or "max"
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(4096)
    except OSError:
        return ""
