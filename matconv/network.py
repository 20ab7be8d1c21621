"""Network: the layers in order, theta in and outputs out.

theta = [vec(W^1); b^1; ...; vec(W^L); b^L]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np

from .descriptions import (
    check_keys,
    layer_entry,
    layer_from,
    layer_table,
    layer_text,
    shape_text,
)
from .engines.threads import ThreadEngine
from .exporting import encode
from .files.atomic import atomic_write
from .files.errors import FilePath
from .kernels.algorithms import as_algorithm
from .kernels.arrays import as_array, refuse_masked
from .kernels.geometry import as_size, is_sequence
from .kernels.predictor import Predictor
from .layers import BoundLayer, Layer
from .layout import Layout
from .sharding import Sharding
from .workspace import Workspace, Workspaces

# a workspace of `forward` that is kept for its next call
SPARE_BYTES = 1 << 27

# attributes that `Network.__init__` makes anew where a network is unpickled
REBUILT = ("_bound", "layout", "_sharding", "_spare")


class Network:
    """A convolutional network as a function of one vector theta. Immutable, thread-safe.

    Networks with equal layers, input shape, dtype and algorithm are equal. One can be pickled and
    copied; a copy is the network itself.

    Parameters
    ----------
    input_shape : (height, width, channels)
        Of one image.
    layers : sequence of Conv, Dense, MaxPool, AvgPool
    dtype : float64 or float32
        Of theta, of images and of everything computed.
    algorithm : "auto", "im2col" or "winograd"
        Of the convolutions that do not name their own; see `conv2d`. How to compute, not what:
        a saved model does not hold it.

    Attributes
    ----------
    n : int
        Number of parameters: the length of theta.
    layers, input_shape, dtype, algorithm
        As given.
    layout : Layout
        Where the parameters of each layer sit in theta.
    shard_size : int
        Images that are evaluated at once, at most.
    output_shape : tuple
        Of z^{L+1,i}: ``(units,)`` after a Dense layer, else (height, width, channels).
    n_outputs : int
        Numbers in z^{L+1,i}.

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
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float64, np.float32):
            raise TypeError(f"Network: dtype must be float64 or float32, got {self.dtype}")
        as_algorithm("Network", algorithm)
        self.algorithm = str(algorithm)
        self.input_shape = _image_shape(input_shape)
        self.layers = tuple(layers)
        if not self.layers:
            raise ValueError("Network: at least one layer is needed, got none")
        self._bound = list(_bind(self.input_shape, self.layers))
        self.layout = Layout(self.layers, self._bound, self.dtype)
        self.n = self.layout.n
        out_shape = self._bound[-1].out_shape
        self.output_shape = out_shape[2:] if self.layers[-1].kind == "Dense" else out_shape
        self.n_outputs = prod(out_shape)
        self._sharding = Sharding.of(
            sum(bound.multiply_adds for bound in self._bound),
            sum(prod(bound.out_shape) for bound in self._bound),
            self.n,
        )
        self.shard_size = self._sharding.most
        for bound in self._bound:
            bound.plan(self.shard_size, self.dtype, algorithm)
        # none that is large: nobody expects a network to hold on to the memory of a large batch
        self._spare = Workspaces(self._bound, self.dtype, SPARE_BYTES)

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
        return self.input_shape, self.layers, self.dtype, self.algorithm

    def shards(self, l: int) -> list[slice]:
        """0, ..., l - 1 in near-equal slices: what is evaluated at once, for any threads."""
        return self._sharding.cut(l)

    def with_algorithm(self, algorithm: str | None) -> Network:
        """The same network, computed by another algorithm; see `conv2d`. None: this one.

        A layer that names its own algorithm keeps it.
        """
        if algorithm is None:
            return self
        return Network(self.input_shape, self.layers, self.dtype, algorithm)

    # theta

    def init(self, seed: int | None = None) -> np.ndarray:
        """A random theta: W from N(0, 2/K) with K the inputs of one output (He 2015), b = 0.

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

    def unpack(self, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The (W, b) of each layer that has parameters, in order, as views of theta.

        Writing into them changes theta. W of a Conv has shape (d_in/groups, h_b, h_a, d_out), of
        a Dense (inputs, units): in memory it is vec(W) of the notes' d_out x ... matrix.

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
        return [views for views in self.layout.views(theta) if views[0] is not None]

    def pack(self, parameters: Iterable[tuple[Any, Any]]) -> np.ndarray:
        """theta = [vec(W^1); b^1; ...; vec(W^L); b^L], the inverse of `unpack`; a new array.

        Raises
        ------
        TypeError, ValueError
            Naming the layer whose W or b has another dtype or shape.
        """
        return self.layout.packed(parameters)

    def as_theta(self, theta: Any) -> np.ndarray:
        """theta checked: a contiguous native vector of n numbers; copied only if it is not one."""
        array = as_array("Network", "theta", theta)
        self.layout.check(array)
        return np.require(array, self.dtype, ["C", "A"])

    def as_images(self, Z: Any, function: str = "Network") -> np.ndarray:
        """Z checked: (l, height, width, channels) in the network's dtype; of any layout."""
        array = as_array(function, "Z", Z)
        self.layout.check_dtype(f"{function}: Z", array)
        if array.ndim != 4 or array.shape[1:] != self.input_shape:
            expected = ", ".join(map(str, self.input_shape))
            raise ValueError(f"{function}: Z must have shape (l, {expected}), got {array.shape}")
        return array

    # passes

    def workspace(self, l: int | None = None) -> Workspace:
        """Buffers for shards of at most ``l`` images; `shard_size` when left out."""
        return Workspace(self._bound, self.dtype, self.shard_size if l is None else l)

    def workspaces(self) -> Workspaces:
        """A store of workspaces, for whoever evaluates shards again and again."""
        return Workspaces(self._bound, self.dtype)

    def forward(self, theta: Any, Z: Any, n_threads: int | None = None) -> np.ndarray:
        """z^{L+1}, the outputs of the last layer, for every image.

        Parameters
        ----------
        theta : array, shape (n,)
        Z : array, shape (l, height, width, channels)
        n_threads : int, optional
            All cores when left out. The result has the same bits for any number.

        Returns
        -------
        z : ndarray, shape (l, n_outputs) after a Dense layer, else (l, height, width, channels)

        Raises
        ------
        TypeError, ValueError
        """
        engine = ThreadEngine(n_threads)
        parameters = self.layout.views(self.as_theta(theta))
        images = self.as_images(Z)
        l = len(images)
        result = np.empty((l, *self._bound[-1].out_shape), self.dtype)
        cut = self.shards(l)

        def evaluate(part: slice) -> None:
            shard = np.require(images[part], self.dtype, ["C", "A"])
            with self._spare.borrow(len(shard)) as workspace:
                workspace.forward(parameters, shard, False, inner, result[part])

        inner = engine if len(cut) == 1 else None
        engine.run(evaluate, cut, lambda done: None)
        return result.reshape(l, *self.output_shape)

    def predict(self, theta: Any, Z: Any, n_threads: int | None = None) -> np.ndarray:
        """The class of every image: the index of its largest output; of equal ones the first.

        Parameters and errors as for `forward`.

        Returns
        -------
        classes : ndarray of int64, shape (l,)
        """
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
            A function of images: what `forward` computes, on the calling thread, in one call
            without the GIL.

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
        parameters = self.layout.views(self.as_theta(theta))
        return encode(
            self.input_shape,
            self.layers,
            self._bound,
            parameters,
            self.dtype,
            self.algorithm,
            images,
        )

    # in words

    def summary(self) -> str:
        """A table: layer, output shape, parameters, their place in theta, multiply-adds.

        And what a thread takes of memory for a gradient, whatever the number of images.
        """
        rows = [
            (
                layer_text(layer),
                shape_text(bound.out_shape[2:] if layer.kind == "Dense" else bound.out_shape),
                f"{place.stop - place.start:,}" if place else "0",
                f"{place.start}:{place.stop}" if place else "",
                f"{bound.multiply_adds:,}",
            )
            for layer, bound, place in zip(self.layers, self._bound, self.layout.places)
        ]
        total = sum(bound.multiply_adds for bound in self._bound)
        lines = layer_table(
            ("input", shape_text(self.input_shape), "", "", ""),
            rows,
            ("total", "", f"{self.n:,}", "", f"{total:,}"),
        )
        memory = self.workspace().nbytes / 2**20
        images = f"{self.shard_size} image{'s' if self.shard_size > 1 else ''}"
        lines.append(f"workspace  {memory:.1f} MiB per thread, for at most {images} at once")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Network({self.input_shape}, {list(self.layers)}, dtype={self.dtype})"

    def description(self) -> dict[str, Any]:
        """The network as JSON-able data; `from_description` is the inverse."""
        return {
            "input_shape": list(self.input_shape),
            "dtype": self.dtype.name,
            "layers": [layer_entry(k, layer) for k, layer in enumerate(self.layers)],
        }

    @classmethod
    def from_description(cls, description: Any) -> Network:
        """The network that `description` described.

        Raises
        ------
        ValueError
            Naming what is missing, unknown or out of range.
        """
        check_keys("network", description, {"input_shape", "layers"}, {"dtype"})
        dtype = description.get("dtype", "float64")
        if dtype not in ("float64", "float32"):
            raise ValueError(f"network: dtype must be 'float64' or 'float32', got {dtype!r}")
        if not isinstance(description["layers"], list):
            raise ValueError("network: layers must be a list")  # noqa: TRY004 - what a file holds
        layers = [layer_from(k, entry) for k, entry in enumerate(description["layers"])]
        try:
            return cls(description["input_shape"], layers, dtype)
        except (TypeError, OverflowError) as error:
            raise ValueError(str(error)) from error


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


def _bind(shape: tuple[int, ...], layers: Iterable[Any]) -> Iterable[BoundLayer]:
    for k, layer in enumerate(layers):
        if isinstance(layer, type) or not (hasattr(layer, "bind") and hasattr(layer, "kind")):
            raise TypeError(f"Network: layer {k} must be a layer, got {layer!r}")
        bound = layer.bind(shape, f"layer {k} ({layer.kind}) on images {shape_text(shape)}")
        yield bound
        shape = bound.out_shape
