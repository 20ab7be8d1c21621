"""Metrics of a classification: accuracy, error, top-k error, confusion matrix, error by class.

All take the outputs of a network and labels: z of shape (l, classes) and y of shape (l,), or for dense
prediction z of shape (l, height, width, classes) and y of shape (l, height, width). Outputs of shape
(l, 1, 1, classes) fit labels of shape (l,) too. Samples with the label -1 are ignored. The predicted
class is the largest output, the first of equals; of a single output it is 1 where the output is
positive, otherwise 0. An output that contains a NaN is an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arguments import as_count, as_weights, refuse_masked


def error(z: Any, y: Any, weights: Any = None) -> float:
    """Return the fraction of the labelled samples whose predicted class is not their label.

    Parameters
    ----------
    z : array, shape (l, ..., classes)
    y : array of int, shape (l, ...)
    weights : array, shape (l,), optional
        Weights of the images.

    Returns
    -------
    float
        NaN if no sample is labelled.

    Raises
    ------
    TypeError, ValueError
        If an argument has another kind or shape, or a label is out of range.

    Examples
    --------
    >>> from matconv import metrics
    >>> metrics.error([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], [1, 1, -1])
    0.5
    """
    z, y, w = _checked("error", z, y, weights)
    return _mean(_ranks(z, y) > 0, w)


def accuracy(z: Any, y: Any, weights: Any = None) -> float:
    """Return the fraction of the labelled samples whose predicted class is their label.

    Parameters and errors are those of `error`; the sum of both is 1, up to rounding.

    Examples
    --------
    >>> from matconv import metrics
    >>> metrics.accuracy([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], [1, 1, -1])
    0.5
    """
    z, y, w = _checked("accuracy", z, y, weights)
    return _mean(_ranks(z, y) == 0, w)


def top_k_error(z: Any, y: Any, k: int = 5, weights: Any = None) -> float:
    """Return the fraction of the labelled samples whose label is not among the k largest outputs.

    Of equal outputs the first count as larger. The other parameters, the result and the errors are
    those of `error`, which is the case k = 1.

    Parameters
    ----------
    k : int
        From 1 to the number of classes.

    Examples
    --------
    >>> from matconv import metrics
    >>> metrics.top_k_error([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], [1, 2], k=2)
    0.5
    """
    z, y, w = _checked("top_k_error", z, y, weights)
    k = as_count("top_k_error: k", k)
    if k > _classes(z):
        raise ValueError(f"top_k_error: k must be at most {_classes(z)}, the classes, got {k}")
    return _mean(_ranks(z, y) >= k, w)


def confusion(z: Any, y: Any) -> np.ndarray:
    """Return the confusion matrix of the labelled samples.

    Parameters and errors are those of `error`.

    Returns
    -------
    counts : ndarray of int64, shape (classes, classes)
        Number of samples by label (rows) and predicted class (columns). A sample whose output
        contains a NaN is not counted.

    Examples
    --------
    >>> from matconv import metrics
    >>> metrics.confusion([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], [1, 1, 0])
    array([[0, 1],
           [1, 1]])
    """
    z, y, _ = _checked("confusion", z, y, None)
    counts = np.zeros((_classes(z), _classes(z)), np.int64)
    valid = ~np.isnan(z).any(axis=1)
    np.add.at(counts, (y[valid], _predicted(z[valid])), 1)
    return counts


def class_errors(z: Any, y: Any) -> np.ndarray:
    """Return for each class the fraction of its samples whose predicted class is another.

    Parameters and errors are those of `error`.

    Returns
    -------
    errors : ndarray, shape (classes,)
        1 - recall. NaN for a class without samples.

    Examples
    --------
    >>> from matconv import metrics
    >>> metrics.class_errors([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], [1, 1, 0])
    array([1. , 0.5])
    """
    z, y, _ = _checked("class_errors", z, y, None)
    wrong = np.bincount(y, _ranks(z, y) > 0, _classes(z))
    with np.errstate(invalid="ignore"):
        return wrong / np.bincount(y, minlength=_classes(z))


def _checked(
    name: str, z: Any, y: Any, weights: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return z (samples, outputs), y (samples,) and weights of the labelled samples."""
    refuse_masked(f"{name}: z", z)
    refuse_masked(f"{name}: y", y)
    z, y = np.asarray(z), np.asarray(y)
    if z.dtype.kind not in "fiu":
        raise TypeError(f"{name}: z must be real numbers, got {z.dtype}")
    if y.dtype.kind not in "iu":
        raise TypeError(f"{name}: labels must be integers, got {y.dtype}")
    if z.ndim == 4 and z.shape[1:3] == (1, 1) and y.ndim == 1:
        z = z[:, 0, 0]
    if z.ndim < 2 or z.shape[:-1] != y.shape or z.shape[-1] == 0:
        raise ValueError(
            f"{name}: z must have the shape of y and an axis of outputs, got {z.shape} and {y.shape}"
        )
    if y.size and not (y.min() >= -1 and y.max() < _classes(z)):
        raise ValueError(
            f"{name}: labels must be from 0 to {_classes(z) - 1}, or -1 (not labelled), "
            f"got {y.min()} to {y.max()}"
        )
    w = None
    if weights is not None:
        w = as_weights(f"{name}: weights", weights, len(y))
        w = np.broadcast_to(w.reshape(-1, *[1] * (y.ndim - 1)), y.shape)[y >= 0]
    labelled = y >= 0
    return z[labelled], y[labelled].astype(np.intp), w


def _classes(z: np.ndarray) -> int:
    """Return the number of classes; a single output decides between two."""
    return max(z.shape[-1], 2)


def _predicted(z: np.ndarray) -> np.ndarray:
    return (z[:, 0] > 0).astype(np.intp) if z.shape[1] == 1 else z.argmax(axis=1)


def _ranks(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how many outputs count as larger than that of the label; all, if there is a NaN."""
    if z.shape[1] == 1:
        ranks = (_predicted(z) != y).astype(np.intp)
    else:
        own = np.take_along_axis(z, y[:, None], axis=1)
        before = np.arange(z.shape[1]) < y[:, None]
        ranks = ((z > own) | ((z == own) & before)).sum(axis=1)
    return np.where(np.isnan(z).any(axis=1), _classes(z), ranks)


def _mean(wrong: np.ndarray, weights: np.ndarray | None) -> float:
    """Return the weighted mean; NaN if there are no samples."""
    if weights is None:
        return float(wrong.mean()) if len(wrong) else float("nan")
    total = float(weights.sum())
    return float(weights[wrong].sum()) / total if total else float("nan")
