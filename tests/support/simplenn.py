"""simpleNN's Newton method on the digits, as it was recorded, and the same steps here.

    python -m support.simplenn [plain]

prints both trajectories, each from the same theta0 and with the same subsamples; "plain" without
orthogonalisation of the residuals.
"""

import sys
from functools import cache

import numpy as np

from matconv import Conv, Dense, MaxPool, Network, Objective
from matconv.data import load_digits
from matconv.solvers.newton import METHOD, Newton

from . import TESTS

RECORDED = TESTS / "solvers" / "simplenn_digits.npz"
LAYERS = [
    Conv(8, 3, pad=1, activation="relu"),
    MaxPool(2),
    Conv(16, 3, pad=1, activation="relu"),
    MaxPool(2),
    Dense(10),
]


@cache
def recorded():
    """The record: arrays by name, and the columns of the log by name."""
    with np.load(RECORDED) as file:
        data = dict(file)
    return data, dict(zip(data["columns"].tolist(), data["rows"].T, strict=True))


def problem(algorithm="im2col"):
    """f on the digits."""
    digits = load_digits()
    net = Network((8, 8, 1), LAYERS, algorithm=algorithm)
    return Objective(net, digits.Z_train, digits.y_train, "squared", float(recorded()[0]["C"]))


def steps(f, **options):
    """The method with simpleNN's options."""
    names = [name for name in METHOD.names if name not in ("subsample", "gtol", "seed")]
    usual = {one.name: one.default for one in METHOD.options if one.name in names}
    return Newton(f, **{**usual, **options})


def main(reorthogonalize):
    """Print both trajectories, a line for each iteration."""
    data, log = recorded()
    f = problem()
    method = steps(f, reorthogonalize=reorthogonalize)
    point, _ = method.evaluate(data["theta0"])
    print(
        "iteration  #CG         alpha          lambda                 f         |f - f|/f  |theta - theta|"
    )
    for k, theta in enumerate(data["theta"]):
        step = method.step(point, data["batch"][k])
        point = step.point
        f_k, cg, alpha, damping = (log[name][k] for name in ("f", "cg", "alpha", "lambda_used"))
        print(
            f"{k + 1:9}  {step.solution.products:3} {cg:3.0f}  {step.alpha:5} {alpha:5}  "
            f"{step.damping:.6f} {damping:.6f}  {point.f:.14f}  {abs(point.f - f_k) / f_k:11.1e}  "
            f"{np.linalg.norm(point.theta - theta):11.1e}"
        )
    predicted = f.net.predict(point.theta, load_digits().Z_test)
    print("equal predictions:", int((predicted == data["predicted"]).sum()), "of", len(predicted))


if __name__ == "__main__":
    main(sys.argv[1:] != ["plain"])
