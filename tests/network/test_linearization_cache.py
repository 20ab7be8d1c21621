"""What objectives and linearizations keep for products: whether it is still true, and its memory."""

import copy
import ctypes
import mmap
import pickle

import numpy as np
import pytest
from scipy import optimize
from support.networks import images
from support.second_order import labelled

from matconv import Conv, Dense, MaxPool, Network, Objective

PRODUCTS = ["gnp", "hessp"]
CHANGES = {
    "images": lambda f: f.Z.__setitem__(3, 2 * f.Z[3]),
    "exchanged images": lambda f: f.Z.__setitem__([1, 2], f.Z[[2, 1]]),
    "C": lambda f: setattr(f, "C", 0.5),
    "Z": lambda f: setattr(f, "Z", f.Z + 1),
}


def squared():
    """An objective with targets, theta and a direction."""
    net = Network((5, 5, 1), [Conv(3, 3, activation="tanh"), Dense(2)])
    random = np.random.default_rng(0)
    theta, v = random.standard_normal((2, net.n))
    Z, Y = random.standard_normal((9, 5, 5, 1)), random.standard_normal((9, 2))
    return Objective(net, Z, Y, C=3.0), Y, theta, v


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("change", [*CHANGES, "targets"])
def test_products_follow_changes_of_the_objective(change, name):
    f, Y, theta, v = squared()
    before = getattr(f, name)(theta, v)
    if change == "targets":
        Y[3] = 7.0
    else:
        CHANGES[change](f)
    expected = getattr(Objective(f.net, f.Z.copy(), Y.copy(), C=f.C), name)(theta, v)
    found = getattr(f, name)(theta, v)
    np.testing.assert_array_equal(found, expected)
    assert (found == before).all() == (name == "gnp" and change == "targets")


def test_products_of_a_subset_follow_its_images_only():
    f, _, theta, v = squared()
    part = f.subset([1, 4])
    part.hessp(theta, v)
    ((at, _),) = part._linearizations
    f.Z[2] = 5
    part.hessp(theta, v)
    assert part._linearizations[0][0] is at
    f.Z[4] = 5
    expected = Objective(f.net, f.Z[[1, 4]], f.Y[[1, 4]], C=3.0).hessp(theta, v)
    np.testing.assert_array_equal(part.hessp(theta, v), expected)


def test_last_two_thetas_are_kept():
    f, _, theta, v = squared()
    for t in (theta, 2 * theta, theta.copy()):
        f.hessp(t, v)
    first, second = (at for at, _ in f._linearizations)
    assert first.theta.tobytes() == theta.tobytes()
    f.gnp(2 * theta, v)
    f.hessp(theta.copy(), v)
    assert [at for at, _ in f._linearizations] == [first, second]


@pytest.mark.parametrize("name", PRODUCTS)
def test_real_directions_are_converted(name):
    f, theta, v = labelled()
    product = getattr(f, name)
    whole = np.arange(len(theta)) % 3
    np.testing.assert_array_equal(product(theta, whole), product(theta, whole.astype(float)))
    with pytest.raises(TypeError, match="v must be float64 or float32, got complex128"):
        product(theta, v + 1j)
    f, theta, v = labelled(dtype="float32")
    np.testing.assert_array_equal(
        getattr(f, name)(theta, v.astype(float)), getattr(f, name)(theta, v)
    )


def test_hessp_is_that_of_scipys_trust_constr():
    f, theta, _ = labelled(C=2.0)
    found = optimize.minimize(
        f.value_and_gradient, theta, jac=True, hessp=f.hessp, method="trust-constr",
        options={"maxiter": 5},
    )  # fmt: skip
    assert found.nit == 5 and found.fun < f(theta)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_duplicate_of_linearization_has_the_same_products(duplicate):
    f, theta, v = labelled(C=2.0)
    at = f.linearize(theta, keep=1e6)
    expected = at.hessian(v)
    again = duplicate(at)
    np.testing.assert_array_equal(again.hessian(v), expected)
    np.testing.assert_array_equal(duplicate(at.G) @ v, at.gauss_newton(v))
    assert again.theta.tobytes() == theta.tobytes() and not again.theta.flags.writeable
    assert again._shards.states.count == at._shards.states.count


@pytest.mark.parametrize("keep", [0, np.inf])
def test_network_without_parameters_has_empty_products(keep):
    net = Network((4, 4, 2), [MaxPool(2)])
    random = np.random.default_rng(0)
    f = Objective(net, random.standard_normal((5, 4, 4, 2)), random.standard_normal((5, 8)))
    at = f.linearize(np.zeros(0), keep=keep)
    for k in ((), (0,), (1,), (3,)):
        v, u = np.zeros((0, *k)), np.ones((5, 8, *k))
        np.testing.assert_array_equal(at.jvp(v), np.zeros((5, 8, *k)))
        for found in (at.vjp(u), at.gauss_newton(v), at.hessian(v), at.G @ v, f.hessp(at.theta, v)):
            assert found.shape == (0, *k)


def test_operators_multiply_no_vectors():
    f, theta, _ = labelled()
    at = f.linearize(theta)
    nothing = np.ones((len(theta), 0))
    assert (at.J @ nothing).shape == (27, 0) and (at.H @ nothing).shape == nothing.shape
    assert (at.J.T @ np.ones((27, 0))).shape == nothing.shape


def resident(array):
    """Bytes of the pages of an array that are in memory."""
    pages = -(-array.nbytes // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * pages)()
    address = ctypes.c_void_p(array.ctypes.data)
    assert (
        ctypes.CDLL(None, use_errno=True).mincore(address, ctypes.c_size_t(array.nbytes), found)
        == 0
    )
    return sum(page & 1 for page in found) * mmap.PAGESIZE


@pytest.mark.skipif(not hasattr(mmap, "MADV_NOHUGEPAGE"), reason="mincore and huge pages of Linux")
def test_memory_of_small_shards_is_within_the_budget():
    net = Network((64, 64, 3), [Conv(32, 3, pad="same", activation="relu"), MaxPool(2), Dense(3)])
    Z, y = images(net, 17)
    f = Objective(net, Z, y, "softmax")
    at = f.linearize(net.init(0), keep=1e9)
    at.hessian(net.init(1))
    kept = [at._shards.states, at._shards.gradients]
    arrays = [array for one in kept for array, _ in one._kept.values()]
    assert len(arrays) == 2 * len(net.shards(17)) == 6
    counted = sum(one.image_bytes * 17 for one in kept)
    # the first and last page of each value may belong to images that the shard does not have
    edges = len(arrays) * 2 * (len(net.layers) + 2) * mmap.PAGESIZE
    assert sum(map(resident, arrays)) <= counted + edges < 0.8 * sum(map(len, arrays))
