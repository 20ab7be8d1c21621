"""The bytes of .npy members and of zip archives, of any header and name, good or bad."""

import io
import struct
import warnings
import zipfile


def npy(header, data=b"", version=1):
    """An .npy file with a header of any text."""
    text = header.encode("latin-1")
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def plain(shape, data=b"", descr="<f8"):
    return npy(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n", data)


def archive(*members, method=zipfile.ZIP_STORED):
    """The bytes of a zip archive of (name, content) pairs, duplicates allowed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as target, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, content in members:
            target.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()
