"""Normal: how the parameters of a layer with filters are initialised."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..arguments import as_real
from ..immutable import Immutable


class Normal(Immutable):
    """Initial values: W from N(0, std^2), every element of b equal to ``bias``. Immutable.

    Parameters
    ----------
    std : float, optional
        Standard deviation. By default sqrt(scale / K), where K is the number of inputs of one
        output.
    scale : float
        2 for He's initialisation [1]_, 1 for LeCun's [2]_. Not used if ``std`` is given.
    bias : float

    Raises
    ------
    TypeError, ValueError
        If an argument is not a finite number, or ``std`` or ``scale`` is negative.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers: surpassing human-level
       performance on ImageNet classification" (2015).
    .. [2] Y. LeCun, L. Bottou, G. B. Orr, K.-R. Mueller, "Efficient backprop" (1998).

    Examples
    --------
    >>> from matconv import Dense, Network
    >>> from matconv.layers import Normal
    >>> net = Network((1, 1, 4), [Dense(3, init=Normal(0.01, bias=1))])
    >>> net.unpack(net.init(seed=0))[0].b
    array([1., 1., 1.])
    """

    std: float | None = None
    scale: float = 2.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            number = as_real(f"Normal: {field.name}", value)
            if not math.isfinite(number) or (number < 0 and field.name != "bias"):
                bound = "" if field.name == "bias" else " and at least 0"
                raise ValueError(f"Normal: {field.name} must be finite{bound}, got {number:g}")
            self._set(**{field.name: number})

    def deviation(self, fan_in: int) -> float:
        """Return the standard deviation of W for ``fan_in`` inputs of one output."""
        return math.sqrt(self.scale / fan_in) if self.std is None else self.std

    def entry(self) -> dict[str, float]:
        """Return JSON-able data, which `as_initial` takes."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return {name: value for name, value in vars(self).items() if value != defaults[name]}


def as_initial(kind: str, value: Any) -> Normal | None:
    """Return the argument ``init`` of a layer, checked; a dict has the arguments of `Normal`.

    Parameters
    ----------
    kind : str
        Beginning of the error message.
    value : Normal, dict or None

    Raises
    ------
    TypeError, ValueError
    """
    if value is None or type(value) is Normal:
        return value
    if not isinstance(value, dict):
        raise TypeError(
            f"{kind}: init must be a Normal or None, got {value!r} ({type(value).__name__})"
        )
    names = [field.name for field in dataclasses.fields(Normal)]
    unknown = sorted(str(key) for key in value.keys() - set(names))
    if unknown:
        raise ValueError(f"{kind}: init has no {', '.join(unknown)}, only {', '.join(names)}")
    try:
        return Normal(**value)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"{kind}: init: {error}") from error
