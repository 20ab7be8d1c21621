"""Configuration files of simpleNN: assignments of integers and rows of integers.

simpleNN evaluates such a file as MATLAB code. Here it is parsed: anything but the assignments below
is refused.
"""

from __future__ import annotations

import re
from typing import Any

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import open_regular, shortened
from matconv.layers import Conv, Dense, Layer, MaxPool
from matconv.network import Network

__all__ = [
    "NAMES",
    "checked",
    "config_network",
    "config_of",
    "is_config",
    "parse_config",
    "read_simplenn_config",
]

_MAX_BYTES = 2**16
# numbers of layers; arrays with an element for each convolution; for each dense layer
_SCALARS = ("L", "LC", "LF", "wd_input", "ht_input")
_BY_CONVOLUTION = ("wd_pad_added", "wd_filter", "strides", "wd_subimage_pool")
NAMES = (*_SCALARS, "ch_input", *_BY_CONVOLUTION, "full_neurons")
_NAME = re.compile(r"[A-Za-z]\w*\Z")
_BRACKETS = re.compile(r"\[[^\[\]=]*\]\Z")
_SCALAR = re.compile(r"[^\[\]=;]*\Z")
_INTEGER = re.compile(r"\+?\d{1,9}(?:\.0*)?\Z", re.ASCII)
_MAX_LAYERS = 2**12
# a statement that every configuration has, and no TOML file of a network
_RECOGNISED = re.compile(rb"^([^%\n]*;)?[ \t]*LC[ \t]*=", re.MULTILINE)


def _integers(text: str) -> list[int] | None:
    """Return the integers of ``5``, ``[1 2 3]`` or ``[1, 2; 3]``; None for another text."""
    inner = (text[1:-1] if text.startswith("[") else text).strip()
    # one separator, with spaces or alone, between two words
    parts = [part.split() for part in re.split("[,;]", inner)] if inner or text == inner else []
    if len(parts) > 1 and not all(parts):
        return None
    words = [word for part in parts for word in part or [""]]
    if not all(_INTEGER.match(word) for word in words):
        return None
    return [int(float(word)) for word in words]


def _statements(line: str) -> list[str]:
    """Return the statements of a line, which end at semicolons that are not inside brackets."""
    found, first, inside = [], 0, False
    for at, character in enumerate(line + ";"):
        if character in "[]":
            inside = character == "["
        elif character == ";" and (not inside or at == len(line)):
            found.append(line[first:at].strip())
            first = at + 1
    return [statement for statement in found if statement]


def parse_config(text: str) -> dict[str, list[int]]:
    """Return the settings of a configuration, each a list of integers.

    Parameters
    ----------
    text : str
        Lines like ``ch_input = [1,32,64];``. ``%`` begins a comment.

    Raises
    ------
    ValueError
        If a line is not such an assignment, or a name is unknown or missing; the message has the
        number of the line, or all missing names.

    Examples
    --------
    >>> parse_config("L = 1; LC = 0; LF = [1] % one layer")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: wd_input, ht_input, ch_input, ..., full_neurons are missing
    """
    found: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for statement in _statements(line.partition("%")[0]):
            name, equals, text = (part.strip() for part in statement.partition("="))
            good = equals and _NAME.match(name) and (_BRACKETS.match(text) or _SCALAR.match(text))
            values = _integers(text) if good else None
            if values is None:
                raise ValueError(
                    f"line {number}: expected NAME = integer or [integers], got "
                    f"{shortened(repr(statement))}"
                )
            if name not in (*NAMES, "nL"):
                raise ValueError(f"line {number}: {name!r} is not one of {', '.join(NAMES)}")
            found[name] = values
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise ValueError(f"{', '.join(missing)} {'are' if missing[1:] else 'is'} missing")
    return checked(found)


def checked(found: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return the settings with their lengths checked, superfluous elements left out.

    Raises
    ------
    ValueError
        If the lengths do not fit the numbers of layers.
    """
    for name in _SCALARS:
        if len(found[name]) != 1:
            raise ValueError(f"{name} must be one integer, got {len(found[name])}")
    (L,), (LC,), (LF,) = found["L"], found["LC"], found["LF"]
    if L != LC + LF or not 1 <= LF <= L <= _MAX_LAYERS:
        raise ValueError(f"L = {L} layers must be LC = {LC} and LF = {LF}, at least 1, together")
    lengths = {"ch_input": LC + 1, "full_neurons": LF, **dict.fromkeys(_BY_CONVOLUTION, LC)}
    for name, length in lengths.items():
        if len(found[name]) < length:
            raise ValueError(f"{name} must have {length} elements, got {len(found[name])}")
    return {**found, **{name: found[name][:length] for name, length in lengths.items()}}


def config_network(config: dict[str, list[int]], dtype: Any = "float64") -> Network:
    """Return the network of a configuration.

    The convolutions have ReLU, then max-pooling unless its width is 1; the dense layers have ReLU
    except for the last one.

    Parameters
    ----------
    config : dict
        Result of `parse_config`.
    dtype : float64 or float32
    """
    layers: list[Layer] = []
    rows = zip(config["ch_input"][1:], *(config[name] for name in _BY_CONVOLUTION), strict=True)
    for channels, pad, kernel, stride, pool in rows:
        layers.append(Conv(channels, kernel, stride=stride, pad=pad, activation="relu"))
        if pool > 1:
            layers.append(MaxPool(pool))
    units = config["full_neurons"]
    layers += [Dense(n, activation="relu") for n in units[:-1]]
    layers.append(Dense(units[-1]))
    shape = (config["wd_input"][0], config["ht_input"][0], config["ch_input"][0])
    return Network(shape, layers, dtype)


def is_config(path: FilePath) -> bool:
    """Return whether a file is a configuration of simpleNN, recognised by its content.

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError
        If the file is empty.
    """
    with open_regular(path) as (file, size):
        return size <= _MAX_BYTES and _RECOGNISED.search(file.read(_MAX_BYTES)) is not None


def read_simplenn_config(path: FilePath, dtype: Any = "float64") -> Network:
    """Return the network of a configuration file of simpleNN.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        The file is parsed, not evaluated: it has assignments of integers and of rows of integers.
    dtype : float64 or float32

    Returns
    -------
    Network
        Its images are transposed pictures, of shape (wd_input, ht_input, channels), so that its
        theta is that of simpleNN, element for element.

    Raises
    ------
    FormatError
        If the file is not such a configuration, or its layers do not fit each other.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "one.config")
    ...     with open(path, "w") as file:
    ...         n = file.write("L = 2; LC = 1; LF = 1; wd_input = 8; ht_input = 6; "
    ...                        "ch_input = [1, 4]; wd_pad_added = [1]; wd_filter = 3; "
    ...                        "strides = 1; wd_subimage_pool = 2; full_neurons = [10];")
    ...     net = read_simplenn_config(path)
    >>> net.input_shape, net.n
    ((8, 6, 1), 530)
    """
    with open_regular(path) as (file, size):
        if size > _MAX_BYTES:
            raise format_error(path, f"a configuration has at most {_MAX_BYTES} bytes, got {size}")
        content = file.read(_MAX_BYTES)
    try:
        return config_network(parse_config(content.decode("utf-8-sig")), dtype)
    except (ValueError, OverflowError) as error:
        raise format_error(path, f"configuration of simpleNN: {shortened(error, 400)}") from error


def config_of(net: Network) -> dict[str, list[int]]:
    """Return the configuration of a network; inverse of `config_network`.

    Raises
    ------
    ValueError
        If simpleNN does not have such a network.
    """
    convolutions: list[list[int]] = []
    units: list[int] = []
    for layer in net.layers:
        if isinstance(layer, Conv) and not units:
            convolutions.append([layer.channels, _pad(net, layer), *_square(layer), 1])  # type: ignore[list-item]
        elif isinstance(layer, MaxPool) and convolutions and convolutions[-1][-1] == 1:
            convolutions[-1][-1] = layer.window[0] if layer.window != "image" else 0  # type: ignore[index, assignment]
        elif isinstance(layer, Dense):
            units.append(layer.units)  # type: ignore[arg-type]
    columns = list(zip(*convolutions, strict=True)) or [()] * 5
    found = {
        "L": [len(convolutions) + len(units)],
        "LC": [len(convolutions)],
        "LF": [len(units)],
        "wd_input": [net.input_shape[0]],
        "ht_input": [net.input_shape[1]],
        "ch_input": [net.input_shape[2], *columns[0]],
        "wd_pad_added": [*columns[1]],
        "wd_filter": [*columns[2]],
        "strides": [*columns[3]],
        "wd_subimage_pool": [*columns[4]],
        "full_neurons": units,
    }
    if not units or _plain(config_network(found, net.dtype)) != _plain(net):
        raise ValueError(
            "simpleNN has chains of square convolutions with ReLU, each with max-pooling or "
            "without, and of dense layers with ReLU except for the last one; got "
            f"{shortened(net, 300)}"
        )
    return found


def _pad(net: Network, layer: Conv) -> int:
    return 0 if layer.pad == "same" else layer.pad[0][0]  # type: ignore[index, return-value]


def _square(layer: Conv) -> tuple[int, int]:
    return layer.kernel[0], layer.stride[0]  # type: ignore[index, return-value]


def _plain(net: Network) -> list[Any]:
    """Return what the passes of a network depend on: not names, initial values, algorithms."""
    return [
        net.input_shape,
        net.outputs if net.outputs != (net.names[-1],) else None,
        *(
            (node.layer.kind, tuple(node.record.inputs), tuple(node.record.words)[:-1],
             node.record.activation, node.record.owner, node.shape, len(node.arrays))
            for node in net._nodes
        ),
    ]  # fmt: skip
