"""The table of C functions as Python sees it through ctypes.

Written from the contracts in ``include/matconv/table.h``, not from its text: test_declarations.py compares
that text with what compilers make of it.
"""

import ctypes

import numpy as np

from matconv.kernels import capi

STATUSES = (
    "OK", "SIZE", "KERNEL", "GROUPS", "OVERFLOW", "BLAS_INT", "STRUCT", "NULL", "SCRATCH",
    "ALGORITHM", "PADDING", "INDEX", "DTYPE", "FORMAT", "VERSION", "MEMORY", "UNREADABLE",
    "ACTIVATION", "INTERRUPTED", "LOSS", "TARGET", "DERIVATIVE",
)  # fmt: skip
(
    OK, SIZE, KERNEL, GROUPS, OVERFLOW, BLAS_INT, STRUCT, NULL, SCRATCH, ALGORITHM, PADDING, INDEX,
    DTYPE, FORMAT, VERSION, MEMORY, UNREADABLE, ACTIVATION, INTERRUPTED, LOSS, TARGET,
    DERIVATIVE,
) = range(22)  # fmt: skip
ALGORITHMS = ("auto", "im2col", "winograd")
METHODS = ("nearest", "bilinear", "bilinear aligned")
DTYPES = ("float64", "float32")
SUFFIX = {"float64": "f64", "float32": "f32"}

GIVEN = (
    "images", "height", "width", "channels", "filters", "groups", "kernel_height", "kernel_width",
    "stride_down", "stride_right", "pad_top", "pad_bottom", "pad_left", "pad_right",
    "dilation_down", "dilation_right",
)  # fmt: skip
DERIVED = ("out_height", "out_width", "group_channels", "group_filters", "column_length")
OF_A_NETWORK = (
    "height", "width", "channels", "out_height", "out_width", "out_channels", "item_size",
)  # fmt: skip
OF_AN_OBJECTIVE = (*OF_A_NETWORK[:6], "parameters", "item_size")
ONES = ("groups", "stride_down", "stride_right", "dilation_down", "dilation_right")


class Geometry(ctypes.Structure):
    """matconv_geometry; ``struct_size``, stride, dilation and groups are set by default."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        *((name, ctypes.c_ssize_t) for name in GIVEN + DERIVED),
    ]

    def __init__(self, **given):
        defaults = {"struct_size": ctypes.sizeof(Geometry), **dict.fromkeys(ONES, 1)}
        super().__init__(**{**defaults, **given})

    def derived(self):
        return tuple(getattr(self, name) for name in DERIVED)


class Activation(ctypes.Structure):
    """matconv_activation."""

    _fields_ = [
        ("code", ctypes.c_int),
        ("alpha", ctypes.c_double),
        ("beta", ctypes.c_double),
    ]


class Shape(ctypes.Structure):
    """matconv_network_shape; ``struct_size`` is set."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        *((name, ctypes.c_ssize_t) for name in OF_A_NETWORK),
    ]

    def __init__(self):
        super().__init__(struct_size=ctypes.sizeof(Shape))


class Loss(ctypes.Structure):
    """matconv_loss; ``struct_size`` is set."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("name", ctypes.c_char_p),
        ("parameter", ctypes.c_double),
        ("positions", ctypes.c_int),
    ]

    def __init__(self, name, parameter=0.0, positions=0):
        name = None if name is None else name.encode()
        super().__init__(ctypes.sizeof(Loss), name, parameter, positions)


class ObjectiveShape(ctypes.Structure):
    """matconv_objective_shape; ``struct_size`` is set."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        *((name, ctypes.c_ssize_t) for name in OF_AN_OBJECTIVE),
    ]

    def __init__(self):
        super().__init__(struct_size=ctypes.sizeof(ObjectiveShape))


class Samples(ctypes.Structure):
    """matconv_samples; ``struct_size`` is set. The caller keeps the arrays."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("images", ctypes.c_ssize_t),
        ("labels", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("divisor", ctypes.c_double),
    ]

    def __init__(self, images, labels=None, weights=None, divisor=1.0):
        labels, weights = as_argument(labels), as_argument(weights)
        super().__init__(ctypes.sizeof(Samples), images, labels, weights, divisor)


# Arguments: g a geometry, a an activation, p an array or another pointer, n a size, i an int, d a double,
# s a string, f a function.
_BOTH = {
    "im2col": "gpp",
    "col2im": "gpp",
    "bias_activation": "nnppap",
    "bias_activation_backward": "nnppapp",
    "conv_scratch": "gipp",
    "conv_forward": "gipppappn",
    "conv_backward": "gippp" + "ppp" + "pn",
    "max_pool": "gppp",
    "max_pool_backward": "gppp",
    "avg_pool": "gpp",
    "avg_pool_backward": "gpp",
    "dense_forward": "nnnpppap",
    "dense_backward": "nnnppp" + "ppp" + "pn",
}
# the same, appended to the table later
_LATER = {
    "lrn": "nnndddppp",
    "lrn_backward": "nnndddpppp",
    "conv_transpose_scratch": "gipp",
    "conv_transpose_forward": "gipppappn",
    "conv_transpose_backward": "gippp" + "ppp" + "pn",
    "upsample": "nnnnnnipp",
    "upsample_backward": "nnnnnnipp",
}
_OF_OBJECTIVES = {
    "objective_get_theta": "pp",
    "objective_gradient": "ppppp" + "pp" + "pnfp",
    "objective_jvp": "ppnpp" + "p" + "pnfp",
    "objective_vjp": "ppnpp" + "p" + "pnfp",
    "objective_gauss_newton": "pppppp" + "p" + "pnfp",
}
_TYPES = {
    "g": ctypes.c_void_p,
    "a": ctypes.c_void_p,
    "p": ctypes.c_void_p,
    "n": ctypes.c_ssize_t,
    "i": ctypes.c_int,
    "d": ctypes.c_double,
    "s": ctypes.c_char_p,
    "f": ctypes.c_void_p,
}


def _entries():
    """(name, result, arguments) of every function, in the order of the table."""
    yield "status_string", ctypes.c_char_p, "i"
    yield "geometry_init", ctypes.c_int, "g"
    for name, arguments in _BOTH.items():
        for suffix in SUFFIX.values():
            yield f"{name}_{suffix}", ctypes.c_int, arguments
    yield "network_open", ctypes.c_int, "sp"
    yield "network_open_memory", ctypes.c_int, "pnp"
    yield "network_close", None, "p"
    yield "network_outputs", ctypes.c_int, "pp"
    yield "network_get_shape", ctypes.c_int, "pnp"
    yield "network_workspace_size", ctypes.c_int, "pnp"
    for suffix in SUFFIX.values():
        yield f"network_predict_{suffix}", ctypes.c_int, "pnpppn"
    yield "network_workspace_size_threads", ctypes.c_int, "pnip"
    for suffix in SUFFIX.values():
        yield f"network_predict_threads_{suffix}", ctypes.c_int, "pnpppnifp"
    for name, arguments in _LATER.items():
        for suffix in SUFFIX.values():
            yield f"{name}_{suffix}", ctypes.c_int, arguments
    yield "objective_open", ctypes.c_int, "spnp"
    yield "objective_open_memory", ctypes.c_int, "pnpnp"
    yield "objective_close", None, "p"
    yield "objective_get_shape", ctypes.c_int, "pp"
    yield "objective_workspace_size", ctypes.c_int, "pnpp"
    for name, arguments in _OF_OBJECTIVES.items():
        for suffix in SUFFIX.values():
            yield f"{name}_{suffix}", ctypes.c_int, arguments


ENTRIES = tuple(_entries())


class Table(ctypes.Structure):
    """matconv_api."""

    _fields_ = [
        ("abi_version", ctypes.c_int),
        ("size", ctypes.c_size_t),
        *(
            (name, ctypes.CFUNCTYPE(result, *(_TYPES[kind] for kind in arguments)))
            for name, result, arguments in ENTRIES
        ),
    ]


def _table():
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return Table.from_address(get(capi._API, b"matconv.kernels.capi._API"))


TABLE = _table()


def as_argument(value):
    """An array as its address, a struct or a C number as a pointer to it; the rest as it is."""
    if isinstance(value, np.ndarray):
        return value.ctypes.data
    if isinstance(value, ctypes.Array):
        return ctypes.addressof(value)
    if isinstance(value, (ctypes.Structure, ctypes.c_ssize_t, ctypes.c_void_p)):
        return ctypes.addressof(value)
    return value


def pointers(*arrays):
    """Where these arrays lie, as an array of C; None: NULL."""
    places = [None if array is None else array.ctypes.data for array in arrays]
    return (ctypes.c_void_p * len(arrays))(*places)


def function(name, dtype=None):
    """A function of the table; of a pair, the one for the dtype."""
    return getattr(TABLE, name if dtype is None else f"{name}_{SUFFIX[str(dtype)]}")


def entry(name, dtype=None):
    """A function of the table, called with arrays and structs themselves."""
    called = function(name, dtype)
    return lambda *arguments: called(*map(as_argument, arguments))


def poisoned(shape, dtype):
    """Memory that looks like no result."""
    array = np.empty(shape, dtype)
    array.view(np.uint8).fill(0xA5)
    return array
