"""Networks from TOML files such as this one:

[network]                  # optional, as is each of its keys
dtype = "float64"
input_shape = [28, 28, 1]  # height, width, channels; by default those of the images
outputs = ["scores"]       # names of layers; by default the last one

[[layers]]
kind = "Conv"
channels = 20
kernel = 5
activation = "relu"

[[layers]]
kind = "MaxPool"
window = 2

[[layers]]
kind = "Dense"
units = 10
name = "scores"
"""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Sequence
from typing import Any

from ..files.errors import format_error
from ..files.regular import open_regular
from ..layers import LAYERS
from ..network import Network

# maximum size of a TOML file in bytes; a thousand layers take a tenth of it
MAX_BYTES = 2**20

# keys of the table [network]
NETWORK_KEYS = ("dtype", "input_shape", "outputs")


def network_from_toml(
    path: str, input_shape: Sequence[int] | None = None, dtype: str | None = None
) -> Network:
    """Return the network of a TOML file.

    Parameters
    ----------
    path : str
    input_shape : (height, width, channels), optional
        Shape of the images. By default that of the file.
    dtype : "float64" or "float32", optional
        By default that of the file, else float64.

    Returns
    -------
    net : Network

    Raises
    ------
    FormatError
        If the content of the file is invalid; the message names the file.
    OSError
        If the file cannot be read.
    """
    table = _read(path)
    unknown = table.keys() - {"network", "layers"}
    about = table.get("network", {})
    if unknown or not isinstance(about, dict) or about.keys() - set(NETWORK_KEYS):
        raise format_error(
            path,
            f"expected a table [network] with {', '.join(NETWORK_KEYS)}, all optional, and tables "
            "[[layers]], and nothing else",
        )
    shape = about.get("input_shape", input_shape)
    if shape is None:
        raise format_error(path, "input_shape is needed in [network] if there are no images")
    if not isinstance(shape, (list, tuple)):
        raise format_error(path, f"input_shape must be a list of three sizes, got {shape!r}")
    if input_shape is not None and list(shape) != list(input_shape):
        raise format_error(
            path, f"input_shape is {list(shape)}, but the images are {list(input_shape)}"
        )
    description = {
        **about,
        "input_shape": list(shape),
        "dtype": dtype or about.get("dtype", "float64"),
        "layers": _layers(path, table.get("layers", [])),
    }
    try:
        return Network.from_description(description)
    except ValueError as error:
        raise format_error(path, str(error)) from error


def _read(path: str) -> dict[str, Any]:
    with open_regular(path) as (file, size):
        if size > MAX_BYTES:
            raise format_error(path, f"{size} bytes, a network takes at most {MAX_BYTES}")
        content = file.read()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise format_error(path, "the text is UTF-16, but TOML is UTF-8: save it as UTF-8")
    try:
        # "utf-8-sig": editors on Windows begin files with a byte order mark
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise format_error(path, f"not TOML: {error}") from error


def _layers(path: str, layers: Any) -> Any:
    """Return the tables of layers with None in place of ``activation = "none"``.

    TOML has no None. Raises FormatError if a kind with `Layer.explicit_activation` has none.
    """
    if not isinstance(layers, list):
        return layers
    explicit = [kind for kind, known in LAYERS.items() if known.explicit_activation]
    entries = []
    for k, layer in enumerate(layers):
        if isinstance(layer, dict):
            kind = layer.get("kind")
            if kind in explicit and "activation" not in layer:
                raise format_error(
                    path, f'layer {k} ({kind}): activation must be given, "relu" or "none"'
                )
            if layer.get("activation") == "none":
                layer = {**layer, "activation": None}
        entries.append(layer)
    return entries
