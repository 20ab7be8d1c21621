"""Schedules: factors of the learning rate as functions of the completed part t of the training.

0 <= t < 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def constant(t: float) -> float:
    """Return 1.

    >>> constant(0.9)
    1.0
    """
    return 1.0


def step(t: float) -> float:
    """Return 1; 0.1 after half of the training; 0.01 after three quarters.

    >>> step(0.49), step(0.5), step(0.75)
    (1.0, 0.1, 0.01)
    """
    return 1.0 if t < 0.5 else 0.1 if t < 0.75 else 0.01


def cosine(t: float) -> float:
    """Return (1 + cos(pi t)) / 2, which decreases from 1 to 0.

    >>> cosine(0.0), round(cosine(0.5), 12)
    (1.0, 0.5)
    """
    return (1 + math.cos(math.pi * t)) / 2


SCHEDULES: dict[str, Schedule] = {"constant": constant, "step": step, "cosine": cosine}
DESCRIPTIONS = {
    "constant": "1 throughout",
    "step": "a tenth after half of the epochs and a hundredth after three quarters",
    "cosine": "along half a period of the cosine to 0",
}


def get_schedule(schedule: str | Schedule) -> Schedule:
    """Return the schedule with a name; a function is returned as it is.

    Raises
    ------
    TypeError, ValueError
        If it is neither the name of a schedule nor a function.
    """
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise ValueError(
                f"schedule must be one of {', '.join(sorted(SCHEDULES))}, got {schedule!r}"
            )
        return SCHEDULES[schedule]
    if not callable(schedule):
        raise TypeError(
            f"schedule must be a name or a function of t, got {schedule!r} "
            f"({type(schedule).__name__})"
        )
    return schedule
