"""The equations of the notes, one by one, evaluated with plain loops; equality is demanded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import by_im2col, geometries, reference
from support.tolerances import assert_same

import matconv
from matconv import phi as notes

IMAGE = (5, 4, 3)  # height, width, channels
WINDOW = {"kernel": (3, 2), "stride": (2, 1), "pad": ((1, 0), (2, 1)), "dilation": (1, 2)}
CASES = list(geometries.cases(60, seed=6))


def integers(shape, seed=0, dtype=np.float64):
    return geometries.integers(np.random.default_rng(seed), shape, dtype)


def images(case, seed=0, dtype=np.float64):
    """At least one image of this geometry."""
    return integers((max(case.l, 1), *case.shape[1:]), seed, dtype)


# Equation (5) and vec


@pytest.mark.parametrize("rows, cols", [(1, 1), (1, 4), (4, 1), (2, 3), (3, 2), (0, 2), (2, 0)])
def test_equation_5_mat_and_vec(rows, cols):
    v = np.arange(10.0, 10.0 + rows * cols)
    M = notes.mat(v, rows, cols)
    assert M.shape == (rows, cols)
    for row in range(rows):
        for col in range(cols):
            assert M[row, col] == v[col * rows + row]  # the notes' v_{(b-1)a+1}, from 0
    assert_same(notes.vec(M), v)
    assert v.size == 0 or np.shares_memory(M, v)
    assert v.size == 0 or np.shares_memory(notes.vec(M), v)


def test_vec_puts_columns_below_one_another():
    M = integers((3, 4))
    columns = [M[row, col] for col in range(4) for row in range(3)]
    assert_same(notes.vec(M), np.array(columns))
    assert_same(notes.vec(M.T), np.array([M[row, col] for row in range(3) for col in range(4)]))
    assert np.shares_memory(notes.vec(M.T), M)  # the columns of M' follow one another


def test_image_matrix_is_z_of_the_notes():
    """The notes' Z^{in,i}: row j, column (q, p) holds z_{p,q,j}; and it is a view."""
    Z_i = integers(IMAGE)
    Z = notes.image_matrix(Z_i)
    b, a, d = IMAGE
    for j in range(d):
        for q in range(b):
            for p in range(a):
                assert Z[j, q * a + p] == Z_i[q, p, j]
    assert np.shares_memory(Z, Z_i) and Z.flags.f_contiguous
    assert_same(notes.vec(Z), Z_i.ravel())
    assert np.shares_memory(notes.vec(Z), Z_i)


def test_filter_matrix_is_w_of_the_notes():
    """The notes' W: row f, column (j, q, p) holds w^f_{p,q,j}; and it is a view of theta."""
    d, h_b, h_a, d_out = 3, 2, 4, 5
    theta = integers(d * h_b * h_a * d_out + 7)
    W_view = theta[7:].reshape(d, h_b, h_a, d_out)
    W = notes.filter_matrix(W_view)
    for f in range(d_out):
        for j in range(d):
            for q in range(h_b):
                for p in range(h_a):
                    assert W[f, (j * h_b + q) * h_a + p] == W_view[j, q, p, f]
    assert np.shares_memory(W, theta) and W.flags.f_contiguous
    assert_same(notes.vec(W), theta[7:])


# Equation (4)


def loops_phi(Z_i, kernel, stride, pad, dilation):
    """The notes' matrix of sub-images, element by element: (hhd, a_out b_out)."""
    b, a, d = Z_i.shape
    (top, _), (left, _) = reference.pads(pad)
    (h_b, h_a), (s_b, s_a) = reference.pair(kernel), reference.pair(stride)
    e_b, e_a = reference.pair(dilation)
    b_out, a_out = reference.output_shape((b, a), kernel, stride, pad, dilation)
    phi = np.zeros((h_a * h_b * d, a_out * b_out), Z_i.dtype)
    for col in range(a_out * b_out):
        q_out, p_out = divmod(col, a_out)
        for row in range(h_a * h_b * d):
            j, q, p = row // (h_a * h_b), row // h_a % h_b, row % h_a
            y, x = q_out * s_b + q * e_b - top, p_out * s_a + p * e_a - left
            if 0 <= y < b and 0 <= x < a:
                phi[row, col] = Z_i[y, x, j]
    return phi


def test_equation_4_phi():
    Z_i = integers(IMAGE)
    exact = loops_phi(Z_i, **WINDOW)
    assert_same(notes.phi(Z_i, **WINDOW), exact)
    assert_same(matconv.im2col(Z_i[np.newaxis], **WINDOW)[0].T, exact)
    assert notes.phi(Z_i, **WINDOW).flags.f_contiguous


def test_equation_4_phi_of_the_notes_own_square_case():
    """Stride s, no padding, square filter: exactly the matrix that the notes print."""
    d, a, b, h, s = 2, 7, 5, 3, 2
    Z_i = integers((b, a, d))
    a_out, b_out = (a - h) // s + 1, (b - h) // s + 1
    phi = notes.phi(Z_i, h, s)
    z = {(p, q, j): Z_i[q - 1, p - 1, j - 1]
         for p in range(1, a + 1) for q in range(1, b + 1) for j in range(1, d + 1)}  # fmt: skip

    def column(p, q):
        return phi[:, q * a_out + p]

    assert phi.shape == (h * h * d, a_out * b_out)
    assert column(0, 0)[0] == z[1, 1, 1] and column(0, 0)[1] == z[2, 1, 1]
    assert column(0, 0)[h * h - 1] == z[h, h, 1] and column(0, 0)[-1] == z[h, h, d]
    assert column(1, 0)[0] == z[1 + s, 1, 1] and column(1, 0)[-1] == z[h + s, h, d]
    last = column(a_out - 1, b_out - 1)
    assert last[0] == z[1 + (a_out - 1) * s, 1 + (b_out - 1) * s, 1]
    assert last[-1] == z[h + (a_out - 1) * s, h + (b_out - 1) * s, d]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equation_4_P_phi(dtype):
    """vec(phi(Z)) = P_phi vec(Z), and P_phi holds nothing but ones, one per real pixel."""
    for case in CASES:
        Z = images(case, dtype=dtype)
        P = notes.P_phi(case.shape[1:], dtype=dtype, **case.window)
        phi = matconv.im2col(Z, **case.window)
        assert P.format == "csr" and P.dtype == dtype and P.shape == (phi[0].size, Z[0].size)
        assert np.all(P.data == 1)
        assert P.nnz == case.d * sum(1 for _ in reference.taps(case.size, **case.window))
        for i in range(len(Z)):
            assert_same(P @ Z[i].ravel(), phi[i].ravel(), str(case))
            rows = phi.shape[2]
            assert_same(
                notes.mat(P @ notes.vec(notes.image_matrix(Z[i])), rows, phi.shape[1]),
                notes.phi(Z[i], **case.window),
            )


def test_P_phi_element_by_element():
    P = notes.P_phi(IMAGE, **WINDOW).toarray()
    loops = np.zeros_like(P)
    for pixel in range(P.shape[1]):  # column by column: phi of the unit images
        unit = np.zeros(P.shape[1])
        unit[pixel] = 1
        loops[:, pixel] = loops_phi(unit.reshape(IMAGE), **WINDOW).ravel(order="F")
    assert_same(P, loops)


def test_P_phi_is_a_valid_csr_matrix():
    P = notes.P_phi(IMAGE, **WINDOW)
    P.check_format(full_check=True)
    assert P.indices.dtype == np.int32
    assert P.indptr[-1] == P.nnz == len(P.indices)
    assert np.all(np.diff(P.indptr) <= 1)
    assert np.any(np.diff(P.indptr) == 0)  # this window sees padding


# The operator


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_phi_operator_is_P_phi_and_its_adjoint(dtype):
    for case in CASES:
        P = notes.P_phi(case.shape[1:], **case.window, dtype=dtype)
        operator = notes.phi_operator(case.shape[1:], **case.window, dtype=dtype)
        assert operator.shape == P.shape and operator.dtype == dtype
        z, v = integers(P.shape[1], 1, dtype), integers(P.shape[0], 2, dtype)
        for product, exact in (
            (operator @ z, P @ z),
            (operator.T @ v, P.T @ v),
            (operator.H @ v, P.T @ v),
            (operator.matvec(z[:, np.newaxis]), (P @ z)[:, np.newaxis]),
        ):
            assert product.dtype == dtype
            assert_same(product, exact, str(case))
        assert np.dot(operator @ z, v) == np.dot(z, operator.T @ v)  # the dot test


@pytest.mark.parametrize("columns", [0, 1, 3])
def test_phi_operator_on_matrices(columns):
    P, operator = notes.P_phi(IMAGE, **WINDOW), notes.phi_operator(IMAGE, **WINDOW)
    X, C = integers((P.shape[1], columns), 1), integers((P.shape[0], columns), 2)
    assert_same(operator @ X, P @ X)
    assert_same(operator.T @ C, P.T @ C)
    assert_same((operator.T @ operator) @ X, P.T @ (P @ X))


def test_phi_operator_converts_integers_only():
    operator = notes.phi_operator(IMAGE, **WINDOW, dtype=np.float32)
    z = integers(operator.shape[1], dtype=np.int64)
    assert (operator @ z).dtype == np.float32
    assert_same(operator @ z, notes.P_phi(IMAGE, **WINDOW) @ z)
    assert (operator @ z.astype(np.float64)).dtype == np.float64
    for bad in (z.astype(complex), z.astype(bool), z.astype(np.float16)):
        with pytest.raises(TypeError, match=f"phi_operator: a product needs .*, got {bad.dtype}"):
            operator @ bad


# Equations (1), (2), (3)


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(0, 6)), st.integers(0, 2**32 - 1)
)
def test_equation_1_pre_activation(sizes, seed):
    """S = W phi(Z) + b 1', every element as the sum of its products."""
    d_out, hhd, positions = sizes
    W, phi_Z, b = (integers(s, seed) for s in ((d_out, hhd), (hhd, positions), (d_out,)))
    S = notes.pre_activation(W, phi_Z, b)
    assert S.shape == (d_out, positions)
    for f in range(d_out):
        for t in range(positions):
            assert S[f, t] == sum(W[f, k] * phi_Z[k, t] for k in range(hhd)) + b[f]


def test_equations_1_to_4_are_conv2d():
    """The notes' formulas in the notes' orientation against the compiled layer, image by image."""
    for case in CASES:
        if case.groups > 1:
            continue
        Z, W, b = images(case), integers(case.filter_shape, 1), integers(case.d_out, 2)
        out = by_im2col.conv2d(Z, W, b, relu=True, **case.convolution)
        for i in range(len(Z)):
            S = notes.pre_activation(notes.filter_matrix(W), notes.phi(Z[i], **case.window), b)
            assert_same(notes.image_matrix(out[i]), notes.activation(S), str(case))


def test_equation_2_activation():
    S = integers((4, 6))
    for sigma in (notes.relu, np.tanh):
        Z = notes.activation(S, sigma)
        for index in np.ndindex(S.shape):
            assert Z[index] == sigma(S[index])
    assert_same(notes.activation(S), notes.relu(S))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_equation_3_relu_and_its_derivative(dtype):
    S = np.concatenate([integers((3, 5), dtype=dtype), np.zeros((1, 5), dtype)])
    Z, slope = notes.relu(S), notes.relu_derivative(S)
    assert Z.dtype == slope.dtype == dtype
    for index in np.ndindex(S.shape):
        assert Z[index] == max(S[index], 0)
        assert slope[index] == (1 if S[index] > 0 else 0)
    assert_same(notes.relu_derivative(np.zeros(1)), np.zeros(1))


def test_relu_nan_remains_nan():
    assert_same(notes.relu([np.nan, -np.inf, np.inf]), np.array([np.nan, 0, np.inf]))
    assert_same(notes.relu_derivative([np.nan, -np.inf, np.inf]), np.array([1.0, 0, 1]))


# Errors


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: notes.vec([1, 2]), ValueError, r"vec: M must have 2 dimension\(s\), got 1"),
        (lambda: notes.mat([[1]], 1, 1), ValueError, r"mat: v must have 1 dimension\(s\), got 2"),
        (lambda: notes.mat([1, 2], 2, 2), ValueError, "mat: v has 2 elements, expected 2 x 2 = 4"),
        (lambda: notes.mat([1, 2], -1, -2), ValueError, "mat: v has 2 elements, expected -1 x -2"),
        (lambda: notes.image_matrix(np.ones((2, 2))), ValueError, "image_matrix: Z_i must have 3"),
        (lambda: notes.image_matrix(np.ones((4, 2, 2))[::2]), ValueError,
         "image_matrix: Z_i must be C-contiguous .* got shape .* strides"),
        (lambda: notes.filter_matrix(np.ones((2, 2))), ValueError, "filter_matrix: W must have 4"),
        (lambda: notes.filter_matrix(np.ones((2, 2, 2, 4))[..., ::2]), ValueError,
         "filter_matrix: W must be C-contiguous"),
        (lambda: notes.pre_activation(np.ones((2, 3)), np.ones((4, 5)), np.ones(2)), ValueError,
         r"pre_activation: W \(2, 3\), phi_Z \(4, 5\) and b \(2,\) do not fit"),
        (lambda: notes.pre_activation(np.ones((2, 4)), np.ones((4, 5)), np.ones(3)), ValueError,
         r"b \(3,\) do not fit"),
        (lambda: notes.phi(np.ones((2, 2)), 1), ValueError, "phi: Z_i must be .height, width"),
        (lambda: notes.P_phi((2, 2), 1), ValueError, r"P_phi: shape must be .*, got \(2, 2\)"),
        (lambda: notes.P_phi((2, 2, 1), 3), ValueError, "P_phi: padded input .2 x 2. is smaller"),
        (lambda: notes.P_phi((2, 2, 1), 1, stride=0), ValueError, "P_phi: stride must be"),
        (lambda: notes.P_phi((2, 2, 1), 1.5), TypeError, "P_phi: kernel must be"),
        (lambda: notes.P_phi((1, 1, 1), 1, pad=2**31), OverflowError, "P_phi"),
        (lambda: notes.P_phi((1, 1, 1), 1, pad=2**62), OverflowError, "P_phi: the sizes overflow"),
        (lambda: notes.P_phi((1, 1, 1), 1, pad=2**22), MemoryError, "Unable to allocate"),
        (lambda: notes.phi_operator((2, 2), 1), ValueError, "phi_operator: shape must be"),
        (lambda: notes.phi_operator((2, 2, 1), 1, pad=-1), ValueError, "phi_operator: pad"),
        (lambda: notes.phi_operator((2, 2, 1), 1, dtype=int), TypeError,
         "phi_operator: dtype must be float64 or float32, got int64"),
    ],
)  # fmt: skip
def test_notes_wrong_arguments_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
