"""Minimisation of f(theta): by L-BFGS, stochastic gradients, Newton's method, methods of SciPy.

minimizer      minimize, the entry point, and METHODS, the list of all methods
method         Method: the record of a method and its options
lbfgs          L-BFGS of SciPy
sgd            stochastic gradient descent with momentum
newton         a Newton method with Gauss-Newton matrices of subsamples
conjugate      conjugate gradients for its steps
scipy_methods  methods of SciPy that use products with second derivatives
trials         f and its gradient for SciPy, also where f is not finite
shared         options and messages of several methods
schedules      schedules of the learning rate
run            Run, the state that all methods share: theta, history, callback
result         Result, State, TrainingError
progress       a line for each iteration, and a progress bar on a terminal
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
