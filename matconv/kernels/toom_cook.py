"""The transforms of Winograd's convolution, as matrices of exact rationals and as C functions.

In one direction, a filter of r taps and n = m + r - 1 inputs give m outputs:

    y_i = sum_j g_j d_{i+j}     is     y = A' [(G g) . (B' d)]        n products instead of m r

    A' (m x n)    powers of the points: a Vandermonde matrix, transposed
    G  (n x r)    scaled values, at the points, of the polynomial with coefficients g
    B' (n x n)    rows are the coefficients of the Lagrange polynomials, unscaled

In two directions: Y = A'_b [(G_b g G_a') . (B'_b d B_a)] A_a.

A. L. Toom 1963, S. A. Cook 1966, S. Winograd 1980. This module needs only Python, since the build
runs it to generate the C functions. Tests prove from the matrices that the identity holds exactly.
"""

from fractions import Fraction

# The finite points of a tile of n inputs; infinity is the last one. Pairs +-p have common even and
# odd parts, which halves the work. Among such sets of small fractions these have about the minimum
# of sum_k |A'_ik| |G_kj| |B'_ks|, by which rounding errors are multiplied.
_PAIRS = {
    4: ("1",),
    5: ("3/8", "4/3"),
    6: ("5/8", "8/5"),
    7: ("1/3", "4/5", "2"),
    8: ("1/2", "1", "2"),
    9: ("1/3", "3/5", "5/4", "5/2"),
    10: ("2/5", "4/5", "5/4", "5/2"),
}
TILES = tuple(_PAIRS)
FILTERS = (2, 3, 4, 5)
# the largest tiles with acceptable rounding errors, by dtype: see error_growth
LARGEST = {"float64": 10, "float32": 8}


def points(n):
    """Return the n - 1 finite points of a tile of n inputs; zero is one of them if n is even.

    Examples
    --------
    >>> [str(point) for point in points(6)]
    ['0', '5/8', '-5/8', '8/5', '-8/5']
    """
    found = [Fraction(0)] if n % 2 == 0 else []
    for text in _PAIRS[n]:
        found += [Fraction(text), -Fraction(text)]
    return found


def _product(roots):
    """Return the coefficients of the product of x - root, in ascending order of powers."""
    coefficients = [Fraction(1)]
    for root in roots:
        lower, upper = [*coefficients, Fraction(0)], [Fraction(0), *coefficients]
        coefficients = [high - root * low for low, high in zip(lower, upper)]
    return coefficients


def input_matrix(n):
    """Return B' (n x n): row k is prod_{l != k} (x - a_l), the last row prod_l (x - a_l)."""
    a = points(n)
    rows = [[*_product(a[:k] + a[k + 1 :]), Fraction(0)] for k in range(n - 1)]
    return [*rows, _product(a)]


def filter_matrix(n, r):
    """Return G (n x r): a_k^j / prod_{l != k} (a_k - a_l); the row of infinity selects g_{r-1}."""
    a = points(n)
    rows = []
    for k, point in enumerate(a):
        scale = Fraction(1)
        for other in a[:k] + a[k + 1 :]:
            scale *= point - other
        rows.append([point**j / scale for j in range(r)])
    return [*rows, [Fraction(int(j == r - 1)) for j in range(r)]]


def output_matrix(n, m):
    """Return A' (m x n): a_k^i; the column of infinity is added to the last output."""
    a = points(n)
    return [[*(point**i for point in a), Fraction(int(i == m - 1))] for i in range(m)]


def transposed(matrix):
    """Return the transpose, for the adjoint passes."""
    return [list(column) for column in zip(*matrix)]


def error_growth(n, r):
    """Return the maximum factor of rounding errors by the transforms, in one direction.

    Relative to the sum of |g| |d| without transforms, the error of output i is at most a few times
    eps, its number of operations, and

        sum_k |A'_ik| (sum_j |G_kj|) (sum_s |B'_ks|) / r,

    of which this is the maximum over i. For two directions the factors are multiplied. A bound that
    uses the operands of each output is much smaller; the tests evaluate it.

    Examples
    --------
    >>> [round(error_growth(n, 3), 1) for n in TILES]
    [2.7, 4.8, 7.4, 13.9, 22.6, 47.4, 69.7]
    """
    rows = zip(filter_matrix(n, r), input_matrix(n))
    sizes = [sum(map(abs, g)) * sum(map(abs, b)) for g, b in rows]
    A = output_matrix(n, n - r + 1)
    return float(max(sum(abs(a) * size for a, size in zip(row, sizes)) for row in A) / r)


def _row_sums(matrix):
    return [sum(map(abs, row)) for row in matrix]


def overflow_growth(n, r):
    """Return the maximum growth of magnitudes by the transforms, in one direction.

    With the sums of absolute values of the rows of A, G and B', alpha_k, gamma_k and beta_k:

    =======  =========================================  ====================================
    result   largest intermediate value                 relative to
    =======  =========================================  ====================================
    ``Z``    max_k beta_k                               max|Z|
    ``W``    max_k gamma_k, or 2                        max|W|
    ``dS``   max_k alpha_k                              max|dS|
    ``S``    max_i sum_k |A'_ik| gamma_k beta_k         d' max|Z| max|W|
    ``dZ``   max_s sum_k |B'_ks| alpha_k gamma_k        d_out/groups max|dS| max|W|
    ``dW``   max_j sum_k |G_kj| alpha_k beta_k,         tiles max|dS| max|Z|
             or max_k alpha_k beta_k
    =======  =========================================  ====================================

    where d' = channels/groups times both strides, tiles are those of all images, and ``dZ``
    includes the ceil(n / m) tiles that are added to one input. No value overflows while each
    product of these factors for both directions and the magnitudes in the last column is below the
    maximum of the dtype (plus a bias).

    Examples
    --------
    >>> {name: round(float(value), 1) for name, value in overflow_growth(6, 3).items()}
    {'Z': 5.8, 'W': 2.0, 'dS': 9.3, 'S': 22.1, 'dZ': 40.1, 'dW': 33.5}
    """
    m = n - r + 1
    A, G, B = transposed(output_matrix(n, m)), filter_matrix(n, r), input_matrix(n)
    alpha, gamma, beta = _row_sums(A), _row_sums(G), _row_sums(B)

    def largest(matrix, *factors):
        """Return the maximum of sum_k |matrix_ki| prod(factors_k), and of prod(factors_k)."""
        weights = [x * y for x, y in zip(*factors)]
        sums = [sum(abs(t) * w for t, w in zip(row, weights)) for row in transposed(matrix)]
        return max(*sums, *weights)

    overlapping = -(-n // m)
    return {
        "Z": max(beta),
        "W": max(*gamma, Fraction(2)),  # x_j + x_{j+1} may be evaluated before it is multiplied
        "dS": max(alpha),
        "S": largest(A, gamma, beta),
        "dZ": overlapping * largest(B, alpha, gamma),
        "dW": largest(G, alpha, beta),
    }


# C functions. A transform applies one matrix T to `count` adjacent columns, for SIMD:
#     y[i * y_stride + c] = sum_j T[i][j] x[j * x_stride + c]


def _term(coefficient, name):
    """Return a signed term of a sum in C; the literal is the nearest double."""
    sign = "-" if coefficient < 0 else "+"
    size = abs(coefficient)
    if size == 1:
        return f"{sign} {name}"
    return f"{sign} (real_t) {float(size)!r} * {name}"


def _sum(terms):
    text = " ".join(_term(value, name) for value, name in terms if value)
    return text[2:] if text.startswith("+ ") else (text or "(real_t) 0")


def _signs(first, second):
    """Return the equal and the opposite elements of two rows that differ only in signs, or None."""
    if any(abs(p) != abs(q) for p, q in zip(first, second)):
        return None
    same = [p if p == q else Fraction(0) for p, q in zip(first, second)]
    opposite = [p if p != q else Fraction(0) for p, q in zip(first, second)]
    return (same, opposite) if any(same) and any(opposite) else None


def _shared_rows(matrix, inputs):
    """Return (lines, outputs); two rows that differ only in signs share their partial sums."""
    lines, outputs, k = [], [], 0
    while k < len(matrix):
        shared = _signs(matrix[k], matrix[k + 1]) if k + 1 < len(matrix) else None
        if shared is None:
            outputs.append(_sum(zip(matrix[k], inputs)))
            k += 1
            continue
        for name, part in zip((f"e{k}", f"o{k}"), shared):
            lines.append(f"const real_t {name} = {_sum(zip(part, inputs))};")
        outputs += [f"e{k} + o{k}", f"e{k} - o{k}"]
        k += 2
    return lines, outputs


def _statements(matrix):
    """Return (lines, outputs): C statements, and an expression for each row of the product."""
    inputs = [f"x{j}" for j in range(len(matrix[0]))]
    lines, names, rows = [], [], transposed(matrix)
    columns, j = [], 0
    while j < len(rows):
        shared = _signs(rows[j], rows[j + 1]) if j + 1 < len(rows) else None
        if shared is None:
            columns.append(rows[j])
            names.append(inputs[j])
            j += 1
            continue
        # T_j x_j + T_{j+1} x_{j+1} = same (x_j + x_{j+1}) + opposite (x_j - x_{j+1})
        for letter, sign, part in zip("st", "+-", shared):
            names.append(f"{letter}{j}")
            lines.append(f"const real_t {letter}{j} = {inputs[j]} {sign} {inputs[j + 1]};")
            columns.append(part)
        j += 2
    more, outputs = _shared_rows(transposed(columns), names)
    return lines + more, outputs


def _function(name, matrix, add=False):
    lines, outputs = _statements(matrix)
    loads = [f"const real_t x{j} = x[{j} * x_stride + c];" for j in range(len(matrix[0]))]
    sign = "+=" if add else "="
    stores = [f"y[{i} * y_stride + c] {sign} {text};" for i, text in enumerate(outputs)]
    body = "\n        ".join([*loads, *lines, *stores])
    return (
        f"static void NAME({name})(Py_ssize_t count, const real_t *RESTRICT x, "
        f"Py_ssize_t x_stride,\n    real_t *RESTRICT y, Py_ssize_t y_stride)\n{{\n"
        f"    INDEPENDENT\n    for (Py_ssize_t c = 0; c < count; c++) {{\n"
        f"        {body}\n    }}\n}}\n"
    )


def pairs(dtype="float64"):
    """Return all (n, r): tiles of n inputs for filters of r taps with at least two outputs.

    Examples
    --------
    >>> (10, 3) in pairs("float64"), (10, 3) in pairs("float32"), (5, 5) in pairs()
    (True, False, False)
    """
    return [(n, r) for n in TILES for r in FILTERS if n - r + 1 >= 2 and n <= LARGEST[dtype]]


def loops(dtype="float64"):
    """Return the C functions for one dtype."""
    text = []
    for n in sorted({n for n, _ in pairs(dtype)}):
        B = input_matrix(n)
        text.append(_function(f"input_{n}", B))
        text.append(_function(f"input_adjoint_{n}", transposed(B)))
        text.append(_function(f"input_adjoint_add_{n}", transposed(B), add=True))
    for n, r in pairs(dtype):
        m = n - r + 1
        text.append(_function(f"output_{n}_{m}", output_matrix(n, m)))
        text.append(_function(f"output_adjoint_{n}_{m}", transposed(output_matrix(n, m))))
        text.append(_function(f"filter_{n}_{r}", filter_matrix(n, r)))
        text.append(_function(f"filter_adjoint_{n}_{r}", transposed(filter_matrix(n, r))))
    return "\n".join(text)


def _chooser(dtype):
    """Return a C function that finds a transform for a tile of n inputs and m outputs, or NULL."""
    entries = []
    for n, r in pairs(dtype):
        m = n - r + 1
        for kind in ("input", "input_adjoint", "input_adjoint_add"):
            entries.append(f"[{kind.upper()}][{n}][{m}] = NAME({kind}_{n}),")
        for kind, size in (("output", m), ("filter", r)):
            for form in (kind, f"{kind}_adjoint"):
                entries.append(f"[{form.upper()}][{n}][{m}] = NAME({form}_{n}_{size}),")
    body = "\n    ".join(entries)
    largest = max(TILES)
    return (
        f"static const NAME(transform) NAME(table)[{len(_KINDS)}][{largest + 1}][{largest}] = {{\n"
        f"    {body}\n}};\n\n"
        "static NAME(transform) NAME(choose)(int kind, Py_ssize_t n, Py_ssize_t m)\n"
        f"{{\n    return n <= {largest} && m < {largest} ? NAME(table)[kind][n][m] : 0;\n}}\n"
    )


_KINDS = (
    "INPUT", "INPUT_ADJOINT", "INPUT_ADJOINT_ADD",
    "OUTPUT", "OUTPUT_ADJOINT", "FILTER", "FILTER_ADJOINT",
)  # fmt: skip

_HEAD = """/* Generated by matconv/kernels/toom_cook.py at build time. */
#include <Python.h>

#if defined(__GNUC__) && !defined(__clang__)
#define INDEPENDENT _Pragma("GCC ivdep")
#elif defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT
#endif
#ifdef _MSC_VER
#define RESTRICT __restrict
#else
#define RESTRICT __restrict__
#endif
"""

_TYPE = """typedef void (*NAME(transform))(Py_ssize_t, const real_t *, Py_ssize_t, real_t *,
    Py_ssize_t);"""


def header():
    """Return the C header with all transforms, for double (suffix _f64) and float (_f32)."""
    text = [_HEAD, f"enum {{ {', '.join(_KINDS)} }};\n"]
    for dtype, real, suffix in (("float64", "double", "f64"), ("float32", "float", "f32")):
        text += [
            f"#define real_t {real}",
            f"#define NAME(stem) stem##_{suffix}",
            _TYPE,
            loops(dtype),
            _chooser(dtype),
            "#undef NAME",
            "#undef real_t\n",
        ]
    return "\n".join(text)
