"""Conversion of labels in files to indices of a network's outputs, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files.regular import shortened
from ..graph import shape_text
from ..network import Network

if TYPE_CHECKING:
    from ..io import Model
    from .datasets import Images

# number of labels that are named in a message
_SHOWN = 10
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


def _integers(labels: Sequence[Any]) -> list[int] | None:
    """Return labels that are integers, or texts of different integers; None for others."""
    if not isinstance(labels[0], str):
        return list(labels)
    if not all(_INTEGER.fullmatch(text) for text in labels):
        return None
    found = [int(text) for text in labels]
    return found if len(set(found)) == len(found) else None


def first_label(y: np.ndarray, n_outputs: int, name: str) -> int:
    """Return the label of the first class, 0 or 1, of images whose labels number the classes.

    MATLAB's labels are 1, ..., K for K classes, others are 0, ..., K - 1. Which they are is clear if
    the label 0 or K occurs.

    Raises
    ------
    ValueError
        If that is not clear, or the labels are neither.

    Examples
    --------
    >>> first_label(np.array([1, 3, 2]), 3, "x.mat"), first_label(np.array([1, 0]), 3, "y.npy")
    (1, 0)
    """
    low, high = (int(y.min()), int(y.max())) if y.size else (0, 0)
    if low == 0 and high < n_outputs:
        return 0
    if low >= 1 and high == n_outputs:
        return 1
    found = f"from {low} to {high}" if low < high else f"all {low}"
    if low < 0 or high >= n_outputs:
        raise ValueError(
            f"{name}: the labels are {found}; those of the model's {n_outputs} classes are 0 to "
            f"{n_outputs - 1}, or 1 to {n_outputs}"
        )
    raise ValueError(
        f"{name}: the labels are {found}, which may number the model's {n_outputs} classes from 0 or "
        "from 1: --first-label 0 or --first-label 1 says which"
    )


def as_indices(
    y: np.ndarray,
    labels: Sequence[Any] | None,
    n_outputs: int,
    name: str,
    first: int = 0,
) -> np.ndarray:
    """Return the index of the output for each label.

    If there are no labels, or strings that are not all integers, output k has the label
    ``first`` + k.

    Raises
    ------
    ValueError
        If one of the labels is not that of an output.

    Examples
    --------
    >>> as_indices(np.array([7, 3, 7]), [3, 7], 2, "images.npz")
    array([1, 0, 1])
    """
    known = None if labels is None else _integers(labels)
    if known is None:
        known = [*range(first, first + n_outputs)]
    numbers = np.array(known, np.int64)
    order = np.argsort(numbers, kind="stable")
    places = np.searchsorted(numbers, y, sorter=order)
    indices = order[np.minimum(places, len(order) - 1)]
    strange = np.unique(y[numbers[indices] != y])
    if len(strange):
        raise ValueError(
            f"{name}: no output of the network has the label {strange[0]}; "
            f"{_listed('the labels are', known)}"
        )
    return indices


def _listed(what: str, labels: Sequence[Any]) -> str:
    more = f", ... ({len(labels)})" if len(labels) > _SHOWN else ""
    return f"{what} {shortened(', '.join(map(str, labels[:_SHOWN])), 200)}{more}"


def _imported(model: Model) -> dict[str, Any]:
    """Return the record about the file of another program; empty if the model is not from one."""
    found = (model.training or {}).get("imported")
    return found if isinstance(found, dict) else {}


def _other_names(model: Model) -> list[Any] | None:
    """Return the names of the classes in the file of another program, if they are not the labels."""
    names = _imported(model).get("classes")
    if not isinstance(names, list) or len(names) != model.network.n_outputs:
        return None
    return names if all(isinstance(name, str) for name in names) else None


def _known_labels(model: Model) -> list[Sequence[Any]]:
    """Return the lists of labels that the outputs of a model have: none, one or two."""
    return [labels for labels in (model.labels, _other_names(model)) if labels is not None]


def numbering(y: np.ndarray, model: Model, name: str) -> int | None:
    """Return the label of the first output, as `first_label` decides from the labels of images.

    None if there is nothing to decide: the model has integers as labels, which are looked up, or it
    has no labels and is not from the file of another program, so that output k has the label k.
    """
    known = _known_labels(model)
    if any(_integers(labels) is not None for labels in known) or not (known or _imported(model)):
        return None
    return first_label(y, model.network.n_outputs, name)


def image_indices(images: Images, model: Model) -> np.ndarray:
    """Return the index of the output for the label of each image, or for the name of its class.

    Integers are labels of the model if these are integers; else they number the outputs, from
    ``images.first_label`` or as `numbering` decides. The directory of a class has its label or
    its name (of MatConvNet's files, which have both).

    Raises
    ------
    ValueError
        If one of the labels or names is not that of an output, or the labels do not show that of
        the first output.
    """
    count = model.network.n_outputs
    known = _known_labels(model)
    if images.classes is None:
        y, first = images.truth, images.first_label
        if first is None:
            first = numbering(y, model, images.name)
        labels = next((one for one in known if _integers(one) is not None), None)
        return as_indices(y, labels, count, images.name, first or 0)
    strange = []
    for labels in known or [range(count)]:
        places = {str(label): k for k, label in enumerate(labels)}
        strange.append([name for name in images.classes if name not in places])
        if not strange[-1]:
            indices = np.array([places[name] for name in images.classes], np.int64)
            return indices[images.truth]
    unknown = min(strange, key=len)
    word, what = ("label", "the name of a directory")
    if len(unknown) > 1:
        word, what = ("labels", "the names of directories")
    names = _listed(f"has the {word}", [repr(name) for name in unknown])
    more = f"; {_listed('the names are', known[1])}" if len(known) > 1 else ""
    raise ValueError(
        f"{images.name}: no output of the network {names}, {what}; "
        f"{_listed('the labels are', known[0] if known else range(count))}{more}"
    )
