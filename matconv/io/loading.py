"""load_model: a network, theta, labels and preprocessing from a file of any known format."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matconv.files.errors import FilePath, format_error
from matconv.graph import shape_text
from matconv.io import matconvnet, simplenn
from matconv.io.kinds import file_kind, unexpected
from matconv.io.mat import read_mat
from matconv.io.model import Model, read_model
from matconv.network import Network

__all__ = ["load_model"]


@dataclass(frozen=True)
class Format:
    """A format of model files. `matconv.io.kinds.KINDS` recognises it, under the same key.

    Attributes
    ----------
    expected : str
        Text for messages.
    read : callable
        Function of ``path``, ``input_shape`` and ``dtype`` of `load_model` that returns a Model.
    """

    expected: str
    read: Callable[[FilePath, Sequence[int] | None, Any], Model]


def _npz(path: FilePath, input_shape: Sequence[int] | None, dtype: Any) -> Model:
    return _as_wanted(path, read_model(path), input_shape, dtype)


def _mat(path: FilePath, input_shape: Sequence[int] | None, dtype: Any) -> Model:
    variables = read_mat(path, dict.fromkeys((*matconvnet.NAMES, *simplenn.NAMES)))
    if simplenn.is_simplenn(variables):
        return _as_wanted(path, simplenn.model_from(path, variables), input_shape, dtype)
    return matconvnet.model_from(path, variables, input_shape, dtype)


_MATLAB = Format("a MATLAB file of MatConvNet or simpleNN", _mat)
FORMATS = {
    "npz": Format("an .npz file that save_model wrote", _npz),
    "mat": _MATLAB,
    "mat73": _MATLAB,
}
# networks in files that are no model files
OTHERS = {
    "exported": "an exported network, without labels and preprocessing, which load_predictor opens",
}


def load_model(
    path: FilePath, input_shape: Sequence[int] | None = None, dtype: Any = None
) -> Model:
    """Load a model from a file whose format is recognised by its content.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        A model file that `save_model` wrote, or a MATLAB file of MatConvNet (`load_matconvnet`) or
        of simpleNN (`load_simplenn`).
    input_shape : (height, width, channels), optional
        Shape of an image, for a file of MatConvNet that does not say it, or another one for a
        network without dense layers. Other files have it.
    dtype : float64 or float32, optional
        dtype of the network, to which theta is rounded; by default that of the file.

    Returns
    -------
    Model

    Raises
    ------
    FormatError
        If the file is none of these, is damaged, has another format version, or has layers that
        matconv does not have. The message names all arrays that are missing, unexpected or of the
        wrong shape, and all such layers.
    ValueError
        If ``input_shape`` is not that of a file of another format, or ``dtype`` is neither float64
        nor float32, or does not have the range of theta.
    OSError
        If the file cannot be read or is not a regular file.
    ImportError
        If it is a MATLAB file of version 7.3 and h5py is not installed.

    See Also
    --------
    save_model

    Notes
    -----
    Model files are checked before anything is allocated. So are MATLAB files of version 5; those of
    version 7.3 are read by h5py, and HDF5 does not promise to be safe for malicious files: see
    `matconv.io.mat.read_mat`.

    Examples
    --------
    >>> import os, tempfile
    >>> from matconv import Dense, Network, save_model
    >>> net = Network((2, 2, 1), [Dense(3)])
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "model.npz")
    ...     save_model(path, net, net.init(0), preprocessing={"shift": 0, "scale": 1 / 255})
    ...     model = load_model(path)
    >>> model.network
    Network((2, 2, 1), [Dense(units=3, activation=None)], dtype=float64)
    >>> model.predict([[[[255], [0]], [[0], [0]]]]).shape
    (1,)
    """
    kind = file_kind(path)
    if kind in OTHERS:
        raise format_error(path, f"{OTHERS[kind]}: expected a model file")
    if kind not in FORMATS:
        *some, last = dict.fromkeys(one.expected for one in FORMATS.values())
        raise unexpected(path, kind, f"a model: {', '.join(some)}, or {last}")
    return FORMATS[kind].read(path, input_shape, dtype)


def _as_wanted(
    path: FilePath, model: Model, input_shape: Sequence[int] | None, dtype: Any
) -> Model:
    """Return a model of a file that says the shape of an image, in a dtype; see `load_model`."""
    if input_shape is not None and tuple(input_shape) != model.network.input_shape:
        raise ValueError(
            f"{os.fsdecode(path)!r} is for images of {shape_text(model.network.input_shape)}: "
            "another input shape is possible for a file of MatConvNet only"
        )
    return model if dtype is None else _in_dtype(path, model, dtype)


def _in_dtype(path: FilePath, model: Model, dtype: Any) -> Model:
    """Return a model with its theta rounded to a dtype.

    Raises
    ------
    TypeError, ValueError
        If it is neither float64 nor float32, or does not have the range of theta.
    """
    net = model.network
    other = Network(net.input_shape, net.layers, dtype, net.algorithm, net.outputs)
    with np.errstate(all="ignore"):
        theta = model.theta.astype(other.dtype)
    if (np.isfinite(model.theta) & ~np.isfinite(theta)).any():
        raise ValueError(f"{os.fsdecode(path)!r}: theta has elements beyond {other.dtype}")
    return replace(model, network=other, theta=theta)
