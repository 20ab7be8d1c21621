"""A small valid call of every public operator, which tests of bad input and layouts modify.

All have one geometry: images 6 x 5 x 4, a 3 x 2 window, strides, padding on three sides and
dilation, so that no two directions are the same.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest

import matconv
from support import reference

WINDOW = {"kernel": (3, 2), "stride": (2, 1), "pad": ((1, 0), (0, 2)), "dilation": (1, 2)}
LAYER = {"stride": (2, 1), "pad": ((1, 0), (0, 2)), "dilation": (1, 2), "groups": 2}
LRN = {"size": 2, "k": 1.5, "alpha": 0.25, "beta": 0.75}
POOL = {"window": (3, 2), "stride": (2, 1), "pad": ((1, 0), (0, 1))}


class Index:
    """An object that is an integer by its method __index__ only."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


@dataclass(frozen=True)
class Operator:
    """An operator, the shapes of a valid call for one image, and its other arguments.

    The first axis of arrays in `batch` is the number of images.
    """

    name: str
    shapes: dict
    options: dict = field(default_factory=dict)
    out: tuple | None = None
    batch: tuple = ("Z", "S", "dS", "dZ", "phi", "dZ_out", "indices")

    @property
    def function(self):
        return getattr(matconv, self.name)

    def by(self, algorithm):
        """Return the option `algorithm` if the operator has it."""
        return {"algorithm": algorithm} if self.name.startswith("conv2d") else {}

    def shape(self, name, l=2):
        return (l, *self.shapes[name]) if name in self.batch else self.shapes[name]

    def arrays(self, l=2, dtype="float64"):
        """Return valid arrays; their elements are integers, so that results are exact."""
        random = np.random.default_rng(0)
        arrays = {}
        for name in self.shapes:
            whole = random.integers(-9, 10, self.shape(name, l))
            if name == "indices":
                arrays[name] = (whole % 30).astype(np.int32)
            else:
                arrays[name] = whole.astype(dtype)
        return arrays

    def arguments(self, l=2):
        """Return the options, with the number of images in a shape."""
        if "shape" in self.options:
            return {**self.options, "shape": (l, *self.options["shape"])}
        return dict(self.options)

    def __call__(self, arrays, l=2, **changes):
        return self.function(**arrays, **{**self.arguments(l), **changes})

    def output(self, l=2, dtype="float64"):
        """Return an output array, full of sevens."""
        return np.full((l, *self.out), 7, dtype)

    def floats(self):
        """Return the names of its floating-point arrays."""
        return [name for name in self.shapes if name != "indices"]


def _operators():
    image, filters, outputs = (6, 5, 4), (2, 3, 2, 6), (3, 5, 6)
    pooled = (*reference.output_shape((6, 5), POOL["window"], POOL["stride"], POOL["pad"]), 4)
    shape = {"shape": image}
    return [
        Operator("im2col", {"Z": image}, WINDOW, out=(15, 24)),
        Operator("col2im", {"phi": (15, 24)}, {**shape, **WINDOW}, out=image),
        Operator("bias_relu", {"S": outputs, "b": (6,)}, out=outputs),
        Operator("bias_relu_backward", {"dZ": outputs, "Z": outputs}, out=outputs),
        Operator("conv2d", {"Z": image, "W": filters, "b": (6,)}, LAYER, out=outputs),
        Operator("conv2d_backward", {"dS": outputs, "Z": image, "W": filters}, LAYER),
        Operator("max_pool2d", {"Z": image}, POOL, out=pooled),
        Operator("max_pool2d_backward", {"dZ_out": pooled, "indices": pooled}, shape),
        Operator("avg_pool2d", {"Z": image}, POOL, out=pooled),
        Operator("avg_pool2d_backward", {"dZ_out": pooled}, {**shape, **POOL}),
        Operator("dense", {"Z": image, "W": (120, 7), "b": (7,)}, out=(7,)),
        Operator("dense_backward", {"dS": (7,), "Z": image, "W": (120, 7)}),
        Operator("lrn", {"Z": image}, LRN, out=image),
        Operator("lrn_backward", {"dZ_out": image, "Z": image}, LRN, out=image),
    ]


OPERATORS = {operator.name: operator for operator in _operators()}
WITH_OUT = [operator for operator in OPERATORS.values() if operator.out is not None]


def every_array(floats_only=True, optional=True):
    """Return (operator, array name) for each array argument of each operator."""
    return [
        (operator, name)
        for operator in OPERATORS.values()
        for name in (operator.floats() if floats_only else operator.shapes)
        if optional or name != "b" or operator.name == "bias_relu"
    ]


def results(value):
    """Return the arrays of a result, which is an array or a tuple."""
    values = value if isinstance(value, tuple) else (value,)
    return [array for array in values if array is not None]


def check_refused(capfd, call, error, *parts, unchanged=()):
    """Assert that a call raises an exception with these parts in its message.

    The arrays in `unchanged` must keep their bits, and nothing may be printed.
    """
    before = [array.tobytes() for array in unchanged]
    with pytest.raises(error) as raised:
        call()
    message = str(raised.value)
    missing = [part for part in map(str, parts) if part not in message]
    assert not missing, f"{missing} not in {message!r}"
    assert [array.tobytes() for array in unchanged] == before
    assert capfd.readouterr() == ("", "")
