"""Text in columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# maximum number of classes of a matrix that fits on a screen, and of pairs that are shown instead
MATRIX_CLASSES = 20
MAX_PAIRS = 20


def counted(count: int, what: str) -> str:
    """Return a text like ``1 image`` or ``1,000 images``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a line for each pair (name, text)."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in pairs)


def confusion(truth: np.ndarray, found: np.ndarray, labels: Sequence[str]) -> str:
    """Return the confusion matrix as text; for many classes the most frequent mistakes.

    Parameters
    ----------
    truth, found : ndarray of class indices, (l,)
    labels : sequence of str
        Labels of the classes.

    Examples
    --------
    >>> print(confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), ["cat", "dog"]))
    true \\ predicted  cat  dog
                 cat    1    1
                 dog    .    1
    """
    n = len(labels)
    counts = np.zeros((n, n), np.int64)
    np.add.at(counts, (truth, found), 1)
    if n > MATRIX_CLASSES:
        return _most_confused(counts, labels)
    corner = "true \\ predicted"
    first = max(len(corner), *map(len, labels))
    width = max(len(str(counts.max())), *map(len, labels))
    lines = [f"{corner:>{first}}  " + "  ".join(f"{label:>{width}}" for label in labels)]
    for label, row in zip(labels, counts):
        cells = (f"{count or '.':>{width}}" for count in row)
        lines.append(f"{label:>{first}}  " + "  ".join(cells))
    return "\n".join(lines)


def per_class(counts: np.ndarray, errors: np.ndarray, labels: Sequence[str]) -> str:
    """Return a line for each class: the label, the number of images, the error.

    Examples
    --------
    >>> print(per_class(np.array([4, 0]), np.array([0.25, np.nan]), ["cat", "dog"]))
    label  images    error
      cat       4  25.00 %
      dog       0        -
    """
    width = max(len("label"), *map(len, labels))
    lines = [f"{'label':>{width}}  images    error"]
    for label, count, error in zip(labels, counts, errors):
        text = "-" if np.isnan(error) else f"{100 * error:.2f} %"
        lines.append(f"{label:>{width}}  {count:>6}  {text:>7}")
    return "\n".join(lines)


def _most_confused(counts: np.ndarray, labels: Sequence[str]) -> str:
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MAX_PAIRS]
    pairs = [(i, j) for i, j in zip(*np.unravel_index(order, wrong.shape)) if wrong[i, j]]
    if not pairs:
        return "no image was taken for another class"
    lines = ["images  true -> predicted, the most frequent mistakes"]
    lines += [f"{wrong[i, j]:>6}  {labels[i]} -> {labels[j]}" for i, j in pairs]
    return "\n".join(lines)
