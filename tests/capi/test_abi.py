"""The binary interface: every recorded function, struct and constant is unchanged.

``abi.json`` records it. What is new at the end of the table, or a new status, passes; what has
moved, gone or changed fails. ``python -m capi.test_abi --write`` in tests/ records the present on purpose.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import activations, capi, capi_calls, geometries, headers

import matconv
from matconv import encoding

RECORD = Path(__file__).with_name("abi.json")
INCLUDE = Path(matconv.get_include())
TYPES = INCLUDE / "matconv" / "types.h"
KERNELS = Path(matconv.__file__).parent / "kernels"
TABLE = "matconv_api"
# members may be appended
GROWING = {TABLE, "matconv_activation"}
GCC = shutil.which("gcc")


def recorded():
    return json.loads(RECORD.read_text())


def constants(interface):
    return {name: value for enum in interface["enums"] for name, value in enum.items()}


def differences(old, new):
    """Yield a description of each difference from the recorded interface."""
    if old["abi_version"] != new["abi_version"]:
        yield f"MATCONV_ABI_VERSION was {old['abi_version']}, is {new['abi_version']}"
    present = constants(new)
    for name, value in constants(old).items():
        if name not in present:
            yield f"{name} is gone"
        elif present[name] != value:
            yield f"{name} was {value}, is {present[name]}"
    for enum in new["enums"]:
        for value in {value for value in enum.values() if list(enum.values()).count(value) > 1}:
            yield " and ".join(name for name in enum if enum[name] == value) + f" are both {value}"
    for name, struct in old["structs"].items():
        if name not in new["structs"]:
            yield f"{name} is gone"
            continue
        other = new["structs"][name]
        yield from member_differences(name, struct["members"], other["members"])
        if name not in GROWING and struct["size"] != other["size"]:
            yield f"{name} had {struct['size']} bytes, has {other['size']}"


def member_differences(struct, old, new):
    places = {name: (kind, offset) for name, kind, offset in new}
    for name, kind, offset in old:
        if name not in places:
            yield f"{struct}.{name} is gone"
            continue
        new_kind, new_offset = places[name]
        if new_kind != kind:
            yield f"{struct}.{name} was {kind}, is {new_kind}"
        if new_offset != offset:
            yield f"{struct}.{name} was at byte {offset}, is at {new_offset}"


def check(old, new):
    problems = "; ".join(differences(old, new))
    if problems:
        raise AssertionError(
            f"the binary interface has changed: {problems}; if that is what you want, "
            "python -m capi.test_abi --write in tests/"
        )


def in_a_line(found):
    """A member, which is a list of three, as a line of the record."""
    return "[" + re.sub(r"\n\s*", " ", found.group(1)) + "]"


def current():
    return headers.header(TYPES.read_text())


# The record


def test_header_recorded_interface_unchanged():
    check(recorded(), current())


def test_record_has_no_missing_entry():
    """Nothing that the header says is not recorded, so that a later change of it is seen."""
    missing = list(differences(current(), recorded()))
    assert not missing, f"not recorded: {missing}; python -m capi.test_abi --write in tests/"


@pytest.mark.skipif(GCC is None, reason="no gcc")
def test_structs_compiled_have_recorded_layout(tmp_path):
    """Every recorded offset, size, value and type, as gcc sees the header."""
    old, lines = recorded(), []
    lines.append('printf("abi_version %d\\n", MATCONV_ABI_VERSION);')
    for name in constants(old):
        lines.append(f'printf("{name} %d\\n", {name});')
    for struct, content in old["structs"].items():
        if struct != TABLE:
            lines.append(f'printf("{struct} %zu\\n", sizeof({struct}));')
        for name, kind, _ in content["members"]:
            lines.append(f'printf("{struct}.{name} %zu\\n", offsetof({struct}, {name}));')
            pointer = kind.replace(" (", " (*)(", 1) if kind.endswith(")") else kind
            lines.append(
                f"_Static_assert(__builtin_types_compatible_p(__typeof__((({struct} *) 0)->{name}),"
                f' {pointer}), "{struct}.{name} is not {kind}");'
            )
    program = "#include <stdio.h>\n#include <matconv/matconv.h>\nint main(void)\n{\n"
    source = tmp_path / "abi.c"
    source.write_text(program + "".join(f"    {line}\n" for line in lines) + "    return 0;\n}\n")
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable", f"-I{INCLUDE}"]
    built = subprocess.run(
        [GCC, *flags, str(source), "-o", str(tmp_path / "abi")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    out = subprocess.run([tmp_path / "abi"], capture_output=True, text=True, check=True).stdout
    found = {name: int(value) for name, value in map(str.split, out.splitlines())}
    expected = {"abi_version": old["abi_version"], **constants(old)}
    for struct, content in old["structs"].items():
        if struct != TABLE:
            expected[struct] = content["size"]
        expected |= {f"{struct}.{name}": offset for name, _, offset in content["members"]}
    assert found == expected


def test_library_table_matches_record():
    table = current()["structs"][TABLE]
    assert capi.TABLE.abi_version == recorded()["abi_version"]
    assert capi.TABLE.size == table["size"] >= recorded()["structs"][TABLE]["size"]


# What the comparison sees


def changed(*replacements):
    text = TYPES.read_text()
    for old, new in replacements:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return headers.header(text)


def test_differences_additions_at_the_end_allowed():
    last = "void *poll_argument);\n} matconv_api;"
    more = "    int (*softmax_f64)(ptrdiff_t n, double *z);\n"
    status = "MATCONV_DERIVATIVE = 21 "
    activation = "double alpha, beta; "
    new = changed(
        (last, last.replace("} matconv_api", more + "} matconv_api")),
        (status, status.strip() + ",\n    MATCONV_BUSY = 22 "),
        (activation, activation + "const void *slopes;"),
        ("MATCONV_WINOGRAD = 2 ", "MATCONV_WINOGRAD = 2, MATCONV_FFT = 3"),
    )
    assert list(differences(current(), new)) == []
    assert new["structs"][TABLE]["members"][-1][0] == "softmax_f64"
    # and is then to be recorded
    missing = list(differences(new, current()))
    assert missing == [
        "MATCONV_BUSY is gone",
        "MATCONV_FFT is gone",
        "matconv_activation.slopes is gone",
        f"{TABLE}.softmax_f64 is gone",
    ]


IM2COL = "    int (*im2col_f64)(const matconv_geometry *g, const double *Z, double *phi);\n"
INIT = "    int (*geometry_init)(matconv_geometry *g);\n"
OUT = "ptrdiff_t out_height, out_width;  "
ITEM = "/* of one output; vector: 1, 1, units */\n    ptrdiff_t item_size; "


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("ABI_VERSION 1", "ABI_VERSION 2", "MATCONV_ABI_VERSION was 1, is 2"),
        ("MATCONV_INDEX = 11,", "", "MATCONV_INDEX is gone"),
        ("MATCONV_INDEX = 11,", "MATCONV_INDEX = 17,", "MATCONV_INDEX was 11, is 17"),
        ("MATCONV_INDEX = 11,", "MATCONV_INDEX = 11, MATCONV_NEW = 16,", "NEW and MATCONV_UNREAD"),
        ("MATCONV_WINOGRAD = 2 ", "MATCONV_WINOGRAD = 3 ", "MATCONV_WINOGRAD was 2, is 3"),
        (IM2COL, "", "matconv_api.im2col_f64 is gone"),
        (IM2COL, "", "matconv_api.im2col_f32 was at byte 40, is at 32"),
        (INIT, INIT + "    int (*more)(int);\n", "im2col_f64 was at byte 32, is at 40"),
        (INIT, INIT.replace("(matc", "(const matc"), "_init was int (matconv_geometry *), is int"),
        (INIT, INIT.replace("int", "void"), "is void (matconv_geometry *)"),
        (INIT, INIT.replace("geometry_init", "init"), "matconv_api.geometry_init is gone"),
        (IM2COL, IM2COL.replace("*Z", "**Z"), "is int (const matconv_geometry *, const double **,"),
        (OUT, OUT.replace("height", "rows"), "matconv_geometry.out_height is gone"),
        (OUT, OUT.replace("out_height", "new, out_height"), "out_width was at byte 144, is at 152"),
        ("ptrdiff_t column_length; ", "int column_length; ", "column_length was ptrdiff_t, is int"),
        (OUT, OUT.replace("out_height", "new, out_height"), "matconv_geometry had 176 bytes, has"),
        ("ptrdiff_t groups;", "", "matconv_geometry.groups is gone"),
        ("double alpha, beta; ", "double beta, alpha; ", "alpha was at byte 8, is at 16"),
        ("double alpha, beta; ", "float alpha, beta; ", "beta was double, is float"),
        ("MATCONV_CLIP = 3,", "MATCONV_CLIP = 2,", "MATCONV_LEAKY_RELU and MATCONV_CLIP are both"),
        (ITEM, ITEM.replace("item_size", "item"), "matconv_network_shape.item_size is gone"),
        ("    int abi_version; ", "    size_t abi_version; ", "abi_version was int, is size_t"),
    ],
)  # fmt: skip
def test_differences_each_change_named(old, new, problem):
    with pytest.raises(AssertionError, match="the binary interface has changed: ") as caught:
        check(current(), changed((old, new)))
    assert problem in str(caught.value)
    assert str(caught.value).endswith("python -m capi.test_abi --write in tests/")


# The other declarations of the same interface

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
NAMES = headers.argument_names(TYPES.read_text())
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


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m capi.test_abi --write in tests/")
    text = json.dumps(current(), indent=1)
    RECORD.write_text(re.sub(r"\[\s+(\"[^]{}]*?)\s+\]", in_a_line, text) + "\n")
