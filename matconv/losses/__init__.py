"""Losses: the sum of xi(z^{L+1,i}; y^i) over a shard, and its gradient with respect to z^{L+1}.

A loss is an object with the three methods of `Loss`. `Objective` takes such an object, or the name
of one of the losses in `LOSSES`.

protocol    Loss: the methods of a loss
targets     checks of labels, rows and attributes
base        what the losses that are included have in common
regression  losses of the residual z - y
binary      losses of attributes that are present or not
classes     losses of classes that exclude each other
known       LOSSES, the list of the losses that are included, by name
calls       calls of the methods of a loss, with checks of their results
weighting   weights of images and of their samples
"""

from .base import KnownLoss
from .binary import HingeLoss, LogisticLoss, SquaredHingeLoss
from .calls import (
    loss_factor,
    loss_gradient,
    loss_hessian_product,
    loss_labelled,
    loss_targets,
    loss_value,
    read_only,
)
from .classes import MulticlassHingeLoss, SoftmaxLoss, StructuredHingeLoss
from .known import LOSSES, compiled_name, get_loss, has_parameter, usual_loss
from .protocol import Loss
from .regression import AbsoluteLoss, HuberLoss, SquaredLoss
from .weighting import image_weights, position_rows, total_weight

__all__ = [
    "LOSSES",
    "AbsoluteLoss",
    "HingeLoss",
    "HuberLoss",
    "KnownLoss",
    "LogisticLoss",
    "Loss",
    "MulticlassHingeLoss",
    "SoftmaxLoss",
    "SquaredHingeLoss",
    "SquaredLoss",
    "StructuredHingeLoss",
    "compiled_name",
    "get_loss",
    "has_parameter",
    "image_weights",
    "loss_factor",
    "loss_gradient",
    "loss_hessian_product",
    "loss_labelled",
    "loss_targets",
    "loss_value",
    "position_rows",
    "read_only",
    "total_weight",
    "usual_loss",
]

# pickles and messages contain the public names of the classes, not the files that define them
for _class in (Loss, *LOSSES.values()):
    _class.__module__ = __name__
