"""Models of simpleNN: the struct that cnn_train returns, in a MATLAB file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np

from matconv.files.atomic import atomic_write
from matconv.files.errors import FilePath, format_error
from matconv.files.regular import shortened
from matconv.io import header as headers
from matconv.io.mat import cell, read_mat, save_mat
from matconv.io.model import Model
from matconv.io.pixels import pixels_problem
from matconv.io.plain import encode
from matconv.io.preparing import as_preprocessing, preprocessing_problem
from matconv.network import Network

from .config import NAMES as CONFIG_NAMES
from .config import checked, config_network, config_of

__all__ = ["NAMES", "is_simplenn", "load_simplenn", "model_from", "save_simplenn"]

# the model, or its fields as variables
_FIELDS = ("weight", "bias", "theta", "var_ptr", "labels", "net_config", "config", "matconv")
NAMES = ("model", *_FIELDS)
# preprocessing of images by columns
_PLAIN = {"shift": 0.0, "scale": 1.0, "transpose": True}


def is_simplenn(variables: dict[str, Any]) -> bool:
    """Return whether variables of a MATLAB file are a model of simpleNN."""
    model = variables.get("model", variables)
    return isinstance(model, dict) and ("net_config" in model or "config" in model)


def load_simplenn(path: FilePath) -> Model:
    """Load a model of simpleNN.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        A .mat file with the struct ``model`` that ``cnn_train`` returns, or with its fields: the
        configuration, and weights and biases (or theta, in the order of var_ptr).

    Returns
    -------
    model : Model
        Its theta is that of simpleNN, element for element. It takes pictures (l, height, width,
        channels); its preprocessing exchanges rows and columns, because simpleNN stores images by
        columns. `matconv.io.read_simplenn_data` reads data as such pictures.

    Raises
    ------
    FormatError
        If the file is not such a model, or is damaged.
    OSError
        If the file cannot be read.
    ImportError
        If it has version 7.3 and h5py is not installed.
    """
    return model_from(path, read_mat(path, NAMES))


def model_from(path: FilePath, variables: dict[str, Any]) -> Model:
    """Return the model of the variables of a file; see `load_simplenn`."""
    if not is_simplenn(variables):
        raise format_error(path, "not a model of simpleNN: there is no configuration")
    model = variables.get("model", variables)
    try:
        given = model.get("net_config", model.get("config"))
        config = checked({name: _integers(name, given) for name in _names(given)})
        parts = _parts(model)
        dtype = np.float32 if all(part.dtype == np.float32 for part in parts) else np.float64
        net = config_network(config, dtype)
        theta = _theta(net, parts)
        labels = _labels(model.get("labels"), net.n_outputs)
        own = _own(model.get("matconv"), net)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise format_error(path, f"model of simpleNN: {shortened(error, 400)}") from error
    prepared = own.get("preprocessing", {**_PLAIN})
    record = {"imported": {"from": "simpleNN", "notes": []}}
    return Model(net, theta, own.get("labels", labels), prepared, record, own.get("pixels"))


def _own(value: Any, net: Network) -> dict[str, Any]:
    """Return the entries of the field that `save_simplenn` adds, checked."""
    found: dict[str, Any] = {}
    if not isinstance(value, dict):
        return found
    checks = {
        "preprocessing": lambda one: preprocessing_problem(one, net.input_shape),
        "pixels": pixels_problem,
    }
    for name, check in checks.items():
        text = value.get(name)
        if isinstance(text, str) and text:
            found[name] = json.loads(text)
            if problem := check(found[name]):
                raise ValueError(f"matconv.{name}: {problem}")
    if "preprocessing" in found:
        found["preprocessing"] = as_preprocessing(found["preprocessing"])
    labels = value.get("labels")
    if isinstance(labels, list) and all(isinstance(one, str) for one in labels):
        if len(labels) != net.n_outputs:
            raise ValueError(f"matconv.labels: {len(labels)} labels for {net.n_outputs} outputs")
        found["labels"] = tuple(labels)
    return found


def _names(config: Any) -> list[str]:
    if not isinstance(config, dict):
        raise ValueError("the configuration must be a struct")  # noqa: TRY004 - content of a file
    missing = [name for name in CONFIG_NAMES if name not in config]
    if missing:
        raise ValueError(f"the configuration lacks {', '.join(missing)}")
    return list(CONFIG_NAMES)


def _integers(name: str, config: dict[str, Any]) -> list[int]:
    value = config[name]
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name} must be numbers")  # noqa: TRY004 - content of a file
    found = [float(x) for x in value.ravel(order="F")[:5000]]
    if any(not (0 <= x < 1e9) or x != int(x) for x in found):
        raise ValueError(f"{name} must be integers that are not negative, got {shortened(found)}")
    return [int(x) for x in found]


def _parts(model: dict[str, Any]) -> list[np.ndarray]:
    """Return theta in parts: weights and biases in turn, or all of it."""
    if "weight" not in model:
        parts: list[Any] = [model.get("theta")]
    else:
        weights, biases = (
            one if isinstance(one, list) else [one] for one in (model["weight"], model.get("bias"))
        )
        if len(weights) != len(biases):
            raise ValueError(f"{len(weights)} weights, but {len(biases)} biases")
        parts = [part for pair in zip(weights, biases, strict=True) for part in pair]
    for part in parts:
        if not isinstance(part, np.ndarray) or part.dtype.kind not in "fiu":
            raise ValueError("weights and biases must be arrays")
    return parts


def _theta(net: Network, parts: list[np.ndarray]) -> np.ndarray:
    """Return theta, with the shape of each part checked."""
    if len(parts) > 1:
        shapes = _shapes(net)
        found = [part.shape for part in parts]
        if len(found) != len(shapes):
            raise ValueError(f"{len(shapes) // 2} layers, but {len(found) // 2} weights")
        for k, (one, expected) in enumerate(zip(found, shapes, strict=True)):
            if one not in (expected, expected[::-1] if k % 2 else expected):
                name = f"{'bias' if k % 2 else 'weight'}{{{k // 2 + 1}}}"
                raise ValueError(f"{name} must be {expected}, got {one}")
    size = sum(part.size for part in parts)
    if size != net.n:
        raise ValueError(f"theta must have {net.n} elements, got {size}")
    # vec(W) goes by columns
    return np.concatenate([part.ravel(order="F") for part in parts]).astype(net.dtype)


def _shapes(net: Network) -> list[tuple[int, int]]:
    """Return the shapes of the notes' matrix W and of b for each layer, without allocating them."""
    found = []
    for node, place in zip(net._nodes, net.layout.places, strict=True):
        if place is not None:
            W, b = (array.shape for array in node.arrays)
            found += [(W[-1], prod(W) // W[-1]), (prod(b), 1)]
    return found


def _labels(value: Any, outputs: int) -> tuple[Any, ...]:
    """Return the labels of the outputs: 1, 2, ... if the file has none."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        found: list[Any] = value
    elif isinstance(value, np.ndarray) and value.size:
        numbers = [float(x) for x in value.ravel(order="F")[: outputs + 1]]
        whole = all(x == int(x) and abs(x) < 2**53 for x in numbers if np.isfinite(x))
        whole = whole and bool(np.isfinite(numbers).all())
        found = [int(x) for x in numbers] if whole else [f"{x:g}" for x in numbers]
    else:
        found = [*range(1, outputs + 1)]
    if len(found) != outputs:
        raise ValueError(f"{len(found)} labels for {outputs} outputs")
    return tuple(found)


def save_simplenn(
    path: FilePath,
    net: Network,
    theta: Any,
    labels: Iterable[Any] | None = None,
    preprocessing: dict[str, Any] | None = None,
    pixels: dict[str, Any] | None = None,
) -> None:
    """Write a network as a model of simpleNN, atomically: a struct ``model`` in a MATLAB file.

    ``cnn_predict(y, Z, model)`` of simpleNN takes it, and `load_simplenn` gives a network with the
    same theta and outputs of the same bits. A network that was trained on pictures that were not
    transposed sees them as simpleNN sees data that is stored by rows.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        No extension is appended; ``.mat`` is usual.
    net : Network
        Such as `matconv.io.read_simplenn_config` returns.
    theta : ndarray, (net.n,)
        Written in the network's dtype.
    labels : sequence of int or str, optional
        The label of each output; 1, 2, ... by default. simpleNN sees 1, 2, ... in place of str,
        which `load_simplenn` finds in the field ``matconv``.
    preprocessing : dict, optional
        As for `matconv.save_model`. By default that of images by columns, which are pictures with
        rows and columns exchanged. simpleNN has none: another one is in the field ``matconv``,
        where `load_simplenn` finds it, and images for simpleNN must be prepared so.
    pixels : dict, optional
        As for `matconv.save_model`. In the field ``matconv``, too.

    Raises
    ------
    TypeError, ValueError
        If theta or labels do not fit the network, or simpleNN does not have such a network.
    OSError
        If the file cannot be written. An existing file is then unchanged.
    """
    theta = net.as_theta(theta)
    try:
        config = config_of(net)
    except ValueError as error:
        raise ValueError(f"save_simplenn: {error}") from None
    header = headers.make_header(net, labels, preprocessing, pixels)
    named = header["labels"]
    own: dict[str, Any] = {}
    if named is not None and isinstance(named[0], str):
        own["labels"] = cell(named)
    if named is None or own:
        named = range(1, net.n_outputs + 1)
    if header["preprocessing"] not in (None, _PLAIN):
        own["preprocessing"] = encode(header["preprocessing"])
    if header["pixels"] is not None:
        own["pixels"] = encode(header["pixels"])
    parameters = net.unpack(theta)
    model = {
        "net_config": {
            **{name: np.array([values], np.float64) for name, values in config.items()},
            "nL": float(net.n_outputs),
        },
        "gpu_use": False,
        "float_type": "double" if net.dtype == np.float64 else "single",
        **_sizes(net, config),
        "weight": _column([W.reshape(-1, W.shape[-1]).T for W, _ in parameters]),
        "bias": _column([b.reshape(-1, 1) for _, b in parameters]),
        "var_ptr": np.cumsum([1, *(W.size + b.size for W, b in parameters)])[:, None].astype(float),
        "labels": np.array([named], np.float64).T,
        **({"matconv": own} if own else {}),
    }
    with atomic_write(path) as file:
        save_mat(file, {"model": model})


def _column(values: list[np.ndarray]) -> np.ndarray:
    return cell(values).T


def _sizes(net: Network, config: dict[str, list[int]]) -> dict[str, Any]:
    """Return the fields of the model that say the sizes of all images, as simpleNN has them."""
    (LC,) = config["LC"]
    found: dict[str, Any] = {"LC": float(LC), "L": float(config["L"][0])}
    found["nL"] = float(net.n_outputs)
    for axis, name in enumerate(("wd", "ht")):
        inputs, padded, outputs = [net.input_shape[axis]], [], []
        for m in range(LC):
            padded.append(inputs[-1] + 2 * config["wd_pad_added"][m])
            outputs.append((padded[-1] - config["wd_filter"][m]) // config["strides"][m] + 1)
            inputs.append(outputs[-1] // config["wd_subimage_pool"][m])
        sizes = {"input": inputs, "pad": padded, "conv": outputs}
        for kind, values in sizes.items():
            found[f"{name}_{kind}"] = np.array(values, np.float64).reshape(-1, 1)
    for name in ("ch_input", "wd_pad_added", "wd_filter", "strides", "wd_subimage_pool"):
        found[name] = np.array(config[name], np.float64).reshape(-1, 1)
    found["full_neurons"] = np.array(config["full_neurons"], np.float64).reshape(-1, 1)
    return found
