"""Signals that end a training, SIGINT, SIGTERM, SIGHUP: the saved model and the message."""

import contextlib
import signal
import threading

import pytest
from support.cli_runs import SMALL, child_signals, run, start, start_as_it_is
from support.terminated import ignored, terminations

from matconv import Objective, load_model, save_model
from matconv.cli import main
from matconv.commands import training
from matconv.commands.interrupts import SIGNALS, Interrupted, Interrupts

SIGNALLED = [(signal.SIGINT, ""), (signal.SIGTERM, " by SIGTERM"), (signal.SIGHUP, " by SIGHUP")]


@pytest.mark.catalogue(57)
@pytest.mark.parametrize(("number", "by"), SIGNALLED)
@pytest.mark.parametrize(("solver", "part"), [("lbfgs", "iteration"), ("sgd", "epoch")])
def test_signal_saves_and_says_how_to_go_on(folder, solver, part, number, by):
    count = "100000"
    with start("train", "--solver", solver, "--iterations", count, cwd=folder) as process:
        for line in process.stdout:
            if line.split()[:1] == [b"3"]:
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    model = load_model(folder / "digits-model.npz")
    done = model.training["iterations"]
    assert done >= 3 and len(model.training["history"]) == done
    assert err.decode() == (
        f"matconv: interrupted{by} after {part} {done}, saved; continue with: "
        "matconv train --resume digits-model.npz\n"
    )
    assert b"ended" not in out
    # the line says the truth
    resume = ("train", "--resume", "digits-model.npz", "--iterations", "1")
    status, out, err = run(*resume, cwd=folder)
    assert (status, err) == (0, "")
    assert f"after {done} before" in out and "digits-model-2.npz" in out


@pytest.mark.catalogue(57)
@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ignored_at_the_start_stays_ignored(folder, number):
    with child_signals(signal.SIG_IGN):
        process = start_as_it_is("train", "--iterations", "30", cwd=folder)
    with process:
        for line in process.stdout:
            if line.split()[:1] == [b"2"]:
                process.send_signal(number)
                break
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert b"30 iterations done" in out
    assert load_model(folder / "digits-model.npz").training["iterations"] == 30


@pytest.mark.catalogue(57)
def test_terminations_at_random_moments_save():
    """As `tests/reliability` does more often."""
    assert terminations(4, seed=1).startswith("4 trainings ended by SIGTERM")
    assert ignored(1).startswith("1 trainings that ignore")


# The same in this process, at chosen moments.


@pytest.fixture
def interrupted(folder, capsys):
    """Run a training that a signal ends; gives the line on standard error, and the model."""

    def run(*arguments, number=signal.SIGTERM):
        before = [signal.getsignal(each) for each in SIGNALS]
        capsys.readouterr()
        assert main([*SMALL, "--output", "s.npz", *arguments]) == 128 + number
        assert [signal.getsignal(each) for each in SIGNALS] == before
        err = capsys.readouterr().err
        assert err.startswith("matconv: interrupted") and err.count("\n") == 1
        saved = (folder / "s.npz").exists()
        assert saved == ("nothing is saved" not in err and "saved" in err)
        return err, load_model("s.npz") if saved else None

    return run


def signalling(function, number=signal.SIGTERM, after=False):
    """`function`, with a signal before or after it in every call."""

    def call(*arguments, **options):
        if not after:
            signal.raise_signal(number)
        result = function(*arguments, **options)
        if after:
            signal.raise_signal(number)
        return result

    return call


SAVED = (
    "matconv: interrupted by SIGTERM after iteration {}, saved; "
    "continue with: matconv train --resume s.npz\n"
)


@pytest.mark.catalogue(57)
@pytest.mark.parametrize(("number", "by"), SIGNALLED)
def test_signal_while_images_are_read_saves_nothing(interrupted, monkeypatch, number, by):
    from matconv.commands import datasets

    monkeypatch.setattr(datasets, "load", signalling(datasets.load, number))
    assert interrupted(number=number) == (f"matconv: interrupted{by}\n", None)


@pytest.mark.catalogue(57)
@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_signal_before_the_first_step_saves_nothing(interrupted, monkeypatch, solver):
    call = signalling(Objective.value_and_gradient)
    monkeypatch.setattr(Objective, "value_and_gradient", call)
    line = "matconv: interrupted by SIGTERM before the first step; nothing is saved\n"
    assert interrupted("--solver", solver) == (line, None)


@pytest.mark.catalogue(57)
@pytest.mark.parametrize("after", [False, True])
def test_signal_while_an_iteration_is_evaluated_saves(interrupted, monkeypatch, after):
    monkeypatch.setattr(training, "_accuracy", signalling(training._accuracy, after=after))
    line, model = interrupted()
    assert line == SAVED.format(1)
    assert model.training["iterations"] == 1 and "test_accuracy" not in model.training


@pytest.mark.catalogue(57)
def test_signal_while_the_end_is_evaluated_saves(interrupted, monkeypatch):
    monkeypatch.setattr(training, "_accuracy", signalling(training._accuracy))
    line, model = interrupted("--quiet")
    assert line == SAVED.format(4)
    assert model.training["iterations"] == 4 and "test_accuracy" not in model.training


@pytest.mark.catalogue(57)
@pytest.mark.parametrize("options", [(), ("--quiet",)])
@pytest.mark.parametrize("after", [False, True])
def test_signal_beside_the_minimisation_is_not_lost(interrupted, monkeypatch, options, after):
    monkeypatch.setattr(training, "minimize", signalling(training.minimize, after=after))
    line, model = interrupted(*options)
    if after:
        assert line == SAVED.format(4)
        assert model.training["iterations"] == 4 and len(model.training["history"]) == 4
    else:
        assert "before the first step; nothing is saved" in line


@pytest.mark.catalogue(57)
def test_signal_while_saving_waits_for_the_file(interrupted, monkeypatch):
    calls = []

    def save(*arguments, **options):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.raise_signal(number)
        calls.append(save_model(*arguments, **options))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training, "save_model", save)
    line, model = interrupted()
    assert line == SAVED.format(4)
    assert len(calls) == 1 and model.training["message"] == "4 iterations done"


@pytest.mark.catalogue(57)
def test_signal_again_while_the_first_one_saves(interrupted, monkeypatch):
    """The exit status is that of the first."""
    monkeypatch.setattr(training, "_accuracy", signalling(training._accuracy))
    save = signalling(save_model, signal.SIGINT)
    monkeypatch.setattr(training, "save_model", save)
    assert interrupted()[0] == SAVED.format(1)


@pytest.mark.catalogue(57)
def test_signal_after_saving_is_not_lost(interrupted, monkeypatch):
    outcome = signalling(training.Training.outcome)
    monkeypatch.setattr(training.Training, "outcome", outcome)
    line, model = interrupted()
    assert line == SAVED.format(4)
    assert model.training["message"] == "4 iterations done"


@pytest.mark.catalogue(57)
@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_signal_whose_exception_is_lost_ends_the_next_step(interrupted, monkeypatch, solver):
    """As in a destructor, whose exceptions Python prints and drops."""

    def accuracy(*arguments):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        return 0.5

    monkeypatch.setattr(training, "_accuracy", accuracy)
    line, model = interrupted("--solver", solver)
    assert model.training["iterations"] == 1
    assert line == SAVED.format(1).replace(
        "iteration", "iteration" if solver == "lbfgs" else "epoch"
    )


@pytest.mark.catalogue(57)
def test_signals_of_other_commands_and_other_threads_are_left_alone(folder, monkeypatch):
    from matconv.commands import datasets

    before = [signal.getsignal(number) for number in SIGNALS]
    found = []

    def look(*arguments, **options):
        found.append([signal.getsignal(number) for number in SIGNALS])
        return load(*arguments, **options)

    load = datasets.load
    monkeypatch.setattr(datasets, "load", look)
    assert main(["evaluate", "m.npz"]) == main(["predict", "m.npz"]) == 0
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(main([*SMALL, "--quiet"])))
    thread.start()
    thread.join()
    assert statuses == [0] and found == [before] * 3
    assert main([*SMALL, "--quiet"]) == 0
    assert found[3] != before


@pytest.mark.catalogue(57)
def test_signal_handlers_are_restored_after_errors(folder, monkeypatch):
    before = [signal.getsignal(number) for number in SIGNALS]
    assert main([*SMALL, "--data", "missing.npz"]) == 1
    assert main([*SMALL, "--solver", "lbfgs", "--momentum", "0"]) == 2
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.catalogue(57)
def test_interrupts_deferred_outside_of_raising_do_not_raise():
    with Interrupts() as interrupts:
        with interrupts.deferred():
            signal.raise_signal(signal.SIGHUP)
        assert interrupts.received == signal.SIGHUP
        with pytest.raises(Interrupted, match="^interrupted by SIGHUP$"), interrupts.raising():
            pytest.fail("the block is not entered")


@pytest.mark.catalogue(57)
def test_interrupts_deferred_within_raising_raise_at_the_end():
    done = []
    interrupts = Interrupts()
    expected = pytest.raises(Interrupted, match="^interrupted$")
    with expected as caught, interrupts, interrupts.raising():
        with interrupts.deferred():
            signal.raise_signal(signal.SIGINT)
            done.append(1)
        pytest.fail("the signal is due")
    assert done == [1] and caught.value.number == signal.SIGINT


# KeyboardInterrupt from elsewhere


@pytest.mark.catalogue(57)
def test_ctrl_c_before_there_is_anything_to_save(folder, capsys, monkeypatch):
    from matconv.commands import datasets

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load_digits", interrupt)
    capsys.readouterr()
    assert main(["train"]) == 130
    assert capsys.readouterr() == ("", "matconv: interrupted\n")


@pytest.mark.catalogue(57)
@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_ctrl_c_before_the_first_step(folder, capsys, monkeypatch, solver):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Objective, "value_and_gradient", interrupt)
    capsys.readouterr()
    assert main([*SMALL, "--quiet", "--solver", solver, "--output", "n.npz"]) == 130
    line = "matconv: interrupted before the first step; nothing is saved\n"
    assert capsys.readouterr() == ("", line)
    assert not (folder / "n.npz").exists()


@pytest.mark.catalogue(57)
def test_ctrl_c_in_the_last_evaluation_saves(folder, capsys, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_accuracy", interrupt)
    capsys.readouterr()
    assert main([*SMALL, "--quiet", "--output", "a b.npz"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "matconv: interrupted after iteration 4, saved; continue with: "
        "matconv train --resume 'a b.npz'\n"
    )
    assert load_model("a b.npz").training["iterations"] == 4
