"""Conversion of labels in files to indices of a network's outputs, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import shape_text
from ..network import Network

if TYPE_CHECKING:
    from ..io import Model
    from .datasets import Images

# text of an integer of 64 bits
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def check_one_output(net: Network, name: str) -> None:
    """Raise ValueError if a network has several outputs; ``name`` is that of its file."""
    if net.outputs is not None and len(net.outputs) > 1:
        raise ValueError(
            f"{name}: the network has {len(net.outputs)} outputs ({', '.join(net.outputs)}), "
            "commands work with one; in Python: matconv.Objective(..., output=...)"
        )


def check_scores(model: Model, name: str) -> None:
    """Raise ValueError if the outputs are images: those of a model without labels that are not 1 x 1.

    ``name`` is that of its file.
    """
    check_one_output(model.network, name)
    shape: Any = model.network.output_shape
    if model.labels is None and len(shape) == 3 and shape[0] * shape[1] > 1:
        raise ValueError(
            f"{name}: the outputs are images {shape_text(shape)}, not scores of classes"
        )


def check_top_k(k: int, net: Network) -> None:
    """Raise ValueError if ``k`` is larger than the number of outputs."""
    if k > net.n_outputs:
        raise ValueError(f"--top-k {k}: the network has {net.n_outputs} outputs")


def class_labels(y: np.ndarray, n_outputs: int | None = None) -> list[int]:
    """Return the label of each output of a network for images with labels ``y``.

    There is an output for each label that occurs. The outputs of a given network with more outputs
    than labels have the labels 0, 1, ...

    Parameters
    ----------
    y : ndarray of int, (l,)
        The labels of all training and test images.
    n_outputs : int, optional
        Number of outputs of a given network.

    Raises
    ------
    ValueError
        If the labels do not fit the outputs, or fewer than two labels occur.

    Examples
    --------
    >>> class_labels(np.array([7, 3, 7])), class_labels(np.array([2, 0]), 3)
    ([3, 7], [0, 1, 2])
    """
    labels = [int(label) for label in np.unique(y)]
    if len(labels) < 2:
        raise ValueError(f"the images have {len(labels)} different labels, 2 are needed")
    if n_outputs is None or n_outputs == len(labels):
        return labels
    if labels[0] < 0 or labels[-1] >= n_outputs:
        raise ValueError(
            f"the network has {n_outputs} outputs, but the images have {len(labels)} different "
            f"labels, from {labels[0]} to {labels[-1]}"
        )
    return list(range(n_outputs))


def _integers(labels: Sequence[Any] | None) -> list[int] | None:
    """Return labels that are integers, or texts of different integers; None for others."""
    if labels is None or not isinstance(labels[0], str):
        return None if labels is None else list(labels)
    if not all(_INTEGER.fullmatch(text) for text in labels):
        return None
    found = [int(text) for text in labels]
    return found if len(set(found)) == len(found) else None


def as_indices(
    y: np.ndarray, labels: Sequence[Any] | None, n_outputs: int, name: str
) -> np.ndarray:
    """Return the index of the output for each label.

    If there are no labels, or strings that are not all integers, output k has the label k.

    Raises
    ------
    ValueError
        If one of the labels is not that of an output.

    Examples
    --------
    >>> as_indices(np.array([7, 3, 7]), [3, 7], 2, "images.npz")
    array([1, 0, 1])
    """
    labels = _integers(labels) or range(n_outputs)
    numbers = np.array(labels, np.int64)
    order = np.argsort(numbers, kind="stable")
    places = np.searchsorted(numbers, y, sorter=order)
    indices = order[np.minimum(places, len(order) - 1)]
    strange = np.unique(y[numbers[indices] != y])
    if len(strange):
        raise ValueError(f"{name}: no output of the network has the label {strange[0]}")
    return indices


def image_indices(images: Images, labels: Sequence[Any] | None, n_outputs: int) -> np.ndarray:
    """Return the index of the output for the label of each image, or for the name of its class.

    Raises
    ------
    ValueError
        If one of the labels or names is not that of an output.
    """
    if images.classes is None or labels is None:
        return as_indices(images.truth, labels, n_outputs, images.name)
    places = {str(label): k for k, label in enumerate(labels)}
    strange = [name for name in images.classes if name not in places]
    if strange:
        raise ValueError(f"{images.name}: no output of the network has the label {strange[0]!r}")
    return np.array([places[name] for name in images.classes], np.int64)[images.truth]
