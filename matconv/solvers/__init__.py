"""Minimisation of f(theta): L-BFGS over all images, stochastic gradient over mini-batches.

minimizer   minimize, the entry point of all methods, and METHODS, their list
method      Method: the record of a method and its options
lbfgs       scipy's L-BFGS
sgd         mini-batches, momentum
schedules   schedules of the learning rate
run         Run, shared by the methods: theta of the last complete step, history, callback
result      Result, State, TrainingError
progress    lines for iterations, and a bar on a terminal
"""

from .method import Method, merged_options, usual_method
from .minimizer import METHODS, minimize
from .result import Result, State, TrainingError
from .run import Run

__all__ = [
    "METHODS",
    "Method",
    "Result",
    "Run",
    "State",
    "TrainingError",
    "merged_options",
    "minimize",
    "usual_method",
]
