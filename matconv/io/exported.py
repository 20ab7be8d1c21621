"""load_predictor: read a file that `Network.export` wrote."""

from __future__ import annotations

from matconv.files.errors import FilePath, format_error
from matconv.files.regular import open_regular
from matconv.kernels.predictor import Predictor

__all__ = ["load_predictor"]


def load_predictor(path: FilePath) -> Predictor:
    """Return the predictor of an exported network.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        File that `Network.export` wrote. Every byte of it is checked.

    Returns
    -------
    predictor : Predictor
        It keeps a copy of the file's content, so that it can be pickled, in addition to the
        prepared parameters. The file is not needed afterwards.

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError
        If it is not an exported network, is damaged, or has another format version.

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
