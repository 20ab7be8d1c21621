"""Losses of the user: their arguments, allowed results, and errors."""

import fractions
import re
import threading

import numpy as np
import pytest
from support.networks import images
from support.python_losses import FORMS, NETWORKS, Squared, Tensor, compare, problem

from matconv import Network, Objective, minimize
from matconv.losses import SoftmaxLoss


@pytest.mark.catalogue(75)
@pytest.mark.catalogue(75)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("form", FORMS)
def test_gradient_any_layout_dtype_or_array_like_gives_the_same_bits(form, name, dtype):
    compare(Squared(FORMS[form]), name, dtype)


@pytest.mark.catalogue(75)
def test_gradient_broadcast_is_as_good_as_its_copy():
    def broadcast(copied):
        def gradient(dz):
            wide = np.broadcast_to(np.arange(3.0), dz.shape)
            return wide.copy() if copied else wide

        return gradient

    net, Z, Y, theta = problem()
    found = [Objective(net, Z, Y, Squared(broadcast(copied))).gradient(theta) for copied in (0, 1)]
    assert found[0].any() and found[0].tobytes() == found[1].tobytes()


@pytest.mark.catalogue(75)
def test_gradient_cached_by_the_loss_is_never_written_into():
    cached = {}

    def gradient(dz):
        kept = cached.setdefault(dz.shape, dz.copy())
        return kept

    net, Z, Y, theta = problem()
    f = Objective(net, Z, Y, Squared(gradient), n_threads=1)
    first = f.gradient(theta)
    (kept,) = cached.values()
    before = kept.copy()
    assert f.gradient(theta).tobytes() == first.tobytes()
    assert kept.tobytes() == before.tobytes()


@pytest.mark.catalogue(75)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_may_be_z_or_y_itself(name):
    class Half(Squared):
        """xi = z'z/2, whose gradient is z; or z'y, whose gradient is y."""

        def value_and_gradient(self, z, y):
            return 0.0, z if self.by == "z" else y

    net, Z, Y, theta = problem(name)
    for by in ("z", "y"):
        loss = Half()
        loss.by = by
        found = Objective(net, Z, Y, loss).gradient(theta)

        class Copied(Half):
            def value_and_gradient(self, z, y):
                value, gradient = super().value_and_gradient(z, y)
                return value, gradient.copy()

        loss = Copied()
        loss.by = by
        before = Y.copy()
        assert found.any()
        assert Objective(net, Z, Y, loss).gradient(theta).tobytes() == found.tobytes()
        assert Y.tobytes() == before.tobytes()


# Read-only


def subtract(z, y):
    z -= y


def assign(z, y):
    z[0, 0] = 0


def into_targets(z, y):
    y *= 2


def fill(z, y):
    z.fill(0)


@pytest.mark.catalogue(75)
@pytest.mark.catalogue(75)
@pytest.mark.parametrize("write", [subtract, assign, into_targets, fill])
@pytest.mark.parametrize("subset", [False, True])
def test_writing_into_z_or_y_raises_and_says_what_to_do(write, subset):
    class InPlace(Squared):
        def value(self, z, y):
            write(z, y)

        def value_and_gradient(self, z, y):
            write(z, y)

    net, Z, Y, theta = problem()
    before = Y.copy()
    f = Objective(net, Z, Y, InPlace())
    f = f.subset([3, 1]) if subset else f
    for call in (f.value, f.value_and_gradient):
        with pytest.raises(ValueError, match="read-only") as caught:
            call(theta)
        (note,) = caught.value.__notes__
        assert note == (
            f"InPlace.{call.__name__}: z and y are read-only; copy what is changed in place"
        )
    assert Y.tobytes() == before.tobytes()
    # nothing is left behind for the next call
    g = Objective(net, Z, Y, Squared())
    assert g.gradient(theta).tobytes() == Objective(net, Z, Y).gradient(theta).tobytes()


def test_loss_own_error_has_no_note():
    def fail(dz):
        raise ValueError("of its own")

    net, Z, Y, theta = problem()
    with pytest.raises(ValueError, match=r"^of its own$") as caught:
        Objective(net, Z, Y, Squared(fail)).gradient(theta)
    assert not hasattr(caught.value, "__notes__")


def test_objective_targets_are_read_only_and_the_users_are_not():
    net, Z, Y, _ = problem()
    f = Objective(net, Z, Y)
    with pytest.raises(ValueError, match="read-only"):
        f.Y[0] = 0
    Y[0] = 0


# The value


@pytest.mark.catalogue(75)
@pytest.mark.parametrize(
    "kind",
    [
        float, int, np.float64, np.float32, np.longdouble, np.int64, np.uint16,
        fractions.Fraction, np.array, lambda value: np.array([value]), lambda value: np.array([[value]], np.float32),
        lambda value: np.array(int(value)), Tensor,
    ],
    ids=repr,
)  # fmt: skip
def test_value_any_real_number_gives_a_python_float(kind):
    compare(Squared(value=kind))


@pytest.mark.catalogue(75)
def test_values_in_single_precision_are_added_in_double():
    class Small(Squared):
        """Shards of 1 and of 2^-24: the sum needs 25 bits."""

        def value(self, z, y):
            return np.float32(1 if y[0, 0] == 1 else 2.0**-24)

        def value_and_gradient(self, z, y):
            return self.value(z, y), np.zeros_like(z)

    net = Network((6, 6, 1), NETWORKS["dense"], np.float32)
    l = 3 * net.shard_size
    (Z, _), Y = images(net, l), np.zeros((l, 3), np.float32)
    Y[: len(Y[net.shards(l)[0]])] = 1
    f, theta = Objective(net, Z, Y, Small()), net.init(0)
    count = len(net.shards(l))
    assert count >= 3
    expected = (1 + (count - 1) * 2.0**-24) / l
    assert f(theta) == f.value_and_gradient(theta)[0] == expected


@pytest.mark.catalogue(75)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "the value must be a real number, got None (NoneType)"),
        ("1", "the value must be a real number, got '1' (str)"),
        (1j, "the value must be a real number, got 1j (complex)"),
        (True, "the value must be a real number, got True (bool)"),
        ([1.0], "the value must be a real number, got [1.0] (list)"),
        (np.complex128(1), "got an array of complex128 of shape ()"),
        (np.True_, "got an array of bool of shape ()"),
        (np.ones(2), "the value must be a real number, got an array of float64 of shape (2,)"),
        (np.ones(0), "got an array of float64 of shape (0,)"),
        (np.array("1"), "got an array of <U1 of shape ()"),
        (np.array(None), "got an array of object of shape ()"),
        (np.ma.array(1.0), "(MaskedArray)"),
        (np.ma.masked, "(MaskedConstant)"),
    ],
)
def test_value_of_another_kind_names_the_loss(value, message):
    net, Z, Y, theta = problem()
    f = Objective(net, Z, Y, Squared(value=lambda _: value))
    for call in (f.value, f.value_and_gradient):
        with pytest.raises(TypeError) as caught:
            call(theta)
        assert str(caught.value).startswith(f"Squared.{call.__name__}: the value must be a real n")
        assert message in str(caught.value)


def test_value_nan_or_infinite_goes_through():
    net, Z, Y, theta = problem()
    for value in (np.nan, np.inf, -np.inf):
        found = Objective(net, Z, Y, Squared(value=lambda _, v=value: np.float32(v)))(theta)
        assert type(found) is float and np.array_equal(found, value, equal_nan=True)


# The gradient


@pytest.mark.catalogue(75)
@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda dz: dz.T, ValueError, "the gradient must have the shape of z, (9, 3), got (3, 9)"),
        (lambda dz: dz[:-1], ValueError, "the shape of z, (9, 3), got (8, 3)"),
        (lambda dz: dz[None], ValueError, "the shape of z, (9, 3), got (1, 9, 3)"),
        (lambda dz: dz[:, 0], ValueError, "the shape of z, (9, 3), got (9,)"),
        (lambda dz: dz[:1], ValueError, "the shape of z, (9, 3), got (1, 3)"),
        (lambda dz: 0.0, ValueError, "the shape of z, (9, 3), got ()"),
        (lambda dz: None, TypeError, "the gradient must be of real numbers, got object"),
        (lambda dz: dz + 0j, TypeError, "the gradient must be of real numbers, got complex128"),
        (lambda dz: dz > 0, TypeError, "the gradient must be of real numbers, got bool"),
        (lambda dz: dz.astype(str), TypeError, "the gradient must be of real numbers, got <U"),
        (lambda dz: dz.astype(object), TypeError, "must be of real numbers, got object"),
        (lambda dz: [[1.0], [2.0, 3.0]], TypeError, "the gradient is not an array: "),
        (np.ma.array, TypeError, "the gradient is a masked array; fill it or drop the mask"),
    ],
)
def test_gradient_of_another_kind_or_shape_names_the_loss(change, kind, message):
    net, Z, Y, theta = problem()
    with pytest.raises(kind) as caught:
        Objective(net, Z, Y, Squared(change), n_threads=1).gradient(theta)
    assert str(caught.value).startswith("Squared.value_and_gradient: the gradient ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("result", "kind"), [(None, "NoneType"), (1.0, "float"), ((1.0,), "tuple"), ("ab", "str")]
)
def test_result_that_is_no_pair_names_the_loss(result, kind):
    class NoPair(Squared):
        def value_and_gradient(self, z, y):
            return result

    net, Z, Y, theta = problem()
    message = f"NoPair.value_and_gradient must return (value, gradient), got {kind}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Objective(net, Z, Y, NoPair()).gradient(theta)


# Targets


class Rows(Squared):
    """A loss whose targets are changed by a function of theirs."""

    def __init__(self, change):
        super().__init__()
        self._change = change

    def targets(self, Y, l, n_outputs, dtype):
        return self._change(Y)


@pytest.mark.catalogue(75)
@pytest.mark.parametrize(
    "form",
    ["Fortran order", "negative strides", "gaps", "read-only", "misaligned", "int64", "list",
     "list of arrays", "tuple of int", "__array__", "longdouble"],
)  # fmt: skip
def test_targets_any_layout_dtype_or_array_like(form):
    compare(Rows(lambda Y: FORMS[form](Y.copy())), l=40)


@pytest.mark.catalogue(75)
@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda Y: Y[1:], ValueError, "must have an entry or a row per image, 9, got shape (8, 3)"),
        (lambda Y: Y.T, ValueError, "an entry or a row per image, 9, got shape (3, 9)"),
        (lambda Y: None, ValueError, "an entry or a row per image, 9, got shape ()"),
        (lambda Y: 5, ValueError, "an entry or a row per image, 9, got shape ()"),
        (lambda Y: [[1.0], [2.0, 3.0]], TypeError, "the result is not an array: "),
        (np.ma.array, TypeError, "the result is a masked array; fill it or drop the mask first"),
    ],
)
def test_targets_of_another_kind_or_shape_names_the_loss(change, kind, message):
    net, Z, Y, _ = problem()
    with pytest.raises(kind) as caught:
        Objective(net, Z, Y, Rows(change))
    assert str(caught.value).startswith("Rows.targets: the result ")
    assert message in str(caught.value)


def test_loss_class_instead_of_an_instance_is_refused():
    net, Z, Y, _ = problem()
    for loss in (SoftmaxLoss, Squared):
        with pytest.raises(TypeError, match="loss must be a name or an object with targets, value"):
            Objective(net, Z, Y, loss)


@pytest.mark.parametrize("method", ["lbfgs", "sgd"])
def test_minimize_by_a_loss_in_single_precision(method):
    net, Z, Y, theta = problem("dense")
    loss = Squared(lambda dz: np.asfortranarray(dz, np.float32), np.float32)
    more = {"learning_rate": 1e-4} if method == "sgd" else {}
    result = minimize(Objective(net, Z, Y, loss, C=10.0), theta, method, 3, **more)
    assert result.f < Objective(net, Z, Y, C=10.0)(theta)
    assert all(type(row["f"]) is float for row in result.history)


def test_loss_runs_on_several_threads_at_once():
    names = set()
    both = threading.Barrier(2, timeout=60)

    class Seen(Squared):
        def value(self, z, y):
            names.add(threading.get_ident())
            both.wait()
            return 0.0

    net = Network((6, 6, 1), NETWORKS["dense"])
    l = 2 * net.shard_size
    assert len(net.shards(l)) % 2 == 0
    Z, _ = images(net, l)
    Objective(net, Z, np.zeros((l, 3)), Seen(), n_threads=2)(net.init(0))
    assert len(names) == 2
