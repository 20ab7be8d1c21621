"""The solvers on real images: f and test accuracy against time and passes over the data.

    python bench/solvers.py FOLDER --json results.json   # IDX files, as of Fashion-MNIST
    python bench/solvers.py digits                       # the digits of matconv, a smaller network
    python bench/solvers.py FOLDER lbfgs sgd:0.1         # some of the runs
    python bench/solvers.py show results.json            # a table; --readme: in bench/README.md
    python bench/solvers.py plot results.json solvers.svg
    python bench/solvers.py list

Every run starts at the same theta and ends after the same time; those that draw images at random run
once for each of ``--seeds``. Time is processor time of one thread, of the solver alone, without the
evaluations in between. A pass is as many images in gradients and products as there are training
images; trial values of f are not counted.
"""

import argparse
import json
import math
import shlex
import statistics
import sys
import time
from pathlib import Path

import curves
import machine
import measuring
import run as suite
import table

from matconv import Conv, Dense, MaxPool, Network, Objective, minimize
from matconv.commands.mnist import find_pairs
from matconv.data import load_digits
from matconv.io import read_idx

SHARES = (0.01, 0.05, 0.1)
RATES = (0.001, 0.01, 0.1, 1.0)
RUNS = {
    **{f"newton:{share:g}": ("newton", {"subsample": share}) for share in SHARES},
    "newton:damping": ("newton", {"damping": 0.01}),
    "newton:cg": ("newton", {"cg_tolerance": 0.01}),
    "lbfgs": ("lbfgs", {"ftol": 0.0, "gtol": 0.0}),
    **{f"sgd:{rate:g}": ("sgd", {"learning_rate": rate}) for rate in RATES},
}
SCIPY = ("trust-ncg", "trust-krylov", "Newton-CG", "trust-constr")
RUNS.update({name: (name, {"gtol": 0.0}) for name in SCIPY})
RUNS.update({f"{name}:H": (name, {"gtol": 0.0, "curvature": "hessian"}) for name in SCIPY})
ACCURACIES = (0.80, 0.84)
PICTURE = "![Test accuracy and f against time and passes](solvers.svg)"
MARKERS = "<!-- solvers -->\n", "<!-- end of solvers -->\n"
#: Methods that draw images at random.
STOCHASTIC = ("newton", "sgd")
#: What is run without names; SciPy's methods only by name.
USUAL = tuple(name for name in RUNS if name.partition(":")[0] not in SCIPY)


def data(source, images, test_images):
    """Training and test images with labels, and the numbers of filters of the network."""
    if source == "digits":
        digits = load_digits()
        return (digits.Z_train, digits.y_train), (digits.Z_test, digits.y_test), (8, 16)
    parts = [[read_idx(path) for path in pair] for pair in find_pairs(source)]
    train, test = (
        (Z[:l].reshape(-1, 28, 28, 1) / 255, y[:l])
        for (Z, y), l in zip(parts, (images, test_images), strict=True)
    )
    return train, test, (16, 32)


def objectives(source, images, test_images, C):
    """f over training images, f over test images, and theta0."""
    train, test, filters = data(source, images, test_images)
    layers = [
        Conv(filters[0], 3, pad=1, activation="relu"),
        MaxPool(2),
        Conv(filters[1], 3, pad=1, activation="relu"),
        MaxPool(2),
        Dense(10),
    ]
    net = Network(train[0].shape[1:], layers)
    f, f_test = (Objective(net, *part, "softmax", C, n_threads=1) for part in (train, test))
    return f, f_test, net.init(0)


class Clock:
    """Seconds of a solver, without those of evaluations."""

    def __init__(self):
        self.began, self.paused = time.process_time(), 0.0

    @property
    def seconds(self):
        return time.process_time() - self.began - self.paused

    def evaluate(self, function, *arguments):
        before = time.process_time()
        result = function(*arguments)
        self.paused += time.process_time() - before
        return result


class Counting:
    """An objective that counts the images of its gradients, and of products for SciPy."""

    def __init__(self, objective, count=None):
        self._objective, self.count = objective, [0] if count is None else count

    def __getattr__(self, name):
        return getattr(self._objective, name)

    def value_and_gradient(self, theta):
        self.count[0] += self._objective.l
        return self._objective.value_and_gradient(theta)

    def gnp(self, theta, v):
        self.count[0] += self._objective.l
        return self._objective.gnp(theta, v)

    def hessp(self, theta, v):
        self.count[0] += self._objective.l
        return self._objective.hessp(theta, v)

    def subset(self, indices):
        return Counting(self._objective.subset(indices), self.count)

    def with_dropout(self, seed, epoch):
        return Counting(self._objective.with_dropout(seed, epoch), self.count)


def run(name, f, test, theta0, seconds, seed=0):
    """Rows (seconds, passes, f, test accuracy) of a run, one for each iteration."""
    method, options = RUNS[name]
    if method in STOCHASTIC:
        options = {**options, "seed": seed}
    counted, clock, rows = Counting(f), Clock(), []
    products = 0.0

    def callback(state):
        nonlocal products
        at = clock.seconds
        products += state.details.get("products", 0) * options.get("subsample", 0.05)
        value = clock.evaluate(f.value, state.theta)
        accuracy = clock.evaluate(
            lambda theta: (test.outputs(theta).argmax(1) == test.Y).mean(), state.theta
        )
        rows.append((at, counted.count[0] / f.l + products, value, accuracy))
        if at >= seconds:
            raise StopIteration

    try:
        minimize(counted, theta0, method, 10**6, callback, **options)
    except ArithmeticError as error:
        print(f"{name}: {error}")
    return rows


def first(rows, accuracy):
    """The first row of this test accuracy; None if there is none."""
    return next((row for row in rows if row[3] >= accuracy), None)


def line(one):
    """A run of a document in one line."""
    name, seed, rows = one["name"], one["seed"], one["rows"]
    cells = [f"{name:16}{seed if seed is not None else '-':>5}{len(rows):11}"]
    for accuracy in ACCURACIES:
        row = first(rows, accuracy)
        cells.append(f"{row[0]:7.1f} s {row[1]:6.1f}" if row else f"{'-':>9} {'-':>6}")
    if rows:
        at, passes, value, accuracy = rows[-1]
        best = max(row[3] for row in rows)
        cells.append(
            f"{at:6.1f} s {passes:7.1f}  {value:8.5f}  {100 * accuracy:6.2f}  {100 * best:6.2f}"
        )
    return "  ".join(cells)


def spread(values, form):
    """Median, and the range of several; empty if one of the values is None."""
    if None in values:
        return "-"
    text = format(statistics.median(values), form)
    if len(values) > 1:
        text += f" ({format(min(values), form)}-{format(max(values), form)})"
    return text


def summary(document):
    """The lines of a Markdown table, a row for each run: medians of the seeds and their range."""
    runs, seconds = {}, document["seconds"]
    for one in document["runs"]:
        runs.setdefault(one["name"], []).append(one["rows"])
    reached = [
        f"{100 * accuracy:.0f} %: {unit}" for accuracy in ACCURACIES for unit in ("s", "passes")
    ]
    head = ("run", *reached, f"f after {seconds:g} s", "test accuracy, %")
    rows = [head]
    for name, seeds in runs.items():
        if not all(seeds):
            rows.append((name, *["-"] * (len(head) - 1)))
            continue
        at = [[first(one, accuracy) for one in seeds] for accuracy in ACCURACIES]
        cells = [
            spread([row and row[k] for row in found], form)
            for found in at
            for k, form in enumerate((".1f", ".0f"))
        ]
        cells += [spread([one[-1][2] for one in seeds], ".3f")]
        rows.append((name, *cells, spread([100 * one[-1][3] for one in seeds], ".1f")))
    return table.aligned(rows)


def measure(given, arguments):
    """Run all, print a line of each, write the document after each."""
    f, test, theta0 = objectives(given.data, given.images, given.test_images, given.C)
    about = machine.describe()
    source = Path(given.data).name
    title = f"{source}: {f.l} training images, {test.l} test images, n = {f.net.n}, C = {f.C:g}"
    words = [Path(word).name if "/" in word else word for word in arguments]
    command = shlex.join(["python", "bench/solvers.py", *words])
    document = {"title": title, "command": command, "machine": about}
    document |= {"seconds": given.seconds, "runs": []}
    print("\n".join([*machine.lines(about), title]))
    reached = "  ".join(f"{100 * accuracy:6.0f} %: s, passes" for accuracy in ACCURACIES)
    print(f"{'run':16} seed iterations  {reached}  at the end: s, passes, f, test accuracy, best")
    for name in given.names or USUAL:
        for seed in range(given.seeds) if RUNS[name][0] in STOCHASTIC else (None,):
            rows = run(name, f, test, theta0, given.seconds, seed)
            rows = [row for row in rows if math.isfinite(row[2])]
            document["runs"].append({"name": name, "seed": seed, "rows": rows})
            print(line(document["runs"][-1]), flush=True)
            if given.json is not None:
                measuring.write(given.json, json.dumps(document) + "\n")


def main(arguments=None):
    """Run a command; returns the process's exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", metavar="FOLDER", help="or digits, show, plot, list")
    parser.add_argument("names", nargs="*", metavar="NAME", help="runs; files")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--C", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write each run there")
    parser.add_argument("--readme", action="store_true", help="show: replace it there")
    given = parser.parse_intermixed_args(arguments)
    try:
        if given.data == "list":
            print(*RUNS, sep="\n")
        elif given.data in ("show", "plot"):
            source, *picture = given.names or [""]
            document = json.loads(Path(source).read_text(encoding="utf-8"))
            if given.data == "plot":
                Path(*picture).write_text(curves.svg(document), encoding="utf-8")
            else:
                lines = [PICTURE, "", f"`{document['command']}`", "", document["title"], ""]
                lines += summary(document)
                if given.readme:
                    suite.replace_block(suite.README, lines, MARKERS)
                else:
                    print("\n".join(lines))
        else:
            measure(given, arguments)
    except (OSError, ValueError, LookupError) as error:
        print(f"bench/solvers.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
