"""save_matconvnet: a network in a file that MatConvNet can load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from matconv.files.atomic import atomic_write
from matconv.files.errors import FilePath
from matconv.graph import Node, title
from matconv.io import header as headers
from matconv.io.mat import cell, save_mat, struct_array
from matconv.network import Network

from .layers_to import WRITERS, Written, activation_written

__all__ = ["save_matconvnet"]

# name of the image
_IMAGE = "input"


def save_matconvnet(
    path: FilePath,
    net: Network,
    theta: Any,
    labels: Iterable[Any] | None = None,
    preprocessing: dict[str, Any] | None = None,
    pixels: dict[str, Any] | None = None,
) -> None:
    """Write a network to a MATLAB file of version 5 as MatConvNet has it, atomically.

    A chain of layers that SimpleNN knows becomes a SimpleNN, any other network a DagNN.
    `load_matconvnet` gives a network with the same theta and outputs of the same bits.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        No extension is appended; ``.mat`` is usual.
    net : Network
        An activation becomes a layer of its own, a Dense layer a convolution of the whole image, a
        Scale layer a batch normalisation with mean 0 and sigma 1.
    theta : ndarray, (net.n,)
        Written in the network's dtype.
    labels : sequence of str or int, optional
        Become ``meta.classes.name`` and ``.description``, and integers ``meta.matconv.labels``,
        where `load_matconvnet` finds them.
    preprocessing : dict, optional
        As for `matconv.save_model`. Becomes ``meta.normalization``, for images from 0 to 255: what
        is subtracted is ``averageImage``. MatConvNet has no scale: one that is not 1 is in
        ``meta.matconv.scale``, where `load_matconvnet` finds it.
    pixels : dict, optional
        As for `matconv.save_model`. Becomes ``meta.matconv.pixels``.

    Raises
    ------
    TypeError, ValueError
        If theta, labels or preprocessing do not fit the network. ValueError, too, if MatConvNet has
        no counterpart of some layers: the message names all of them.
    OSError
        If the file cannot be written. An existing file is then unchanged.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from matconv import Conv, MaxPool, Network, load_matconvnet
    >>> net = Network((8, 8, 1), [Conv(4, 3, activation="relu"), MaxPool(2)], np.float32)
    >>> theta = net.init(0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "net.mat")
    ...     save_matconvnet(path, net, theta)
    ...     model = load_matconvnet(path)
    >>> np.array_equal(model.theta, theta)
    True
    """
    theta = net.as_theta(theta)
    header = headers.make_header(net, labels, preprocessing, pixels)
    written = _written(net, theta)
    meta = _meta(net, header)
    simple = all(one.simple for _, _, layers in written for one in layers)
    simple = simple and all(
        list(node.record.inputs) == [k] and node.record.owner is None
        for k, node in enumerate(net._nodes)
    )
    if simple and list(net._outputs) == [len(net._nodes)]:
        content = {"layers": _simplenn(written), "meta": meta}
    else:
        content = _dagnn(net, written, meta)
    with atomic_write(path) as file:
        save_mat(file, {"net": content})


# name of a node, the node, and the one or two layers that it becomes
_Layers = list[tuple[str, Node, list[Written]]]


def _written(net: Network, theta: np.ndarray) -> _Layers:
    """Return the layers; raise ValueError that names all without a counterpart."""
    owned = dict(net.layout.views(theta))
    shapes = [net.input_shape, *(node.shape for node in net._nodes)]
    found, problems = [], []
    for k, node in enumerate(net._nodes):
        owner = k if node.record.owner is None else node.record.owner
        arrays = list(owned.get(owner, ()))
        read = [shapes[value] for value in node.record.inputs]
        try:
            if node.layer.kind not in WRITERS:
                raise ValueError("MatConvNet has no such layer")
            layers = [WRITERS[node.layer.kind](node, read, arrays)]
            activation = getattr(node.layer, "activation", None)
            if activation is not None and layers[0].simple not in ("relu", "sigmoid"):
                layers.append(activation_written(activation))
        except ValueError as error:
            problems.append(f"{title(k, node.layer)}: {error}")
        else:
            found.append((node.name, node, layers))
    if problems:
        raise ValueError(f"save_matconvnet: {'; '.join(problems)}")
    return found


def _names(taken: Iterable[str], name: str) -> str:
    """Return a name for the activation of a layer that no layer has."""
    taken, wanted = set(taken), f"{name}_activation"
    while wanted in taken:
        wanted += "_"
    return wanted


def _simplenn(written: _Layers) -> Any:
    taken = [name for name, _, _ in written]
    layers = []
    for name, _, some in written:
        for k, one in enumerate(some):
            fields = dict(one.fields)
            for unused in ("size", "hasBias", "numChannels"):
                fields.pop(unused, None)
            if "poolSize" in fields:
                fields["pool"] = fields.pop("poolSize")
            weights = list(one.weights)
            if one.simple in ("conv", "convt") and len(weights) == 1:
                weights.append(np.empty((0, 0), weights[0].dtype))
            named = {"type": one.simple, "name": _names(taken, name) if k else name}
            layers.append({**named, **fields, "weights": cell(weights)})
    return cell(layers)


def _dagnn(net: Network, written: _Layers, meta: dict[str, Any]) -> dict[str, Any]:
    taken = [name for name, _, _ in written]
    # the variable that holds the output of each node
    variables = [_IMAGE]
    layers: list[dict[str, Any]] = []
    params: dict[str, np.ndarray] = {}
    for name, node, some in written:
        owner = name if node.record.owner is None else net.names[node.record.owner]
        read = [variables[value] for value in node.record.inputs]
        for k, one in enumerate(some):
            own = _names(taken, name) if k else name
            names = [f"{owner}_{'fbm'[j]}" for j in range(len(one.weights))]
            params.update(zip(names, one.weights, strict=True))
            layers.append(
                {
                    "name": own,
                    "type": one.kind,
                    "inputs": cell(read),
                    "outputs": cell([own]),
                    "params": cell(names),
                    "block": one.fields,
                }
            )
            read = [own]
        variables.append(read[0])
    if net.outputs is not None:
        meta["matconv"]["outputs"] = cell([variables[value] for value in net._outputs])
    names = [_IMAGE, *(layer["name"] for layer in layers)]
    param_fields = ("name", "value", "learningRate", "weightDecay")
    return {
        "vars": struct_array(("name", "precious"), [(name, False) for name in names]),
        "params": struct_array(param_fields, [(name, x, 1.0, 1.0) for name, x in params.items()]),
        "layers": struct_array(tuple(layers[0]), [tuple(layer.values()) for layer in layers]),
        "meta": meta,
    }


def _meta(net: Network, header: dict[str, Any]) -> dict[str, Any]:
    """Return the struct about the network, from the header that a model file would have."""
    labels, preprocessing = header["labels"], header["preprocessing"]
    size = np.array([net.input_shape], np.float64)
    meta: dict[str, Any] = {"inputSize": size}
    dense = [node.name for node in net._nodes if node.layer.kind == "Dense"]
    own: dict[str, Any] = {"dense": cell(dense)}
    if labels is not None:
        texts = cell([str(label) for label in labels])
        meta["classes"] = {"name": texts, "description": texts}
        # integers remain integers, if float64 has them
        if all(isinstance(label, int) and abs(label) < 2**53 for label in labels):
            own["labels"] = np.array([labels], np.float64)
    if preprocessing is not None:
        meta["normalization"], own["scale"] = _normalization(net, preprocessing)
        meta["normalization"]["imageSize"] = size
    if header["pixels"] is not None:
        own["pixels"] = header["pixels"]
    meta["matconv"] = own
    return meta


def _normalization(net: Network, preprocessing: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Return the struct about the images, and the scale."""
    mean = np.asarray(preprocessing.get("mean", 0.0), np.float64) + preprocessing["shift"]
    if mean.ndim < 3:
        mean = np.broadcast_to(mean, (1, 1, net.input_shape[2]))
    found = {
        "averageImage": mean,
        "interpolation": preprocessing.get("interpolation", "bilinear"),
        "keepAspect": bool(preprocessing.get("keep_aspect", False)),
        "border": np.array([preprocessing.get("border", [0, 0])], np.float64),
    }
    for name in ("channels", "transpose"):
        if preprocessing.get(name) not in (None, False, "RGB"):
            raise ValueError(f"save_matconvnet: preprocessing: MatConvNet has no {name!r}")
    return found, preprocessing["scale"]
