"""The graph of a network: which layer reads which, by number, and what each one makes.

Value 0 is the image; layer k makes value k + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .activations import activation_code
from .encoding import MAX_STEPS, Record
from .kernels.shapes import ProgramError, output_shape
from .layers import LAYERS, Layer, Parameter, Shape


class Node(NamedTuple):
    """A layer in its place.

    Attributes
    ----------
    layer : Layer
    name : str
    record : Record
        What describes it to compiled code.
    arrays : list of Parameter
        What it uses of theta.
    shape : tuple
        Of its output.
    """

    layer: Layer
    name: str
    record: Record
    arrays: list[Parameter]
    shape: Shape


def shape_text(shape: Sequence[int]) -> str:
    """``8 x 8 x 1``."""
    return " x ".join(map(str, shape))


def title(k: int, layer: Any) -> str:
    """How messages call a layer: its index and kind, and its name if it was given one."""
    name = "" if getattr(layer, "name", None) is None else f" {layer.name!r}"
    return f"layer {k} ({layer.kind}{name})"


def build(
    input_shape: Shape, layers: Sequence[Layer], outputs: Sequence[str] | None, algorithm: str
) -> tuple[list[Node], list[int]]:
    """The layers in their places, and the values that are outputs.

    Raises
    ------
    TypeError, ValueError, OverflowError
        With the index, the kind and the name of the layer that does not fit.
    """
    if len(layers) > MAX_STEPS:
        raise ValueError(f"Network: a network has at most {MAX_STEPS} layers, got {len(layers)}")
    names: dict[str, int] = {"input": 0}
    nodes: list[Node] = []
    for k, layer in enumerate(layers):
        _check_class(k, layer)
        name = layer.name if layer.name is not None else f"{layer.kind.lower()}{k + 1}"
        if name in names:
            raise ValueError(f"{title(k, layer)}: there is a layer {name!r} already")
        values = _inputs(k, layer, names)
        shapes = [input_shape if v == 0 else nodes[v - 1].shape for v in values]
        nodes.append(
            _node(k, layer, name, values, shapes, _owner(k, layer, names, nodes), algorithm)
        )
        _check_shared(k, nodes)
        names[name] = k + 1
    found = _outputs(outputs, names, len(nodes))
    _check_read(nodes, found)
    return nodes, found


def _check_class(k: int, layer: Any) -> None:
    if not isinstance(layer, Layer):
        raise TypeError(f"Network: layer {k} must be a layer, got {layer!r}")
    if LAYERS.get(getattr(layer, "kind", "")) is not type(layer):
        raise TypeError(
            f"Network: layer {k} must be of one of the classes {', '.join(LAYERS)}, "
            f"got {type(layer).__qualname__}"
        )


def _known(names: dict[str, int]) -> str:
    return ", ".join(names)


def _inputs(k: int, layer: Layer, names: dict[str, int]) -> list[int]:
    if layer.inputs is None:
        return [k]
    unknown = [name for name in layer.inputs if name not in names]
    if unknown:
        raise ValueError(
            f"{title(k, layer)}: inputs must name earlier layers ({_known(names)}), "
            f"got {unknown[0]!r}"
        )
    return [names[name] for name in layer.inputs]


def _owner(k: int, layer: Layer, names: dict[str, int], nodes: list[Node]) -> int | None:
    """The layer whose parameters this one uses."""
    name = layer.parameters_of
    if name is None:
        return None
    if name not in names or name == "input":
        raise ValueError(
            f"{title(k, layer)}: parameters must name an earlier layer ({_known(names)}), "
            f"got {name!r}"
        )
    owner = names[name] - 1
    first = nodes[owner].record.owner
    return owner if first is None else first


def _node(
    k: int,
    layer: Layer,
    name: str,
    values: list[int],
    shapes: list[Shape],
    owner: int | None,
    algorithm: str,
) -> Node:
    function = f"{title(k, layer)} on {_inputs_text(shapes)}"
    words = layer.words(shapes, function, algorithm)
    numbers = layer.numbers(len(values))
    try:
        shape, sizes = output_shape(layer.kind, shapes, words, numbers)
    except ProgramError:
        raise ValueError(f"{function}: {layer.demand}") from None
    arrays = layer.arrays(shapes)
    if [int(np.prod(array.shape, dtype=object)) for array in arrays] != sizes:
        raise ValueError(f"{function}: its parameters {arrays} do not have the sizes {sizes}")
    code = activation_code(getattr(layer, "activation", None))
    return Node(layer, name, Record(layer.kind, values, words, numbers, code, owner), arrays, shape)


def _inputs_text(shapes: list[Shape]) -> str:
    """``images 8 x 8 x 1, 8 x 8 x 2`` or ``vectors of 10``."""
    if all(len(shape) == 3 for shape in shapes):
        return f"images {', '.join(map(shape_text, shapes))}"
    return ", ".join(
        f"images {shape_text(shape)}" if len(shape) == 3 else f"vectors of {shape[0]}"
        for shape in shapes
    )


def _check_shared(k: int, nodes: list[Node]) -> None:
    owner = nodes[k].record.owner
    if owner is not None and nodes[k].arrays != nodes[owner].arrays:
        raise ValueError(
            f"{title(k, nodes[k].layer)}: parameters of layer {nodes[owner].name!r} must have the "
            f"shapes {[array.shape for array in nodes[k].arrays]}, "
            f"got {[array.shape for array in nodes[owner].arrays]}"
        )


def _outputs(outputs: Sequence[str] | None, names: dict[str, int], last: int) -> list[int]:
    if outputs is None:
        return [last]
    if not isinstance(outputs, (list, tuple)) or not all(isinstance(x, str) for x in outputs):
        raise TypeError(f"Network: outputs must be a sequence of names, got {outputs!r}")
    unknown = [name for name in outputs if name not in names or name == "input"]
    if unknown:
        raise ValueError(f"Network: outputs must name layers ({_known(names)}), got {unknown[0]!r}")
    if len(outputs) == 0 or len(set(outputs)) != len(outputs):
        raise ValueError(f"Network: outputs must be different names, got {tuple(outputs)}")
    return [names[name] for name in outputs]


def _check_read(nodes: list[Node], outputs: list[int]) -> None:
    read = {0} if not nodes else set(outputs)
    for node in nodes:
        read.update(node.record.inputs)
    for k, node in enumerate(nodes):
        if k + 1 not in read:
            raise ValueError(
                f"{title(k, node.layer)}: no layer reads its output {node.name!r}, and it is not "
                f"one of the network's outputs"
            )
    if nodes and 0 not in read:
        raise ValueError("Network: no layer reads the input")
