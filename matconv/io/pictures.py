"""Pictures in PNG and JPEG files, read by Pillow (the extra ``images``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from matconv.files.errors import FilePath, FormatError, format_error
from matconv.files.regular import USUAL_BYTES, USUAL_RATIO, open_regular, shortened
from matconv.io.extras import need

__all__ = ["list_pictures", "picture_classes", "read_picture", "read_pictures"]

_ENDINGS = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG")
_GRAY = ("1", "L", "LA")
# bytes of memory for each pixel, copies of Pillow and buffers of libjpeg included
_PNG_BYTES, _JPEG_BYTES = 8, 12
# limit of what a picture is enlarged to before its centre is taken: pixels, or a multiple of the centre
_MAX_PIXELS, _MAX_RATIO = 2**22, 16
# pixels that become an array at once
_STRIP = 2**18


def list_pictures(directory: str) -> list[str]:
    """Return the paths of the pictures in a directory, by name: .png, .jpg, .jpeg in any case."""
    names = sorted(entry.name for entry in os.scandir(directory))
    return [
        os.path.join(directory, name)
        for name in names
        if name.lower().endswith(_ENDINGS) and not name.startswith(".")
    ]


def picture_classes(directory: str) -> dict[str, list[str]]:
    """Return the pictures of each subdirectory that has some, by the names of these, sorted."""
    folders = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    found = {name: list_pictures(os.path.join(directory, name)) for name in folders}
    return {name: paths for name, paths in found.items() if paths and not name.startswith(".")}


def read_picture(
    path: FilePath,
    channels: int | None = None,
    size: Sequence[int] | None = None,
    preprocessing: dict[str, Any] | None = None,
) -> np.ndarray:
    """Read a picture.

    Parameters
    ----------
    path : str, bytes or os.PathLike
        PNG or JPEG.
    channels : 1 or 3, optional
        Gray or RGB; other pictures are converted, and transparency is ignored. By default 1 if the
        picture is gray, else 3.
    size : (height, width), optional
        Size to bring the picture to, if it has another one, as the preprocessing says.
    preprocessing : dict, optional
        Entries "interpolation", "keep_aspect" and "border" (see `matconv.io.preparing`) for size;
        by default bilinear, of both sides, without a border.

    Returns
    -------
    ndarray of uint8, (height, width, channels)
        Rounded, if the size was changed. Pictures of 16 bits are reduced to 8.

    Raises
    ------
    FormatError
        If the file is not a picture, is damaged, or declares so many pixels that they take more
        memory than 64 MiB and 200 times its bytes (8 bytes for each pixel, 12 for JPEG), or if it is
        so thin that it would be enlarged to more than 2^22 pixels and 16 times the wanted size.
    ValueError
        If a network has another number of channels.
    OSError
        If the file cannot be read.
    ImportError
        If Pillow is not installed.

    Notes
    -----
    Pillow and the libraries that it uses read the file. They are tested with damaged files, but do
    not promise that a malicious one is harmless.
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, the network has {channels}")
    need("images")
    from PIL import Image

    with open_regular(path) as (file, bytes_):
        try:
            with Image.open(file, formats=_FORMATS) as picture:
                _check_size(path, picture, bytes_)
                if size is not None:
                    _check_enlarged(path, picture, size, preprocessing or {})
                picture.load()
                return _as_array(picture, channels, size, preprocessing or {})
        except (MemoryError, FormatError):
            raise
        except Exception as error:  # Pillow documents none of the errors of a damaged file
            if isinstance(error, OSError) and error.errno is not None:
                raise
            text = shortened(error, 200).replace(f" {file!r}", "")
            raise format_error(path, f"not a picture that can be read: {text}") from error


def _check_size(path: FilePath, picture: Any, bytes_: int) -> None:
    """Raise FormatError if a picture takes too much memory for the size of its file."""
    taken = (
        (_PNG_BYTES if picture.format == "PNG" else _JPEG_BYTES) * picture.width * picture.height
    )
    if taken > max(USUAL_BYTES, USUAL_RATIO * bytes_):
        raise format_error(
            path,
            f"{picture.height} x {picture.width} pixels, too many for a file of {bytes_} bytes: "
            f"save the picture with fewer",
        )


def _check_enlarged(path: FilePath, picture: Any, size: Sequence[int], how: dict[str, Any]) -> None:
    """Raise FormatError if the picture, or its rows, would be enlarged very much."""
    rows, columns = _full_size(picture, size, how)
    # Pillow resizes all rows first, then the columns
    if max(rows, picture.height) * columns > max(_MAX_PIXELS, _MAX_RATIO * size[0] * size[1]):
        raise format_error(
            path,
            f"a picture of {picture.height} x {picture.width} would be enlarged to "
            f"{rows} x {columns} to cover {size[0]} x {size[1]}",
        )


def _as_array(
    picture: Any, channels: int | None, size: Sequence[int] | None, how: dict[str, Any]
) -> np.ndarray:
    gray = picture.mode in _GRAY or picture.mode.startswith("I")
    mode = "L" if channels == 1 or (channels is None and gray) else "RGB"
    if size is not None and (picture.height, picture.width) != tuple(size):
        picture = _resized(_converted(picture, mode), tuple(size), how)
    width, height = picture.size
    array = np.empty((height, width, len(mode)), np.uint8)
    # some rows at a time: Pillow copies what it converts, and again what becomes an array
    count = max(1, _STRIP // width)
    for first in range(0, height, count):
        rows = picture.crop((0, first, width, min(first + count, height)))
        part = array[first : first + count]
        part[...] = np.asarray(_converted(rows, mode)).reshape(part.shape)
    return array


def _converted(picture: Any, mode: str) -> Any:
    if picture.mode.startswith("I"):  # 16 bits
        picture = picture.point(lambda pixel: pixel / 257).convert("L")
    return picture if picture.mode == mode else picture.convert(mode)


def _full_size(picture: Any, size: Sequence[int], how: dict[str, Any]) -> list[int]:
    """Return the (height, width) that a picture is resized to before the centre is taken."""
    full = [n + more for n, more in zip(size, how.get("border", (0, 0)), strict=True)]
    if not how.get("keep_aspect", False):
        return full
    # the smallest picture of the same shape that covers the wanted size
    sizes = (picture.height, picture.width)
    factor = max(n / m for n, m in zip(full, sizes, strict=True))
    return [max(n, round(factor * m)) for n, m in zip(full, sizes, strict=True)]


def _resized(picture: Any, size: tuple[int, ...], how: dict[str, Any]) -> Any:
    """Return a picture with the given (height, width)."""
    from PIL import Image

    method = Image.Resampling[how.get("interpolation", "bilinear").upper()]
    wanted = _full_size(picture, size, how)
    picture = picture.resize((wanted[1], wanted[0]), method)
    top, left = ((n - m) // 2 for n, m in zip(wanted, size, strict=True))
    return picture.crop((left, top, left + size[1], top + size[0]))


def read_pictures(
    paths: Sequence[str],
    channels: int | None = None,
    size: Sequence[int] | None = None,
    preprocessing: dict[str, Any] | None = None,
) -> np.ndarray:
    """Read pictures of one size, or bring them to one; see `read_picture`.

    Returns
    -------
    ndarray of uint8, (l, height, width, channels)

    Raises
    ------
    FormatError
        Also if they have different sizes and ``size`` is not given.
    """
    first = read_picture(paths[0], channels, size, preprocessing)
    images = np.empty((len(paths), *first.shape), np.uint8)
    for k, path in enumerate(paths):
        image = first if k == 0 else read_picture(path, first.shape[2], size, preprocessing)
        if image.shape != first.shape:
            raise format_error(
                path,
                f"the picture is {image.shape[0]} x {image.shape[1]}, {paths[0]!r} is "
                f"{first.shape[0]} x {first.shape[1]}: pictures of one size are needed",
            )
        images[k] = image
    return images
