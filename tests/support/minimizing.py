"""A small problem for the tests of minimize, and a record of a method's evaluations."""

import numpy as np

from matconv import Conv, Dense, Network, Objective, minimize

C = 20.0


def small(dtype=np.float64, l=22, loss="softmax", n_threads=1, algorithm="auto"):
    """Return a small objective and an initial theta."""
    random = np.random.default_rng(7)
    net = Network((4, 4, 1), [Conv(3, 2, activation="relu"), Dense(3)], dtype, algorithm)
    Z = random.standard_normal((l, 4, 4, 1)).astype(dtype)
    y = random.integers(0, 3, l)
    return Objective(net, Z, y, loss, C, n_threads), net.init(1)


class Cliff:
    """f = -5 t - log(1 - t) / 100 + u^2 of theta = (t, u, 0, ...), undefined for t >= 1."""

    def __init__(self, beyond):
        self.net = small()[0].net
        self.beyond = beyond
        self.fell = 0

    def value_and_gradient(self, theta):
        t, u = theta[:2]
        gradient = np.zeros_like(theta)
        if t >= 1:
            self.fell += 1
            gradient[:] = self.beyond
            return self.beyond, gradient
        gradient[:2] = -5 + 0.01 / (1 - t), 2 * u
        return -5 * t - 0.01 * np.log(1 - t) + u * u, gradient


class Spy:
    """An objective that records every evaluation, over all images or a batch."""

    def __init__(self, objective, seen=None, indices=None):
        self.objective = objective
        self.net, self.l = objective.net, objective.l
        self.seen = [] if seen is None else seen
        self.indices = indices

    def value_and_gradient(self, theta):
        f, gradient = self.objective.value_and_gradient(theta)
        self.seen.append((theta.copy(), f, gradient.copy(), self.indices))
        return f, gradient

    def with_dropout(self, seed, epoch):
        return Spy(self.objective.with_dropout(seed, epoch), self.seen, self.indices)

    def subset(self, indices):
        return Spy(self.objective.subset(indices), self.seen, np.array(indices))


def thetas_of(objective, theta0, method="lbfgs", iterations=4, **options):
    """Return theta after every iteration, and the result."""
    found = []
    result = minimize(
        objective,
        theta0,
        method,
        iterations,
        callback=lambda state: found.append(state.theta),
        **options,
    )
    return found, result
