"""What minimises f(theta): L-BFGS over all images, stochastic gradient over mini-batches.

minimizer   minimize: one door for every method
result      Result, State, TrainingError
run         what the methods share: theta of the last whole step, history, callback
lbfgs       scipy's L-BFGS
sgd         mini-batches, momentum
schedules   how a learning rate changes
progress    a bar on a terminal, plain lines elsewhere
"""

from .minimizer import METHODS, minimize
from .result import Result, State, TrainingError
from .run import Run

__all__ = ["METHODS", "Result", "Run", "State", "TrainingError", "minimize"]
