"""Objectives through the C functions: the bits of Python's Objective."""

import ctypes

import numpy as np
import pytest
from support import capi, known_losses
from support.capi import DTYPES, OK, Loss, Samples, entry, poisoned
from support.networks import images, lenet, mixed
from support.objectives import POLL, OpenedObjective, exported

from matconv import Add, Conv, Dense, Dropout, MaxPool, Network, Objective
from matconv.losses import get_loss


def thin(dtype):
    """Few multiply-adds: many images to a shard, and up to 64 leaves."""
    return Network((1, 1, 4), [Dense(3, activation="tanh"), Dense(2)], dtype)


def residual(dtype):
    """Winograd, a sum, activations that need their input, dropout, two outputs."""
    layers = [
        Conv(4, 3, pad="same", activation="gelu", algorithm="winograd", name="first"),
        Conv(4, 3, pad="same", name="second"),
        Add(inputs=["first", "second"], activation="silu"),
        Dropout(0.5),
        MaxPool(2, name="field"),
        Dense(3, name="scores"),
    ]
    return Network((8, 8, 2), layers, dtype, outputs=["scores", "field"])


def check_same_bits(net, loss, Z, y, folder, *, output=None, weights=None, positions=0):
    """f, gradient, Jv, J'u, Gv are those of Python, with one thread in C and two in Python."""
    theta, random = net.init(1), np.random.default_rng(2)
    known = get_loss(loss)
    f = Objective(net, Z, y, loss, output=output, weights=weights, n_threads=2)
    at = f.linearize(theta)
    v = random.standard_normal(net.n).astype(net.dtype)
    u = random.standard_normal((len(Z), f.n_outputs)).astype(net.dtype)
    labels = f.Y if f.Y.dtype == np.intp else None
    data = {
        "labels": labels, "targets": f.Y if labels is None else None, "weights": f.weights,
        "divisor": f.total_weight,
    }  # fmt: skip
    which = 0 if output is None else net.outputs.index(output)
    of_c = Loss(known.name, known.parameter, positions)
    with OpenedObjective(exported(net, net.init(0), folder), of_c, which) as objective:
        value, gradient = objective.gradient(theta, Z, **data)
        assert value == f(theta) and np.count_nonzero(gradient)
        assert gradient.tobytes() == at.gradient.tobytes()
        assert objective.jvp(theta, Z, v).tobytes() == at.jvp(v).tobytes()
        assert objective.vjp(theta, Z, u).tobytes() == at.vjp(u).tobytes()
        if known.name not in known_losses.FLAT:
            product = objective.gauss_newton(theta, Z, v, **data)
            assert product.tobytes() == at.gauss_newton(v).tobytes()
    return len(net.leaves(len(Z)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_any_number_of_leaves_python_bits(dtype, tmp_path):
    net = thin(dtype)
    leaves = {
        l: check_same_bits(net, "softmax", *images(net, l), tmp_path)
        for l in (1, 257, 1025, 1300, 1700, 3000, 17000)
    }
    assert list(leaves.values()) == [1, 2, 5, 6, 7, 12, 64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("l", [5, 70, 900])
def test_convolutions_and_pools_python_bits(dtype, l, tmp_path):
    net = mixed(dtype)
    check_same_bits(net, "squared", *images(net, l), tmp_path)


@pytest.mark.parametrize("dtype", DTYPES)
def test_single_shard_in_pieces_python_bits(dtype, tmp_path):
    """The threads of Python share the only shard; sums over its pieces have other bits."""
    net = lenet(dtype)
    assert check_same_bits(net, "softmax", *images(net, 30), tmp_path) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_output_of_a_graph_python_bits(dtype, tmp_path):
    net, l = residual(dtype), 40
    Z = np.random.default_rng(0).standard_normal((l, 8, 8, 2)).astype(dtype)
    y = np.arange(l) % 3
    check_same_bits(net, "softmax", Z, y, tmp_path, output="scores")
    field = (np.arange(l * 16) % 5 - 1).reshape(l, 4, 4)
    check_same_bits(net, "softmax", Z, field, tmp_path, output="field", positions=1)
    rows = np.random.default_rng(1).standard_normal((l, 4, 4, 4)).astype(dtype)
    weights = np.random.default_rng(1).random(l)
    check_same_bits(
        net, "huber:0.5", Z, rows, tmp_path, output="field", positions=1, weights=weights
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "kind"), known_losses.CASES)
def test_each_loss_and_kind_of_target_python_bits(name, kind, dtype, tmp_path):
    net, l = mixed(dtype), 30
    Z, _ = images(net, l)
    random = np.random.default_rng(3)
    y = known_losses.targets(kind, random, l, 3)
    y = y if y.dtype.kind == "i" else y.astype(dtype)
    check_same_bits(net, name, Z, y, tmp_path)
    check_same_bits(net, name, Z, y, tmp_path, weights=random.integers(0, 3, l))


@pytest.mark.parametrize("dtype", DTYPES)
def test_theta_of_the_file_is_the_default(dtype, tmp_path):
    net = mixed(dtype)
    theta, (Z, y) = net.init(5), images(net, 20)
    path = tmp_path / "nét"
    path.write_bytes(exported(net, theta, tmp_path))
    v, u = theta[::-1].copy(), Z.reshape(20, -1)[:, :3].copy()
    for source in (path, path.read_bytes()):
        with OpenedObjective(source) as objective:
            assert objective.shape() == ((9, 8, 2), (1, 1, 3), net.n, net.dtype.itemsize)
            assert objective.theta().tobytes() == theta.tobytes()
            for given, none in zip(
                (*objective.gradient(theta, Z, y), objective.jvp(theta, Z, v),
                 objective.vjp(theta, Z, u), objective.gauss_newton(theta, Z, v, y)),
                (*objective.gradient(None, Z, y), objective.jvp(None, Z, v),
                 objective.vjp(None, Z, u), objective.gauss_newton(None, Z, v, y)),
                strict=True,
            ):  # fmt: skip
                assert np.array_equal(given, none)


def test_value_and_gradient_each_may_be_null(tmp_path):
    net = thin("float64")
    Z, y = images(net, 1300)
    with OpenedObjective(exported(net, net.init(0), tmp_path)) as objective:
        value, gradient = objective.gradient(None, Z, y)
        samples, alone, only = Samples(1300, y, None, 1300), ctypes.c_double(), np.empty(net.n)
        address = ctypes.addressof(alone)
        for arguments in ((address, None), (None, only), (None, None)):
            call = "objective_gradient", None, samples, Z, None, *arguments
            assert objective.call(*call, product=False) == OK
        assert alone.value == value and only.tobytes() == gradient.tobytes()


def test_workspace_grows_with_images_and_is_enough_for_fewer(tmp_path):
    net = thin("float64")
    Z, y = images(net, 1300)
    with OpenedObjective(exported(net, net.init(0), tmp_path)) as objective:
        sizes = [objective.workspace(l) for l in (0, 1, 2, 300, 1300, 10_000, 10**9)]
        assert sizes == sorted(sizes) and all(one < both for one, both in sizes)
        expected = objective.gradient(None, Z[:700], y[:700])[1]
        size = sizes[4][0]
        scratch, gradient = poisoned(size, "f8"), poisoned(net.n, "f8")
        status = entry("objective_gradient", "float64")(
            objective.pointer, None, Samples(700, y, None, 700), Z, None, None, gradient,
            scratch, size, None, None,
        )  # fmt: skip
        assert status == OK and gradient.tobytes() == expected.tobytes()


def test_no_images_give_zeros(tmp_path):
    net = thin("float64")
    with OpenedObjective(exported(net, net.init(0), tmp_path)) as objective:
        Z, v = np.empty((0, 1, 1, 4)), np.ones(net.n)
        value, gradient = objective.gradient(None, Z, divisor=1)
        assert value == 0 and not gradient.any()
        assert not objective.gauss_newton(None, Z, v, divisor=1).any()
        assert not objective.vjp(None, Z, np.empty((0, 2))).any()
        assert objective.jvp(None, Z, v).size == 0


@pytest.mark.parametrize("name", ["gradient", "jvp", "vjp", "gauss_newton"])
def test_poll_stops_the_call(name, tmp_path):
    """It is asked at most every 50 ms: enough images that the call lasts longer."""
    net, l = mixed(), 64
    with OpenedObjective(exported(net, net.init(0), tmp_path)) as objective:
        asked = []
        poll = POLL(lambda _: asked.append(1) or len(asked) == 2)
        status = OK
        while status == OK:
            del asked[:]
            l *= 2
            Z, y = images(net, l)
            v, u, out = np.ones(net.n), np.ones((l, 3)), np.empty(max(net.n, 3 * l))
            samples = Samples(l, y, None, l)
            arguments = {
                "gradient": (None, samples, Z, None, None, out),
                "jvp": (None, l, Z, v, out),
                "vjp": (None, l, Z, u, out),
                "gauss_newton": (None, samples, Z, None, v, out),
            }[name]
            status = objective.call(
                f"objective_{name}", *arguments,
                product=name in ("jvp", "gauss_newton"), poll=poll,
            )  # fmt: skip
            assert len(asked) < 2 or status == capi.INTERRUPTED
        assert (status, len(asked)) == (capi.INTERRUPTED, 2)
        # the objective is as before
        Z, y = images(net, 10)
        f = Objective(net, Z, y, "softmax")
        assert objective.gradient(None, Z, y)[0] == f(net.init(0))
