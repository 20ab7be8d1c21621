"""Losses: the sum of xi(z^{L+1,i}; y^i) over a shard, and its gradient with respect to z^{L+1}.

A loss is an object with the three methods of `Loss`. `Objective` takes such an object, or the name
of one of the losses in `LOSSES`.

protocol  Loss: the methods of a loss
known     SquaredLoss, SoftmaxLoss, and LOSSES, which lists them by name
calls     calls of the methods of a loss, with checks of their results
"""

from .calls import loss_gradient, loss_targets, loss_value, read_only
from .known import LOSSES, SoftmaxLoss, SquaredLoss, compiled_name, get_loss, usual_loss
from .protocol import Loss

__all__ = [
    "LOSSES",
    "Loss",
    "SoftmaxLoss",
    "SquaredLoss",
    "compiled_name",
    "get_loss",
    "loss_gradient",
    "loss_targets",
    "loss_value",
    "read_only",
    "usual_loss",
]

# pickles and messages contain the public names of the classes, not the files that define them
for _class in (Loss, *LOSSES.values()):
    _class.__module__ = __name__
