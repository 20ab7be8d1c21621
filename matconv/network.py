"""Network: outputs as a function of theta and images.

theta = [vec(W^1); b^1; ...; vec(W^L); b^L]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from .descriptions import layer_entry
from .encoding import MAX_IMAGES, encode
from .engines.threads import ThreadEngine
from .evaluation import Evaluation
from .files.atomic import atomic_write
from .files.errors import FilePath
from .kernels._arrays import as_array, contiguous, is_ready, refuse_masked
from .kernels._sizes import as_size
from .kernels.predictor import Predictor
from .moments import normalized
from .structure import Structure


class Network(Structure):
    """A convolutional network as a function of one vector theta and of images.

    Immutable; can be used by several threads at the same time. Networks with equal input shape,
    layers, dtype, algorithm and outputs are equal. A network can be pickled; copies are the same
    object.

    Parameters
    ----------
    input_shape : (height, width, channels)
        Shape of one image.
    layers : sequence of layers
        Instances of the classes in `matconv.layers`. Each layer reads the previous one unless its
        ``inputs`` name others.
    dtype : float64 or float32
        The dtype of theta, of images and of all computations.
    algorithm : "auto", "im2col" or "winograd"
        Algorithm of the convolutions that do not name their own; see `matconv.conv2d`. It is not
        part of a saved model.
    outputs : sequence of str, optional
        Names of the layers whose outputs are those of the network. By default the last layer.

    Attributes
    ----------
    n : int
        Number of parameters, the length of theta.
    layers, input_shape, dtype, algorithm
        The arguments.
    names : tuple of str
        Names of the layers.
    outputs : tuple of str or None
        The argument.
    layout : Layout
        Places of each layer's parameters in theta.
    shard_size : int
        Maximum number of images that are evaluated at once; see `matconv.sharding`.
    output_shape : tuple
        Shape of z^{L+1,i}, the output for one image: (height, width, channels), or ``(units,)`` for
        a vector such as the output of a Dense layer. With several ``outputs`` a tuple of shapes.
    n_outputs : int
        Number of elements of z^{L+1,i}. With several outputs a tuple.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If an argument is invalid or a layer does not fit its inputs; the message has the index and
        the kind of the layer.

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

    _rebuilt: ClassVar[tuple[str, ...]] = (*Structure._rebuilt, "_evaluation")

    def _build(self, outputs: Sequence[str] | None) -> None:
        super()._build(outputs)
        program = self._program
        self._evaluation = Evaluation(
            program, program.whole_inference_bytes, program.inference_bytes
        )

    def with_algorithm(self, algorithm: str | None) -> Network:
        """Return the same network with another algorithm; see `matconv.conv2d`.

        A layer that names its own algorithm keeps it. With None the network itself is returned.
        """
        if algorithm is None:
            return self
        return Network(self.input_shape, self.layers, self.dtype, algorithm, self.outputs)

    # theta

    def init(self, seed: int | None = None) -> np.ndarray:
        """Return a random theta.

        The elements of W are drawn from N(0, 2/K), where K is the number of inputs of one output
        [1]_; b is 0. The ``init`` of a layer may say otherwise. A layer without W initialises its
        parameters as its class documents.

        Parameters
        ----------
        seed : int, optional
            Equal seeds give equal bits. By default the result differs from call to call.

        Returns
        -------
        theta : ndarray, shape (n,)
            In the network's dtype.

        References
        ----------
        .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers: surpassing
           human-level performance on ImageNet classification" (2015).
        """
        refuse_masked("Network", "seed", seed)
        return self.layout.random(seed)

    def normalized(self, theta: Any, Z: Any) -> np.ndarray:
        """Return theta with gains and biases for which Scale layers normalise the images Z.

        Layer by layer, each channel of gain z + bias, before the activation, gets the mean 0 and
        the variance 1 over all images and pixels. A channel that is constant gets the mean 0 and
        the gain 1. This is the form that batch normalisation has after one pass over Z, and a
        data-dependent initialisation. The forward pass up to each Scale layer is computed again for
        each of them.

        Parameters
        ----------
        theta : array, shape (n,)
            Not changed.
        Z : array, shape (l, height, width, channels)
            A sample of the images, at least one.

        Returns
        -------
        theta : ndarray, shape (n,)
            The same, except for the parameters of Scale layers. Layers that share them are
            normalised where the layer is that owns them.

        Raises
        ------
        TypeError, ValueError
            If an argument has another dtype or shape, there are no images, a Scale layer has no
            bias, or its inputs are not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Conv, Network, Scale
        >>> net = Network((8, 8, 1), [Conv(4, 3, bias=False), Scale()])
        >>> Z = np.random.default_rng(0).standard_normal((10, 8, 8, 1))
        >>> z = net.forward(net.normalized(net.init(seed=0), Z), Z)
        >>> bool(abs(z.mean((0, 1, 2))).max() < 1e-14), bool(abs(z.var((0, 1, 2)) - 1).max() < 1e-14)
        (True, True)
        """
        theta, images = self.as_theta(theta), self.as_images(Z)
        if len(images) == 0:
            raise ValueError("Network: Z has no images")
        return normalized(self, theta, images)

    def unpack(self, theta: np.ndarray) -> list[Any]:
        """Return the parameters of each layer that has some of its own, as views of theta.

        Writing into the views changes theta.

        Parameters
        ----------
        theta : ndarray, shape (n,)
            Contiguous, in the network's dtype.

        Returns
        -------
        parameters : list of namedtuple
            In the order of the layers: (W, b) of a Conv or Dense, (gain, bias) of a Scale; without
            a bias only the first of them. W of a Conv has the shape (d_in/groups, h_b, h_a, d_out),
            W of a Dense (inputs, units); the memory of each is vec(W) of the notes' matrix, which
            has d_out or ``units`` rows.

        Raises
        ------
        TypeError, ValueError
            If theta is not such a vector.
        """
        refuse_masked("Network", "theta", theta)
        if not isinstance(theta, np.ndarray):
            raise TypeError(f"Network: theta must be an ndarray, got {type(theta).__name__}")
        self.layout.check(theta)
        if not theta.flags.c_contiguous:
            raise ValueError("Network: theta must be contiguous to be seen as views")
        return [views for _, views in self.layout.views(theta)]

    def pack(self, parameters: Iterable[Any]) -> np.ndarray:
        """Return theta = [vec(W^1); b^1; ...; vec(W^L); b^L], a new array; inverse of `unpack`.

        Parameters
        ----------
        parameters : iterable of tuples of arrays
            One tuple for each layer that has parameters of its own, as `unpack` returns them.

        Returns
        -------
        theta : ndarray, shape (n,)

        Raises
        ------
        TypeError, ValueError
            If an array has another dtype or shape than its layer needs; the message names the layer
            and the array.
        """
        return self.layout.packed(parameters)

    def as_theta(self, theta: Any) -> np.ndarray:
        """Return theta, checked, as a contiguous vector in native byte order; a copy if necessary.

        Raises
        ------
        TypeError, ValueError
            If theta does not have shape (n,) and the network's dtype.
        """
        if is_ready(theta, self.dtype, (self.n,)):
            return theta
        array = as_array("Network", "theta", theta)
        self.layout.check(array)
        return np.require(array, self.dtype, ["C", "A"])

    def as_images(self, Z: Any, function: str = "Network") -> np.ndarray:
        """Return Z as an array, checked; its memory layout may be any.

        Raises
        ------
        TypeError, ValueError
            If Z does not have shape (l, height, width, channels) and the network's dtype. Messages
            begin with ``function``.
        """
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
        """Return the outputs z^{L+1} for every image.

        Parameters
        ----------
        theta : array, shape (n,)
        Z : array, shape (l, height, width, channels)
            Images, in the network's dtype.
        n_threads : int, optional
            Number of threads; `matconv.engines.default_threads` by default. The result has the same
            bits for any number.

        Returns
        -------
        z : ndarray, shape (l, *output_shape)
            With several outputs a tuple of arrays, in the order of ``outputs``.

        Raises
        ------
        TypeError, ValueError
            If an argument has another dtype or shape.
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
        """Return the class of every image: the index of its largest output, the first of equals.

        Parameters and errors are those of `forward`.

        Returns
        -------
        classes : ndarray of int64, shape (l,)
        """
        if not isinstance(self.n_outputs, int):
            raise ValueError(  # noqa: TRY004 - a property of the network, not of an argument
                f"Network: predict needs one output, got {len(self.n_outputs)}"
            )
        z = self.forward(theta, Z, n_threads)
        return z.reshape(len(z), self.n_outputs).argmax(axis=1)

    # networks with fixed parameters: frozen in memory, exported to a file

    def freeze(self, theta: Any, images: int = 1) -> Predictor:
        """Return a predictor: the network with fixed parameters, prepared for fast calls.

        Parameters
        ----------
        theta : array, shape (n,)
            Copied.
        images : int
            Usual number of images of a call, from 1 to 65536, for which "auto" chooses algorithms.
            The predictor accepts any number.

        Returns
        -------
        predictor : Predictor
            Function of images that returns what `forward` returns. A call is a single call of
            compiled code without the GIL, on one thread unless it is given more. Immutable; can be
            used by several threads at the same time.

        Raises
        ------
        TypeError, ValueError, MemoryError
            If an argument is invalid, or there is no memory for the prepared parameters.

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
        """Write the network with fixed parameters to a file that compiled code can open.

        `load_predictor` opens it in Python, ``matconv_network_open`` in C. The file is written
        atomically (`matconv.files.atomic_write`). Use `save_model` for a file to train further,
        with labels and settings.

        Parameters
        ----------
        theta, images
            The same as for `freeze`.
        path : str, bytes or os.PathLike

        Raises
        ------
        TypeError, ValueError
            If an argument is invalid.
        OSError
            If the file cannot be written.
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
            layer_entry(k, layer)  # raises an error for a layer whose attributes were changed
        records = [node.record for node in self._nodes]
        return encode(self.input_shape, records, self._outputs, self.n, self.dtype, images, theta)
