"""Products with the Hessian of f, and what is kept for products."""

import types

import numpy as np
import pytest
from support.activations import EXAMPLES
from support.networks import images
from support.passes import block
from support.python_losses import SquaredError
from support.random_graphs import random_graph
from support.second_order import (
    SMOOTH,
    Counted,
    CurvedError,
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
    wide,
)
from support.tolerances import assert_within, inner_product_bound

from matconv import (
    LRN,
    Activation,
    Conv,
    ConvTranspose,
    Dense,
    LeakyReLU,
    MaxPool,
    Multiply,
    Network,
    Normalize,
    Objective,
    PReLU,
    Scale,
)
from matconv.losses import LOSSES

DTYPES = ["float64", "float32"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
def test_hessian_of_random_graphs_is_symmetric(algorithm, dtype):
    indefinite = 0
    for seed in range(60):
        f, theta, v, w, _ = problem(random_graph(seed, dtype, algorithm), seed=seed, C=50.0)
        at = f.linearize(theta)
        Hv, Hw, Gv, v, w = wide(at.hessian(v), at.hessian(w), at.gauss_newton(v), v, w)
        norm = np.linalg.norm
        assert_equal_products(Hv @ w, v @ Hw, norm(Hv) * norm(w) + norm(v) * norm(Hw), dtype)
        indefinite += norm(Hv - Gv) > 1e-2 * norm(Gv)
    assert indefinite > 30


def difference(f, theta, v, h=1e-5):
    """The derivative of the gradient along v, whose error is of the order h^2 + eps / h."""
    return (f.gradient(theta + h * v) - f.gradient(theta - h * v)) / (2 * h)


def assert_derivative(f, theta, v, h=1e-5):
    """Compare H v with differences of the gradient along v, a direction of any length."""
    v = v / np.linalg.norm(v)
    assert_close(f.hessp(theta, v), difference(f, theta, v, h), 1e-7)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_hessian_is_that_of_central_differences(loss, seed):
    net = Network((6, 8, 3), SMOOTH)
    f, theta, v, *_ = problem(net)
    f = Objective(net, f.Z, np.arange(5) % 4 if loss == "softmax" else f.Y, loss, C=5.0)
    f = f.with_dropout(seed)
    assert_derivative(f, theta, v)


def test_hessian_with_any_loss_is_that_of_central_differences():
    net = Network((6, 6, 1), [Conv(4, 3, activation="tanh"), Dense(3)])
    Z, _ = images(net, 30)
    theta, v = np.random.default_rng(0).standard_normal((2, net.n))
    for loss in LOSSES:
        f = Objective(net, Z, np.arange(30) % 3, loss, weights=np.arange(30) % 4, C=9.0)
        # the step is short because of the kinks of the losses
        assert_derivative(f, theta, v, 1e-6)


@pytest.mark.parametrize("name", EXAMPLES, ids=str)
def test_hessian_with_activation_is_that_of_central_differences(name):
    """Applied by convolutions, by the program to other layers, and by the layer Activation."""
    net = Network((5, 6, 2), [
        Conv(4, 3, activation=name), Scale(activation=name), ConvTranspose(2, 2, activation=name),
        Activation(name), Dense(4, activation=name), Dense(3),
    ])  # fmt: skip
    f, theta, v, *_ = problem(net, seed=2)
    assert_derivative(f, theta, v, 1e-6)


def gates(net, theta, Z):
    """Signs of all values, and the place of the maximum of each window of 2 x 2 pixels."""
    names = [layer.name for layer in net.layers]
    values = Network(net.input_shape, net.layers, outputs=names).forward(theta, Z)
    z = dict(zip(names, values, strict=True))
    l, height, width, d = z["pooled"].shape
    windows = z["rectified"][:, : 2 * height, : 2 * width].reshape(l, height, 2, width, 2, d)
    places = windows.transpose(0, 1, 3, 5, 2, 4).reshape(l, height, width, d, 4).argmax(axis=-1)
    return [places.tobytes(), *((value > 0).tobytes() for value in values)]


def test_hessian_is_that_of_differences_on_a_segment_without_kinks():
    net = Network((9, 8, 2), [
        Conv(4, 3, pad=1, activation="relu", name="rectified"), MaxPool(2, name="pooled"),
        PReLU(name="sloped"), Conv(5, 3, name="wide"), Activation(LeakyReLU(0.25), name="leaky"),
        Dense(6, activation="relu", name="dense"), Dense(3, name="last"),
    ])  # fmt: skip
    f, theta, *_ = problem(net, l=6, seed=1)
    random = np.random.default_rng(1)
    h, used = 1e-5, 0
    for _ in range(20):
        v = random.standard_normal(net.n)
        v /= np.linalg.norm(v)
        ends = [gates(net, theta + side * h * v, f.Z) for side in (-1, 0, 1)]
        if ends[0] == ends[1] == ends[2]:
            used += 1
            assert_derivative(f, theta, v, h)
    assert used >= 10


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize("spatial", [False, True])
def test_hessian_through_normalisations_is_that_of_central_differences(spatial, p):
    net = Network((4, 5, 3), [
        Conv(4, 2, activation="tanh", name="z"), Normalize(p, 0.3, spatial=spatial),
        LRN(3, 0.7, 0.5, 0.6), Dense(3),
    ])  # fmt: skip
    f, theta, v, *_ = problem(net, seed=4)
    assert_derivative(f, theta, v, 1e-6)


def test_hessian_through_products_with_one_pixel_is_that_of_central_differences():
    net = Network((4, 5, 3), [
        Conv(4, 3, pad=1, activation="tanh", name="z"), Conv(4, (4, 5), inputs="z", name="gate"),
        Multiply(inputs=["z", "gate", "z", "gate"], name="product"), Dense(3),
    ])  # fmt: skip
    f, theta, v, *_ = problem(net, seed=4)
    assert_derivative(f, theta, v)


@pytest.mark.parametrize("loss", ["squared", "softmax"])
@pytest.mark.parametrize("C", [np.inf, 4.0])
def test_hessian_of_linear_network_is_the_closed_form(loss, C):
    f, X, theta, v = regression(loss, C=C)
    H = regression_hessian(loss, X, theta, C)
    bound = inner_product_bound(3 * len(X), np.abs(H) @ np.abs(v), np.float64)
    assert_within(f.hessp(theta, v), H @ v, 4 * bound)
    at = f.linearize(theta)
    np.testing.assert_allclose(at.H @ np.eye(15), H, rtol=0, atol=1e-13)
    np.testing.assert_allclose(at.hessian(v), at.gauss_newton(v), rtol=0, atol=1e-14)


def test_hessian_with_weights_subset_and_penalty_is_that_of_central_differences():
    w = np.array([0.0, 0.5, 2.0] * 3)
    f, theta, v = labelled(weights=w, C=2.0, penalty={"biases": 0.0})
    for objective in (f, f.subset([3, 1, 0, 2, 2])):
        assert_derivative(objective, theta, v)


def test_hessian_products_are_those_of_pytorch():
    for loss in ("squared", "softmax"):
        data, f = recorded(loss)
        at = f.linearize(data["theta"])
        assert_close(at.hessian(data["v"]), data[f"torch_Hv_{loss}"])
        H = at.hessian(np.eye(f.net.n))
        assert_close(np.diag(H), data[f"torch_diagH_{loss}"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_in_python_gives_the_hessian_of_the_compiled_one(weighted, dtype):
    assert_python_loss_has_product("hessp", weighted, dtype)


def test_samples_that_are_positions_have_the_hessian_of_central_differences():
    assert_derivative(*positions())


# bits, memory, arguments ------------------------------------------------------------------------------


def products(f, theta, v, u, keep):
    """The bytes of all products, each computed twice."""
    at = f.linearize(theta, keep=keep)
    found = []
    for _ in range(2):
        found += [at.jvp(v), at.vjp(u), at.gauss_newton(v), at.hessian(v)]
    assert all(x.any() for x in found)
    return tuple(x.tobytes() for x in found), at


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("l", "loss"), [(2, "softmax"), (700, "softmax"), (700, "python")])
def test_products_have_the_same_bits_for_any_threads_and_budget(l, loss, dtype, mixed):
    given, theta, v, u = for_threads(l, loss, dtype, mixed)
    f = Objective(*given, C=10.0)
    program, shards = f._program, f.net.shards(l)
    at = f.linearize(theta)
    half = len(shards) // 2 or 1
    some = program.prepared_bytes + shards[half - 1].stop * at._shards.states.image_bytes
    more = program.prepared_bytes + l * at._shards.states.image_bytes
    more += shards[half - 1].stop * at._shards.gradients.image_bytes
    found, counts = set(), []
    for n_threads in (1, 2, 3, 5, 8):
        f = Objective(*given, C=10.0, n_threads=n_threads)
        for keep in (0, program.prepared_bytes, some, more, np.inf):
            bits, at = products(f, theta, v, u, keep)
            found.add(bits)
            counts.append((at._shards.states.count, at._shards.gradients.count))
    assert len(found) == 1
    (bits,) = found
    assert bits[:4] == bits[4:]
    all_ = len(shards)
    assert counts[:5] == counts[-5:] == [(0, 0), (0, 0), (half, 0), (all_, half), (all_, all_)]


def test_kept_memory_is_within_the_budget(mixed):
    net = mixed("float64")
    Z, y = images(net, 700)
    f, theta = Objective(net, Z, y, "softmax"), net.init(0)
    for keep in (0, 1e5, 1e6, 3e6, 1e7):
        at = f.linearize(theta, keep=keep)
        at.hessian(theta)
        total = 0 if at._filters is None else at._filters.nbytes
        for kept in (at._shards.states, at._shards.gradients):
            total += sum(len(Z) for _, Z in kept._kept.values()) * kept.image_bytes
        assert total <= keep


def test_states_are_computed_once():
    f, theta, v = labelled(CurvedError())
    at = f.linearize(theta)
    calls = []
    program = f._program
    at._f._program = Counted(program, calls)
    for product in (at.gauss_newton, at.hessian, at.jvp, at.gauss_newton):
        product(v)
    at.vjp(np.ones((9, 3)))
    assert calls == ["forward"] * len(f.net.shards(9))


def test_interrupted_forward_pass_is_not_kept():
    f, theta, _ = labelled()
    at = f.linearize(theta)
    program = at._f._program
    at._f._program = types.SimpleNamespace(
        forward=interrupted, without_tangent=program.without_tangent
    )
    with pytest.raises(KeyboardInterrupt):
        at._f._evaluation.run(
            theta, f.net.shards(9),
            lambda part, prepared, block, **sharing: at._shards.forward(part, prepared, block, sharing),
            1, shared=False,
        )  # fmt: skip
    assert at._shards.states.count == 0


def interrupted(*arguments, **options):
    raise KeyboardInterrupt


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_hessian_pass_writes_its_blocks_only(dtype, shared):
    """Blocks with guard bytes, whose contents before the pass do not matter; the state is read only."""
    for seed in range(20):
        case = PreparedGraph(seed, dtype, hessian=True)
        program, Z, state = case.program, case.Z, block(case.program.state_bytes)
        memory = block(program.training_bytes)
        z = program.forward(case.theta, case.prepared, Z, memory, state=state)
        before, dz = state.copy(), np.ones_like(z)
        found = []
        for fill in (0xFF, 0x00):
            wholes = [
                block(size + 256, fill) for size in (program.training_bytes, program.hessian_bytes)
            ]
            memory, t_block = (whole[:-256] for whole in wholes)
            options = {"state": state, "shared": shared}
            product = np.full(case.net.n, np.nan, dtype)
            tz = program.tangent(*case.directed, len(Z), memory, t_block, hessian=True, **options)
            tz = tz.copy()
            program.tangent_backward(*case.directed, dz, tz, memory, t_block, product, **options)
            assert all((whole[-256:] == fill).all() for whole in wholes)
            np.testing.assert_array_equal(state, before)
            found.append(product)
        np.testing.assert_array_equal(*found)
        assert np.isfinite(found[0]).all()


def test_layer_without_second_derivative_is_refused():
    f, theta, v = labelled()
    at = f.linearize(theta)
    at._f._program = types.SimpleNamespace(without_tangent=lambda backward: 1 if backward else -1)
    message = r"Linearization: layer 1 \(Dense\) has no pass tangent_backward, which products with"
    with pytest.raises(NotImplementedError, match=message):
        at.hessian(v)


def test_loss_without_hessian_product_is_refused():
    f, theta, v = labelled(SquaredError())
    message = "SquaredError has no method hessian_product, which second-order products need"
    with pytest.raises(TypeError, match=message):
        f.hessp(theta, v)


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        (-1, ValueError, "Objective: keep must be at least 0, got -1"),
        (np.nan, ValueError, "Objective: keep must be at least 0, got nan"),
        ("1e9", TypeError, "Objective: keep must be a number, got '1e9'"),
    ],
)
def test_bad_budget_is_refused(keep, error, message):
    f, theta, _ = labelled()
    with pytest.raises(error, match=message):
        f.linearize(theta, keep=keep)


def test_network_whose_output_does_not_depend_on_parameters_has_the_hessian_of_the_regularisation():
    net = Network((2, 2, 1), [MaxPool(2, name="pool"), Dense(2, inputs="input", name="d")],
                  outputs=["pool", "d"])  # fmt: skip
    f = Objective(net, np.ones((3, 2, 2, 1)), np.zeros((3, 1)), output="pool", C=2.0)
    np.testing.assert_array_equal(f.hessp(np.ones(net.n), np.ones(net.n)), np.full(net.n, 0.5))
