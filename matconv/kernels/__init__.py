"""Everything compiled: the only room that knows C, pointers and BLAS."""

from .bias_relu import bias_relu, bias_relu_backward
from .conv import conv2d, conv2d_backward
from .dense import dense, dense_backward
from .im2col import col2im, im2col
from .pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward

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
