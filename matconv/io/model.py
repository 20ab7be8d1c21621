"""Model files: a trained network and all that is needed to use it, in one .npz without pickle.

The zip archive has two members, stored (not compressed):

    theta.npy   the parameters, 1-D, float64 or float32, little-endian
    header.npy  uint8, the text of the JSON object that `matconv.io.header` describes

Any reader of .npz files and of JSON can read it. A checksum over both makes a file either what
was saved or an error. Equal input gives equal bytes.
"""

import warnings
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from matconv.files.atomic import atomic_write
from matconv.files.errors import FilePath, format_error
from matconv.files.regular import shortened
from matconv.io import header as headers
from matconv.io import pixels as pixel_values
from matconv.io.npz import Arrays, check_names, open_npz

if TYPE_CHECKING:
    from matconv.network import Network

__all__ = ["Model", "load_model", "save_model"]

# The earliest time that a zip archive can hold, so that equal input gives equal bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Model:
    """What a model file holds. Immutable; can be copied and pickled; compares by identity.

    Attributes
    ----------
    network : Network
    theta : ndarray, (n,)
        Of the network's dtype. A copy of what is given, read-only: ``model.theta.copy()`` can be
        written into.
    labels : tuple of str or tuple of int, or None
        What the outputs stand for.
    preprocessing : dict, or None
        ``{"shift": float, "scale": float}``.
    training : dict, or None
        What the training recorded.
    pixels : dict, or None
        ``{"dtype": str, "min": float, "max": float}`` of the pixels of training.
    """

    network: "Network"
    theta: np.ndarray
    labels: tuple[Any, ...] | None = None
    preprocessing: dict[str, float] | None = None
    training: dict[str, Any] | None = None
    pixels: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        theta = self.network.as_theta(self.theta).copy()
        theta.flags.writeable = False
        object.__setattr__(self, "theta", theta)
        if self.labels is not None:
            _refuse_masked("Model: labels", self.labels)
            labels = (x.item() if isinstance(x, np.generic) else x for x in self.labels)
            object.__setattr__(self, "labels", tuple(labels))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, dict):
                object.__setattr__(self, field.name, dict(value))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def prepare(self, pixels: Any) -> np.ndarray:
        """The images as the network was trained on them: ``(pixels - shift) * scale``.

        Computed in double precision and rounded once to the network's dtype, in a constant amount
        of additional memory. Pixels in longdouble are computed in longdouble.

        Parameters
        ----------
        pixels : array_like, (l, height, width, channels)
            Real numbers of any type, as they come from a file.

        Returns
        -------
        ndarray, (l, height, width, channels)
            Of the network's dtype; a new array.

        Raises
        ------
        TypeError
            If `pixels` are not real numbers, or a masked array.
        ValueError
            If they do not have the network's shape.

        Warns
        -----
        UserWarning
            If the model records the pixels of training and these are of another kind: integers
            in place of floating-point numbers, or a range that does not fit. Both are named.
        """
        return self._prepare(pixels, "prepare")

    def predict(self, pixels: Any) -> np.ndarray:
        """The label of each image, or the index of its class if the model has no labels.

        Parameters
        ----------
        pixels : array_like, (l, height, width, channels)
            As for `prepare`, with the same errors and warnings.

        Returns
        -------
        ndarray, (l,)
        """
        Z = self._prepare(pixels, "predict")
        index: np.ndarray = self.network.predict(self.theta, Z)
        return index if self.labels is None else np.array(self.labels)[index]

    def convert(self, pixels: Any) -> np.ndarray:
        """As `prepare`, without comparing the pixels with those of training.

        Parameters
        ----------
        pixels : array_like, (l, height, width, channels)

        Returns
        -------
        ndarray, (l, height, width, channels)
        """
        return self._converted(self._checked(pixels, "convert"))

    def mismatch(self, pixels: Any) -> str | None:
        """Compare images with those of training: the text that `prepare` warns with.

        Parameters
        ----------
        pixels : array_like, (l, height, width, channels)

        Returns
        -------
        str or None
            None if there is nothing to warn of, or the model does not record its pixels.
        """
        return pixel_values.mismatch(self.pixels, self._checked(pixels, "mismatch"))

    def _prepare(self, pixels: Any, method: str) -> np.ndarray:
        pixels = self._checked(pixels, method)
        different = pixel_values.mismatch(self.pixels, pixels)
        if different:
            warnings.warn(f"Model.{method}: {different}", UserWarning, stacklevel=3)
        return self._converted(pixels)

    def _converted(self, pixels: np.ndarray) -> np.ndarray:
        if self.preprocessing is None:
            with np.errstate(all="ignore"):
                return np.array(pixels, dtype=self.network.dtype, order="C")
        shift, scale = self.preprocessing["shift"], self.preprocessing["scale"]
        return pixel_values.scaled(pixels, shift, scale, self.network.dtype)

    def _checked(self, pixels: Any, method: str) -> np.ndarray:
        """Return the pixels as an array of real numbers of the network's shape."""
        _refuse_masked(f"Model.{method}: pixels", pixels)
        pixels = np.asarray(pixels)
        if pixels.dtype.kind not in "biuf":
            raise TypeError(f"Model.{method}: pixels must be real numbers, got {pixels.dtype}")
        expected = tuple(self.network.input_shape)
        if pixels.shape[1:] != expected:
            raise ValueError(
                f"Model.{method}: pixels must have the shape {('l', *expected)}, got {pixels.shape}"
            )
        return pixels


def _refuse_masked(name: str, value: Any) -> None:
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill it or drop the mask first")


def _check_theta(net: "Network", theta: Any) -> np.ndarray:
    """theta as an array that fits the network."""
    _refuse_masked("save_model: theta", theta)
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
    net: "Network",
    theta: Any,
    labels: Iterable[Any] | None = None,
    preprocessing: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    pixels: dict[str, Any] | None = None,
) -> None:
    """Save a network and its parameters: all or nothing, and durable.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        Used as it is; ``.npz`` is the usual ending.
    net : Network
    theta : ndarray, (net.n,)
        Of the network's dtype. NaN and infinities are saved as they are.
    labels : sequence of str or of int, optional
        What the outputs stand for, in order.
    preprocessing : dict, optional
        ``{"shift": s, "scale": c}``: the network was trained on ``(pixels - s) * c``.
    training : dict, optional
        A record to be kept with the model, for instance ``{"history": result.history}``. It never
        keeps theta from being saved; see the notes.
    pixels : dict, optional
        What `matconv.io.describe_pixels` returns for the pixels of training (before shift and scale).
        `Model.prepare` warns of images that are not like them.

    Raises
    ------
    TypeError
        If theta is of another dtype or a masked array, training not a dict, or labels,
        preprocessing or pixels cannot be written as JSON.
    ValueError
        If theta does not have the network's length, the labels not its number of outputs, shift
        or scale is not finite, or network and labels take more than 8 MiB of JSON.
    OSError
        With the path, if it cannot be written. The file that was there is then unchanged.

    Warns
    -----
    UserWarning
        After the file has been written: if something of `training` was replaced or left out, or
        an attribute of the replaced file could not be kept.

    See Also
    --------
    load_model, matconv.io.describe_pixels, matconv.files.atomic_write

    Notes
    -----
    The file holds at most 16 MiB of JSON. Of the entry "history" of `training`, a list, at most
    100,000 rows are kept, fewer if they do not fit: the first, the last and an even selection
    between. ``training["history_thinned"]["of"]`` is then the number of all rows. Of the other
    entries, the largest are left out if they do not fit; ``training["omitted"]`` names them.
    NumPy's numbers and arrays become numbers and lists; what has no equivalent in JSON (a set, a
    complex number, an object) is saved as its text.

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
    ...     model = load_model(path)
    >>> np.array_equal(model.theta, theta), model.labels
    (True, ('cat', 'dog', 'pig'))
    """
    theta = _check_theta(net, theta)
    _refuse_masked("save_model: labels", labels)
    header = headers.make_header(net, labels, preprocessing, pixels)
    problems = headers.add_training(header, training)
    # A copy, so that what is hashed is what is written, even if theta changes meanwhile.
    theta = np.array(theta, dtype=theta.dtype.newbyteorder("<"), order="C")
    header["sha256"] = headers.digest(theta, header)
    text = headers.to_text(header)
    arrays = {"theta": theta, "header": np.frombuffer(text, np.uint8)}
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", _TIME)
            # zipfile would note the system it runs on.
            info.create_system = 3
            info.external_attr = 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as member:
                npy.write_array(member, array, version=(1, 0), allow_pickle=False)
    # Last, so that a warning that is turned into an error loses nothing.
    for problem in problems:
        warnings.warn(f"save_model: {problem}", UserWarning, stacklevel=2)


def _shape_problems(arrays: Arrays) -> dict[str, str]:
    """By name, arrays that are not of a model's kind, whatever the network."""
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


def _network(path: FilePath, description: Any) -> "Network":
    """The network of a description that nobody vouches for."""
    # The one thing that needs the compiled kernels; image files are read without them.
    from matconv.network import Network

    try:
        return Network.from_description(description)
    except (ValueError, TypeError, OverflowError) as error:
        raise format_error(path, f"'header': network: {shortened(error, 400)}") from error


def _read_arrays(path: FilePath, arrays: Arrays) -> tuple[dict[str, Any], "Network", np.ndarray]:
    """The header, its network and theta; or all that is wrong with the arrays, at once."""
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


def load_model(path: FilePath) -> Model:
    """Load what `save_model` saved.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Returns
    -------
    Model

    Raises
    ------
    FormatError
        If it is no model file, is damaged anywhere, or is of a newer format version (both
        versions are named); if arrays are missing, not expected or misshapen, one message names
        them all.
    OSError
        With the path, if the file cannot be read or is not a regular file.

    See Also
    --------
    save_model

    Examples
    --------
    >>> import os, tempfile
    >>> from matconv import Dense, Network
    >>> net = Network((2, 2, 1), [Dense(3)])
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "model.npz")
    ...     save_model(path, net, net.init(0), preprocessing={"shift": 0, "scale": 1 / 255})
    ...     model = load_model(path)
    >>> model.network
    Network((2, 2, 1), [Dense(units=3, activation=None)], dtype=float64)
    >>> model.predict([[[[255], [0]], [[0], [0]]]]).shape
    (1,)
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
        preprocessing=preprocessing and {key: float(x) for key, x in preprocessing.items()},
        training=header["training"],
        pixels=pixels and {**pixels, "min": float(pixels["min"]), "max": float(pixels["max"])},
    )
