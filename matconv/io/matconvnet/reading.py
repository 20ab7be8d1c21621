"""load_matconvnet: networks in the files of MatConvNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from matconv.encoding import MAX_STEPS
from matconv.files.errors import FilePath, format_error
from matconv.files.regular import shortened
from matconv.io.mat import Unsupported, read_mat
from matconv.io.model import Model
from matconv.kernels._geometry import as_size

from .building import build_network, split_losses, unsupported
from .dagnn import dagnn_entries, in_order, is_dagnn
from .fields import Entry
from .kinds import KINDS
from .meta import class_names, image_shape, own_labels, own_names, own_pixels, preprocessing
from .simplenn import INPUT, simplenn_entries

__all__ = ["load_matconvnet", "model_from"]

# more than a network may have, because activations become part of other layers
_MAX_LAYERS = 2 * MAX_STEPS
# the network, or its fields as variables
NAMES = ("net", "layers", "vars", "params", "meta", "classes", "normalization")


def load_matconvnet(
    path: FilePath, input_shape: Sequence[int] | None = None, dtype: Any = None
) -> Model:
    """Load a network of MatConvNet, a SimpleNN or a DagNN.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        A .mat file of version 5, or of version 7.3 (which needs h5py, the extra ``matlab``), with
        a struct ``net`` or its fields.
    input_shape : (height, width, channels), optional
        Shape of an image. By default that of the file, which may lack it.
    dtype : float64 or float32, optional
        By default that of the parameters in the file: usually float32.

    Returns
    -------
    model : Model
        Its labels are the descriptions of the classes, if there is one for each output; integers
        if `save_matconvnet` wrote integers. Its preprocessing has the size, the mean image, the
        interpolation and the border (or cropSize) of ``meta.normalization``.
        ``training["imported"]`` says what was left out or replaced, and has the names of the
        classes, ``"classes"``, if these are not the labels.

    Raises
    ------
    FormatError
        If the file is not one of MatConvNet, is damaged, or has layers without a counterpart. The
        message names all of these, with position, name and type.
        Also if the file does not say the size of images and ``input_shape`` is not given.
    TypeError, ValueError
        If ``input_shape`` is not three integers.
    OSError
        If the file cannot be read.
    ImportError
        If it has version 7.3 and h5py is not installed.

    Notes
    -----
    An image X(i, j, c) of MATLAB is the image Z[i, j, c] here: rows remain rows. Batch
    normalisation becomes a Scale layer, with its moments; a ReLU or a sigmoid becomes the
    activation of the layer before it, if nothing else reads that layer. Losses are left out: the
    outputs of a network that ends with a loss "softmaxloss" are scores.

    See `matconv.io.mat.read_mat` for what is checked: HDF5, the format of version 7.3, does not
    promise to be safe for malicious files.
    """
    return model_from(path, read_mat(path, NAMES), input_shape, dtype)


def model_from(
    path: FilePath,
    variables: dict[str, Any],
    input_shape: Sequence[int] | None = None,
    dtype: Any = None,
) -> Model:
    """Return the model of the variables of a file; see `load_matconvnet`."""
    net = variables.get("net", variables)
    if isinstance(net, Unsupported):
        raise format_error(
            path,
            f"'net' is an object of class {net.kind}; in MATLAB, net = net.saveobj() makes a "
            f"struct of it",
        )
    if not isinstance(net, dict) or "layers" not in net:
        raise format_error(
            path,
            "not a network of MatConvNet: there is no struct 'net' with layers; nor a model of "
            "simpleNN: there is no struct 'model' with a configuration",
        )
    dag = is_dagnn(net)
    entries, problems = dagnn_entries(net) if dag else simplenn_entries(net)
    if len(entries) > _MAX_LAYERS:
        raise format_error(path, f"{len(entries)} layers, at most {_MAX_LAYERS} are possible")
    dense = set(own_names(net, "dense"))
    for entry in entries:
        entry.dense = entry.name in dense
    kept, losses = split_losses(entries)
    problems += [f"{entry.where} is not supported" for entry in kept if entry.kind not in KINDS]
    unsupported(path, problems)
    source = INPUT
    if dag:
        kept, source = _ordered(path, kept)
    shape = _shape(path, net, kept, source, input_shape)
    outputs = own_names(net, "outputs")
    network, theta = build_network(path, kept, source, shape, dtype or _dtype(kept), outputs)
    notes = [f"{entry.where}: left out" for entry in losses]
    classes = []
    for texts in class_names(net):
        if len(texts) == network.n_outputs:
            classes.append(texts)
        else:
            notes.append(f"{len(texts)} classes for {network.n_outputs} outputs: left out")
    labels = (own_labels(net, classes[0]) or classes[0]) if classes else None
    try:
        prepared, more = preprocessing(net, shape)
        pixels = own_pixels(net)
    except ValueError as error:
        raise format_error(path, f"normalization: {error}") from error
    kind = "MatConvNet DagNN" if dag else "MatConvNet SimpleNN"
    imported = {"from": kind, "notes": [*notes, *more]}
    if len(classes) > 1:
        imported["classes"] = classes[1]
    record = {"imported": imported}
    return Model(network, theta, tuple(labels) if labels else None, prepared, record, pixels)


def _ordered(path: FilePath, entries: list[Entry]) -> tuple[list[Entry], str]:
    """Return the layers in the order of evaluation, and the name of the image."""
    ordered, sources, cyclic = in_order(entries)
    if cyclic:
        raise format_error(path, f"{cyclic[0].where} depends on its own output")
    if len(sources) != 1:
        raise format_error(
            path, f"one input expected, got {len(sources)}: {shortened(', '.join(sources), 200)}"
        )
    return ordered, sources[0]


def _shape(
    path: FilePath,
    net: dict[str, Any],
    entries: list[Entry],
    source: str,
    given: Sequence[int] | None,
) -> tuple[int, ...]:
    if given is not None:
        sizes = tuple(as_size("load_matconvnet", "input_shape", n) for n in given)
        if len(sizes) != 3:
            raise ValueError(
                f"load_matconvnet: input_shape must be (height, width, channels), got {given!r}"
            )
        return sizes
    channels = _first_channels(entries, source)
    try:
        found = image_shape(net, channels)
    except ValueError as error:
        raise format_error(path, str(error)) from error
    if found is None:
        more = "" if channels is None else f"; the first filters have {channels} channels"
        raise format_error(
            path,
            f"the file does not say the size of the images{more}: input_shape is needed "
            "(--input-shape of `matconv convert`)",
        )
    return found


def _first_channels(entries: list[Entry], source: str) -> int | None:
    """Return the number of channels of the filters that read the image; None if it is unknown."""
    for entry in entries:
        if entry.inputs == [source] and entry.kind == "conv" and entry.weights:
            F = entry.weights[0]
            return F.shape[2] if F.ndim > 2 else 1
    return None


def _dtype(entries: list[Entry]) -> Any:
    """Return float64 if a parameter is stored so, else float32."""
    arrays = [array for entry in entries for array in entry.weights if array.size]
    double = any(array.dtype == np.float64 for array in arrays)
    return np.float64 if double or not arrays else np.float32
