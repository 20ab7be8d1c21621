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
from support import capi, headers
from support.headers import INCLUDE, TABLE, constants, current, interface_text

RECORD = Path(__file__).with_name("abi.json")
# members may be appended
GROWING = {TABLE, "matconv_activation"}
GCC = shutil.which("gcc")


def recorded():
    return json.loads(RECORD.read_text())


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
    text = interface_text()
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


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m capi.test_abi --write in tests/")
    text = json.dumps(current(), indent=1)
    RECORD.write_text(re.sub(r"\[\s+(\"[^]{}]*?)\s+\]", in_a_line, text) + "\n")
