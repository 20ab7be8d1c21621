"""Unusual and malformed headers of arrays inside .npz files."""

import numpy as np
import pytest
from support.archives import archive, npy, plain

from matconv.io import FormatError

GOOD = plain("(2,)", bytes(16))


@pytest.mark.catalogue(44)
@pytest.mark.parametrize(
    ("member", "message"),
    [
        (b"", "truncated in the magic string: expected 8 bytes, got 0"),
        (b"\x93NUMP", "truncated in the magic string"),
        (b"GIF89a" + bytes(200), "array 'A': not an .npy array: the magic string is not correct"),
        (GOOD[:6] + b"\3\0" + GOOD[8:], "expected .npy version 1.0 or 2.0, got 3.0"),
        (GOOD[:9], "truncated in the header length: expected 2 bytes, got 1"),
        (GOOD[:40], "truncated in the header: expected 5. bytes, got 30"),
        (npy(" " * 5000), "an .npy header of 5000 bytes, expected at most 4096"),
        (npy("", version=2)[:8] + b"\xff" * 4, "an .npy header of 4294967295 bytes"),
    ],
)
def test_members_that_are_no_arrays(read_member, member, message):
    with pytest.raises(FormatError, match=message):
        read_member(archive(("A.npy", member)))


@pytest.mark.catalogue(47)
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("(1000000000000,)", r"shape \(1000000000000,\) of float64 takes 8000000000000 bytes, the"),
        ("(4294967296, 4294967296)", r"takes 147573952589676412928 bytes|beyond any memory"),
        ("(0, 9223372036854775808)", "beyond any memory"),
        ("(2305843009213693952,)", "takes 18446744073709551616 bytes|beyond any memory"),
        ("(-1,)", r"a negative dimension in the shape \(-1,\)"),
        ("(-1, -2)", r"a negative dimension in the shape \(-1, -2\)"),
        ("('2',)", r"not an .npy header: shape is not valid: \('2',\)"),
        ("(2, '')", "not an .npy header: shape is not valid"),
        ("(2)", "not an .npy header: shape is not valid: 2"),
        ("(2 2)", "not an .npy header: Cannot parse header"),
        ("(,)", "not an .npy header: Cannot parse header"),
        ("(')", "not an .npy header"),
        ("(007,)", "not an .npy header: Cannot parse header"),
        ("(True,)", "not the header of a plain array"),
        ("(2.0,)", "not the header of a plain array"),
        ("(L,)", "not the header of a plain array"),
        ("(2LL,)", "not the header of a plain array"),
        ("(2 L,)", "not the header of a plain array"),
        ("(2L2,)", "not an .npy header: Cannot parse header"),
        ("('2L',)", "not an .npy header: shape is not valid"),
        ("(3L,)", r"shape \(3,\) of float64 takes 24 bytes, the file has 16"),
        ("[2]", "not the header of a plain array"),
        ("2", "not the header of a plain array"),
        ("(2**40,)", "not the header of a plain array"),
        (f"({'1, ' * 33})", "33 dimensions, expected at most 32"),
        (f"({'9' * 3900},)", "beyond any memory"),
        ("(3,)", r"shape \(3,\) of float64 takes 24 bytes, the file has 16"),
        ("(1,)", r"shape \(1,\) of float64 takes 8 bytes, the file has 16"),
        ("(0,)", r"shape \(0,\) of float64 takes 0 bytes, the file has 16"),
        ("()", r"shape \(\) of float64 takes 8 bytes, the file has 16"),
    ],
)
def test_shapes(read_member, monkeypatch, shape, message):
    monkeypatch.setattr("matconv.io.npz.np.empty", None)
    with pytest.raises(FormatError, match=message) as caught:
        read_member(archive(("A.npy", plain(shape, bytes(16)))))
    assert len(str(caught.value)) < 500


@pytest.mark.catalogue(47)
@pytest.mark.parametrize(
    ("descr", "message"),
    [
        ("|S16", r"expected numbers, got the type \|S16"),
        ("<U4", "expected numbers, got the type <U4"),
        ("|V16", r"expected numbers, got the type \|V16"),
        ("<M8", "expected numbers, got the type "),
        ("<m8", "expected numbers, got the type "),
        ("c", r"expected numbers, got the type \|S1"),
        ("|S0", r"expected numbers, got the type \|S0"),
        ("<f3", "not an .npy header: descr is not a valid dtype descriptor"),
        ("<x8", "not an .npy header: descr is not a valid dtype descriptor"),
        ("|a16", "not the header of a plain array"),
        ("<M8[ns]", "not the header of a plain array"),
        ("2f8", "not the header of a plain array"),
        ("f8,f8", "not the header of a plain array"),
        ("(2,)f8", "not the header of a plain array"),
        ("", "not the header of a plain array"),
        ("\\x66", "not the header of a plain array"),
    ],
)
def test_types(read_member, descr, message):
    with pytest.raises(FormatError, match=message):
        read_member(archive(("A.npy", plain("(2,)", bytes(16), descr))))


@pytest.mark.catalogue(47)
@pytest.mark.parametrize(
    "header",
    [
        "",
        "{}\n",
        "{'descr': '<f8', 'fortran_order': False}\n",
        "{'descr': '<f8', 'fortran_order': False, 'fortran_order': False}\n",
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (2,)}\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'x': 1}\n",
        "{'descr': ['<f8'], 'fortran_order': False, 'shape': (2,)}\n",
        "{'descr': ('<f8', (1,)), 'fortran_order': False, 'shape': (2,)}\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': __import__('os')}\n",
        "(" * 4000,
        "[" * 90 + "]" * 90,
        "{'descr': '\xff', 'fortran_order': False, 'shape': (2,)}\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\0\n",
    ],
)
def test_headers(read_member, header):
    with pytest.raises(FormatError, match=r"'A': (not|truncated)") as caught:
        read_member(archive(("A.npy", npy(header, bytes(16)))))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3L), }  \n",
        "{u'descr': u'<f8', u'fortran_order': False, u'shape': (2L, 3L)}",
        "{'shape': (2L,3L), 'fortran_order': False, 'descr': '<f8'}",
    ],
)
def test_header_of_python_2_is_read(read_member, header, version):
    data = np.arange(6.0).tobytes()
    array = read_member(archive(("A.npy", npy(header, data, version))))
    np.testing.assert_array_equal(array, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], strict=True)


@pytest.mark.parametrize(("shape", "expected"), [("(6L,)", (6,)), ("(0L, 6)", (0, 6)), ("()", ())])
def test_header_of_python_2_any_dimensions(read_member, shape, expected):
    data = bytes(8 * int(np.prod(expected)))
    header = f"{{'descr': '<i8', 'fortran_order': True, 'shape': {shape}, }}"
    assert read_member(archive(("A.npy", npy(header, data)))).shape == expected


@pytest.mark.catalogue(47)
def test_booleans_are_zero_or_one(read_member):
    assert read_member(archive(("A.npy", plain("(3,)", b"\0\1\1", "|b1")))).tolist() == [
        False,
        True,
        True,
    ]
    with pytest.raises(FormatError, match="'A': booleans are 0 or 1, got 77"):
        read_member(archive(("A.npy", plain("(3,)", b"\0\1M", "|b1"))))
