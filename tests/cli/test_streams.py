"""The command line with standard streams that are closed, full, or without a reader."""

import io
import os
import shlex
import signal
import subprocess
import sys

import pytest
from support.cli_runs import COMMAND, SMALL, child_signals, environment, start_as_it_is

from matconv import load_model
from matconv.cli import main
from matconv.commands.streams import Output, complain, standard_streams

TRAIN = (*SMALL, "--output", "new.npz")
COMMANDS = {
    "version": ("--version",),
    "help": ("--help",),
    "train help": ("train", "--help"),
    "installation": ("info",),
    "info": ("info", "m.npz"),
    "evaluate": ("evaluate", "m.npz"),
    "check": ("check", "--network", "small.toml", "--input-shape", "4", "4", "1"),
    "predict": ("predict", "m.npz"),
    "predict to a file": ("predict", "m.npz", "--output", "labels.csv"),
    "train": TRAIN,
    "quiet train": (*TRAIN, "--quiet"),
}


def redirected(redirection, *arguments, cwd, **more):
    """(exit status, standard output, standard error) of a command as a shell redirects it."""
    command = f"{shlex.join([*COMMAND, *arguments])} {redirection}"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=cwd, env=environment(**more),
        timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


# closed


@pytest.mark.catalogue(68)
@pytest.mark.parametrize(
    ("closed", "command"),
    [
        *((">&-", command) for command in COMMANDS),
        *(("2>&-", command) for command in ("train", "predict", "help")),
        *(("<&- >&- 2>&-", command) for command in ("train", "predict to a file", "info")),
    ],
)
def test_closed_streams_command_succeeds(folder, command, closed):
    before = sorted(os.listdir())
    status, out, err = redirected(closed, *COMMANDS[command], cwd=folder)
    assert (status, err) == (0, "")
    assert (out != "") == (closed == "2>&-" and command != "predict to a file")
    written = sorted(set(os.listdir()) - set(before))
    if "train" in command and "help" not in command:
        assert written == ["new.npz"]
        assert load_model("new.npz").theta.tobytes() == load_model("m.npz").theta.tobytes()
    elif command == "predict to a file":
        assert written == ["labels.csv"]
        assert main(["predict", "m.npz", "--output", "again.csv"]) == 0
        assert (folder / "labels.csv").read_bytes() == (folder / "again.csv").read_bytes()
    else:
        assert written == []


@pytest.mark.catalogue(68)
@pytest.mark.parametrize(
    ("arguments", "status"), [(("evaluate", "missing.npz"), 1), (("train", "--colour"), 2)]
)
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", ">&-", "2>/dev/full", "> /dev/full"])
def test_closed_streams_error_keeps_status_and_stream(folder, arguments, status, closed):
    found, out, err = redirected(closed, *arguments, cwd=folder)
    assert (found, out) == (status, "")
    assert (err.startswith("matconv: error: ") and err.count("\n") == 1) == ("2>" not in closed)


@pytest.mark.catalogue(68)
def test_closed_stdout_descriptor_in_use_file_stays_empty(folder):
    """A host program's file has got descriptor 1, which is not standard output."""
    code = (
        "import os, sys; from matconv.cli import main; file = open('log', 'w'); "
        "assert file.fileno() == 1 and sys.stdout is None; "
        "assert main(['evaluate', 'm.npz']) == 0; assert sys.stdout is None"
    )
    done = subprocess.run(
        f"{shlex.join([sys.executable, '-c', code])} >&-", shell=True, cwd=folder, check=False,
        env=environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "log").read_text() == ""


@pytest.mark.catalogue(68)
def test_closed_descriptors_lead_to_the_null_device_for_children(folder):
    """What main opens later gets no number below 3, and a child's output goes nowhere."""
    code = (
        "import os, sys; from matconv.cli import main; main(['--version']); "
        "null = os.stat(os.devnull); "
        "assert all(os.path.samestat(os.fstat(k), null) for k in range(3)); "
        "assert all(map(os.get_inheritable, range(3))); "
        "assert open('log', 'w').fileno() > 2"
    )
    command = shlex.join([sys.executable, "-c", code])
    done = subprocess.run(
        f"{command} <&- >&- 2>&-", shell=True, cwd=folder, check=False, env=environment()
    )
    assert done.returncode == 0


@pytest.mark.catalogue(68)
def test_descriptor_closed_by_the_host_command_succeeds(folder):
    code = "import os; from matconv.cli import main; os.close(1); os._exit(main(['info']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, check=False,
        env=environment(),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.catalogue(68)
def test_streams_none_are_none_afterwards(folder, monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    statuses = main(["info", "m.npz"]), main(["info", "missing.npz"]), main(["paint"])
    streams = sys.stdin, sys.stdout, sys.stderr
    monkeypatch.undo()
    assert statuses == (0, 1, 2) and streams == (None, None, None)


@pytest.mark.catalogue(68)
def test_stream_closed_as_an_object_command_succeeds(folder, monkeypatch, capsys):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    assert main(["info", "m.npz"]) == 0
    assert sys.stdout is closed


# full


@pytest.mark.catalogue(68)
@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        *((command, "") for command in ("version", "train help", "info", "evaluate", "check")),
        *((command, "1") for command in ("version", "help", "predict")),
        ("predict", ""),
    ],
)
def test_full_stdout_is_an_error(folder, command, unbuffered):
    more = {"PYTHONUNBUFFERED": unbuffered}
    status, out, err = redirected("> /dev/full", *COMMANDS[command], cwd=folder, **more)
    assert (status, out) == (1, "")
    assert err == "matconv: error: 'standard output': No space left on device\n"


@pytest.mark.catalogue(68)
@pytest.mark.parametrize("command", ["train", "quiet train"])
def test_full_stdout_train_is_done_and_saved(folder, command):
    status, out, err = redirected("> /dev/full", *COMMANDS[command], cwd=folder)
    assert (status, out) == (1, "")
    assert err == (
        "matconv: error: 'standard output': No space left on device; "
        "the model is saved in new.npz\n"
    )
    assert load_model("new.npz").theta.tobytes() == load_model("m.npz").theta.tobytes()


@pytest.mark.catalogue(68)
def test_full_stdout_unused_is_no_error(folder):
    arguments = COMMANDS["predict to a file"]
    assert redirected("> /dev/full", *arguments, cwd=folder) == (0, "", "")


@pytest.mark.catalogue(68)
def test_full_stderr_command_succeeds(folder):
    status, out, _ = redirected("2> /dev/full", *COMMANDS["evaluate"], cwd=folder)
    assert status == 0 and "accuracy" in out


# a terminal that goes away


@pytest.mark.catalogue(68)
@pytest.mark.parametrize("both", [False, True])
def test_terminal_gone_train_is_done_and_saved(folder, both):
    """Where SIGHUP is ignored, every write to the terminal fails from then on."""
    pty = pytest.importorskip("pty", reason="only POSIX has terminals of this kind")
    master, slave = pty.openpty()
    train = ("train", "--iterations", "10", "--output", "new.npz")
    streams = {"stdout": slave, **({"stderr": slave} if both else {})}
    with child_signals(signal.SIG_IGN):
        process = start_as_it_is(*train, cwd=folder, **streams)
    with process:
        os.close(slave)
        seen = b""
        while b"\n        2 " not in seen.replace(b"\r", b""):
            seen += os.read(master, 1 << 16)
        os.close(master)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    if not both:
        assert err.decode() == (
            "matconv: error: 'standard output': Input/output error; the model is saved in new.npz\n"
        )
    assert load_model("new.npz").training["message"] == "10 iterations done"


# the object


class Failing(io.StringIO):
    """Fails at the k-th write or flush."""

    def __init__(self, k, error):
        super().__init__()
        self.left, self.error, self.calls = k, error, 0

    def _step(self):
        self.calls += 1
        self.left -= 1
        if self.left == 0:
            raise self.error

    def write(self, text):
        self._step()
        return super().write(text)

    def flush(self):
        self._step()


def test_output_error_names_standard_output():
    output = Output(Failing(1, OSError(28, "No space")))
    with pytest.raises(OSError, match="'standard output'") as caught:
        output.write("a")
    assert caught.value.errno == 28 and output.error is caught.value
    output = Output(Failing(1, BrokenPipeError(32, "Broken pipe")))
    with pytest.raises(BrokenPipeError):
        output.write("a")
    odd = OSError("no number")
    with pytest.raises(OSError, match="no number") as caught:
        Output(Failing(1, odd)).write("a")
    assert caught.value is odd


def test_output_keeps_going_and_raises_at_the_end():
    stream = Failing(2, OSError(28, "No space"))
    output = Output(stream)
    output.keep_going = True
    assert [output.write(text) for text in ("a", "bc", "def")] == [1, 2, 3]
    output.flush()
    assert stream.getvalue() == "a" and stream.calls == 2
    with pytest.raises(OSError, match="'standard output'"):
        output.finish()


def test_output_passes_on_what_it_does_not_know():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    output = Output(stream)
    assert output.encoding == "ascii" and not output.isatty() and output.buffer is stream.buffer
    output.write("a")
    output.finish()
    assert stream.buffer.getvalue() == b"a"


def test_complain_without_a_stream_is_silent(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", Failing(1, OSError(5, "Input/output error")))
    complain("nobody reads this")
    assert capfd.readouterr() == ("", "")


def test_standard_streams_failing_at_the_end_raise_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Failing(1, OSError(5, "Input/output error")))
    monkeypatch.setattr(sys, "stderr", Failing(1, OSError(5, "Input/output error")))
    with standard_streams():
        pass
