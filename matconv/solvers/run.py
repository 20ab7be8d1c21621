"""Run: the state of a minimisation, which all methods share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .progress import Progress
from .result import Result, State

Callback = Callable[[State], "dict[str, Any] | None"]


class Run:
    """State of a minimisation: theta, the history, the callback.

    A method reports f at theta0 by `evaluated`, each complete step by `step` and each iteration by
    `iterate`.

    Attributes
    ----------
    theta : ndarray, (n,)
        theta after the last complete step. A method must not write into this array until it has
        reported another one.
    moved : bool
        Whether a step was made.

    Raises
    ------
    ValueError
        If theta has no elements.
    """

    def __init__(
        self,
        method: str,
        theta: np.ndarray,
        callback: Callback | None,
        progress: Progress,
        start: int = 0,
        on_step: Callable[[Run], None] | None = None,
    ) -> None:
        if theta.size == 0:
            raise ValueError("minimize: the network has no parameters, theta is empty")
        self.method = method
        # theta, f, |g|: one tuple, so that all are replaced at once even if Ctrl-C interrupts
        self._reached = (theta, math.nan, math.nan)
        self.moved = False
        self.progress = progress
        self.history: list[dict[str, Any]] = []
        self._callback = callback
        self._error_state = np.geterr()  # of the caller of minimize, for the callback
        self._start = start
        self._on_step = on_step
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began

    @property
    def iterations(self) -> int:
        """Number of the last complete iteration."""
        return self._start + len(self.history)

    @property
    def theta(self) -> np.ndarray:
        return self._reached[0]

    def evaluated(self, f: float, gradient_norm: float = math.nan) -> None:
        """Report f and, if known, the norm of its gradient at the current theta."""
        self._reached = (self.theta, f, gradient_norm)

    def step(
        self, theta: np.ndarray, f: float | None = None, gradient_norm: float | None = None
    ) -> None:
        """Report a complete step; without f or the norm the current values are kept."""
        # before theta is replaced: f is known to be finite at the old one, but not at the new one
        self._between_steps()
        _, last_f, last_norm = self._reached
        f = last_f if f is None else f
        self._reached = (theta, f, last_norm if gradient_norm is None else gradient_norm)
        self.moved = True

    def _between_steps(self) -> None:
        if self.moved and self._on_step is not None:
            self._on_step(self)

    def iterate(
        self, f: float, gradient_norm: float, details: dict[str, Any] | None = None
    ) -> bool:
        """Record an iteration and call the callback; return False if the callback asks to stop.

        ``details`` are the entries of the history that `Method.history` describes.
        """
        details = details or {}
        row: dict[str, Any] = {
            "iteration": self.iterations + 1,
            "f": f,
            "gradient_norm": gradient_norm,
            "seconds": self.seconds,
        }
        self.history.append({**row, **details})
        self.evaluated(f, gradient_norm)
        go_on = True
        if self._callback is not None:
            theta = self.theta.copy()
            theta.flags.writeable = False
            try:
                with np.errstate(**self._error_state):
                    state = State(method=self.method, theta=theta, details={**details}, **row)
                    more = self._callback(state)
            except StopIteration:
                go_on, more = False, None
            if more is not None:
                row.update(_extra(more, self.history[-1]))
                self.history[-1].update(more)
        self.progress.line(row)
        self._between_steps()
        return go_on

    def result(self, message: str, converged: bool = False, interrupted: bool = False) -> Result:
        """Return the result so far."""
        theta, f, gradient_norm = self._reached
        return Result(
            theta=theta.copy(),
            f=f,
            gradient_norm=gradient_norm,
            history=self.history,
            message=message,
            converged=converged,
            iterations=self.iterations,
            interrupted=interrupted,
            seconds=self.seconds,
        )


def _extra(more: Any, own: dict[str, Any]) -> dict[str, Any]:
    """Return the dict that a callback returned, checked: it must not have keys of ``own``."""
    if not isinstance(more, dict) or own.keys() & more.keys():
        raise TypeError(
            f"minimize: callback must return None or a dict without the keys "
            f"{', '.join(sorted(own))}, got {more!r}"
        )
    return more
