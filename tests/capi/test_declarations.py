"""The declarations of the C interface in Cython and in ctypes are those of the header."""

import re
from pathlib import Path

import pytest
from support import activations, capi, capi_calls, geometries, headers
from support.headers import FUNCTIONS, INCLUDE, TABLE, TYPES, constants, current

import matconv
from matconv import encoding

KERNELS = Path(matconv.__file__).parent / "kernels"
PUBLIC = {
    "Activation": "matconv_activation",
    "Geometry": "matconv_geometry",
    "Network": "matconv_network",
    "NetworkShape": "matconv_network_shape",
    "Objective": "matconv_objective",
    "ObjectiveShape": "matconv_objective_shape",
    "Loss": "matconv_loss",
    "Samples": "matconv_samples",
    "Poll": "matconv_poll",
}
INTERNAL = {
    "Activation": "matconv_activation",
    "Geometry": "matconv_geometry",
    "Frozen": "matconv_network",
    "Shape": "matconv_network_shape",
    "Objective": "matconv_objective",
    "ObjectiveShape": "matconv_objective_shape",
    "LossName": "matconv_loss",
    "Given": "matconv_samples",
    "Poll": "matconv_poll",
}
# of functions for both dtypes, arguments that are double in both
DOUBLE = {"value"}
# of the arguments of each function of the table
NAMES = headers.argument_names(FUNCTIONS.read_text())
# the notes' letters: matrices, b the bias; g the geometry
LETTERS = {"Z", "W", "S", "b", "g", "k"}


def declared_struct(interface, name):
    return [(member, kind) for member, kind, _ in interface["structs"][name]["members"]]


def functions(interface):
    return {n: kind for n, kind in declared_struct(interface, TABLE) if kind.endswith(")")}


def arguments_of(kind):
    """The types of the arguments of a function."""
    return re.fullmatch(r".*? \((.*)\)", kind)[1].split(", ")


def test_names_are_words_or_letters_with_one_meaning():
    for name, arguments in NAMES.items():
        assert all(len(word) > 1 or word in LETTERS for word in arguments), name
        assert len(set(arguments)) == len(arguments), name
    for name, struct in current()["structs"].items():
        assert all(len(member) > 1 for member, _, _ in struct["members"]), name


def test_functions_of_both_dtypes_same_arguments():
    kinds = functions(current())
    pairs = [name.removesuffix("_f64") for name in kinds if name.endswith("_f64")]
    assert len(pairs) == sum(name.endswith("_f32") for name in kinds)
    for name in pairs:
        one, other = (arguments_of(kinds[f"{name}_{suffix}"]) for suffix in ("f64", "f32"))
        for argument, kind, of_f32 in zip(NAMES[f"{name}_f64"], one, other, strict=True):
            as_float = kind if argument in DOUBLE else kind.replace("double *", "float *")
            assert as_float == of_f32, (name, argument)
        assert NAMES[f"{name}_f64"] == NAMES[f"{name}_f32"]


def test_macros_match_functions_of_the_table():
    text = (INCLUDE / "matconv" / "matconv.h").read_text()
    macros = re.findall(r"^#define (matconv_\w+) \(MATCONV_TABLE->(\w+)\)$", text, re.MULTILINE)
    assert macros == [(f"matconv_{name}", name) for name in functions(current())]


def test_cython_functions_match_header():
    text = (KERNELS / "__init__.pxd").read_text()
    found = headers.cython_functions(text, PUBLIC)
    assert found.pop("geometry_default") == (
        "matconv_geometry_default", "void (matconv_geometry *)", ["g"],
    )  # fmt: skip
    assert "static inline void matconv_geometry_default(matconv_geometry *g)\n" in TYPES.read_text()
    expected = {
        name: (f"matconv_{name}", kind, NAMES[name]) for name, kind in functions(current()).items()
    }
    assert found == expected and list(found) == list(expected)
    assert 'cdef extern from "matconv/matconv.h" nogil:\n    enum:' in text


def test_cython_constants_match_header():
    text = (KERNELS / "__init__.pxd").read_text()
    found = headers.cython_constants(text, "cdef extern")
    assert list(found.values()) == list(constants(current()))
    for name, c_name in found.items():
        short = c_name.removeprefix("MATCONV_")
        assert name == ("NULL_POINTER" if short == "NULL" else short)


@pytest.mark.parametrize(
    ("file", "start", "name", "names"),
    [
        ("__init__.pxd", 'ctypedef struct Geometry "matconv_geometry"', "matconv_geometry", PUBLIC),
        ("__init__.pxd", "ctypedef struct NetworkShape", "matconv_network_shape", PUBLIC),
        ("__init__.pxd", "ctypedef struct Activation", "matconv_activation", PUBLIC),
        ("__init__.pxd", "ctypedef struct Loss", "matconv_loss", PUBLIC),
        ("__init__.pxd", "ctypedef struct ObjectiveShape", "matconv_objective_shape", PUBLIC),
        ("__init__.pxd", "ctypedef struct Samples", "matconv_samples", PUBLIC),
        ("_activation.pxd", "ctypedef struct Activation", "matconv_activation", INTERNAL),
        ("_geometry.pxd", "ctypedef struct Geometry", "matconv_geometry", INTERNAL),
        ("_frozen.pxd", 'ctypedef struct Shape "matconv_', "matconv_network_shape", INTERNAL),
        ("_objective.pxd", "ctypedef struct LossName", "matconv_loss", INTERNAL),
        ("_objective.pxd", "ctypedef struct ObjectiveS", "matconv_objective_shape", INTERNAL),
        ("_capi_objectives.pxd", "ctypedef struct Given", "matconv_samples", INTERNAL),
        ("_capi_table.pxd", 'ctypedef struct Table "matconv_api"', TABLE, INTERNAL),
    ],
)  # fmt: skip
def test_cython_structs_have_the_members_of_the_header(file, start, name, names):
    body = headers.block((KERNELS / file).read_text(), start)
    assert headers.cython_members(body, names) == declared_struct(current(), name)


def test_activation_codes_match_header():
    text = (KERNELS / "_activation.pxd").read_text()
    names = list(current()["enums"][2])
    assert list(headers.cython_constants(text, 'cdef extern from "matconv').values()) == names
    expected = {name: getattr(activations, name.removeprefix("ACTIVATION_")) for name in (
        "ACTIVATION_NONE", "RELU", "LEAKY_RELU", "CLIP", "SIGMOID", "TANH", "SOFTPLUS", "ELU",
        "HARD_SIGMOID", "SILU", "HARD_SWISH", "GELU",
    )}  # fmt: skip
    assert current()["enums"][2] == {f"MATCONV_{name}": value for name, value in expected.items()}
    python = {"ACTIVATION_NONE": "NO_ACTIVATION", "LEAKY_RELU": "LEAKY", "ELU": "ELU_CODE"}
    for name, value in expected.items():
        assert getattr(encoding, python.get(name, name)) == value


def test_status_codes_match_header():
    text = (KERNELS / "_status.pxd").read_text()
    statuses = current()["enums"][0]
    names = list(statuses)
    assert list(headers.cython_constants(text, "cdef extern").values()) == names
    assert tuple(name.removeprefix("MATCONV_") for name in names) == capi.STATUSES
    assert list(statuses.values()) == list(range(len(names)))


KINDS = {
    "d": ("double",), "i": ("int",), "n": ("ptrdiff_t", "size_t"), "s": ("const char *",),
    "g": ("const matconv_geometry *", "matconv_geometry *"), "a": ("const matconv_activation *",),
    "f": ("matconv_poll",),
}  # fmt: skip


def test_ctypes_table_matches_header():
    """The types that tests/support/capi.py calls with, entry by entry."""
    assert [name for name, _, _ in capi.ENTRIES] == list(functions(current()))
    results = {"int": "c_int", "void": "NoneType", "const char *": "c_char_p"}
    for (name, result, kinds), kind in zip(capi.ENTRIES, functions(current()).values()):
        returned, arguments = re.fullmatch(r"(.*?) \((.*)\)", kind).groups()
        assert results[returned] == getattr(result, "__name__", "NoneType"), name
        arguments = arguments.split(", ")
        assert len(arguments) == len(kinds), name
        for letter, argument in zip(kinds, arguments):
            known = [kind for kinds in KINDS.values() for kind in kinds]
            if letter == "p":
                assert argument.endswith("*") and argument not in known, name
            else:
                assert argument in KINDS[letter], name
    # and the names and the order of the arguments of each call
    called = set()
    for call in capi_calls.every_call(next(geometries.cases(1, seed=0)), "float64"):
        assert list(call.arguments) == NAMES[f"{call.name}_f64"]
        called.add(f"{call.name}_f64")
    rest = {name for name in NAMES if name.endswith("_f64")} - called
    assert rest == {
        *("conv_scratch_f64", "conv_transpose_scratch_f64", "network_predict_f64"),
        *("network_predict_threads_f64", "objective_get_theta_f64", "objective_gradient_f64"),
        *("objective_jvp_f64", "objective_vjp_f64", "objective_gauss_newton_f64"),
    }
    for struct, of_ctypes in (
        ("matconv_geometry", capi.Geometry), ("matconv_network_shape", capi.Shape),
        ("matconv_activation", capi.Activation), ("matconv_loss", capi.Loss),
        ("matconv_objective_shape", capi.ObjectiveShape), ("matconv_samples", capi.Samples),
        (TABLE, capi.Table),
    ):  # fmt: skip
        found = [(n, getattr(of_ctypes, n).offset) for n, _ in of_ctypes._fields_]
        expected = [(n, at) for n, _, at in current()["structs"][struct]["members"]]
        assert found == expected
