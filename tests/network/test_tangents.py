"""Products with the Jacobian of the outputs and with the Gauss-Newton matrix."""

import copy
import pickle
import types

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator
from support.passes import block
from support.python_losses import SquaredError
from support.random_graphs import random_graph
from support.second_order import (
    ADJOINT,
    SMOOTH,
    PreparedGraph,
    assert_close,
    assert_equal_products,
    assert_python_loss_has_product,
    for_threads,
    labelled,
    positions,
    problem,
    recorded,
    regression,
    regression_hessian,
    softmax_blocks,
    wide,
)
from support.tolerances import assert_within, inner_product_bound

from matconv import (
    AvgPool,
    Dense,
    Network,
    Objective,
)  # fmt: skip

DTYPES = ["float64", "float32"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
def test_jvp_and_vjp_of_random_graphs_are_adjoint(algorithm, dtype):
    nonzero = 0
    for seed in range(60):
        net = random_graph(seed, dtype, algorithm)
        f, theta, v, _, u = problem(net, seed=seed)
        at = f.linearize(theta)
        Jv, JTu, v, u = wide(at.jvp(v), at.vjp(u), v, u)
        assert (
            at.jvp(v.astype(dtype)).dtype == at.vjp(u.reshape(5, -1).astype(dtype)).dtype == dtype
        )
        scale = np.linalg.norm(Jv) * np.linalg.norm(u) + np.linalg.norm(v) * np.linalg.norm(JTu)
        assert_equal_products(Jv @ u, v @ JTu, scale, dtype)
        nonzero += abs(Jv @ u) > 1e-3 * scale
    assert nonzero > 40


@pytest.mark.parametrize("dtype", DTYPES)
def test_gauss_newton_of_random_graphs_is_symmetric_and_positive_semidefinite(dtype):
    for seed in range(40):
        f, theta, v, w, _ = problem(random_graph(seed, dtype), seed=seed, C=50.0)
        at = f.linearize(theta)
        Gv, Gw, v, w = wide(at.gauss_newton(v), at.gauss_newton(w), v, w)
        norm = np.linalg.norm
        assert_equal_products(Gv @ w, v @ Gw, norm(Gv) * norm(w) + norm(v) * norm(Gw), dtype)
        assert v @ Gv >= v @ v / 50 * (1 - ADJOINT[dtype]) > 0


@pytest.mark.parametrize("seed", [None, 3])
def test_jvp_is_that_of_central_differences(seed):
    """With a step of h the error is of the order h^2 + eps / h; masks are constant."""
    net = Network((6, 8, 3), SMOOTH)
    f, theta, v, *_ = problem(net)
    f = f.with_dropout(seed)
    v /= np.linalg.norm(v)
    h = 1e-5
    difference = (f.outputs(theta + h * v) - f.outputs(theta - h * v)) / (2 * h)
    Jv = f.linearize(theta).jvp(v)
    assert np.abs(Jv).max() > 1e-2
    np.testing.assert_allclose(Jv, difference, rtol=0, atol=1e-8 * np.abs(Jv).max())


def test_gauss_newton_is_the_product_with_the_whole_jacobian():
    net = Network((6, 8, 3), SMOOTH)
    f, theta, v, *_ = problem(net, C=3.0)
    at = f.linearize(theta)
    J = at.J @ np.eye(net.n)
    assert J.shape == (5 * f.n_outputs, net.n)
    expected = J.T @ (2 * (J @ v)) / 5 + v / 3
    norm = np.linalg.norm(expected)
    np.testing.assert_allclose(at.gauss_newton(v), expected, rtol=0, atol=1e-12 * norm)
    np.testing.assert_allclose(at.J.T @ J[:, 7], J.T @ J[:, 7], rtol=0, atol=1e-12 * norm)


# networks that are linear in theta -----------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared", "softmax"])
@pytest.mark.parametrize("C", [np.inf, 4.0])
def test_gauss_newton_of_linear_network_is_the_hessian_in_closed_form(loss, C):
    f, X, theta, v = regression(loss, C=C)
    H = regression_hessian(loss, X, theta, C)
    bound = inner_product_bound(3 * len(X), np.abs(H) @ np.abs(v), np.float64)
    assert_within(f.gnp(theta, v), H @ v, 4 * bound)
    np.testing.assert_allclose(f.linearize(theta).G @ np.eye(15), H, rtol=0, atol=1e-13)


def test_weights_and_subset_and_penalty_are_those_of_the_closed_form():
    w = np.array([0.0, 0.5, 2.0, 1.0] * 10)
    f, X, theta, v = regression("squared", weights=w, C=2.0, penalty={"biases": 0.0})
    part = f.subset([3, 1, 0, 2, 2])
    for objective, rows in ((f, np.arange(40)), (part, np.array([3, 1, 0, 2, 2]))):
        XTX = 2 * (X[rows].T * w[rows]) @ X[rows] / w[rows].sum()
        p = np.array([1.0] * 12 + [0.0] * 3)
        expected = np.kron(XTX, np.eye(3)) @ v + p * v / 2
        np.testing.assert_allclose(objective.gnp(theta, v), expected, rtol=1e-13, atol=1e-13)
    u = np.random.default_rng(1).standard_normal((5, 3))
    at = part.linearize(theta)
    np.testing.assert_allclose(at.vjp(u), (X[[3, 1, 0, 2, 2]].T @ u).ravel(), atol=1e-13)
    np.testing.assert_allclose(at.jvp(v), X[[3, 1, 0, 2, 2]] @ v.reshape(5, 3), atol=1e-13)


# recorded elsewhere ---------------------------------------------------------------------------------


def test_products_are_those_of_simplenn():
    data, f = recorded("squared")
    at = f.linearize(data["theta"])
    v, C = data["v"], float(data["C"])

    assert_close(f.outputs(data["theta"]), data["outputs"])
    assert_close(at.value, data["f"])
    assert_close(at.gradient, data["gradient"])
    assert_close(at.jvp(v), data["Jv"])
    assert_close(at.vjp(data["u"]), data["JTu"])
    for mode in ("jacobian", "r"):
        assert_close((at.gauss_newton(v) - v / C) * len(data["Z"]), data[f"Gv_sum_{mode}_mode"])


def test_gauss_newton_product_with_softmax_is_that_of_pytorch():
    data, f = recorded("softmax")
    at = f.linearize(data["theta"])
    assert abs(at.value - data["torch_f_softmax"]) <= 1e-13 * abs(at.value)
    assert_close(at.gauss_newton(data["v"]), data["torch_Gv_softmax"])


# losses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_in_python_gives_the_product_of_the_compiled_one(weighted, dtype):
    assert_python_loss_has_product("gnp", weighted, dtype)


def test_loss_without_hessian_product_is_refused():
    f, theta, v = labelled(SquaredError())
    at = f.linearize(theta)
    message = "SquaredError has no method hessian_product, which second-order products need"
    with pytest.raises(TypeError, match=message):
        at.gauss_newton(v)
    assert at.jvp(v).shape == (9, 3)


def test_samples_that_are_positions_have_the_product_of_their_jacobian():
    f, theta, v = positions()
    at = f.linearize(theta)
    z = f.outputs(theta).reshape(-1, 2)
    known = f.Y.ravel() >= 0
    blocks = softmax_blocks(z) * known[:, None, None]
    Jv = at.jvp(v).reshape(-1, 2)
    u = np.einsum("ijk,ik->ij", blocks, Jv).reshape(6, -1) / known.sum()
    np.testing.assert_allclose(at.gauss_newton(v), at.vjp(u), rtol=1e-12, atol=1e-15)


def test_subset_without_labels_has_the_product_of_the_regularisation():
    f, theta, v = labelled()
    f = Objective(f.net, f.Z, np.where(np.arange(9) < 3, -1, f.Y), "softmax", C=4.0)
    np.testing.assert_array_equal(f.subset([0, 1, 2]).gnp(theta, v), v / 4)


# bits, threads, arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("l", "loss"), [(2, "softmax"), (700, "softmax"), (700, "python")])
def test_products_have_the_same_bits_for_any_number_of_threads(l, loss, dtype, mixed):
    given, theta, v, u = for_threads(l, loss, dtype, mixed)
    found = set()
    assert given[0].program().has_pieces(2, True) == (l == 2)
    for n_threads in (1, 2, 3, 5):
        at = Objective(*given, C=10.0, n_threads=n_threads).linearize(theta)
        found.add((at.jvp(v).tobytes(), at.vjp(u).tobytes(), at.gauss_newton(v).tobytes()))
    assert len(found) == 1
    (products,) = found
    assert all(np.frombuffer(x, dtype).any() for x in products)


def test_columns_are_products_of_their_own():
    f, theta, _ = labelled(C=2.0)
    net, at = f.net, f.linearize(theta)
    random = np.random.default_rng(0)
    V, U = random.standard_normal((net.n, 3)), random.standard_normal((9, 3, 2))
    for product, X, axis in (
        (at.jvp, V, (9, 3, 3)), (at.gauss_newton, V, (net.n, 3)), (at.vjp, U, (net.n, 2)),
    ):  # fmt: skip
        found = product(X)
        assert found.shape == axis
        for k in range(X.shape[-1]):
            np.testing.assert_array_equal(found[..., k], product(X[..., k]))
        assert product(X[..., :0]).shape == (*axis[:-1], 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_operators_convert_operands(dtype):
    f, theta, v = labelled(dtype=dtype, C=2.0)
    net, at = f.net, f.linearize(theta)
    u = np.ones((9, 3), dtype)
    assert isinstance(at.J, LinearOperator) and at.J.dtype == at.G.dtype == dtype
    assert at.J.shape == (27, net.n) and at.G.shape == (net.n, net.n)
    np.testing.assert_array_equal(at.J @ v, at.jvp(v).ravel())
    np.testing.assert_array_equal(at.J @ v.astype(np.float64), at.jvp(v).ravel())
    np.testing.assert_array_equal(at.J.T @ u.ravel(), at.vjp(u))
    np.testing.assert_array_equal(at.J.H @ np.ones((27, 2), int), np.stack([at.vjp(u)] * 2, 1))
    np.testing.assert_array_equal(at.G @ v, at.gauss_newton(v))
    np.testing.assert_array_equal(at.G.T @ v[:, None], at.gauss_newton(v)[:, None])
    with pytest.raises(TypeError, match="operands must be real, got complex"):
        at.G @ (v + 1j)


def test_value_and_gradient_are_those_of_the_objective():
    f, theta, _ = labelled(C=2.0)
    given = theta.copy()
    at = f.linearize(given)
    given[:] = 0
    value, gradient = f.value_and_gradient(theta)
    assert at.value == value and at.gradient is at.gradient
    np.testing.assert_array_equal(at.gradient, gradient)
    np.testing.assert_array_equal(at.theta, theta)
    assert not at.gradient.flags.writeable and not at.theta.flags.writeable


def test_gnp_keeps_the_last_two_thetas_by_value():
    f, theta, v = labelled()
    thetas = [theta + k for k in range(3)]
    expected = [f.linearize(x).gauss_newton(v) for x in thetas]
    calls = []
    linearize = f.linearize
    f.linearize = lambda theta: calls.append(theta[0] - thetas[0][0]) or linearize(theta)
    for k in (0, 1, 0, 0, 1, 2, 1, 0):
        np.testing.assert_array_equal(f.gnp(thetas[k].copy(), v), expected[k])
    np.testing.assert_allclose(calls, [0, 1, 2, 0], atol=1e-12)


def test_copies_do_not_share_what_gnp_keeps():
    f, theta, v = labelled()
    whole = f.gnp(theta, v)
    part, expected = f.subset(range(4)), Objective(f.net, f.Z[:4], f.Y[:4], "softmax")
    np.testing.assert_array_equal(part.gnp(theta, v), expected.gnp(theta, v))
    for other in (copy.copy(f), pickle.loads(pickle.dumps(f))):
        np.testing.assert_array_equal(other.gnp(theta, v), whole)


@pytest.mark.parametrize(
    ("method", "value", "error", "message"),
    [
        ("jvp", np.ones(3), ValueError,
         r"Linearization: v must have shape \(235,\) or \(235, k\), got \(3,\)"),
        ("gauss_newton", np.ones((235, 1, 1)), ValueError,
         r"v must have shape \(235,\) or \(235, k\), got \(235, 1, 1\)"),
        ("vjp", np.ones(27), ValueError,
         r"u must have shape \(9, 3\) or \(9, 3, k\), got \(27,\)"),
        ("jvp", np.ones(235, np.float32), TypeError,
         "Linearization: v is float32, the network computes in float64"),
        ("vjp", np.ones((9, 3), int), TypeError,
         "Linearization: u must be float64 or float32, got int64"),
        ("jvp", np.ma.ones(235), TypeError, "Linearization: v is a masked array"),
    ],
)  # fmt: skip
def test_bad_argument_is_refused(method, value, error, message):
    f, theta, _ = labelled()
    assert f.net.n == 235
    at = f.linearize(theta)
    with pytest.raises(error, match=message):
        getattr(at, method)(value)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tangent_pass_writes_its_block_only(dtype, shared):
    """A block with guard bytes, whose contents before the pass do not matter."""
    for seed in range(20):
        case = PreparedGraph(seed, dtype, hessian=False)
        program, Z, memory = case.program, case.Z, block(case.program.training_bytes)
        program.forward(case.theta, case.prepared, Z, memory, shared=shared)
        found = []
        for fill in (0xFF, 0x00):
            whole = block(program.tangent_bytes + 256, fill)
            t_block = whole[: program.tangent_bytes]
            arguments = *case.directed, len(Z), memory, t_block
            found.append(program.tangent(*arguments, shared=shared).copy())
            assert (whole[program.tangent_bytes :] == fill).all()
        np.testing.assert_array_equal(*found)
        assert np.isfinite(found[0]).all()


def test_layer_without_tangent_pass_is_refused():
    f, theta, _ = labelled()
    f._program = types.SimpleNamespace(without_tangent=lambda backward: 1)
    message = r"Objective: layer 1 \(Dense\) has no tangent pass, which second-order products need"
    with pytest.raises(NotImplementedError, match=message):
        f.linearize(theta)


def test_network_whose_output_does_not_depend_on_parameters_has_zero_tangents():
    net = Network((2, 2, 1), [AvgPool(2, name="mean"), Dense(2, inputs="input", name="d")],
                  outputs=["mean", "d"])  # fmt: skip
    f = Objective(net, np.ones((3, 2, 2, 1)), np.zeros((3, 1)), output="mean", C=2.0)
    at = f.linearize(np.ones(net.n))
    assert not at.jvp(np.ones(net.n)).any() and not at.vjp(np.ones((3, 1))).any()
    np.testing.assert_array_equal(at.gauss_newton(np.ones(net.n)), np.full(net.n, 0.5))
