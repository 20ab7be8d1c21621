"""The function table of C, called through ctypes: its types as the header declares them."""

import ctypes
import re
from pathlib import Path

import numpy as np

import matconv
from matconv.kernels import capi

HEADER = Path(matconv.get_include(), "matconv", "types.h").read_text(encoding="utf-8")
STATUS = {name: int(value) for name, value in re.findall(r"MATCONV_([A-Z_0-9]+) = (\d+)", HEADER)}
STATUS_NAMES = {value: name for name, value in reversed(STATUS.items()) if name != "AUTO"}
TYPES = {"int": ctypes.c_int, "size_t": ctypes.c_size_t, "ptrdiff_t": ctypes.c_ssize_t}


def _type(text):
    if "*" in text:
        return ctypes.c_void_p
    return TYPES.get(text.split()[0])


def _struct(name, text):
    """A struct of the header whose fields are integers, or functions as pointers."""
    text = re.search(rf"typedef struct {name} {{(.*?)}} {name};", text, re.DOTALL)[1]
    fields = []
    for line in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).split(";"):
        function = re.match(r"\s*(.*?)\(\*(\w+)\)\((.*)\)", line, re.DOTALL)
        if function:
            result, label, arguments = function.groups()
            result = ctypes.c_char_p if "char" in result else _type(result)
            types = [_type(argument.strip()) for argument in arguments.split(",")]
            fields.append((label, ctypes.CFUNCTYPE(result, *types)))
        elif line.strip():
            kind, _, labels = line.strip().partition(" ")
            fields += [(label.strip(), TYPES[kind]) for label in labels.split(",")]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


Geometry = _struct("matconv_geometry", HEADER)
Shape = _struct("matconv_network_shape", HEADER)
Table = _struct("matconv_api", HEADER)

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
API = Table.from_address(_pointer(capi._API, b"matconv.kernels.capi._API"))
assert API.size == ctypes.sizeof(Table)


def geometry(**sizes):
    """A geometry with stride, dilation and groups of 1 and the sizes given."""
    ones = dict.fromkeys(("groups", "s_b", "s_a", "dil_b", "dil_a"), 1)
    return Geometry(struct_size=ctypes.sizeof(Geometry), **{**ones, **sizes})


def address(array):
    return None if array is None else array.ctypes.data


class Opened:
    """A network that is open; `status` says why it is not."""

    def __init__(self, data):
        self.handle = ctypes.c_void_p()
        into = ctypes.byref(self.handle)
        if isinstance(data, Path):
            self.status = API.network_open(str(data).encode(), into)
        else:
            self.status = API.network_open_memory(data, len(data), into)
        assert (self.status == 0) == bool(self.handle.value)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        API.network_close(self.handle)
        self.handle.value = None

    def shape(self):
        """The input, the output, and the bytes of a number."""
        shape = Shape(struct_size=ctypes.sizeof(Shape))
        assert API.network_get_shape(self.handle, ctypes.byref(shape)) == 0
        sizes = [getattr(shape, name) for name, _ in Shape._fields_[1:]]
        return tuple(sizes[:3]), tuple(sizes[3:6]), sizes[6]

    def workspace(self, n):
        """Numbers of scratch for n images."""
        size = ctypes.c_ssize_t(-1)
        status = API.network_workspace_size(self.handle, n, ctypes.byref(size))
        return size.value if status == 0 else -status

    def predict(self, images, out, scratch):
        """A status."""
        name = {8: "network_predict_f64", 4: "network_predict_f32"}[images.dtype.itemsize]
        return getattr(API, name)(
            self.handle, len(images), address(images), address(out), address(scratch), scratch.size
        )

    def run(self, images):
        """The outputs, in fresh memory."""
        out = np.empty((len(images), *self.shape()[1]), images.dtype)
        scratch = np.empty(self.workspace(len(images)), images.dtype)
        assert self.predict(images, out, scratch) == 0
        return out
