"""Result of a minimisation, and the state that callbacks get."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class State:
    """The state of a minimisation after an iteration, for a callback.

    Attributes
    ----------
    method : str
        Name of the method.
    iteration : int
        Number of the iteration, 1 for the first; for a method with mini-batches, of the epoch.
    f, gradient_norm : float
        f(theta) and the Euclidean norm of its gradient; with mini-batches the means over the epoch,
        see `minimize`.
    theta : ndarray, (n,)
        Read-only; later iterations do not change it.
    seconds : float
        Time since the start, including callbacks.
    details : dict
        Entries of the history that only this method has, see the notes of `minimize`.
    """

    method: str
    iteration: int
    f: float
    gradient_norm: float
    theta: np.ndarray
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        theta = self.theta.view()
        theta.flags.writeable = False
        object.__setattr__(self, "theta", theta)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()


@dataclass(frozen=True, eq=False)
class Result:
    """The result of a minimisation.

    Attributes
    ----------
    theta : ndarray, (n,)
        theta after the last complete step, in the network's dtype. A copy that may be changed.
    f : float
        f(theta); for a method with mini-batches the mean over the batches of the last complete
        epoch or, during the first epoch, over the batches so far. NaN if f was not computed.
    gradient_norm : float
        Euclidean norm of the gradient at theta or, with mini-batches, of its mean over the last
        complete epoch. NaN if it was not computed.
    history : list of dict
        One entry per iteration with "iteration", "f", "gradient_norm", "seconds", the details of
        the method, and the items that the callback returned. Empty if theta0 is already a minimum.
    message : str
        Why the minimisation ended.
    converged : bool
        Whether a tolerance was reached.
    iterations : int
        The number of the last complete iteration.
    interrupted : bool
        Whether Ctrl-C ended the minimisation.
    seconds : float
        Duration.
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
        The result at the last theta for which f was finite.
    """

    result: Result
