"""matconv train, and the commands on its model file: evaluate, predict, info."""

import csv
import importlib.metadata
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from support.cli_runs import SMALL, run, write_small
from support.tolerances import assert_within, printed_bound

from matconv import Objective, load_model, minimize
from matconv.cli import COMMANDS, main
from matconv.data import load_digits
from matconv.presets import make_network
from matconv.solvers import METHODS


@pytest.fixture(scope="module")
def trained(tmp_path_factory, algorithm):
    """A folder in which `matconv train`, with no options, has run; and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    options = [] if algorithm == "auto" else ["--algorithm", algorithm]
    status, out, err = run("train", *options, cwd=folder)
    assert (status, err) == (0, "")
    return folder, out


def printed(capsys, *arguments, status=0):
    """Standard output of a command that succeeds and says nothing else."""
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert err == ""
    return out


# the newcomer's first command


def test_train_learns_the_digits(trained):
    folder, out = trained
    accuracy, right = re.search(
        r"^test accuracy +(\S+) % \((\d+) of 359 images\)$", out, re.MULTILINE
    ).groups()
    assert float(accuracy) >= 98.0
    assert accuracy == f"{100 * int(right) / 359:.2f}"
    assert [file.name for file in folder.iterdir()] == ["digits-model.npz"]


def test_train_shows_what_it_does(trained, algorithm):
    _, out = trained
    assert out.replace("\n", "").isprintable()
    assert "1,438 training images of 8 x 8 x 1: digits (training part)" in out
    assert "359 test images: digits (test part)" in out
    assert "objective  softmax loss, C = 1000" in out
    assert "solver     L-BFGS, 100 iterations" in out
    assert re.search(r"^computing  float64, \d+ threads?$", out, re.MULTILINE)
    net = make_network("digits", (8, 8, 1), 10).with_algorithm(algorithm)
    assert net.summary() in out
    heading = "iteration f |gradient| train accuracy test accuracy seconds"
    lines = out.splitlines()
    first = [line.split() for line in lines].index(heading.split())
    table = [line.split() for line in lines[first + 1 : first + 101]]
    assert [int(row[0]) for row in table] == list(range(1, 101))
    f = [float(row[1]) for row in table]
    assert f == sorted(f, reverse=True) and f[0] > 10 * f[-1]
    assert float(table[-1][3]) > 99
    assert re.search(
        r"^time +\S+ s, \S+ s per iteration; peak memory [\d,]+ MiB$", out, re.MULTILINE
    )
    assert out.endswith(
        "model          digits-model.npz\n\nnext: matconv evaluate digits-model.npz\n"
    )


def test_model_file_is_what_minimize_gives(trained, algorithm):
    folder, _ = trained
    digits = load_digits()
    net = make_network("digits", (8, 8, 1), 10).with_algorithm(algorithm)
    f = Objective(net, digits.Z_train, digits.y_train, "softmax", 1000)
    model = load_model(folder / "digits-model.npz")
    history = model.training["history"]
    result = minimize(f, net.init(0), max_iterations=2)
    assert [row["f"] for row in result.history] == [row["f"] for row in history[:2]]
    assert model.labels == tuple(range(10)) and model.preprocessing is None
    assert f(model.theta) == model.training["f"] == history[-1]["f"]
    right = net.predict(model.theta, digits.Z_test) == digits.y_test
    assert model.training["test_accuracy"] == right.mean()


def test_evaluate_prints_accuracy_and_confusion(trained, monkeypatch, capsys):
    folder, out = trained
    monkeypatch.chdir(folder)
    text = printed(capsys, "evaluate", "digits-model.npz")
    percent, right = re.search(r"test accuracy +(\S+) % \((\d+) of", out).groups()
    assert f"accuracy  {percent} % ({right} of 359)\n" in text
    assert "images    359 of 8 x 8 x 1: digits (test part)\n" in text
    model, digits = load_model("digits-model.npz"), load_digits()
    f = Objective(model.network, digits.Z_test, digits.y_test, "softmax", 1000)
    shown = re.search(
        r"^f +(\S+), with theta'theta / 2C = (\S+), C = 1000$", text, re.MULTILINE
    ).groups()
    mean = re.search(r"^loss +(\S+), the mean softmax loss of an image$", text, re.MULTILINE).group(
        1
    )
    value, (total, penalty, loss) = f(model.theta), map(float, (*shown, mean))
    assert_within(total, value, printed_bound(value, 6))
    assert_within(penalty + loss, value, printed_bound(penalty, 6) + printed_bound(loss, 6))
    matrix = [line.split() for line in text.splitlines()[-10:]]
    counts = np.array([[0 if x == "." else int(x) for x in row[1:]] for row in matrix])
    assert counts.sum() == 359 and counts.trace() == int(right)
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(digits.y_test))
    found = model.network.predict(model.theta, digits.Z_test)
    np.testing.assert_array_equal(counts.sum(axis=0), np.bincount(found, minlength=10))
    assert "of 1,438)" in printed(capsys, "evaluate", "digits-model.npz", "--part", "train")


def test_predict_writes_csv(trained, monkeypatch, capsys, tmp_path):
    folder, _ = trained
    monkeypatch.chdir(folder)
    text = printed(capsys, "predict", "digits-model.npz", "--data", "digits")
    rows = list(csv.DictReader(io.StringIO(text)))
    model, digits = load_model("digits-model.npz"), load_digits()
    z = model.network.forward(model.theta, digits.Z_test)
    assert [int(row["index"]) for row in rows] == list(range(359))
    assert [int(row["label"]) for row in rows] == z.argmax(axis=1).tolist()
    truth = 1 / np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1)
    assert_within([float(row["score"]) for row in rows], truth, printed_bound(truth, 6))
    output = tmp_path / "labels.csv"
    assert printed(capsys, "predict", "digits-model.npz", "--output", str(output)) == ""
    assert output.read_text() == text


def test_info_of_a_model(trained, monkeypatch, capsys):
    folder, _ = trained
    monkeypatch.chdir(folder)
    text = printed(capsys, "info", "digits-model.npz")
    assert "labels          0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n" in text
    assert re.search(r"^theta +9,930 elements, float64, \|theta\| = \d", text, re.MULTILINE)
    assert re.search(r"^iterations +100$", text, re.MULTILINE)
    assert re.search(r"^test_accuracy +9\d\.\d\d %$", text, re.MULTILINE)
    assert (
        "C = 1000, data = digits, ftol = 1e-09, gtol = 1e-05, iterations = 100, loss = softmax, "
        "memory = 10, penalty = 1, seed = 0" in text
    )
    assert text.endswith(load_model("digits-model.npz").network.summary() + "\n")


def test_resume_continues_the_iterations(trained, monkeypatch, capsys, tmp_path):
    folder, _ = trained
    monkeypatch.chdir(tmp_path)
    before = load_model(folder / "digits-model.npz")
    path = str(folder / "digits-model.npz")
    text = printed(capsys, "train", "--resume", path, "--iterations", "1", "--output", "more.npz")
    assert "solver     L-BFGS, 1 iteration, after 100 before" in text
    after = load_model("more.npz")
    assert after.training["iterations"] == 101
    assert [row["iteration"] for row in after.training["history"]] == list(range(1, 102))
    assert after.training["f"] < before.training["f"]


# options


def test_train_default_output_is_a_free_name(data_folder, capsys):
    for name in ("small-model.npz", "small-model-2.npz", "small-model-3.npz"):
        assert f"model          {name}\n" in printed(capsys, *SMALL)
        assert load_model(name).training["iterations"] == 4
    text = printed(capsys, "train", "--resume", "small-model.npz", "--iterations", "1")
    assert "model          small-model-4.npz\n" in text


def test_train_quiet_prints_the_result(data_folder, capsys):
    text = printed(capsys, *SMALL, "--quiet")
    assert [line.split()[0] for line in text.splitlines()] == ["ended", "test", "time", "model"]
    loud = printed(capsys, *SMALL)
    pattern = r"test accuracy +\d.*"
    assert re.findall(pattern, text) == re.findall(pattern, loud) != []


@pytest.mark.catalogue(40)
def test_same_seed_same_bits_for_any_threads(data_folder, capsys):
    options = ("--solver", "sgd", "--batch-size", "16", "--output")
    printed(capsys, *SMALL, "--seed", "3", "--threads", "1", *options, "a.npz")
    printed(capsys, *SMALL, "--seed", "3", "--threads", "2", *options, "b.npz")
    printed(capsys, *SMALL, "--seed", "4", *options, "c.npz")
    a, b, c = (load_model(f"{name}.npz").theta.tobytes() for name in "abc")
    assert a == b != c


def test_options_reach_the_solver(data_folder, capsys):
    text = printed(
        capsys, *SMALL, "--solver", "sgd", "--batch-size", "7", "--learning-rate", "0.03",
        "--momentum", "0.5", "--schedule", "step", "--loss", "squared", "--C", "30",
        "--dtype", "float32", "--seed", "9", "--output", "m.npz",
    )  # fmt: skip
    assert (
        "stochastic gradient, 4 epochs, batches of 7, learning rate 0.03 (step), momentum 0.5"
        in text
    )
    assert "squared loss, C = 30\n" in text and "computing  float32, " in text
    model = load_model("m.npz")
    with np.load("small.npz") as file:
        order = np.random.default_rng(9).permutation(60)
        train = np.sort(order[12:])
        Z, y = model.prepare(file["Z"][train]), file["y"][train]
    f = Objective(model.network, Z, y, "squared", 30)
    result = minimize(
        f, model.network.init(9), "sgd", 4,
        batch_size=7, learning_rate=0.03, momentum=0.5, schedule="step", seed=9,
    )  # fmt: skip
    assert result.theta.dtype == np.float32
    assert result.theta.tobytes() == model.theta.tobytes()


def test_newton_is_shown_saved_and_continued(data_folder, capsys):
    options = ("--subsample", "0.2", "--seed", "3", "--output", "m.npz")
    text = printed(capsys, *SMALL, *options)
    assert "Newton's method, 4 iterations, Gauss-Newton matrices of 0.2 of the images" in text
    assert "iteration             f    |gradient|  train accuracy  test accuracy   seconds" in text
    model = load_model("m.npz")
    names = METHODS["newton"].history
    assert all(names.keys() < row.keys() for row in model.training["history"])
    printed(capsys, "train", "--resume", "m.npz", "--iterations", "3", "--output", "n.npz")
    with np.load("small.npz") as file:
        train = np.sort(np.random.default_rng(3).permutation(60)[12:])
        Z, y = model.prepare(file["Z"][train]), file["y"][train]
    f = Objective(model.network, Z, y, "softmax", 1000)
    # the blocks of images continue, the damping begins again
    more = minimize(f, model.theta, "newton", 3, start=4, subsample=0.2, seed=3)
    assert load_model("n.npz").theta.tobytes() == more.theta.tobytes()


def test_options_of_several_solvers_choose_the_first_of_them(data_folder, capsys, monkeypatch):
    assert "trust-ncg, 4 iterations" in printed(capsys, *SMALL, "--curvature", "gauss-newton")
    # beyond the number of images for which it is the default
    monkeypatch.setitem(METHODS, "lbfgs", replace(METHODS["lbfgs"], max_images=47))
    assert "L-BFGS, 4 iterations" in printed(capsys, *SMALL, "--gtol", "0")


def test_sgd_options_choose_sgd(data_folder, capsys):
    assert "batches of 5" in printed(capsys, *SMALL, "--batch-size", "5")
    assert "L-BFGS, 4 iterations" in printed(capsys, *SMALL)


def test_train_many_images_choose_sgd(data_folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setitem(METHODS, "lbfgs", replace(METHODS["lbfgs"], max_images=47))
    assert "stochastic gradient, 4 epochs" in printed(capsys, *SMALL)
    assert "L-BFGS, 4 iterations" in printed(capsys, *SMALL, "--memory", "5")
    text = " ".join(printed(capsys, "train", "--help").split())
    default = "the solver that an option is for, or lbfgs for up to 47 training images, else sgd"
    assert f"Default: {default} " in text
    monkeypatch.setitem(METHODS, "lbfgs", replace(METHODS["lbfgs"], max_images=48))
    assert "L-BFGS, 4 iterations" in printed(capsys, *SMALL)


def test_train_c_inf_has_no_penalty(data_folder, capsys):
    text = printed(capsys, *SMALL, "--C", "inf", "--output", "m.npz")
    assert "softmax loss, no regularisation\n" in text
    assert load_model("m.npz").training["settings"]["C"] == "inf"
    assert "theta'theta" not in printed(capsys, "evaluate", "m.npz")
    more = printed(capsys, "train", "--resume", "m.npz", "--iterations", "1")
    assert "no regularisation" in more


def test_resume_runs_the_remaining_iterations(data_folder, capsys):
    """Settings, data, count and shuffles are those of the file; the rest of the epochs is left."""
    options = ("--solver", "sgd", "--momentum", "0", "--batch-size", "16", "--output")
    printed(capsys, *SMALL, *options, "whole.npz")
    # as Ctrl-C leaves it after the second epoch
    from matconv import save_model

    def stop(state):
        if state.iteration == 2:
            raise StopIteration

    whole = load_model("whole.npz")
    record = dict(whole.training)
    with np.load("small.npz") as file:
        train = np.sort(np.random.default_rng(0).permutation(60)[12:])
        Z, y = whole.prepare(file["Z"][train]), file["y"][train]
    f = Objective(whole.network, Z, y, "softmax", 1000)
    half = minimize(
        f, whole.network.init(0), "sgd", 4, callback=stop,
        momentum=0, batch_size=16, schedule="cosine", seed=0,
    )  # fmt: skip
    record.update(iterations=2, history=half.history)
    save_model("half.npz", whole.network, half.theta, whole.labels, whole.preprocessing, record)
    text = printed(capsys, "train", "--resume", "half.npz", "--output", "rest.npz")
    assert "2 epochs, batches of 16" in text and "momentum 0, after 2 before" in text
    rest = load_model("rest.npz")
    assert rest.theta.tobytes() == whole.theta.tobytes()
    assert [row["f"] for row in rest.training["history"]] == [
        row["f"] for row in whole.training["history"]
    ]
    # nothing is left: as many again
    assert "10 epochs" in printed(capsys, "train", "--resume", "rest.npz", "--output", "m.npz")


def test_resume_other_data_replaces_its_settings(data_folder, capsys, tmp_path):
    printed(capsys, *SMALL, "--test-fraction", "0.5", "--output", "m.npz")
    write_small(tmp_path, l=30, name="other.npz", seed=5)
    resume = ("train", "--resume", "m.npz", "--data", "other.npz", "--iterations", "1")
    text = printed(capsys, *resume, "--new-split")
    assert "24 training images" in text and "6 test images" in text


def test_train_without_test_images(data_folder, capsys):
    text = printed(capsys, *SMALL, "--test-fraction", "0", "--output", "m.npz")
    assert "60 training images" in text and "test" not in text
    assert "train accuracy" in text
    assert "accuracy  " in printed(capsys, "evaluate", "m.npz")


def test_train_scales_images_and_records_it(data_folder, capsys):
    printed(capsys, *SMALL, "--test-fraction", "0.25", "--output", "m.npz")
    model = load_model("m.npz")
    assert model.preprocessing == {"shift": 0.0, "scale": 1 / 255}
    assert "pixels          (pixel - 0) * 0.00392157" in printed(capsys, "info", "m.npz")
    # the test part by the recorded split, and all images by name
    assert "15 of 4 x 4 x 1: small.npz (25 %, seed 0)" in printed(capsys, "evaluate", "m.npz")
    text = printed(capsys, "evaluate", "m.npz", "--data", "small.npz")
    with np.load("small.npz") as file:
        right = int((model.predict(file["Z"]) == file["y"]).sum())
    assert f"60 of 4 x 4 x 1: small.npz\naccuracy  {100 * right / 60:.2f} % ({right} of 60)" in text
    assert right > 30


def test_python_m_matconv_and_version(tmp_path):
    from matconv import __version__

    assert run("--version", cwd=tmp_path) == (0, f"matconv {__version__}\n", "")


def test_help_of_every_command_fits_its_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for command in ((), *((name,) for name in COMMANDS)):
        text = printed(capsys, *command, "--help")
        assert text.startswith("usage: matconv")
        assert "example" in text or "start here" in text
        assert max(map(len, text.splitlines())) <= 100


def test_info_of_the_installation(capsys):
    import matconv

    text = printed(capsys, "info")
    names = [line.split()[0] for line in text.splitlines()]
    extras = ["tqdm", "h5py", "pillow"]
    first = ["matconv", "Python", "system", "numpy", "scipy", *extras, "C", "kernels"]
    assert names[:10] == first
    assert f"version 1, #include <matconv/matconv.h> in {matconv.get_include()}" in text
    assert "BLAS" in names and ", kernel " in text
    assert matconv.__version__ in text and np.__version__ in text
    built, runs = (", ".join(names) for names in (matconv.kernels.built, matconv.kernels.supported))
    expected = f"{matconv.kernels.variant} (built: {built}; this processor runs: {runs})"
    assert f"kernels  {expected}" in text


def test_info_of_the_installation_without_extras_names_them(capsys, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    text = printed(capsys, "info")
    for extra in ("progress", "matlab", "images"):
        assert f'not installed; pip install "matconv[{extra}]" adds ' in text
