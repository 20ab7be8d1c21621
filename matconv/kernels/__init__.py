"""Everything compiled: the only room that knows C, pointers and BLAS."""

from . import simd

# before the first kernel is imported; what a variant does not have comes from this folder
__path__[:0] = simd.path

from .bias_relu import bias_relu, bias_relu_backward
from .conv import conv2d, conv2d_backward
from .dense import dense, dense_backward
from .im2col import col2im, im2col
from .pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward

built, supported, variant = simd.built, simd.supported, simd.variant

__all__ = [
    "avg_pool2d",
    "avg_pool2d_backward",
    "bias_relu",
    "bias_relu_backward",
    "col2im",
    "conv2d",
    "conv2d_backward",
    "dense",
    "dense_backward",
    "im2col",
    "max_pool2d",
    "max_pool2d_backward",
]
