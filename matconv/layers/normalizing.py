"""Layers that relate each element to others of its pixel: LRN, LogSoftmax, Normalize, Softmax."""

from typing import ClassVar

from ..arguments import as_flag, as_number
from ..kernels._lrn import lrn_arguments
from .base import Layer
from .windows import Shape, image_shape


class LRN(Layer):
    """Local response normalisation: z_out = z (k + alpha sum z_j^2)^-beta. Immutable.

    The sum is over the channels j from ``c - floor((size - 1) / 2)`` to ``c + ceil((size - 1) / 2)``
    for channel c, as far as they exist. `matconv.lrn` documents what happens to NaN, infinite and
    very large elements. The defaults are those of the paper.

    Parameters
    ----------
    size : int
        Number of channels of a window. If it is even, there is one more channel above c than
        below, as in MatConvNet and ONNX; in PyTorch it is one more below.
    k, alpha : float
        Not negative. alpha is not divided by the size, as in the paper and in MatConvNet. Caffe,
        ONNX and PyTorch divide it: their alpha is ``size`` times this one.
    beta : float
        0.75, 0.5 and 1 are faster than others.
    name, inputs
        See `matconv.layers.Layer`.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep convolutional
    neural networks" (2012), section 3.3.
    """

    kind: ClassVar[str] = "LRN"
    linear: ClassVar[bool] = False
    size: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        size, k, alpha, beta = lrn_arguments(self.kind, self.size, self.k, self.alpha, self.beta)
        self._set(size=size, k=k, alpha=alpha, beta=beta)

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        return [self.size]

    def numbers(self, count: int) -> list[float]:
        return [self.k, self.alpha, self.beta]


class Softmax(Layer):
    """Softmax over the channels of each pixel: z_out = exp(z_c) / sum_j exp(z_j). Immutable.

    The maximum of the channels is subtracted first, so that nothing overflows. A pixel with a NaN,
    with the maximum infinity, or with -infinity only becomes NaN in all channels.

    Training by the loss "softmax" takes the scores z themselves: the layer is for outputs that are
    probabilities, and for attention.

    Parameters
    ----------
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Softmax"
    linear: ClassVar[bool] = False


class LogSoftmax(Layer):
    """Logarithm of the softmax over channels: z_out = z_c - log sum_j exp(z_j). Immutable.

    It is accurate also where `Softmax` underflows to 0. A pixel with a NaN, with the maximum
    infinity, or with -infinity only becomes NaN in all channels.

    Parameters
    ----------
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "LogSoftmax"
    linear: ClassVar[bool] = False


class Normalize(Layer):
    """Division by a norm: z_out = z / (sum |z|^p + epsilon)^(1/p). Immutable.

    The sum is over the channels of a pixel or, if ``spatial``, over the pixels of a channel. With
    epsilon = 0 a zero vector becomes NaN (0/0), and so does the gradient. Powers may overflow, for
    p = 2 those of elements above 1e154 (float32: 1e19); then the result is 0. The derivative of
    |z| at 0 is taken to be 0.

    Parameters
    ----------
    p : float
        At least 1.
    epsilon : float
        Not negative. MatConvNet's vl_nnnormalizelp has 0.01 by default.
    spatial : bool
        Whether the sum is over pixels; the input must then be an image.
    name, inputs
        See `matconv.layers.Layer`.
    """

    kind: ClassVar[str] = "Normalize"
    linear: ClassVar[bool] = False
    p: float = 2.0
    epsilon: float = 0.0
    spatial: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            p=as_number(f"{self.kind}: p", self.p, 1.0),
            epsilon=as_number(f"{self.kind}: epsilon", self.epsilon),
            spatial=as_flag(f"{self.kind}: spatial", self.spatial),
        )

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        if self.spatial:
            image_shape(function, shapes[0])
        return [int(self.spatial)]

    def numbers(self, count: int) -> list[float]:
        return [self.p, self.epsilon]
