"""The losses that are included: values by their formulas, derivatives, compiled against Python."""

import math

import numpy as np
import pytest
from support.errors import raises
from support.known_losses import ATTRIBUTE, CASES, FLAT, NAMES, RESIDUAL, problem
from support.tolerances import assert_slope, assert_within, rounding_bound

from matconv import Conv, Dense, Network, Objective
from matconv.kernels._losses import CODES, factor, hessian_product
from matconv.losses import (
    LOSSES,
    HuberLoss,
    KnownLoss,
    Loss,
    compiled_name,
    get_loss,
    loss_factor,
    loss_hessian_product,
)

DTYPES = [np.float64, np.float32]


def element(name, z, y):
    """e(z; y) by the formula of the documentation."""
    name, _, delta = name.partition(":")
    r, c = z - y, 2 * y - 1
    delta = float(delta or 1)
    if name == "huber":
        return r * r / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)
    if name == "logistic":
        return y * math.log(1 + math.exp(-z)) + (1 - y) * math.log(1 + math.exp(z))
    return {
        "squared": r * r,
        "absolute": abs(r),
        "hinge": max(0, 1 - c * z),
        "squared_hinge": max(0, 1 - c * z) ** 2,
    }[name]


def formula(name, z, y):
    """xi of one sample."""
    if np.ndim(y) == 0 and y < 0:
        return 0.0
    if name == "softmax":
        score = z[y] if np.ndim(y) == 0 else sum(p * s for p, s in zip(y, z))
        return math.log(sum(math.exp(s) for s in z)) - score
    if name == "multiclass_hinge":
        return max(0, 1 - z[y])
    if name == "structured_hinge":
        return max(0, 1 - z[y] + max(z[q] for q in range(len(z)) if q != y))
    row = [float(j == y) for j in range(len(z))] if np.ndim(y) == 0 else y
    terms = [element(name, s, t) for s, t in zip(z, row) if not (name in ATTRIBUTE and t < 0)]
    return sum(terms)


def compiled(name, z, y, weights=None):
    """Value and gradient by compiled code, as an objective whose theta is z (l, n)."""
    l, n = z.shape
    net = Network((1, 1, l), [Dense(n, bias=False)], z.dtype)
    Z = np.eye(l, dtype=z.dtype).reshape(l, 1, 1, l)
    f = Objective(net, Z, y, name, weights=weights)
    value, gradient = f.value_and_gradient(z.ravel())
    return value * f.total_weight, gradient.reshape(z.shape) * f.total_weight


def labelled(y):
    return bool((np.asarray(y) >= 0).any())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_value_is_the_formula(name, kind):
    for seed in range(20):
        loss, z, y = problem(name, kind, seed)
        expected = sum(formula(name, z_i, y_i) for z_i, y_i in zip(z.tolist(), y))
        # log(1 + exp z) loses digits where exp z is small
        bound = rounding_bound(100, max(expected, np.abs(z).max(), 1))
        assert_within(loss.value(z, y), expected, bound)
        if labelled(y) or name in RESIDUAL:
            assert_within(compiled(name, z, y)[0], expected, bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_compiled_loss_is_the_loss_in_python(name, kind, dtype):
    """Value, gradient, B dz and S S'; xi of float32 within roundings of its terms."""
    for seed in range(20):
        loss, z, y = problem(name, kind, seed, dtype)
        value, gradient = loss.value_and_gradient(z, y)
        assert gradient.dtype == dtype
        scale = 1 + np.abs(z).max() + np.abs(np.asarray(y)).max()
        terms = z.size * scale**2
        if labelled(y):
            found = compiled(name, z, y)
            assert_within(found[0], value, rounding_bound(16, terms, dtype), name)
            bound = rounding_bound(40, scale, dtype)
            assert_within(found[1], gradient, bound, name)
        tz = np.random.default_rng(seed).standard_normal(z.shape).astype(dtype)
        code, parameter = CODES[loss.name], loss.parameter
        product = loss.hessian_product(z, y, tz)
        bound = rounding_bound(40, np.abs(tz).max(), dtype)
        found = hessian_product(code, z, y, tz, None, 1.0, parameter)
        assert found.dtype == product.dtype == dtype
        assert_within(found, product, bound, name)
        S = factor(code, z, y, None, 1.0, parameter)
        assert_within(np.einsum("ijk,imk,im->ij", S, S, tz), product, z.shape[1] * bound, name)
        assert (name in FLAT) == (not product.any() and not S.any() and not loss.factor(z, y).size)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_gradient_and_hessian_are_central_differences(name, kind):
    """On segments that cross no kink: both ends have the same Hessian."""
    compared = 0
    for seed in range(20):
        loss, z, y = problem(name, kind, seed, unlabelled=seed % 2 == 0)
        random = np.random.default_rng(seed)
        v = random.standard_normal(z.shape)
        v /= np.linalg.norm(v)
        value, gradient = loss.value_and_gradient(z, y)
        h = 1e-5
        ends = [loss.value_and_gradient(z + s * h * v, y) for s in (1, -1)]
        kinks = name in FLAT and not np.array_equal(ends[0][1], ends[1][1])
        if kinks or not gradient.any():
            continue
        compared += 1
        slope = (ends[0][0] - ends[1][0]) / (2 * h)
        assert_slope(slope, (gradient * v).sum(), max(np.linalg.norm(gradient), value * 1e-3))
        product = loss.hessian_product(z, y, v)
        by_difference = (ends[0][1] - ends[1][1]) / (2 * h)
        if name.startswith(("huber", "squared_hinge")):
            same = np.isclose(by_difference, product, rtol=0, atol=1e-6)
            assert same.mean() > 0.8
        else:
            assert_within(by_difference, product, 1e-7 * max(np.linalg.norm(gradient), 1), name)
    assert compared >= 15


@pytest.mark.parametrize("name", NAMES)
def test_factor_times_its_transpose_is_the_hessian(name):
    for seed in range(10):
        loss, z, y = problem(name, "labels", seed)
        l, n = z.shape
        B = np.stack([loss.hessian_product(z, y, np.tile(e, (l, 1))) for e in np.eye(n)], axis=2)
        S = loss_factor(loss, z, y)
        assert_within(np.einsum("ijk,imk->ijm", S, S), B, rounding_bound(4 * n, 2.0), name)


# NaN, infinity, denormals


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_nan_in_an_output_gives_nan_of_its_sample_only(name, dtype):
    loss, y = get_loss(name), np.array([1, 0])
    for place in (0, 1, 2):
        z = np.array([[0.5, 1.5, -2], [0.25, -1, 0.5]], dtype)
        z[0, place] = np.nan
        for value, dz in (loss.value_and_gradient(z, y), compiled_rows(name, z, y)):
            # the only loss that does not depend on the other outputs
            seen = name != "multiclass_hinge" or place == 1
            assert np.isnan(value) == np.isnan(dz[0, place]) == seen
            assert np.isfinite(dz[1]).all()


def compiled_rows(name, z, y):
    """The compiled loss on rows of z as biases: one image for each row, one row at a time."""
    value, rows = 0.0, []
    for z_i, y_i in zip(z, y):
        net = Network((1, 1, 1), [Dense(z.shape[1])], z.dtype)
        theta = net.pack([(np.zeros((1, z.shape[1]), z.dtype), z_i)])
        f, gradient = Objective(
            net, np.ones((1, 1, 1, 1), z.dtype), [y_i], name
        ).value_and_gradient(theta)
        value += f
        rows.append(gradient[z.shape[1] :])
    return value, np.stack(rows)


@pytest.mark.parametrize("name", NAMES)
def test_infinite_and_tiny_outputs_give_no_nan_where_xi_has_a_limit(name):
    loss = get_loss(name)
    tiny, huge = 5e-324, 1e300
    z = np.array([[tiny, -tiny], [0.0, -0.0]])
    with np.errstate(all="raise", under="ignore"):
        value, dz = loss.value_and_gradient(z, np.array([0, 1]))
    assert np.isfinite(value) and np.isfinite(dz).all()
    found = compiled_rows(name, z, [0, 1])
    assert found[0] == value
    np.testing.assert_array_equal(found[1], dz)
    if name in ("logistic", "hinge"):
        z = np.array([[np.inf, -np.inf], [huge, -huge]])
        value, dz = loss.value_and_gradient(z, np.array([0, 0]))
        assert value == 0 and not dz.any()
        found = compiled_rows(name, z, [0, 0])
        assert found[0] == 0 and not found[1].any()
        value, dz = loss.value_and_gradient(z[:1], np.array([1]))
        assert value == np.inf and np.array_equal(dz, [[1, -1]])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("softmax", "logistic")])
def test_losses_of_integers_are_exact(name):
    random = np.random.default_rng(0)
    z = random.integers(-8, 9, (12, 4)).astype(float)
    y = random.integers(0, 4, 12)
    exact = "huber" if name == "huber:0.3" else name
    value, dz = get_loss(exact).value_and_gradient(z, y)
    assert value == sum(formula(exact, z_i, y_i) for z_i, y_i in zip(z.tolist(), y))
    for dtype in DTYPES:
        found = compiled_rows(exact, z.astype(dtype), y)
        assert found[0] == value
        np.testing.assert_array_equal(found[1], dz)


# targets


def refused(name, Y, kind, message, n=3):
    net = Network((1, 1, 2), [Dense(n)])
    with raises(kind, message):
        Objective(net, np.ones((len(np.atleast_1d(Y)), 1, 1, 2)), Y, name)


@pytest.mark.catalogue(35)
@pytest.mark.parametrize("name", sorted(ATTRIBUTE))
def test_attributes_wrong_targets_refused(name):
    said = name.replace("_", " ")
    refused(name, [0, 3], ValueError, f"{said} loss: labels must be from 0 to 2, one per output")
    refused(name, [[0, 2, 1]], ValueError, "or -1 (not labelled), got 2")
    refused(name, [[0, -2, 1]], ValueError, "or -1 (not labelled), got -2")
    refused(name, [[0.0, np.nan, 1.0]], ValueError, "or -1 (not labelled), got nan")
    refused(name, [[0, 1]], ValueError, "or shape (1, 3), a column per attribute, got shape (1, 2)")
    refused(name, [0.0, 1.0], TypeError, f"{said} loss: labels must be integers, got float64")
    refused(name, [[True] * 3], TypeError, "integer labels or rows of attributes, got bool")
    refused(name, [2], ValueError, "or -1 (not labelled), got 2", n=1)
    if name != "logistic":
        refused(name, [[0.5, 0, 1]], ValueError, "attributes must be 0 or 1, or -1")


@pytest.mark.catalogue(35)
@pytest.mark.parametrize("name", ["multiclass_hinge", "structured_hinge"])
def test_class_hinges_wrong_targets_refused(name):
    said = name.replace("_", " ")
    refused(name, [0, 3], ValueError, f"{said} loss: labels must be from 0 to 2")
    refused(name, [[0.0, 1, 0]], TypeError, f"{said} loss: labels must be integers, got float64")
    refused(name, [[0, 1, 0]], ValueError, f"{said} loss: Y must have one label per image, 1")
    refused(name, [0], ValueError, f"{said} loss: the network must have at least 2 outputs", n=1)


@pytest.mark.parametrize("name", sorted(ATTRIBUTE))
def test_one_output_decides_between_labels_0_and_1(name):
    z, y = np.array([[2.0], [-0.5], [0.25]]), np.array([1, 0, 1])
    expected = sum(element(name, s, t) for s, t in zip(z[:, 0], y))
    value, dz = compiled_rows(name, z, y)
    assert_within(value, expected, rounding_bound(8, expected))
    rows = y.reshape(3, 1).astype(float)
    np.testing.assert_array_equal(dz, get_loss(name).value_and_gradient(z, rows)[1])


# the list


def test_every_loss_has_a_record_in_both_lists():
    assert sorted(LOSSES) == sorted(CODES)
    assert all(isinstance(get_loss(name), Loss) for name in LOSSES)
    assert [compiled_name(get_loss(name)) for name in LOSSES] == list(LOSSES)


def test_huber_has_its_parameter_in_equality_hash_and_repr():
    assert get_loss("huber") == HuberLoss(1) == HuberLoss(np.float64(1)) != HuberLoss(2)
    assert len({HuberLoss(), HuberLoss(1.0), HuberLoss(0.5)}) == 2
    assert repr(get_loss("huber:0.5")) == "HuberLoss(delta=0.5)"
    with pytest.raises(AttributeError):
        HuberLoss().delta = 3
    for delta in ("1", None, True, [1.0]):
        with raises(TypeError, f"HuberLoss: delta must be a number, got {delta!r}"):
            HuberLoss(delta)


# losses of the user


class Half:
    """xi = z'z / 2, with B = I."""

    def targets(self, Y, l, n_outputs, dtype):
        return np.zeros(l)

    def value(self, z, y):
        return (z * z).sum() / 2

    def value_and_gradient(self, z, y):
        return self.value(z, y), z

    def hessian_product(self, z, y, dz):
        return dz.tolist()

    def factor(self, z, y):
        return np.broadcast_to(np.eye(z.shape[1], dtype=np.float32), (*z.shape, z.shape[1]))


def test_second_order_of_a_users_loss_is_converted_and_checked():
    z, y, dz = np.ones((2, 3)), np.zeros(2), np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(loss_hessian_product(Half(), z, y, dz), dz)
    S = loss_factor(Half(), z, y)
    assert S.dtype == z.dtype and np.array_equal(S, np.stack([np.eye(3)] * 2))
    lacking = type("Lacking", (), {"value": Half.value})()
    with raises(TypeError, "Lacking has no method hessian_product, which second-order products"):
        loss_hessian_product(lacking, z, y, dz)
    with raises(TypeError, "Lacking has no method factor, which second-order products need"):
        loss_factor(lacking, z, y)
    wrong = type("Wrong", (Half,), {
        "hessian_product": lambda self, z, y, dz: dz[0], "factor": lambda self, z, y: z,
    })()  # fmt: skip
    with raises(ValueError, "Wrong.hessian_product: the product must have the shape of z, (2, 3)"):
        loss_hessian_product(wrong, z, y, dz)
    with raises(ValueError, "Wrong.factor: the factor must have shape (2, 3) + (k,), got (2, 3)"):
        loss_factor(wrong, z, y)


@pytest.mark.parametrize(
    ("found", "kind", "message"),
    [
        ([1, 0], TypeError, "Odd.labelled: the result must be of bool, got int64"),
        ([True], ValueError, "Odd.labelled: the result must have shape (2,), got (1,)"),
    ],
)
def test_labelled_of_another_kind_or_shape_names_the_loss(found, kind, message):
    odd = type("Odd", (Half,), {"labelled": lambda self, y: found})()
    with raises(kind, message):
        Objective(Network((1, 1, 1), [Dense(3)]), np.ones((2, 1, 1, 1)), None, odd)


def test_subclass_of_a_known_loss_is_not_compiled():
    own = type("Own", (HuberLoss,), {})(0.5)
    assert isinstance(own, KnownLoss) and compiled_name(own) == ""
    net = Network((3, 2, 1), [Conv(2, 2, activation="relu"), Dense(3)])
    Z = np.random.default_rng(0).standard_normal((5, 3, 2, 1))
    y, theta = np.array([0, -1, 2, 1, 1]), net.init(0)
    found = Objective(net, Z, y, own).value_and_gradient(theta)
    expected = Objective(net, Z, y, "huber:0.5").value_and_gradient(theta)
    assert_within(found[0], expected[0], rounding_bound(30, expected[0]))
    assert_within(found[1], expected[1], rounding_bound(60, np.abs(expected[1]).max()))
