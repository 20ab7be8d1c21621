"""Products with derivatives in the benchmark: their truth, costs, vectors."""

import cases
import kinks
import measuring
import nets
import numpy as np
import peers
import products_matconv
import pytest
import run

from matconv import Activation, Clip, Conv, Dense, MaxPool, Network


def test_costs_are_those_of_the_formulas():
    cost = cases.costs(nets.NETS["lenet"].network)
    M = 20 * 24 * 24 * 25
    F = M + 50 * 8 * 8 * 20 * 25 + 800 * 500 + 5_000
    gradient = 3 * F - M
    assert cost == {
        "jvp kept": (2 * F - M) / gradient,
        "vjp kept": (2 * F - M) / gradient,
        "gauss_newton kept": (4 * F - 2 * M) / gradient,
        "hessian kept": (6 * F - 4 * M) / gradient,
        "jvp scratch": 1,
        "vjp scratch": 1,
        "gauss_newton scratch": (5 * F - 2 * M) / gradient,
        "hessian scratch": (8 * F - 5 * M) / gradient,
        "gradient_norms": 1,
        "gauss_newton_diagonal": (F + 10 * (2 * F - M)) / gradient,
        "gradient": gradient,
    }
    assert [round(cost[f"{name} kept"], 2) for name in peers.KEPT] == [0.65, 0.65, 1.30, 1.91]


def test_costs_of_strides_pads_dilations_and_groups():
    # (6 + 2 - 5) // 2 + 1 = 2 and 5 + 4 - 2 + 1 = 8 places
    cost = cases.costs(nets.named("grouped").network)
    assert cost["gradient"] == 2 * 2 * 8 * (3 * 2 * 2 * 6)


@pytest.mark.parametrize("first", [False, True])
def test_vector_is_the_inverse_of_arrays(first):
    case = cases.ProductCase("small")
    arrays = [x for one in case.arrays(case.v, np.float64, first) for x in one]
    np.testing.assert_array_equal(case.vector(arrays, first), case.v)
    np.testing.assert_array_equal(case.v, case.v.astype(np.float32))


def test_truth_of_products_is_that_of_differences():
    case = cases.ProductCase("small")
    side = products_matconv.products(case, "float64", 1, "im2col")
    found = {which: side.results(which)[which] for which in peers.PRODUCTS}
    objective, theta = products_matconv._objective(case, "float64", 1)
    h = 1e-6
    ends = theta - h * case.v, theta + h * case.v
    jvp = np.subtract(*map(objective.outputs, ends[::-1])).reshape(case.u.shape) / (2 * h)
    slopes = np.subtract(*map(objective.gradient, ends[::-1])) / (2 * h)
    np.testing.assert_allclose(found["jvp kept"], jvp, rtol=0, atol=1e-7 * np.abs(jvp).max())
    error = 1e-7 * np.abs(slopes).max()
    np.testing.assert_allclose(found["hessian kept"], slopes, rtol=0, atol=error)
    adjoint = np.vdot(found["jvp kept"], case.u)
    np.testing.assert_allclose(found["vjp kept"] @ case.v, adjoint, rtol=1e-12)
    for name in peers.KEPT:
        np.testing.assert_array_equal(found[f"{name} kept"], found[f"{name} scratch"])


@pytest.mark.parametrize("dtype", measuring.DTYPES)
def test_own_products_are_the_truth(dtype):
    case = cases.ProductCase("small")
    side = products_matconv.products(case, dtype, 2)
    assert all(case.check(side, which) <= nets.PRODUCTS[dtype] for which in peers.PRODUCTS)


@pytest.mark.parametrize("name", ["lenet", "simplenn-4"])
def test_products_in_float32_differ_by_rounding_alone(name):
    case = cases.ProductCase(name)
    # twice the largest error measured of the difference of two inputs of an activation
    assert len(case.data[0]) == nets.NETS[name].batch and case.distances.min() > 2e-5
    side = products_matconv.products(case, "float32", 2)
    assert all(case.check(side, which) <= 5e-6 for which in ("jvp kept", "hessian kept"))
    for which, wrong in (("jvp kept", (5, 3)), ("hessian kept", 7)):
        found = side.results(which)
        found[which][wrong] += 1e-3 * np.abs(found[which]).max()
        faulty = peers.Side("me", np.dtype("float32"), {}, lambda which, found=found: found)
        with pytest.raises(ArithmeticError, match=f"^me, {name}: {which} differs by 0.00"):
            case.check(faulty, which)


def test_distances_from_kinks_are_those_by_hand():
    layers = [Conv(1, 1, activation="relu"), MaxPool(2), Dense(1, activation=Clip(0, 4))]
    network = Network((2, 2, 1), [*layers, Activation("relu")])
    theta = network.pack([(np.ones((1, 1, 1, 1)), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))])
    images = [
        ((1, 9, -8, 3), 1 / (155 / 4) ** 0.5),  # S near 0
        ((1, 1.25, -1, -1), 0.25 / (2.5625 / 4) ** 0.5),  # two maxima
        ((2, 3.5, -8, -9), 0.5 / 3.5),  # Clip
        ((-1, -1, -1, -1), 0),  # equal ones were clipped, but the ReLU at the end has 0
    ]
    Z = np.array([pixels for pixels, _ in images], float).reshape(-1, 2, 2, 1)
    np.testing.assert_allclose(kinks.distances(network, theta, Z), [d for _, d in images], 1e-14)
    assert kinks.distances(Network((2, 2, 1), [Dense(3)]), np.ones(15), Z).tolist() == [np.inf] * 4


def test_products_against_the_gradient_have_costs(measured):
    passes = ["jvp kept", "hessian scratch", "gradient_norms"]
    options = ["--peers", "gradient", "--dtypes", "float64", "--passes", *passes]
    found = measured("products", "lenet", *options)
    cost = cases.costs(nets.NETS["lenet"].network)
    assert {one["pass"]: one["cost"] for one in found["records"]} == {x: cost[x] for x in passes}


def test_run_refuses_a_wrong_product(monkeypatch, measured, capsys):
    right = products_matconv.matconv.curvature.Linearization.vjp

    def wrong(at, u):
        return right(at, u) + 1e-3 * (at._f.net.algorithm == "auto")

    monkeypatch.setattr(products_matconv.matconv.curvature.Linearization, "vjp", wrong)
    options = ["--peers", "gradient", "--dtypes", "float64", "--passes", "vjp kept", "jvp kept"]
    found = measured("products", "lenet", *options, status=1)
    assert "REFUSED matconv auto, lenet: vjp kept differs by " in capsys.readouterr().err
    assert [one["pass"] for one in found["records"]] == ["jvp kept"]


def test_kept_products_are_prepared_once():
    prepared = []
    passes = peers.product_passes(
        {"jvp": (lambda: prepared.append(1) or len(prepared), lambda kept: 10 * kept)}
    )
    assert [passes["jvp kept"]() for _ in range(3)] == [10, 10, 10]
    assert [passes["jvp scratch"]() for _ in range(2)] == [20, 30]


def test_products_of_a_network_without_classes_are_refused(capsys):
    assert run.main(["products", "dncnn17", "--peers", "gradient", "--images", "1"]) == 1
    assert "bench/run.py: products: 'dncnn17' has no classes" in capsys.readouterr().err


def test_products_without_peers_are_refused(capsys):
    assert run.main(["products", "lenet", "--peers", "gemm"]) == 1
    assert "nothing to measure: no peer has these passes" in capsys.readouterr().err
