"""``kill -TERM`` of trainings at random moments: ``python terminated.py [COUNT]``."""

import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from matconv import load_model
from matconv.cli import main
from support.cli_runs import child_signals, start, start_as_it_is

# seconds after the first line of progress: time for several iterations on the digits
LONGEST = 0.4


def first_line(process):
    """Read up to the first line of progress."""
    for line in process.stdout:
        if line.split()[:1] == [b"1"]:
            return
    raise AssertionError(process.stderr.read())


def terminate(folder, solver, checkpoint, delay):
    """Terminate a training `delay` seconds after its first line; return the iterations saved."""
    output = folder / "t.npz"
    train = ("train", "--solver", solver, "--iterations", "1000000", "--output", str(output))
    with start(*train, "--checkpoint", checkpoint, cwd=folder) as process:
        try:
            first_line(process)
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 143, (process.returncode, err)
    assert err.startswith(b"matconv: interrupted by SIGTERM after ") and err.count(b"\n") == 1, err
    record = load_model(output).training
    assert record["message"] == "interrupted" and record["iterations"] >= 1
    assert os.listdir(folder) == ["t.npz"]
    more = folder / "more.npz"
    resume = ["train", "--resume", str(output), "--iterations", "1", "--output", str(more)]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(resume) == 0
    assert load_model(more).training["iterations"] == record["iterations"] + 1
    output.unlink()
    more.unlink()
    return record["iterations"]


def terminations(count, seed=0):
    """Terminate trainings by both solvers, with and without checkpoints; return a summary."""
    drawn = random.Random(seed)
    done = {"lbfgs": [], "sgd": []}
    with tempfile.TemporaryDirectory() as name:
        for k in range(count):
            solver, checkpoint = ("lbfgs", "sgd")[k % 2], ("0", "0.000001")[k // 2 % 2]
            delay = drawn.uniform(0, LONGEST)
            done[solver].append(terminate(Path(name), solver, checkpoint, delay))
    after = ", ".join(
        f"{solver} {len(found)} (after {min(found)} to {max(found)})"
        for solver, found in done.items()
    )
    return f"{count} trainings ended by SIGTERM: {after}: exit 143, loaded, resumed"


def ignored(count, seed=0):
    """Send signals to trainings that ignore them, as under nohup; return a summary."""
    drawn = random.Random(seed)
    sent = 0
    with tempfile.TemporaryDirectory() as name:
        for _ in range(count):
            with child_signals(signal.SIG_IGN):
                process = start_as_it_is("train", "--iterations", "40", "--force", cwd=name)
            with process:
                first_line(process)
                for number in (signal.SIGHUP, signal.SIGTERM):
                    time.sleep(drawn.uniform(0, 0.02))
                    process.send_signal(number)
                    sent += process.poll() is None
                out, err = process.communicate(timeout=60)
            assert (process.returncode, err) == (0, b"")
            assert b"40 iterations done" in out
            model = Path(name) / "digits-model.npz"
            assert load_model(model).training["iterations"] == 40
            model.unlink()
    return f"{count} trainings that ignore SIGHUP and SIGTERM, {sent} sent: all went on to the end"


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    print(terminations(number))
    print(ignored(max(number // 10, 2)))
