"""The losses that are included, and their list `LOSSES`."""

from __future__ import annotations

from dataclasses import is_dataclass

from .base import KnownLoss
from .binary import HingeLoss, LogisticLoss, SquaredHingeLoss
from .classes import MulticlassHingeLoss, SoftmaxLoss, StructuredHingeLoss
from .protocol import Loss
from .regression import AbsoluteLoss, HuberLoss, SquaredLoss

# every loss that has a name
LOSSES: dict[str, type[KnownLoss]] = {
    loss.name: loss
    for loss in (
        AbsoluteLoss,
        HingeLoss,
        HuberLoss,
        LogisticLoss,
        MulticlassHingeLoss,
        SoftmaxLoss,
        SquaredLoss,
        SquaredHingeLoss,
        StructuredHingeLoss,
    )
}
for _class in LOSSES.values():
    _class.known = True


def get_loss(loss: str | Loss) -> Loss:
    """Return the loss with a name; a loss that is an object is returned as it is.

    The name of a loss with a parameter may be followed by its value, as in "huber:0.5".

    Raises
    ------
    ValueError
        If no loss has this name, or the parameter is invalid.
    TypeError
        If an object lacks a method of `Loss`.

    Examples
    --------
    >>> from matconv.losses import get_loss
    >>> get_loss("huber:0.5")
    HuberLoss(delta=0.5)
    """
    if isinstance(loss, str):
        name, colon, text = loss.partition(":")
        if name not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(sorted(LOSSES))}, got {loss!r}")
        return _with_parameter(LOSSES[name], text, loss) if colon else LOSSES[name]()  # type: ignore[return-value]
    if isinstance(loss, type) or not isinstance(loss, Loss):
        raise TypeError(
            "loss must be a name or an object with targets, value and value_and_gradient, "
            f"got {loss!r} ({type(loss).__name__})"
        )
    return loss


def _with_parameter(known: type[KnownLoss], text: str, loss: str) -> Loss:
    if not has_parameter(known):
        raise ValueError(f"loss {known.name} has no parameter, got {loss!r}")
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"loss: the parameter must be a number, got {loss!r}") from None
    return known(number)  # type: ignore[call-arg, return-value]


def has_parameter(known: type[KnownLoss]) -> bool:
    """Return whether a loss of `LOSSES` has a parameter."""
    return is_dataclass(known)


def usual_loss(n_outputs: int) -> str:
    """Return the name of the default loss of a network with ``n_outputs`` outputs.

    >>> usual_loss(10), usual_loss(1)
    ('softmax', 'squared')
    """
    return "softmax" if n_outputs > 1 else "squared"


def compiled_name(loss: Loss) -> str:
    """Return the name of a loss that compiled code evaluates; "" for any other loss."""
    return loss.name if isinstance(loss, KnownLoss) and "known" in vars(type(loss)) else ""
