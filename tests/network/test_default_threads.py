"""The default number of threads."""

import os

import pytest

from matconv.engines import ThreadEngine, available_cores, cores, default_threads


@pytest.fixture
def control_groups(tmp_path, monkeypatch):
    """A file system of control groups: `write` makes a file in it, `belong` a process's groups."""

    class Groups:
        def write(self, path, text):
            file = tmp_path / "fs" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

        def belong(self, text):
            (tmp_path / "cgroup").write_text(text)

    monkeypatch.setattr(cores, "_CGROUPS", str(tmp_path / "cgroup"))
    monkeypatch.setattr(cores, "_CGROUP_ROOT", str(tmp_path / "fs"))
    monkeypatch.setattr(cores, "available_cores", lambda: 16)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return Groups()


def test_default_threads_no_limits_all_cores(control_groups):
    assert default_threads() == 16


@pytest.mark.parametrize(
    "text, threads", [("1", 1), ("3", 3), (" 2 ", 2), ("4,2,1", 4), ("99", 16)]
)
def test_default_threads_omp_num_threads_limits(control_groups, monkeypatch, text, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert default_threads() == threads
    assert ThreadEngine().n_threads == threads
    assert ThreadEngine(5).n_threads == 5


@pytest.mark.parametrize("text", ["", "0", "-2", "many", "2.5", "²", ","])
def test_default_threads_omp_num_threads_invalid_is_ignored(control_groups, monkeypatch, text):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert default_threads() == 16


@pytest.mark.parametrize(
    "text, threads",
    [
        ("max 100000\n", 16),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("5000 100000\n", 1),
        ("9900000 100000\n", 16),
        ("", 16),
        ("rubbish\n", 16),
        ("-1 100000\n", 16),
        ("100000 0\n", 16),
    ],
)
def test_default_threads_cgroup_v2_quota(control_groups, text, threads):
    control_groups.belong("0::/\n")
    control_groups.write("cpu.max", text)
    assert default_threads() == threads


def test_default_threads_cgroup_v2_parent_limits_child(control_groups):
    control_groups.belong("0::/pod/container\n")
    control_groups.write("pod/container/cpu.max", "max 100000\n")
    control_groups.write("pod/cpu.max", "300000 100000\n")
    control_groups.write("cpu.max", "400000 100000\n")
    assert default_threads() == 3


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_default_threads_cgroup_v1_quota(control_groups, folder):
    control_groups.belong("7:memory:/a\n4:cpu,cpuacct:/a\n")
    control_groups.write(f"{folder}/a/cpu.cfs_quota_us", "250000\n")
    control_groups.write(f"{folder}/a/cpu.cfs_period_us", "100000\n")
    control_groups.write("memory/a/cpu.cfs_quota_us", "100000\n")
    control_groups.write("memory/a/cpu.cfs_period_us", "100000\n")
    assert default_threads() == 3


def test_default_threads_cgroup_v1_no_quota(control_groups):
    control_groups.belong("4:cpu,cpuacct:/\n")
    control_groups.write("cpu/cpu.cfs_quota_us", "-1\n")
    control_groups.write("cpu/cpu.cfs_period_us", "100000\n")
    assert default_threads() == 16


def test_default_threads_all_limits_minimum(control_groups, monkeypatch):
    control_groups.belong("0::/\n")
    control_groups.write("cpu.max", "300000 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert default_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert default_threads() == 3


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity of threads")
def test_available_cores_affinity_is_counted(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5, 7})
    assert available_cores() == 3


def test_available_cores_no_affinity_all_cores(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1
