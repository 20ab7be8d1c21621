"""Minimisation of f(theta): L-BFGS over all images, stochastic gradient over mini-batches.

minimizer   minimize, the entry point of all methods
result      Result, State, TrainingError
run         Run, shared by the methods: theta of the last complete step, history, callback
lbfgs       scipy's L-BFGS
sgd         mini-batches, momentum
schedules   schedules of the learning rate
progress    lines for iterations, and a bar on a terminal
"""

from .minimizer import METHODS, minimize
from .result import Result, State, TrainingError
from .run import Run

__all__ = ["METHODS", "Result", "Run", "State", "TrainingError", "minimize"]
