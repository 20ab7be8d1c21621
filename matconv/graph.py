"""The graph of a network: which layers each layer reads, and the shape of its output.

Values are numbered: value 0 is the image, value k + 1 the output of layer k.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from .activations import activation_code
from .encoding import MAX_ELEMENTS, MAX_PARAMETERS, MAX_STEPS, OVERFLOW, Record
from .kernels._shapes import ProgramError, output_shape
from .layers import LAYERS, Layer, Parameter, Shape


class Node(NamedTuple):
    """A layer in a network.

    Attributes
    ----------
    layer : Layer
    name : str
        The given name or, as "conv1", one made from the kind and the position.
    record : Record
        Description of the layer for compiled code.
    arrays : list of Parameter
        The parameters that the layer uses, its own or those of another layer.
    shape : tuple
        Shape of the output.
    """

    layer: Layer
    name: str
    record: Record
    arrays: list[Parameter]
    shape: Shape


def shape_text(shape: Sequence[int]) -> str:
    """Return a text like ``8 x 8 x 1``."""
    return " x ".join(map(str, shape))


def title(k: int, layer: Any) -> str:
    """Return a text for messages: the layer's index, its kind and its name, if it was given one."""
    name = "" if getattr(layer, "name", None) is None else f" {layer.name!r}"
    return f"layer {k} ({layer.kind}{name})"


def build(
    input_shape: Shape, layers: Sequence[Layer], outputs: Sequence[str] | None, algorithm: str
) -> tuple[list[Node], list[int]]:
    """Return the layers as nodes, and the numbers of the values that are the network's outputs.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the layers do not fit each other; the message has the index, the kind and the name of
        the layer.
    """
    if len(layers) > MAX_STEPS:
        raise ValueError(f"Network: a network has at most {MAX_STEPS} layers, got {len(layers)}")
    _check_elements("Network: input_shape", input_shape)
    names: dict[str, int] = {"input": 0}
    shapes = [input_shape]
    nodes: list[Node] = []
    for k, layer in enumerate(layers):
        _check_class(k, layer)
        name = layer.name if layer.name is not None else f"{layer.kind.lower()}{k + 1}"
        if name in names:
            raise ValueError(f"{title(k, layer)}: there is a layer {name!r} already")
        values, owner = _inputs(k, layer, names), _owner(k, layer, names, nodes)
        node = _node(k, layer, name, values, [shapes[v] for v in values], owner, algorithm)
        if owner is not None:
            _check_shared(k, node, nodes[owner])
        nodes.append(node)
        shapes.append(node.shape)
        names[name] = k + 1
    size = sum(prod(array.shape) for node in nodes if node.record.owner is None
               for array in node.arrays)  # fmt: skip
    if size > MAX_PARAMETERS:
        raise OverflowError(f"Network: {size} parameters, at most {MAX_PARAMETERS} are possible")
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


def _check_elements(function: str, shape: Shape) -> None:
    if prod(shape) > MAX_ELEMENTS:
        raise OverflowError(
            f"{function}: {shape_text(shape)} is {prod(shape)} elements for each image, "
            f"at most {MAX_ELEMENTS} are possible"
        )


def _inputs(k: int, layer: Layer, names: dict[str, int]) -> list[int]:
    """Return the numbers of the values that a layer reads."""
    for argument, read in (("inputs", layer.inputs or ()), ("like", (layer.shape_of,))):
        for name in read:
            if name is not None and name not in names:
                raise ValueError(
                    f"{title(k, layer)}: {argument} must name earlier layers "
                    f"({', '.join(names)}), got {name!r}"
                )
    values = [k] if layer.inputs is None else [names[name] for name in layer.inputs]
    return values if layer.shape_of is None else [*values, names[layer.shape_of]]


def _owner(k: int, layer: Layer, names: dict[str, int], nodes: list[Node]) -> int | None:
    """Return the index of the layer whose parameters this one uses; None if it uses its own."""
    name = layer.parameters_of
    if name is None:
        return None
    if name not in names or name == "input":
        raise ValueError(
            f"{title(k, layer)}: parameters must name an earlier layer ({', '.join(names)}), "
            f"got {name!r}"
        )
    named = names[name] - 1
    owner = nodes[named].record.owner
    return named if owner is None else owner


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
    except ProgramError as error:
        if error.status == OVERFLOW:
            raise OverflowError(f"{function}: the sizes overflow") from None
        raise ValueError(f"{function}: {layer.demand}") from None
    _check_elements(function, shape)
    arrays = layer.arrays(shapes)
    if [prod(array.shape) for array in arrays] != sizes:
        raise ValueError(f"{function}: its parameters {arrays} do not have the sizes {sizes}")
    code = activation_code(getattr(layer, "activation", None))
    return Node(layer, name, Record(layer.kind, values, words, numbers, code, owner), arrays, shape)


def _inputs_text(shapes: list[Shape]) -> str:
    """Return ``images 8 x 8 x 1, 8 x 8 x 2``, ``vectors of 10``, ``images 1 x 1 x 2, ...``.

    Only the first four inputs are listed; the text ends with the number of the others.
    """
    images = all(len(shape) == 3 for shape in shapes)
    one_by_one = [
        f"images {shape_text(shape)}" if len(shape) == 3 else f"vectors of {shape[0]}"
        for shape in shapes[:4]
    ]
    if images:
        one_by_one = [f"images {', '.join(map(shape_text, shapes[:4]))}"]
    if len(shapes) > 4:
        one_by_one.append(f"and {len(shapes) - 4} more")
    return ", ".join(one_by_one)


def _check_shared(k: int, node: Node, owner: Node) -> None:
    if node.arrays != owner.arrays:
        raise ValueError(
            f"{title(k, node.layer)}: parameters of layer {owner.name!r} must have the "
            f"shapes {[array.shape for array in node.arrays]}, "
            f"got {[array.shape for array in owner.arrays]}"
        )


def _outputs(outputs: Sequence[str] | None, names: dict[str, int], last: int) -> list[int]:
    """Return the numbers of the values that are outputs."""
    if outputs is None:
        return [last]
    if not isinstance(outputs, (list, tuple)) or not all(isinstance(x, str) for x in outputs):
        raise TypeError(f"Network: outputs must be a sequence of names, got {outputs!r}")
    for name in outputs:
        if name not in names or name == "input":
            raise ValueError(
                f"Network: outputs must name layers ({', '.join(names)}), got {name!r}"
            )
    if len(outputs) == 0 or len(set(outputs)) != len(outputs):
        raise ValueError(f"Network: outputs must be different names, got {tuple(outputs)}")
    return [names[name] for name in outputs]


def _check_read(nodes: list[Node], outputs: list[int]) -> None:
    """Raise ValueError if nothing reads the image or the output of a layer."""
    read = set(outputs).union(*(node.record.inputs for node in nodes))
    for k, node in enumerate(nodes):
        if k + 1 not in read:
            raise ValueError(
                f"{title(k, node.layer)}: no layer reads its output {node.name!r}, and it is not "
                "one of the network's outputs"
            )
    if 0 not in read:
        raise ValueError("Network: no layer reads the input")
