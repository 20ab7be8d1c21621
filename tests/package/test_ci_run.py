"""How ``.ci/run`` counts, measures and ends its steps; here with short steps."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / ".ci" / "run"
NEEDED = [shutil.which(name) for name in ("bash", "timeout", "awk")]
pytestmark = pytest.mark.skipif(None in NEEDED, reason="no bash, timeout or awk")
SUMMARY = "== 3 failed, 12 passed, 1 skipped in 0.52s =="
# the group of "others", with a process that says its id, and then waits for ever
OTHERS = """
set -m
(echo $BASHPID > "$top/other"; exec sleep 1000) &
others=$!
set +m
echo "$others" > "$scratch/others"
until [ -s "$top/other" ]; do sleep 0.01; done
"""


@pytest.fixture
def ci(tmp_path):
    """A function that starts ``.ci/run`` with other steps, and its own folder for scratch."""
    (tmp_path / "scratch").mkdir()
    head, found, _ = RUN.read_text(encoding="utf-8").partition("### steps\n")
    assert found
    environment = {k: v for k, v in os.environ.items() if k not in ("CI_SCRATCH", "PYTEST_ADDOPTS")}
    environment["TMPDIR"] = str(tmp_path / "scratch")

    def start(steps, bound=3600):
        text, count = re.subn(r"^bound=\d+", f"bound={bound}", head, flags=re.MULTILINE)
        assert count == 1
        (tmp_path / ".ci").mkdir()
        (tmp_path / ".ci" / "run").write_text(text + steps)
        return subprocess.Popen(
            ["bash", str(tmp_path / ".ci" / "run")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        )  # fmt: skip

    yield start
    assert list((tmp_path / "scratch").iterdir()) == []


def ended(process):
    """(exit status, lines printed)."""
    out, _ = process.communicate(timeout=100)
    return process.returncode, out.splitlines()


def rows(lines):
    """The lines of the table without the times: (tests, step)."""
    (start,) = [k for k, line in enumerate(lines) if re.fullmatch(r" seconds +tests +step", line)]
    found = [re.fullmatch(r" *\d+ +(\d+ +)?(\S.*)", line) for line in lines[start + 1 :]]
    return [((row[1] or "").strip(), row[2]) for row in found if row]


def assert_gone(pid):
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_ci_run_prints_the_time_of_each_step_and_a_table(ci):
    steps = f"""
step "the first"
step "the second"
tested echo "{SUMMARY}"
tested echo "30 passed in 0.10s"
end_step
echo "all is well"
"""
    status, lines = ended(ci(steps))
    assert status == 0
    assert rows(lines) == [("", "the first"), ("42", "the second"), ("42", "all")]
    assert [line for line in lines if line.startswith("== the")] == [
        "== the first",
        "== the second",
    ]
    durations = [line for line in lines if line.startswith("-- ")]
    assert re.fullmatch(r"-- \d+ s: the first", durations[0])
    assert re.fullmatch(r"-- \d+ s, 42 tests: the second", durations[1])
    assert "failed" not in lines[-1]


@pytest.mark.parametrize(
    "command",
    [
        "false",
        f"bash -c 'echo \"{SUMMARY}\"; exit 1'",
        "bash -c 'echo no tests ran in 0.01s; exit 5'",
        "echo 'no tests ran in 0.01s'",
        "echo 'cases 1-5: 5 run, 5 passed (6 tests, 6 passed)'",
        "echo '7 skipped in 0.1s'",
        "echo '0 passed in 0.1s'",
    ],
)
def test_ci_run_step_that_fails_is_named_below_the_table(ci, command):
    """Also where no test ran, whatever the status."""
    steps = (
        f'step "good"\ntested echo "5 passed in 1.0s"\nstep "bad"\ntested {command}\nstep "more"'
    )
    status, lines = ended(ci(steps))
    assert status == (5 if "exit 5" in command else 1)
    assert rows(lines) == [("5", "good"), ("", "bad (not finished)"), ("5", "all")]
    assert lines[-1] == "failed in the step: bad"


def test_ci_run_beyond_its_bound_names_the_step(ci, tmp_path):
    process = ci(f'step "short"\nstep "too long"\n{OTHERS}\nsleep 1000', bound=1)
    status, lines = ended(process)
    assert status == 124
    assert lines[-1] == "ended by its own bound of 0 minutes in the step: too long"
    assert rows(lines) == [("", "short"), ("", "too long (not finished)"), ("0", "all")]
    # with a loaded machine the bound may come before the other process has said its id
    said = (tmp_path / "other").read_text().split() if (tmp_path / "other").exists() else []
    for pid in said:
        assert_gone(int(pid))


def test_ci_run_failing_ends_what_runs_beside(ci, tmp_path):
    status, lines = ended(ci(f'step "one"\n{OTHERS}\nstep "two"\nfalse'))
    assert (status, lines[-1]) == (1, "failed in the step: two")
    assert_gone(int((tmp_path / "other").read_text()))


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ci_run_signal_ends_all_and_removes_all(ci, tmp_path, number, code):
    process = ci(f'step "one"\n{OTHERS}\necho ready $BASHPID\nsleep 1000')
    pid = next(int(line.split()[1]) for line in process.stdout if line.startswith("ready"))
    process.send_signal(number)
    status, lines = ended(process)
    assert (status, lines[-1]) == (code, "stopped in the step: one")
    assert rows(lines) == [("", "one (not finished)"), ("0", "all")]
    assert_gone(pid)
    assert_gone(int((tmp_path / "other").read_text()))


def test_ci_run_is_bounded_to_an_hour():
    assert re.search(r"^bound=3600 ", RUN.read_text(encoding="utf-8"), re.MULTILINE)
