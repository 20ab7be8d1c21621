"""Weights of images, and of the samples of which an image may have several."""

from __future__ import annotations

from math import fsum, inf

import numpy as np

from .calls import loss_labelled
from .protocol import Array, Loss


def image_weights(loss: Loss, y: Array, positions: int, weights: Array | None) -> Array | None:
    """Return for each image the sum of the weights of its labelled samples.

    Parameters
    ----------
    loss : Loss
    y : ndarray, shape (l, ...)
        The result of `loss_targets`.
    positions : int
        Positions of an image, if these are the samples; otherwise 0.
    weights : ndarray, shape (l,), or None
        Weights of the images; None if all are 1.

    Returns
    -------
    ndarray of float64, shape (l,), or None
        None if the weights are all 1 and all samples are labelled.
    """
    l = len(y)
    rows = y.reshape(l * positions, *y.shape[3:]) if positions else y
    labelled = loss_labelled(loss, rows)
    if labelled is None and weights is None:
        return None
    counts = np.full(l, float(positions or 1))
    if labelled is not None:
        counts = labelled.reshape(l, -1).sum(axis=1, dtype=np.float64)
    return counts if weights is None else counts * weights


def total_weight(weights: Array | None, samples: int) -> float:
    """Return the sum of weights, rounded once; the number of samples if the weights are None.

    >>> total_weight(None, 3), total_weight(np.array([0.1] * 10), 10)
    (3.0, 1.0)
    """
    if weights is None:
        return float(samples)
    try:
        return fsum(weights)
    except OverflowError:
        return inf


def position_rows(
    z: Array, y: Array, weights: Array | None, positions: int
) -> tuple[Array, Array, Array | None]:
    """Return outputs, targets and weights of images with a row, or an element, for each position.

    Parameters
    ----------
    z : ndarray, shape (images, n_outputs)
    y : ndarray, shape (images, height, width) or (images, height, width, channels)
    weights : ndarray, shape (images,), or None
    positions : int
        height * width.
    """
    samples = len(z) * positions
    if weights is not None:
        weights = np.repeat(weights, positions)
    return z.reshape(samples, -1), y.reshape(samples, *y.shape[3:]), weights
