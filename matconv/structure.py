"""Structure: the layers of a network, connected, with their places in theta and their program.

theta = [vec(W^1); b^1; ...; vec(W^L); b^L]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, ClassVar, Self

import numpy as np

from .descriptions import check_keys, layer_entry, layer_from, layer_table, layer_text
from .encoding import encode
from .graph import build, shape_text
from .kernels._algorithms import as_algorithm
from .kernels._sizes import as_size, is_sequence
from .kernels.program import Program
from .layers import Layer
from .layout import Layout
from .sharding import Leaf, Sharding

# dtypes of theta and of images; the first is the default
DTYPES = ("float64", "float32")


class Structure:
    """Base class of `Network`: everything about a network that does not need theta.

    Parameters and attributes are those of `Network`.
    """

    # what `_build` makes of the arguments and is not pickled
    _rebuilt: ClassVar[tuple[str, ...]] = (
        "layout", "_nodes", "_outputs", "_multiply_adds", "_sharding", "_program",
    )  # fmt: skip

    def __init__(
        self,
        input_shape: Sequence[int],
        layers: Iterable[Layer],
        dtype: Any = np.float64,
        algorithm: str = "auto",
        outputs: Sequence[str] | None = None,
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in map(np.dtype, DTYPES):
            raise TypeError(f"Network: dtype must be {' or '.join(DTYPES)}, got {self.dtype}")
        as_algorithm("Network", algorithm)
        self.algorithm = str(algorithm)
        self.input_shape = _image_shape(input_shape)
        self.layers = tuple(layers)
        if not self.layers:
            raise ValueError("Network: at least one layer is needed, got none")
        self._build(outputs)

    def _build(self, outputs: Sequence[str] | None) -> None:
        """Connect the layers, and set all attributes that follow from the arguments."""
        self._nodes, self._outputs = build(self.input_shape, self.layers, outputs, self.algorithm)
        self.outputs = None if outputs is None else tuple(map(str, outputs))
        self.names = tuple(node.name for node in self._nodes)
        program = self._compile()
        steps = range(len(self._nodes))
        self.layout = Layout(self._nodes, [program.fan_in(k) for k in steps], self.dtype)
        self.n = self.layout.n
        shapes = tuple(self._nodes[value - 1].shape for value in self._outputs)
        sizes = tuple(map(prod, shapes))
        several = outputs is not None and len(shapes) > 1
        self.output_shape = shapes if several else shapes[0]
        self.n_outputs: Any = sizes if several else sizes[0]
        self._multiply_adds = [program.multiply_adds(k) for k in steps]
        self._sharding = Sharding.of(
            sum(self._multiply_adds),
            sum(prod(node.shape) for node in self._nodes),
            self.n,
            lambda images: _block_bytes(program, images, self._outputs),
        )
        self.shard_size = self._sharding.shard_size
        program.plan(self.shard_size, self._outputs[0])
        self._program = program

    def _compile(self) -> Program:
        """Return the network's program, not planned yet."""
        n = sum(
            prod(array.shape)
            for node in self._nodes
            if node.record.owner is None
            for array in node.arrays
        )
        records = [node.record for node in self._nodes]
        return Program(encode(self.input_shape, records, self._outputs, n, self.dtype))

    def program(self, output: str | None = None) -> Program:
        """Return the network's program, planned for the gradients of one of its outputs.

        Parameters
        ----------
        output : str, optional
            Name of the output; needed if there are several.

        Raises
        ------
        TypeError, ValueError
            If no output has this name, or none is named and the network has several.
        """
        names = [self.names[value - 1] for value in self._outputs]
        if output is None and len(names) > 1:
            raise ValueError(
                f"Objective: output must be named, one of {', '.join(names)}, got None"
            )
        if output is not None and not isinstance(output, str):
            raise TypeError(f"Objective: output must be a name, got {output!r}")
        if output is not None and output not in names:
            raise ValueError(f"Objective: output must be one of {', '.join(names)}, got {output!r}")
        if output is None or output == names[0]:
            return self._program
        program = self._compile()
        program.plan(self.shard_size, self._outputs[names.index(output)])
        return program

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self._rebuilt}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._build(self.outputs)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        """Return the arguments of the constructor, which determine the network."""
        return self.input_shape, self.layers, self.dtype, self.algorithm, self.outputs

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the first input of each layer."""
        shapes = (self.input_shape, *(node.shape for node in self._nodes))
        return tuple(shapes[node.record.inputs[0]] for node in self._nodes)

    def shards(self, l: int) -> list[slice]:
        """Return 0, ..., l - 1 as near-equal slices: the images that are evaluated at once.

        They depend on the network and l alone; `matconv.sharding` defines the rule.
        """
        return self._sharding.shards(l)

    def leaves(self, l: int) -> list[Leaf]:
        """Return the shards of l images in runs, each of which is evaluated by one thread.

        Returns
        -------
        leaves : list of list of slice
            `matconv.sharding` defines the order in which their sums are added.

        Examples
        --------
        >>> from matconv import Dense, Network
        >>> net = Network((1, 1, 4), [Dense(2)])
        >>> len(net.shards(20_000)), len(net.leaves(20_000)), net.leaves(20_000)[0]
        (79, 64, [slice(0, 253, None)])
        """
        return self._sharding.leaves(l)

    # descriptions

    def summary(self) -> str:
        """Return a table: layer, output shape, parameters, their place in theta, multiply-adds.

        The last line has the memory that a thread needs to compute a gradient; it does not depend
        on the number of images.
        """
        # layers are named if one of them or ``outputs`` refers to others by name
        wired = self.outputs is not None or any(
            layer.inputs is not None or layer.parameters_of is not None for layer in self.layers
        )
        rows = [
            (
                layer_text(node.layer, node.name if wired else None),
                shape_text(node.shape),
                f"{place.stop - place.start:,}" if place else "0",
                f"{place.start}:{place.stop}" if place else "",
                f"{work:,}",
            )
            for node, place, work in zip(self._nodes, self.layout.places, self._multiply_adds)
        ]
        lines = layer_table(
            ("input", shape_text(self.input_shape), "", "", ""),
            rows,
            ("total", "", f"{self.n:,}", "", f"{sum(self._multiply_adds):,}"),
        )
        if self.outputs is not None:
            lines.append(f"outputs    {', '.join(self.outputs)}")
        memory = self._program.training_bytes / 2**20
        images = f"{self.shard_size} image{'s' if self.shard_size > 1 else ''}"
        lines.append(f"workspace  {memory:.1f} MiB per thread, for at most {images} at once")
        return "\n".join(lines)

    def __repr__(self) -> str:
        outputs = "" if self.outputs is None else f", outputs={list(self.outputs)}"
        return f"Network({self.input_shape}, {list(self.layers)}, dtype={self.dtype}{outputs})"

    def description(self) -> dict[str, Any]:
        """Return the network as JSON-able data; `from_description` is the inverse."""
        outputs = {} if self.outputs is None else {"outputs": list(self.outputs)}
        return {
            "input_shape": list(self.input_shape),
            "dtype": self.dtype.name,
            "layers": [layer_entry(k, layer) for k, layer in enumerate(self.layers)],
            **outputs,
        }

    @classmethod
    def from_description(cls, description: Any) -> Self:
        """Return the network of a description that `description` returned.

        Raises
        ------
        ValueError
            If something is missing, unknown or out of range; the message names it.
        """
        check_keys("network", description, {"input_shape", "layers"}, {"dtype", "outputs"})
        dtype = description.get("dtype", DTYPES[0])
        if dtype not in DTYPES:
            expected = " or ".join(map(repr, DTYPES))
            raise ValueError(f"network: dtype must be {expected}, got {dtype!r}")
        if not isinstance(description["layers"], list):
            raise ValueError("network: layers must be a list")  # noqa: TRY004 - content of a file
        layers = [layer_from(k, entry) for k, entry in enumerate(description["layers"])]
        try:
            outputs = description.get("outputs")
            return cls(description["input_shape"], layers, dtype, outputs=outputs)
        except (TypeError, OverflowError) as error:
            raise ValueError(str(error)) from error


def _block_bytes(program: Program, images: int, outputs: Sequence[int]) -> float:
    """Return the size of a thread's block for gradients of any output; inf if it overflows."""
    largest = 0
    for target in outputs:
        try:
            program.plan(images, target)
        except OverflowError:
            return np.inf
        largest = max(largest, program.whole_training_bytes)
    return largest


def _image_shape(shape: Any) -> tuple[int, int, int]:
    """Return the shape of an image as a tuple of three positive integers, or raise an error."""
    expected = "(height, width, channels)"
    if not is_sequence(shape):
        raise TypeError(f"Network: input_shape must be {expected}, got {shape!r}")
    if len(shape) != 3:
        raise ValueError(f"Network: input_shape must be {expected}, got {tuple(shape)}")
    sizes = tuple(as_size("Network", "input_shape", size) for size in shape)
    if min(sizes) < 1:
        raise ValueError(f"Network: input_shape must be at least 1 each, got {sizes}")
    return sizes  # type: ignore[return-value]
