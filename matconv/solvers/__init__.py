"""Solvers: what minimises f(theta). L-BFGS on all images, stochastic gradient on mini-batches.

minimizer   minimize, and METHODS, the list of its methods
method      Method: the record of a method and its options
lbfgs       scipy's L-BFGS
sgd         mini-batches, momentum
schedules   how a learning rate changes
run         what the methods share: theta of the last complete step, history, callback
result      Result, State, TrainingError
progress    a bar on a terminal, lines of text elsewhere
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
