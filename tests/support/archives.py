"""The bytes of .npy files and of zip archives, with any header and name."""

import io
import struct
import warnings
import zipfile


def npy(header, data=b"", version=1):
    """Return an .npy file with a text as its header."""
    text = header.encode("latin-1")
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def plain(shape, data=b"", descr="<f8"):
    return npy(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n", data)


def archive(*members, method=zipfile.ZIP_STORED):
    """Return the bytes of a zip archive of (name, content) pairs; names may repeat."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as target, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, content in members:
            target.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()
