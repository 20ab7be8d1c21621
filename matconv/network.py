"""Network: the layers in order, theta in and outputs out.

theta = [vec(W^1); b^1; ...; vec(W^L); b^L]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np

from .descriptions import check_keys, layer_entry, layer_from, layer_table, layer_text
from .encoding import MAX_IMAGES, encode
from .engines.threads import ThreadEngine
from .evaluation import Evaluation
from .files.atomic import atomic_write
from .files.errors import FilePath
from .graph import build, shape_text
from .kernels._algorithms import as_algorithm
from .kernels._arrays import as_array, contiguous, is_ready, refuse_masked
from .kernels._geometry import as_size, is_sequence
from .kernels.predictor import Predictor
from .kernels.program import Program
from .layers import Layer
from .layout import Layout
from .sharding import Leaf, Sharding

# what theta and images may consist of, the default first
DTYPES = ("float64", "float32")

# attributes that are not pickled: what makes the network makes them too
REBUILT = ("layout", "_nodes", "_outputs", "_multiply_adds", "_sharding", "_program",
           "_evaluation")  # fmt: skip


class Network:
    """A convolutional network as a function of one vector theta. Immutable, thread-safe.

    Networks with equal layers, input shape, dtype and algorithm are equal. One can be pickled and
    copied; a copy is the network itself.

    Parameters
    ----------
    input_shape : (height, width, channels)
        Of one image.
    layers : sequence of layers
        Instances of the classes in `matconv.layers`. Each reads the one before it unless its
        ``inputs`` name others.
    dtype : float64 or float32
        Of theta, of images and of everything computed.
    algorithm : "auto", "im2col" or "winograd"
        Of the convolutions that do not name their own; see `conv2d`. How to compute, not what:
        a saved model does not hold it.
    outputs : sequence of str, optional
        Names of the layers whose outputs are the network's; the last layer when left out.

    Attributes
    ----------
    n : int
        Number of parameters: the length of theta.
    layers, input_shape, dtype, algorithm
        As given.
    names : tuple of str
        Of the layers.
    outputs : tuple of str or None
        As given.
    layout : Layout
        Where the parameters of each layer sit in theta.
    shard_size : int
        Maximum number of images that are evaluated at once; see `matconv.sharding`.
    output_shape : tuple
        Of z^{L+1,i}: (height, width, channels), or ``(units,)`` of a vector such as a Dense layer
        makes; with several ``outputs`` a tuple of these.
    n_outputs : int
        Numbers in z^{L+1,i}; with several outputs a tuple.

    Raises
    ------
    TypeError, ValueError, OverflowError
        Layers that do not fit, with the layer's index and kind.

    Examples
    --------
    >>> import numpy as np
    >>> from matconv import Conv, Dense, MaxPool, Network
    >>> net = Network((8, 8, 1), [Conv(4, 3, pad="same"), MaxPool(2), Dense(10)])
    >>> net.n
    690
    >>> theta = net.init(seed=0)
    >>> net.forward(theta, np.ones((3, 8, 8, 1))).shape
    (3, 10)
    """

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
        self._evaluation = Evaluation(
            program, program.whole_inference_bytes, program.inference_bytes
        )

    def _compile(self) -> Program:
        """The network's program, not planned yet."""
        n = sum(
            prod(array.shape)
            for node in self._nodes
            if node.record.owner is None
            for array in node.arrays
        )
        records = [node.record for node in self._nodes]
        return Program(encode(self.input_shape, records, self._outputs, n, self.dtype))

    def program(self, output: str | None = None) -> Program:
        """The network's program, planned for the gradients of one of its outputs.

        Raises
        ------
        TypeError, ValueError
            The network has several outputs and none is named, or no such output.
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
        return {name: value for name, value in vars(self).items() if name not in REBUILT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        Network.__init__(self, *self._key())

    def __copy__(self) -> Network:
        return self

    def __deepcopy__(self, memo: Any) -> Network:
        return self

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        """What makes a network."""
        return self.input_shape, self.layers, self.dtype, self.algorithm, self.outputs

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the first input of each layer."""
        shapes = (self.input_shape, *(node.shape for node in self._nodes))
        return tuple(shapes[node.record.inputs[0]] for node in self._nodes)

    def shards(self, l: int) -> list[slice]:
        """Return 0, ..., l - 1 in near-equal slices: the images that are evaluated at once.

        They depend on the network and l alone; `matconv.sharding` has the rule.
        """
        return self._sharding.shards(l)

    def leaves(self, l: int) -> list[Leaf]:
        """Return the shards of l images in runs, each of which one thread evaluates.

        Returns
        -------
        leaves : list of list of slice
            Their sums are added as `matconv.sharding` says.

        Examples
        --------
        >>> from matconv import Dense, Network
        >>> net = Network((1, 1, 4), [Dense(2)])
        >>> len(net.shards(20_000)), len(net.leaves(20_000)), net.leaves(20_000)[0]
        (79, 64, [slice(0, 253, None)])
        """
        return self._sharding.leaves(l)

    def with_algorithm(self, algorithm: str | None) -> Network:
        """The same network, computed by another algorithm; see `conv2d`. None: this one.

        A layer that names its own algorithm keeps it.
        """
        if algorithm is None:
            return self
        return Network(self.input_shape, self.layers, self.dtype, algorithm, self.outputs)

    # theta

    def init(self, seed: int | None = None) -> np.ndarray:
        """A random theta: W from N(0, 2/K) with K the inputs of one output (He 2015), b = 0.

        Each class of layers says how its parameters begin.

        Parameters
        ----------
        seed : int, optional
            The same seed gives the same bits; fresh random numbers when left out.

        Returns
        -------
        theta : ndarray, shape (n,)
        """
        refuse_masked("Network", "seed", seed)
        return self.layout.random(seed)

    def unpack(self, theta: np.ndarray) -> list[Any]:
        """The parameters of each layer that has some of its own, in order, as views of theta.

        Writing into them changes theta. Each is a named tuple: (W, b) of a Conv or Dense, (gain,
        bias) of a Scale; without a bias the first alone. W of a Conv has shape
        (d_in/groups, h_b, h_a, d_out), of a Dense (inputs, units): in memory it is vec(W) of the
        notes' d_out x ... matrix.

        Raises
        ------
        TypeError, ValueError
            theta is not a contiguous vector of n numbers of the network's dtype.
        """
        refuse_masked("Network", "theta", theta)
        if not isinstance(theta, np.ndarray):
            raise TypeError(f"Network: theta must be an ndarray, got {type(theta).__name__}")
        self.layout.check(theta)
        if not theta.flags.c_contiguous:
            raise ValueError("Network: theta must be contiguous to be seen as views")
        return [views for _, views in self.layout.views(theta)]

    def pack(self, parameters: Iterable[Any]) -> np.ndarray:
        """theta = [vec(W^1); b^1; ...; vec(W^L); b^L], the inverse of `unpack`; a new array.

        Raises
        ------
        TypeError, ValueError
            Naming the layer whose W or b has another dtype or shape.
        """
        return self.layout.packed(parameters)

    def as_theta(self, theta: Any) -> np.ndarray:
        """theta checked: a contiguous native vector of n numbers; copied only if it is not one."""
        if is_ready(theta, self.dtype, (self.n,)):
            return theta
        array = as_array("Network", "theta", theta)
        self.layout.check(array)
        return np.require(array, self.dtype, ["C", "A"])

    def as_images(self, Z: Any, function: str = "Network") -> np.ndarray:
        """Z checked: (l, height, width, channels) in the network's dtype; of any layout."""
        if is_ready(Z, self.dtype, (None, *self.input_shape)):
            return Z
        array = as_array(function, "Z", Z)
        self.layout.check_dtype(f"{function}: Z", array)
        if array.ndim != 4 or array.shape[1:] != self.input_shape:
            expected = ", ".join(map(str, self.input_shape))
            raise ValueError(f"{function}: Z must have shape (l, {expected}), got {array.shape}")
        return array

    # passes

    def forward(self, theta: Any, Z: Any, n_threads: int | None = None) -> Any:
        """z^{L+1}, the outputs of the last layer, for every image.

        Parameters
        ----------
        theta : array, shape (n,)
        Z : array, shape (l, height, width, channels)
        n_threads : int, optional
            By default as `matconv.engines.default_threads` says. The result has the same bits for
            any number.

        Returns
        -------
        z : ndarray, shape (l, *output_shape)
            With several outputs a tuple, in their order.

        Raises
        ------
        TypeError, ValueError
        """
        n_threads = ThreadEngine(n_threads).n_threads
        theta = self.as_theta(theta)
        images = self.as_images(Z)
        l = len(images)
        results = tuple(
            [np.empty((l, *self._nodes[value - 1].shape), self.dtype) for value in self._outputs]
        )

        def evaluate(part: slice, prepared: np.ndarray, block: np.ndarray, **sharing: Any) -> None:
            outputs = tuple([result[part] for result in results])
            shard = contiguous(images[part])
            self._program.predict(theta, prepared, shard, outputs, block, **sharing)

        shards = self.shards(l)
        self._evaluation.run(theta, shards, evaluate, n_threads, shared=len(shards) == 1)
        return results if self.outputs is not None and len(results) > 1 else results[0]

    def predict(self, theta: Any, Z: Any, n_threads: int | None = None) -> np.ndarray:
        """The class of every image: the index of its largest output; of equal ones the first.

        Parameters and errors as for `forward`.

        Returns
        -------
        classes : ndarray of int64, shape (l,)
        """
        if not isinstance(self.n_outputs, int):
            raise ValueError(  # noqa: TRY004 - of the network, not of an argument
                f"Network: predict needs one output, got {len(self.n_outputs)}"
            )
        z = self.forward(theta, Z, n_threads)
        return z.reshape(len(z), self.n_outputs).argmax(axis=1)

    # frozen

    def freeze(self, theta: Any, images: int = 1) -> Predictor:
        """The network with these weights, ready for compiled code: immutable, thread-safe.

        Parameters
        ----------
        theta : array, shape (n,)
            Copied.
        images : int
            Of a usual call, from 1 to 65536: "auto" chooses for so many. Any number works.

        Returns
        -------
        predictor : Predictor
            A function of images: what `forward` computes, in one call without the GIL, on as
            many threads as it is told; one when it is not.

        Raises
        ------
        TypeError, ValueError, MemoryError

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Conv, Dense, Network
        >>> net = Network((8, 8, 1), [Conv(4, 3), Dense(10)])
        >>> predictor = net.freeze(net.init(seed=0))
        >>> predictor(np.ones((3, 8, 8, 1))).shape
        (3, 10)
        """
        return Predictor(self._encoded(theta, images))

    def export(self, theta: Any, path: FilePath, images: int = 1) -> None:
        """Write the network with these weights for compiled code to open.

        `load_predictor` reads it from Python, ``matconv_network_open`` from C. The file is written
        whole or not at all. To train on, or to keep labels and settings, use `save_model`.

        Parameters
        ----------
        theta, images
            As for `freeze`.
        path : str, bytes or os.PathLike

        Raises
        ------
        TypeError, ValueError, OSError
        """
        data = self._encoded(theta, images)
        with atomic_write(path) as file:
            file.write(data)

    def _encoded(self, theta: Any, images: int) -> bytes:
        theta = self.as_theta(theta)
        images = as_size("Network", "images", images)
        if not 1 <= images <= MAX_IMAGES:
            raise ValueError(f"Network: images must be from 1 to {MAX_IMAGES}, got {images}")
        for k, layer in enumerate(self.layers):
            layer_entry(k, layer)  # refuses one that was changed by force
        records = [node.record for node in self._nodes]
        return encode(self.input_shape, records, self._outputs, self.n, self.dtype, images, theta)

    # in words

    def summary(self) -> str:
        """A table: layer, output shape, parameters, their place in theta, multiply-adds.

        And what a thread takes of memory for a gradient, whatever the number of images.
        """
        # names where something refers to them
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
        """The network as JSON-able data; `from_description` is the inverse."""
        outputs = {} if self.outputs is None else {"outputs": list(self.outputs)}
        return {
            "input_shape": list(self.input_shape),
            "dtype": self.dtype.name,
            "layers": [layer_entry(k, layer) for k, layer in enumerate(self.layers)],
            **outputs,
        }

    @classmethod
    def from_description(cls, description: Any) -> Network:
        """The network that `description` described.

        Raises
        ------
        ValueError
            Naming what is missing, unknown or out of range.
        """
        check_keys("network", description, {"input_shape", "layers"}, {"dtype", "outputs"})
        dtype = description.get("dtype", DTYPES[0])
        if dtype not in DTYPES:
            expected = " or ".join(map(repr, DTYPES))
            raise ValueError(f"network: dtype must be {expected}, got {dtype!r}")
        if not isinstance(description["layers"], list):
            raise ValueError("network: layers must be a list")  # noqa: TRY004 - what a file holds
        layers = [layer_from(k, entry) for k, entry in enumerate(description["layers"])]
        try:
            outputs = description.get("outputs")
            return cls(description["input_shape"], layers, dtype, outputs=outputs)
        except (TypeError, OverflowError) as error:
            raise ValueError(str(error)) from error


def _block_bytes(program: Program, images: int, outputs: Sequence[int]) -> float:
    """Bytes of a thread's block for gradients of any output; infinite where they overflow."""
    most = 0
    for target in outputs:
        try:
            program.plan(images, target)
        except OverflowError:
            return np.inf
        most = max(most, program.whole_training_bytes)
    return most


def _image_shape(shape: Any) -> tuple[int, int, int]:
    expected = "(height, width, channels)"
    if not is_sequence(shape):
        raise TypeError(f"Network: input_shape must be {expected}, got {shape!r}")
    if len(shape) != 3:
        raise ValueError(f"Network: input_shape must be {expected}, got {tuple(shape)}")
    sizes = tuple(as_size("Network", "input_shape", size) for size in shape)
    if min(sizes) < 1:
        raise ValueError(f"Network: input_shape must be at least 1 each, got {sizes}")
    return sizes  # type: ignore[return-value]
