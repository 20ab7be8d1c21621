"""What a minimisation gives: to its caller at the end, to a callback on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class State:
    """Where a minimisation stands after an iteration: what a callback gets.

    Attributes
    ----------
    method : str
        "lbfgs" or "sgd".
    iteration : int
        1 after the first iteration; for "sgd" an iteration is an epoch.
    f, gradient_norm : float
        f(theta) and the Euclidean norm of its gradient. For "sgd" the means over the epoch: see
        `minimize`.
    theta : ndarray, (n,)
        Read-only; it stays as it is when the minimisation goes on.
    seconds : float
        Since the start, callbacks included.
    """

    method: str
    iteration: int
    f: float
    gradient_norm: float
    theta: np.ndarray
    seconds: float

    def __post_init__(self) -> None:
        theta = self.theta.view()
        theta.flags.writeable = False
        object.__setattr__(self, "theta", theta)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()


@dataclass(frozen=True, eq=False)
class Result:
    """What a minimisation found.

    Attributes
    ----------
    theta : ndarray, (n,)
        Of the network's dtype, after the last whole step. An array of its own, which the caller
        may write into.
    f : float
        "lbfgs": f(theta). "sgd": the mean over the batches of the last whole epoch, or over those
        of the first one as far as it went. NaN if f was not computed.
    gradient_norm : float
        Euclidean norm of the gradient, of theta ("lbfgs") or of the last whole epoch ("sgd"). NaN
        if there is none.
    history : list of dict
        One per iteration: "iteration", "f", "gradient_norm", "seconds", and what the callback
        returned. Empty where theta0 is a minimum already.
    message : str
        Why it ended.
    converged : bool
        Whether a tolerance was reached.
    iterations : int
        The number of the last whole iteration.
    interrupted : bool
        Whether Ctrl-C ended it.
    seconds : float
    """

    theta: np.ndarray
    f: float
    gradient_norm: float
    history: list[dict[str, Any]]
    message: str
    converged: bool
    iterations: int
    interrupted: bool
    seconds: float


class TrainingError(ArithmeticError):
    """f or its gradient is not finite: a NaN or an infinity.

    Attributes
    ----------
    result : Result
        What was reached before; its theta is the last at which f was finite.
    """

    result: Result
