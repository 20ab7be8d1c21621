"""The solvers on real images: f and test accuracy against time and passes over the data.

    python bench/solvers.py FOLDER                    # IDX files, as of Fashion-MNIST; some minutes
    python bench/solvers.py digits                    # the digits of matconv, a smaller network
    python bench/solvers.py FOLDER lbfgs sgd:0.1      # some of the runs
    python bench/solvers.py --list

Every run starts at the same theta and ends after the same time. Time is processor time of one thread,
of the solver alone, without the evaluations in between. A pass is as many images in gradients and products as there are
training images; trial values of f are not counted.
"""

import argparse
import time

from matconv import Conv, Dense, MaxPool, Network, Objective, minimize
from matconv.commands.mnist import find_pairs
from matconv.data import load_digits
from matconv.io import read_idx

SHARES = (0.01, 0.05, 0.1)
RATES = (0.001, 0.01, 0.1, 1.0)
RUNS = {
    **{f"newton:{share:g}": ("newton", {"subsample": share, "seed": 0}) for share in SHARES},
    "newton:damping": ("newton", {"damping": 0.01, "seed": 0}),
    "newton:cg": ("newton", {"cg_tolerance": 0.01, "seed": 0}),
    "lbfgs": ("lbfgs", {"ftol": 0.0, "gtol": 0.0}),
    **{f"sgd:{rate:g}": ("sgd", {"learning_rate": rate, "seed": 0}) for rate in RATES},
}
SCIPY = ("trust-ncg", "trust-krylov", "Newton-CG", "trust-constr")
RUNS.update({name: (name, {"gtol": 0.0}) for name in SCIPY})
RUNS.update({f"{name}:H": (name, {"gtol": 0.0, "curvature": "hessian"}) for name in SCIPY})
ACCURACIES = (0.80, 0.84, 0.88)


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


def run(name, f, test, theta0, seconds):
    """Rows (seconds, passes, f, test accuracy) of a run, one for each iteration."""
    method, options = RUNS[name]
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


def line(name, rows):
    """A line of the table."""
    cells = [f"{name:16}{len(rows):11}"]
    for accuracy in ACCURACIES:
        first = next((row for row in rows if row[3] >= accuracy), None)
        cells.append(f"{first[0]:7.1f} s {first[1]:6.1f}" if first else f"{'-':>9} {'-':>6}")
    if rows:
        at, passes, value, accuracy = rows[-1]
        best = max(row[3] for row in rows)
        cells.append(
            f"{at:6.1f} s {passes:7.1f}  {value:8.5f}  {100 * accuracy:6.2f}  {100 * best:6.2f}"
        )
    return "  ".join(cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="?", metavar="FOLDER")
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--list", action="store_true", help="list the runs")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--C", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each run")
    arguments = parser.parse_intermixed_args()
    if arguments.list or arguments.data is None:
        print(*RUNS, sep="\n")
        return
    f, test, theta0 = objectives(
        arguments.data, arguments.images, arguments.test_images, arguments.C
    )
    print(f"{f.l} training images, {test.l} test images, n = {f.net.n}, C = {f.C:g}")
    reached = "  ".join(f"{100 * accuracy:6.0f} %: s, passes" for accuracy in ACCURACIES)
    print(f"{'run':16} iterations  {reached}  at the end: s, passes, f, test accuracy, the best")
    for name in arguments.runs or RUNS:
        print(line(name, run(name, f, test, theta0, arguments.seconds)), flush=True)


if __name__ == "__main__":
    main()
