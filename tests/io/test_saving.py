"""Saving a model: killed at each step, by two processes, on a full disk, without permission."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import TESTS
from support.faults import FaultyOs, save_by

import matconv
from matconv import Conv, Dense, Network
from matconv.io import load_model, save_model

NET = Network((4, 4, 1), [Conv(8, 3, activation="relu"), Dense(40)])
OLD = np.zeros(NET.n)
NEW = np.ones(NET.n)

PREAMBLE = """
import errno, json, os, signal, sys
from pathlib import Path
import numpy as np
from support.faults import FaultyOs, install
from matconv import Conv, Dense, Network
from matconv.io import load_model, save_model

net = Network((4, 4, 1), [Conv(8, 3, activation="relu"), Dense(40)])
old, new = np.zeros(net.n), np.ones(net.n)
path = sys.argv[1]

def content():
    return Path(path).read_bytes()
"""


def environment():
    """So that another process finds matconv and the helpers, and runs on one thread.

    With ``-P`` it looks nowhere else: not in the working directory, which may be a source tree.
    """
    folders = [Path(matconv.__file__).parents[1], TESTS]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def script(text, *arguments):
    """Run a script in a process of its own and give what it prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", PREAMBLE + text, *map(str, arguments)],
        capture_output=True,
        check=False,
        timeout=300,
        env=environment(),
    )
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.npz"
    save_model(path, NET, OLD)
    return path


KILLED_AT_EVERY_STEP = """
before = content()
outcomes = []

def kill(when):
    def action(name, real, args):
        if when == "half":
            # What the system had taken before the power went.
            real(bytes(args[0])[: len(args[0]) // 2])
        elif when == "after":
            kept = real(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    return action

def run(at, when):
    "How a child ends that is killed at a step of its save."
    child = os.fork()
    if child == 0:
        install(FaultyOs(at, kill(when)))
        save_model(path, net, new)
        os._exit(0)
    return os.waitpid(child, 0)[1]

recorder = FaultyOs()
install(recorder)
save_model(path, net, new)
install(os)
for at, name in enumerate(recorder.trace):
    for when in ("before", "half", "after") if name == "write" else ("before", "after"):
        Path(path).write_bytes(before)
        status = run(at, when)
        theta = load_model(path).theta
        outcomes.append({
            "step": name, "at": at, "when": when,
            "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
            "old": bool((theta == old).all()), "new": bool((theta == new).all()),
        })
json.dump({"trace": recorder.trace, "outcomes": outcomes}, sys.stdout)
"""


@pytest.mark.catalogue(50)
def test_save_model_killed_at_each_step_leaves_whole_file(path):
    result = script(KILLED_AT_EVERY_STEP, path)
    trace, outcomes = result["trace"], result["outcomes"]
    assert trace[:3] == ["open", "open", "fdopen"]
    assert trace[-4:] == ["chmod", "fsync", "replace", "fsync"]
    assert trace.count("write") >= 4 and set(trace[3:-4]) == {"write"}
    assert len(outcomes) == 2 * len(trace) + trace.count("write")
    renamed = len(trace) - 2
    for outcome in outcomes:
        assert outcome["killed"] and outcome["old"] != outcome["new"], outcome
        at, when = outcome["at"], outcome["when"]
        assert outcome["new"] == (at > renamed or (at == renamed and when == "after")), outcome
    # What is left behind is ours, and in nobody's way.
    left = [name for name in os.listdir(path.parent) if name != path.name]
    assert left and all(name.startswith(".matconv-") for name in left)
    save_model(path, NET, NEW)
    assert load_model(path).theta.tobytes() == NEW.tobytes()


@pytest.mark.catalogue(52)
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(5, "Input/output error")])
def test_save_model_error_at_each_step_leaves_whole_file(path, monkeypatch, error):
    def fail(name, real, args):
        raise error

    before = path.read_bytes()
    recorder = FaultyOs()
    save_by(monkeypatch, recorder)
    save_model(path, NET, NEW)
    for at in range(len(recorder.trace)):
        path.write_bytes(before)
        save_by(monkeypatch, FaultyOs(at, fail))
        with pytest.raises(error if error is KeyboardInterrupt else OSError) as caught:
            save_model(path, NET, NEW)
        if error is not KeyboardInterrupt:
            assert str(caught.value) == f"[Errno 5] Input/output error: '{path}'"
        number = 1 if at == len(recorder.trace) - 1 else 0
        assert set(load_model(path).theta.tolist()) == {number}
        assert os.listdir(path.parent) == [path.name]


SAVED_AGAIN_AND_AGAIN = """
theta = np.full(net.n, float(sys.argv[2]))
for k in range(int(sys.argv[3])):
    save_model(path, net, theta, training={"k": k})
print("null")
"""


@pytest.mark.catalogue(53)
def test_save_model_two_processes_leave_one_whole_file(path):
    arguments = [sys.executable, "-P", "-c", PREAMBLE + SAVED_AGAIN_AND_AGAIN, str(path)]
    writers = [
        subprocess.Popen([*arguments, number, "40"], env=environment(), stdout=subprocess.DEVNULL)
        for number in ("1", "2")
    ]
    seen = set()
    try:
        while any(writer.poll() is None for writer in writers):
            (number,) = set(load_model(path).theta.tolist())
            seen.add(number)
        assert [writer.wait() for writer in writers] == [0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    (number,) = set(load_model(path).theta.tolist())
    assert number in (1, 2) and seen <= {0, 1, 2}
    assert os.listdir(path.parent) == [path.name]


FILES_LIMITED = """
import resource
before = content()
limits = [0, 1, 64, 1000, len(before) // 2, len(before) - 1]
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
outcomes = []
for limit in limits:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        save_model(path, net, new)
    except OSError as error:
        outcomes.append([
            errno.errorcode[error.errno], error.filename == path,
            content() == before, os.listdir(os.path.dirname(path)),
        ])
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
save_model(path, net, new)
json.dump(outcomes, sys.stdout)
"""


@pytest.mark.catalogue(52)
def test_save_model_full_disk_keeps_the_old_file(path):
    assert script(FILES_LIMITED, path) == [["EFBIG", True, True, ["model.npz"]]] * 6
    assert load_model(path).theta.tobytes() == NEW.tobytes()


NOT_ALLOWED = """
import stat, tempfile
if os.getuid() == 0:
    # Nothing is forbidden to root.
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return [type(error).__name__, error.filename == arguments[0]]
    return "no error"

outcomes = {}
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.npz")
    save_model(path, net, old)
    before = content()
    os.chmod(folder, 0o555)
    outcomes["folder"] = attempt(save_model, path, net, new)
    outcomes["new name"] = attempt(save_model, path + "2", net, new)
    os.chmod(folder, 0o755)
    os.chmod(path, 0o444)
    outcomes["file"] = attempt(save_model, path, net, new)
    outcomes["same"] = [content() == before, os.listdir(folder)]
    os.chmod(path, 0o000)
    outcomes["read"] = attempt(load_model, path)
    os.chmod(path, 0o600)
    outcomes["then"] = attempt(save_model, path, net, new)
    outcomes["mode"] = stat.S_IMODE(os.stat(path).st_mode)
json.dump(outcomes, sys.stdout)
"""


@pytest.mark.catalogue(43)
@pytest.mark.catalogue(52)
def test_save_model_without_permission_raises(path):
    assert script(NOT_ALLOWED, path) == {
        "folder": ["PermissionError", True],
        "new name": ["PermissionError", True],
        "file": ["PermissionError", True],
        "same": [True, ["model.npz"]],
        "read": ["PermissionError", True],
        "then": "no error",
        "mode": 0o600,
    }


@pytest.mark.catalogue(52)
def test_save_model_directory_refused(path):
    with pytest.raises(IsADirectoryError) as caught:
        save_model(path.parent, NET, NEW)
    assert caught.value.filename == str(path.parent)
    assert os.listdir(path.parent) == [path.name]
