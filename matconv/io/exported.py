"""load_predictor: a network that `Network.export` wrote, ready to be used."""

from __future__ import annotations

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import open_regular
from matconv.kernels.predictor import Predictor

__all__ = ["load_predictor"]


def load_predictor(path: FilePath) -> Predictor:
    """The predictor of an exported network.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        What `Network.export` wrote. Anything else is refused, whoever made it.

    Returns
    -------
    predictor : Predictor
        It keeps the content of the file, to be pickled: as many bytes as the file has, in addition
        to the prepared filters. The file is not needed any more.

    Raises
    ------
    OSError
        The file cannot be read.
    FormatError
        It is no exported network, or a damaged one, or of another version.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from matconv import Dense, Network, load_predictor
    >>> net = Network((2, 2, 1), [Dense(3)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.export(net.init(seed=0), os.path.join(folder, "small.matconv"))
    ...     predictor = load_predictor(os.path.join(folder, "small.matconv"))
    >>> predictor(np.ones((5, 2, 2, 1))).shape
    (5, 3)
    """
    with open_regular(path) as (file, _):
        data = file.read()
    try:
        return Predictor(data)
    except ValueError as error:
        raise format_error(path, str(error).removeprefix("Predictor: ")) from None
