"""The transforms: exact matrices whose identity is proved, and the C written from them."""

import re
from fractions import Fraction

import numpy as np
import pytest
from support.tolerances import assert_within, rounding_bound

from matconv.kernels import toom_cook

PAIRS = toom_cook.pairs()


@pytest.mark.parametrize("n, r", PAIRS)
def test_matrices_satisfy_toom_cook_identity_exactly(n, r):
    """sum_k A'_ik G_kj B'_ks is 1 where s = i + j, else 0: that is y_i = sum_j g_j d_{i+j}."""
    m = n - r + 1
    A, G, B = (
        toom_cook.output_matrix(n, m), toom_cook.filter_matrix(n, r), toom_cook.input_matrix(n),
    )  # fmt: skip
    assert (len(A), len(G), len(B)) == (m, n, n)
    for i in range(m):
        for j in range(r):
            for s in range(n):
                total = sum(A[i][k] * G[k][j] * B[k][s] for k in range(n))
                assert total == (s == i + j) and isinstance(total, Fraction)


@pytest.mark.parametrize("n", toom_cook.TILES)
def test_points_differ_and_every_second_is_minus_the_one_before(n):
    points = toom_cook.points(n)
    assert len(points) == n - 1 == len(set(points))
    pairs = points[len(points) % 2 :]
    assert [-p for p in pairs[::2]] == pairs[1::2]


def statements(name):
    """The C function of a loop as Python: from a list x to the list y."""
    head = toom_cook.loops()
    body = re.search(rf"NAME\({name}\)\(.*?c\+\+\) \{{(.*?)\n    \}}", head, re.DOTALL)[1]
    body = body.replace("const real_t ", "").replace("(real_t) ", "")
    body = re.sub(r"\[(\d+) \* [xy]_stride \+ c\]", r"[\1]", body)
    code = compile("\n".join(line.strip().rstrip(";") for line in body.splitlines()), name, "exec")

    def run(x, y):
        exec(code, {}, {"x": x, "y": y})  # noqa: S102 - what the build compiles
        return y

    return run


LOOPS = [
    *((f"input_{n}", toom_cook.input_matrix(n), n) for n in toom_cook.TILES),
    *((f"output_{n}_{n - r + 1}", toom_cook.output_matrix(n, n - r + 1), n) for n, r in PAIRS),
    *((f"filter_{n}_{r}", toom_cook.filter_matrix(n, r), n) for n, r in PAIRS),
]


@pytest.mark.parametrize("name, matrix, n", LOOPS, ids=[loop[0] for loop in LOOPS])
def test_loops_equal_matrix_and_adjoint_loops_its_transpose(name, matrix, n):
    """Column by column, within the roundings of at most n + 2 operations."""
    matrix = np.array([[float(value) for value in row] for row in matrix])
    kind, _, sizes = name.partition("_")
    for loop, expected in ((name, matrix), (f"{kind}_adjoint_{sizes}", matrix.T)):
        run = statements(loop)
        for j, column in enumerate(expected.T):
            y = run(list(np.eye(expected.shape[1])[j]), [0.0] * expected.shape[0])
            assert_within(y, column, rounding_bound(n + 2, column), f"{loop}, column {j}")


def test_adding_loop_adds():
    y = statements("input_adjoint_add_6")([1.0] * 6, [100.0] * 6)
    plain = statements("input_adjoint_6")([1.0] * 6, [0.0] * 6)
    # a sum near 100, and the difference from it
    assert_within(np.array(y) - 100, plain, rounding_bound(3, 128))


def test_header_has_both_dtypes():
    text = toom_cook.header()
    assert text.count("#define real_t double") == text.count("#define real_t float") == 1
    assert text.count("static void NAME(input_8)") == 2
    assert text.count("static void NAME(input_10)") == 1  # float32 has no room for it
