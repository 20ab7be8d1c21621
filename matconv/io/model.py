"""Model files: a trained network, its labels and its preprocessing in one .npz file.

The zip archive has two members, which are not compressed:

    theta.npy   the parameters, 1-D, float64 or float32, little-endian
    header.npy  uint8, the text of the JSON object that `matconv.io.header` describes

Any reader of .npz files and of JSON can read it; there is no pickle. A checksum over both members
detects damage. Saving equal arguments gives equal bytes.
"""

import warnings
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.lib import format as npy

from matconv.arguments import refuse_masked
from matconv.files.atomic import atomic_write
from matconv.files.errors import FilePath, format_error
from matconv.files.regular import shortened
from matconv.io import header as headers
from matconv.io import pixels as pixel_values
from matconv.io import preparing
from matconv.io.npz import Arrays, check_names, open_npz
from matconv.network import Network

__all__ = ["Model", "read_model", "save_model"]

# constant, so that equal arguments give equal bytes: the earliest time of the zip format
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Model:
    """Content of a model file. Immutable; can be copied and pickled; compares by identity.

    Attributes
    ----------
    network : Network
    theta : ndarray, (n,)
        In the network's dtype; a read-only copy of the argument.
    labels : tuple of str or tuple of int, or None
        The label of each output.
    preprocessing : dict, or None
        ``{"shift": float, "scale": float}`` and further entries, see `matconv.io.preparing`.
    training : dict, or None
        Record of the training.
    pixels : dict, or None
        ``{"dtype": str, "min": float, "max": float}`` of the training images.
    """

    network: Network
    theta: np.ndarray
    labels: tuple[Any, ...] | None = None
    preprocessing: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    pixels: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        theta = self.network.as_theta(self.theta).copy()
        theta.flags.writeable = False
        object.__setattr__(self, "theta", theta)
        if self.labels is not None:
            refuse_masked("Model: labels", self.labels)
            labels = (x.item() if isinstance(x, np.generic) else x for x in self.labels)
            object.__setattr__(self, "labels", tuple(labels))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, dict):
                object.__setattr__(self, field.name, dict(value))

    @property
    def pixel_shape(self) -> tuple[int, ...]:
        """(height, width, channels) of the images that `prepare` and `predict` take."""
        return preparing.pixel_shape(self.preprocessing, self.network.input_shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def prepare(self, pixels: Any) -> np.ndarray:
        """Return the network's input, ``(pixels - shift) * scale``.

        If the preprocessing has a mean, it is subtracted too; if it says so, channels are reordered
        and rows and columns exchanged first. It is computed in double precision (for longdouble pixels in longdouble) and rounded once to
        the network's dtype. The temporary memory does not depend on the number of pixels.

        Parameters
        ----------
        pixels : array_like, (l, height, width, channels)
            Real numbers of any type, as read from a file.

        Returns
        -------
        ndarray, (l, height, width, channels)
            A new array in the network's dtype.

        Raises
        ------
        TypeError
            If `pixels` are not real numbers, or are a masked array.
        ValueError
            If they do not have the shape `pixel_shape`.

        Warns
        -----
        UserWarning
            If the model has a description of the training images, and `pixels` differ from it: one
            has integers and the other floating-point numbers, or the ranges do not match. The
            text shows both.
        """
        return self._prepare(pixels, "prepare")

    def predict(self, pixels: Any) -> np.ndarray:
        """Return the label of each image, or the index of its class if the model has no labels.

        Parameters
        ----------
        pixels : array_like, (l, height, width, channels)
            The same as for `prepare`, with the same errors and warnings.

        Returns
        -------
        ndarray, (l,)
        """
        Z = self._prepare(pixels, "predict")
        index: np.ndarray = self.network.predict(self.theta, Z)
        return index if self.labels is None else np.array(self.labels)[index]

    def convert(self, pixels: Any) -> np.ndarray:
        """Return the same as `prepare` without a comparison with the training images.

        Parameters
        ----------
        pixels : array_like, (l, height, width, channels)

        Returns
        -------
        ndarray, (l, height, width, channels)
        """
        return self._converted(self._checked(pixels, "convert"))

    def mismatch(self, pixels: Any) -> str | None:
        """Compare images with the training images; return the text of the warning of `prepare`.

        Parameters
        ----------
        pixels : array_like, (l, height, width, channels)

        Returns
        -------
        str or None
            None if there is no difference, or the model has no description of training images.
        """
        return pixel_values.mismatch(self.pixels, self._checked(pixels, "mismatch"))

    def _prepare(self, pixels: Any, method: str) -> np.ndarray:
        pixels = self._checked(pixels, method)
        different = pixel_values.mismatch(self.pixels, pixels)
        if different:
            warnings.warn(f"Model.{method}: {different}", UserWarning, stacklevel=3)
        return self._converted(pixels)

    def _converted(self, pixels: np.ndarray) -> np.ndarray:
        return preparing.prepared(pixels, self.preprocessing, self.network.dtype)

    def _checked(self, pixels: Any, method: str) -> np.ndarray:
        """Return the pixels as an array, checked to be real and of the network's shape."""
        refuse_masked(f"Model.{method}: pixels", pixels)
        pixels = np.asarray(pixels)
        if pixels.dtype.kind not in "biuf":
            raise TypeError(f"Model.{method}: pixels must be real numbers, got {pixels.dtype}")
        expected = self.pixel_shape
        if pixels.shape[1:] != expected:
            raise ValueError(
                f"Model.{method}: pixels must have the shape {('l', *expected)}, got {pixels.shape}"
            )
        return pixels


def _check_theta(net: Network, theta: Any) -> np.ndarray:
    """Return theta as an array, checked to fit the network."""
    refuse_masked("save_model: theta", theta)
    theta = np.asarray(theta)
    if theta.dtype.newbyteorder("=") != net.dtype:
        raise TypeError(f"save_model: theta must be {net.dtype}, got {theta.dtype}")
    if theta.shape != (net.n,):
        raise ValueError(
            f"save_model: theta must have the shape ({net.n},) of the network's parameters, "
            f"got {theta.shape}"
        )
    return theta


def save_model(
    path: FilePath,
    net: Network,
    theta: Any,
    labels: Iterable[Any] | None = None,
    preprocessing: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    pixels: dict[str, Any] | None = None,
) -> None:
    """Save a network and its parameters, atomically (see `matconv.files.atomic_write`).

    Parameters
    ----------
    path : str, bytes or os.PathLike
        No extension is appended; ``.npz`` is usual.
    net : Network
    theta : ndarray, (net.n,)
        In the network's dtype. May contain NaN and infinities.
    labels : sequence of str or of int, optional
        The label of each output.
    preprocessing : dict, optional
        ``{"shift": s, "scale": c}``: the network was trained on ``(pixels - s) * c``. Further
        entries: see `matconv.io.preparing`.
    training : dict, optional
        Record of the training, for instance ``{"history": result.history}``. Parts that cannot be
        saved are omitted, see Notes.
    pixels : dict, optional
        Description of the training images (before shift and scale), from
        `matconv.io.describe_pixels`. `Model.prepare` warns if images differ from it.

    Raises
    ------
    TypeError
        If theta has another dtype or is a masked array, if training is not a dict, or if labels,
        preprocessing or pixels cannot be written as JSON.
    ValueError
        If the length of theta or the number of labels is not the network's, if shift or scale is
        not finite, or if network and labels take more than 8 MiB of JSON.
    OSError
        If the file cannot be written. An existing file is then unchanged.

    Warns
    -----
    UserWarning
        After the file has been written, if a part of `training` was replaced or omitted, or an
        attribute of the replaced file could not be kept.

    See Also
    --------
    matconv.load_model, matconv.io.describe_pixels, matconv.files.atomic_write

    Notes
    -----
    The file has at most 16 MiB of JSON. Of the list ``training["history"]`` at most 100,000 rows are
    saved, fewer if they do not fit: the first, the last and an even selection between them;
    ``training["history_thinned"]["of"]`` is then the original number of rows. The largest of the
    other entries are omitted if they do not fit; ``training["omitted"]`` names them. NumPy's
    scalars and arrays are saved as numbers and lists, and values without an equivalent in JSON (a
    set, a complex number, an object) as text.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from matconv import Dense, Network
    >>> net = Network((2, 2, 1), [Dense(3)])
    >>> theta = net.init(0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "model.npz")
    ...     save_model(path, net, theta, labels=["cat", "dog", "pig"])
    ...     model = read_model(path)
    >>> np.array_equal(model.theta, theta), model.labels
    (True, ('cat', 'dog', 'pig'))
    """
    theta = _check_theta(net, theta)
    refuse_masked("save_model: labels", labels)
    header = headers.make_header(net, labels, preprocessing, pixels)
    problems = headers.add_training(header, training)
    # a copy, because another thread may write into theta between hashing and writing
    theta = np.array(theta, dtype=theta.dtype.newbyteorder("<"), order="C")
    header["sha256"] = headers.digest(theta, header)
    text = headers.to_text(header)
    arrays = {"theta": theta, "header": np.frombuffer(text, np.uint8)}
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", _TIME)
            # the same on every system, so that equal arguments give equal bytes
            info.create_system = 3
            info.external_attr = 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as member:
                npy.write_array(member, array, version=(1, 0), allow_pickle=False)
    # after the file has been written, because a filter may convert the warning to an error
    for problem in problems:
        warnings.warn(f"save_model: {problem}", UserWarning, stacklevel=2)


def _shape_problems(arrays: Arrays) -> dict[str, str]:
    """Return texts, by name, about arrays whose type or shape no model file has."""
    problems: dict[str, str] = {}
    for name, types in (("theta", ("float64", "float32")), ("header", ("uint8",))):
        if name not in arrays.headers:
            continue
        array = arrays.headers[name]
        if len(array.shape) != 1 or array.dtype.name not in types:
            problems[name] = (
                f"{name!r} must be {' or '.join(types)} of 1 dimension, got {array.dtype} "
                f"{shortened(array.shape)}"
            )
        elif not arrays.stored(name):
            problems[name] = f"{name!r} is compressed, expected stored"
        elif name == "header" and array.nbytes > headers.MAX_BYTES:
            problems[name] = f"'header' has {array.nbytes} bytes, at most {headers.MAX_BYTES}"
    return problems


def _network(path: FilePath, description: Any) -> Network:
    """Return the network of an untrusted description."""
    try:
        return Network.from_description(description)
    except (ValueError, TypeError, OverflowError) as error:
        raise format_error(path, f"'header': network: {shortened(error, 400)}") from error


def _read_arrays(path: FilePath, arrays: Arrays) -> tuple[dict[str, Any], Network, np.ndarray]:
    """Return the header, the network and theta, or raise one error about all problems."""
    problems = check_names(arrays, ("theta", "header"))
    misshapen = _shape_problems(arrays)
    header = net = None
    if "header" in arrays.headers and "header" not in misshapen:
        header = headers.parse_header(path, arrays.read("header"))
        net = _network(path, header["network"])
        if "theta" in arrays.headers and "theta" not in misshapen:
            array = arrays.headers["theta"]
            if array.shape != (net.n,) or array.dtype.newbyteorder("=") != net.dtype:
                misshapen["theta"] = (
                    f"'theta' must be {net.dtype} ({shortened(net.n)},) for its network, "
                    f"got {array.dtype} {shortened(array.shape)}"
                )
    problems += misshapen.values()
    if problems or header is None or net is None:
        raise format_error(path, "; ".join(problems))
    return header, net, arrays.read("theta")


def read_model(path: FilePath) -> Model:
    """Return the content of a file that `save_model` wrote.

    Raises
    ------
    FormatError
        If the file is not a model file, is damaged, or has another format version. The message
        names all arrays that are missing, unexpected or of the wrong shape.
    OSError
        If the file cannot be read or is not a regular file.
    """
    with open_npz(path) as arrays:
        header, net, theta = _read_arrays(path, arrays)
    if headers.digest(theta, header) != header["sha256"]:
        raise format_error(path, "damaged: the sha256 in 'header' is not that of its content")
    headers.check_header(path, header, net)
    labels, preprocessing, pixels = (header[k] for k in ("labels", "preprocessing", "pixels"))
    return Model(
        network=net,
        theta=theta,
        labels=None if labels is None else tuple(labels),
        preprocessing=preprocessing and preparing.as_preprocessing(preprocessing),
        training=header["training"],
        pixels=pixels and {**pixels, "min": float(pixels["min"]), "max": float(pixels["max"])},
    )
