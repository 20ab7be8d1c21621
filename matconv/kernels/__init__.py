"""Compiled kernels: convolution, pooling, dense layers, programs, and the C interface."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from . import simd

# before the first kernel is imported; modules without variants are found in this folder
__path__[:0] = simd.path

from . import _tuning
from ._bias_relu import bias_relu, bias_relu_backward
from ._conv2d import conv2d, conv2d_backward
from ._conv_transpose import conv_transpose2d, conv_transpose2d_backward
from ._dense import dense, dense_backward
from ._im2col import col2im, im2col
from ._lrn import lrn, lrn_backward
from ._pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from ._upsample import upsample2d, upsample2d_backward

if TYPE_CHECKING:
    from . import (  # noqa: F401
        capi,
        predictor,
        toom_cook,
    )

built, supported, variant = simd.built, simd.supported, simd.variant
tuning = _tuning.name

__all__ = [
    "avg_pool2d",
    "avg_pool2d_backward",
    "bias_relu",
    "bias_relu_backward",
    "col2im",
    "conv2d",
    "conv2d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "dense",
    "dense_backward",
    "im2col",
    "lrn",
    "lrn_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "upsample2d",
    "upsample2d_backward",
]

# submodules that are imported at first use
_SUBMODULES = ("capi", "predictor", "toom_cook")


if not TYPE_CHECKING:  # type checkers use the imports above, and so report unknown names

    def __getattr__(name: str) -> object:
        if name in _SUBMODULES:
            return _import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
