"""Checks of targets: class labels, rows of numbers, rows of attributes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels._arrays import refuse_masked
from .protocol import Array


def labels(name: str, Y: Array, l: int, n_outputs: int) -> Array:
    """Return Y as class indices, one for each sample, or -1.

    Raises
    ------
    ValueError
        If Y has another shape, or an element is no index.
    """
    if Y.shape != (l,):
        raise ValueError(f"{name}: Y must have one label per image, {l}, got shape {Y.shape}")
    if l and not (Y.min() >= -1 and Y.max() < n_outputs):
        raise ValueError(
            f"{name}: labels must be from 0 to {n_outputs - 1}, one per output of the network, or "
            f"-1 (not labelled), got {Y.min()} to {Y.max()}"
        )
    return Y.astype(np.intp, copy=False)


def labels_or_rows(name: str, Y: Any, l: int, n_outputs: int, dtype: Any) -> Array:
    """Return Y as labels (l integers) or as rows (l x n_outputs, in the network's dtype).

    Raises
    ------
    TypeError, ValueError
        If Y is neither.
    """
    refuse_masked(name, "Y", Y)
    Y = np.asarray(Y)
    if Y.dtype.kind in "iu":
        return labels(name, Y, l, n_outputs)
    if Y.dtype.kind != "f":
        raise TypeError(f"{name}: Y must be integer labels or rows of {dtype}, got {Y.dtype}")
    if Y.ndim == 1:
        raise TypeError(f"{name}: labels must be integers, got {Y.dtype}")
    if Y.shape != (l, n_outputs):
        raise ValueError(
            f"{name}: Y must have shape ({l}, {n_outputs}), a row per image and a column per "
            f"output of the network, got {Y.shape}"
        )
    return Y.astype(dtype, copy=False)


def only_labels(name: str, Y: Any, l: int, n_outputs: int) -> Array:
    """Return Y as labels; at least 2 outputs are needed.

    Raises
    ------
    TypeError, ValueError
        If Y is of another kind, or there is one output.
    """
    refuse_masked(name, "Y", Y)
    if n_outputs < 2:
        raise ValueError(f"{name}: the network must have at least 2 outputs, got {n_outputs}")
    Y = np.asarray(Y)
    if Y.dtype.kind not in "iu":
        raise TypeError(f"{name}: labels must be integers, got {Y.dtype}")
    return labels(name, Y, l, n_outputs)


def attributes(
    name: str, Y: Any, l: int, n_outputs: int, dtype: Any, probabilities: bool = False
) -> Array:
    """Return Y as labels of classes, or as rows of attributes: 0, 1, or -1 for not labelled.

    Labels of a network with one output are rows of one attribute. With ``probabilities`` an
    attribute may also be between 0 and 1.

    Raises
    ------
    TypeError, ValueError
        If Y is neither.
    """
    refuse_masked(name, "Y", Y)
    Y = np.asarray(Y)
    if Y.dtype.kind in "iu" and Y.ndim == 1 and n_outputs > 1:
        return labels(name, Y, l, n_outputs)
    if Y.dtype.kind not in "iuf":
        raise TypeError(f"{name}: Y must be integer labels or rows of attributes, got {Y.dtype}")
    if Y.dtype.kind == "f" and Y.ndim == 1:
        raise TypeError(f"{name}: labels must be integers, got {Y.dtype}")
    if n_outputs == 1 and Y.shape == (l,):
        Y = Y.reshape(l, 1)
    if Y.shape != (l, n_outputs):
        raise ValueError(
            f"{name}: Y must have one label per image, {l}, or shape ({l}, {n_outputs}), a column "
            f"per attribute, got shape {Y.shape}"
        )
    if probabilities:
        valid, expected = ((Y >= 0) & (Y <= 1)) | (Y == -1), "from 0 to 1"
    else:
        valid, expected = np.isin(Y, (-1, 0, 1)), "0 or 1"
    if not valid.all():
        wrong = Y[~valid][0]
        raise ValueError(
            f"{name}: attributes must be {expected}, or -1 (not labelled), got {wrong}"
        )
    return Y.astype(dtype, copy=False)
