"""Objectives through the C functions: the bits of Python's Objective, and every status."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import TESTS, capi, known_losses
from support.capi import DTYPES, NULL, OK, Loss, ObjectiveShape, Samples, entry, poisoned
from support.exported_files import graph, small, with_word
from support.networks import images, lenet, mixed
from support.objectives import CANARY, POLL, OpenedObjective

from matconv import Add, Conv, Dense, Dropout, MaxPool, Network, Objective
from matconv.losses import get_loss


def exported(net, theta, folder):
    """The bytes of the file that `Network.export` writes."""
    path = folder / "net"
    net.export(theta, path)
    return path.read_bytes()


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


# Errors ------------------------------------------------------------------------------------------

MESSAGES = {
    capi.LOSS: "unknown loss, an invalid parameter for it, or the output has fewer elements than it "
    "needs",
    capi.TARGET: "a label, a target, a weight or the divisor is invalid, or there are two kinds",
    capi.DERIVATIVE: "the network or its loss does not have this derivative, or there is no loss",
    capi.SCRATCH: "scratch_size is too small",
    NULL: "a required pointer is NULL",
    capi.DTYPE: "the dtype of the network does not match",
    capi.INTERRUPTED: "stopped before the end",
    capi.MEMORY: "out of memory",
}


def test_messages_of_the_statuses():
    for status, message in MESSAGES.items():
        assert entry("status_string")(status).decode() == message


@pytest.mark.catalogue(60)
@pytest.mark.parametrize(
    ("loss", "output", "status"),
    [
        (Loss("sofmax"), 0, capi.LOSS),
        (Loss(""), 0, capi.LOSS),
        (Loss("huber"), 0, capi.LOSS),
        (Loss("huber", -1.0), 0, capi.LOSS),
        (Loss("huber", float("inf")), 0, capi.LOSS),
        (Loss("huber", float("nan")), 0, capi.LOSS),
        (Loss("squared", 1.0), 0, capi.LOSS),
        (Loss("softmax", float("nan")), 0, capi.LOSS),
        (Loss(None), 0, NULL),
        (Loss("softmax"), -1, capi.INDEX),
        (Loss("softmax"), 1, capi.INDEX),
        (Loss("softmax"), 2**62, capi.INDEX),
    ],
)
def test_open_loss_or_output_refused(loss, output, status):
    opened = OpenedObjective(small(), loss, output)
    assert (opened.status, opened.pointer) == (status, None)


@pytest.mark.catalogue(60)
@pytest.mark.parametrize("loss", ["softmax", "multiclass_hinge", "structured_hinge"])
def test_open_loss_of_classes_with_one_output_refused(loss, tmp_path):
    data = exported(Network((1, 1, 2), [Dense(1)]), np.ones(3), tmp_path)
    assert OpenedObjective(data, loss).status == capi.LOSS
    one = exported(Network((2, 2, 1), [Conv(1, 1)]), np.ones(2), tmp_path)
    assert OpenedObjective(one, Loss(loss, 0.0, 1)).status == capi.LOSS
    with OpenedObjective(one, loss) as objective:
        assert objective.size == 4


@pytest.mark.catalogue(60)
def test_open_struct_and_null_refused():
    pointer, data = ctypes.c_void_p(CANARY), np.frombuffer(small(), np.uint8)
    from_memory, from_file = entry("objective_open_memory"), entry("objective_open")
    assert from_memory(data, len(data), None, 0, None) == NULL
    assert from_file(b"path", None, 0, None) == NULL
    assert from_memory(None, 0, None, 0, pointer) == NULL and pointer.value is None
    pointer.value = CANARY
    assert from_file(None, None, 0, pointer) == NULL and pointer.value is None
    loss = Loss("softmax")
    loss.struct_size -= 8
    pointer.value = CANARY
    assert from_memory(data, len(data), loss, 0, pointer) == capi.STRUCT and pointer.value is None
    assert entry("objective_close")(None) is None


@pytest.mark.catalogue(43, 44, 49, 50)
def test_open_file_refused(tmp_path):
    good = small()
    for data, status in (
        (b"", capi.FORMAT), (good[:-8], capi.FORMAT), (with_word(good, 4, 3), capi.FORMAT),
        (with_word(good, 1, 3), capi.VERSION),
    ):  # fmt: skip
        opened = OpenedObjective(data)
        assert (opened.status, opened.pointer) == (status, None)
        path = tmp_path / "net"
        path.write_bytes(data)
        assert OpenedObjective(path).status == status
    for path in (tmp_path / "missing", tmp_path, Path("/dev/zero")):
        assert OpenedObjective(path).status == capi.UNREADABLE


@pytest.mark.catalogue(50)
def test_open_each_byte_changed_or_cut_refused_or_opened():
    """Damaged files with the right CRC: a status, and no crash."""
    good, found = graph(), set()
    for k in range(1, len(good) // 8 - 1):
        for value in (0, -1, 2**40, 2**63 - 1):
            opened = OpenedObjective(with_word(good, k, value))
            found.add(opened.status)
            if opened.status == OK:
                opened.__exit__()
    assert {OK, capi.FORMAT, capi.VERSION} <= found <= {
        OK, capi.FORMAT, capi.VERSION, capi.INDEX, capi.LOSS,
    }  # fmt: skip


class Case:
    """The four calls, each with arguments of which some are to be replaced."""

    def __init__(self, folder, dtype="float64", loss="softmax"):
        net = mixed(dtype)
        self.objective = OpenedObjective(exported(net, net.init(0), folder), loss).__enter__()
        self.Z, self.y = images(net, 6)
        self.weights = np.ones(6)
        self.samples = Samples(6, self.y, self.weights, 6.0)
        gradient, product = self.objective.workspace(6)
        random = np.random.default_rng(0)
        self.value, self.dtype = ctypes.c_double(7.0), dtype
        self.n = net.n
        self.calls = {
            "objective_gradient": {
                "objective": self.objective.pointer, "theta": None, "samples": self.samples,
                "Z": self.Z, "targets": None, "value": ctypes.addressof(self.value),
                "gradient": poisoned(net.n, dtype),
            },
            "objective_jvp": {
                "objective": self.objective.pointer, "theta": None, "images": 6, "Z": self.Z,
                "direction": random.random(net.n).astype(dtype), "tz": poisoned((6, 3), dtype),
            },
            "objective_vjp": {
                "objective": self.objective.pointer, "theta": None, "images": 6, "Z": self.Z,
                "dz": random.random((6, 3)).astype(dtype), "dtheta": poisoned(net.n, dtype),
            },
            "objective_gauss_newton": {
                "objective": self.objective.pointer, "theta": None, "samples": self.samples,
                "Z": self.Z, "targets": None,
                "direction": random.random(net.n).astype(dtype), "product": poisoned(net.n, dtype),
            },
        }  # fmt: skip
        for name, arguments in self.calls.items():
            size = product if name in ("objective_jvp", "objective_gauss_newton") else gradient
            arguments.update(
                scratch=poisoned(size, dtype), scratch_size=size, poll=None, poll_argument=None
            )

    def check(self, name, status, dtype=None, **changes):
        """The call with changed arguments gives a status, and has written nothing unless it is OK."""
        arguments = {**self.calls[name], **changes}
        assert arguments.keys() == self.calls[name].keys()
        arrays = [a for a in self.calls[name].values() if isinstance(a, np.ndarray)]
        held = [a.tobytes() for a in arrays]
        assert entry(name, dtype or self.dtype)(*arguments.values()) == status, (name, changes)
        same = [a.tobytes() for a in arrays] == held and self.value.value == 7.0
        assert same == (status != OK), (name, changes)

    def check_samples(self, status, *arguments, **changes):
        for name in ("objective_gradient", "objective_gauss_newton"):
            self.check(name, status, samples=Samples(*arguments), **changes)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.objective.__exit__()


@pytest.mark.catalogue(60)
@pytest.mark.parametrize("dtype", DTYPES)
def test_calls_each_argument_refused(dtype, tmp_path):
    optional = {"theta", "targets", "value", "gradient", "poll", "poll_argument"}
    other = DTYPES[dtype == "float64"]
    with Case(tmp_path, dtype) as case:
        for name, arguments in case.calls.items():
            for argument, value in arguments.items():
                if argument not in optional and not isinstance(value, int):
                    case.check(name, NULL, **{argument: None})
            case.check(name, NULL, objective=None)
            case.check(name, capi.DTYPE, other)
            for size in (arguments["scratch_size"] - 1, 0, -1):
                case.check(name, capi.SCRATCH, scratch_size=size)
            if "images" in arguments:
                for l in (-1, -(2**63)):
                    case.check(name, capi.SIZE, images=l)
                for l in (2**63 - 1, 2**56):
                    case.check(name, capi.OVERFLOW, images=l, scratch_size=2**62)
            case.check(name, OK)
            case.value.value = 7.0


@pytest.mark.catalogue(60)
def test_samples_invalid_refused(tmp_path):
    with Case(tmp_path) as case:
        y, ones = case.y, case.weights
        for l in (-1, -(2**63)):
            case.check_samples(capi.SIZE, l, y, ones, 6.0)
        for l in (2**63 - 1, 2**56):
            case.check_samples(capi.OVERFLOW, l, y, ones, 6.0, scratch_size=2**62)
        case.check_samples(NULL, 6, None, ones, 6.0)
        for divisor in (0.0, -1.0, np.inf, np.nan):
            case.check_samples(capi.TARGET, 6, y, ones, divisor)
        for weight in (-1.0, np.inf, np.nan):
            wrong = ones.copy()
            wrong[5] = weight
            case.check_samples(capi.TARGET, 6, y, wrong, 6.0)
        for label in (-2, 3, 2**62):
            wrong = y.copy()
            wrong[5] = label
            case.check_samples(capi.TARGET, 6, wrong, ones, 6.0)
        rows = np.full((6, 3), 1 / 3)
        case.check_samples(capi.TARGET, 6, y, ones, 6.0, targets=rows)
        for bad in (0.5, -1 / 3, np.nan):
            wrong = rows.copy()
            wrong[5, 2] = bad
            case.check_samples(capi.TARGET, 6, None, ones, 6.0, targets=wrong)
        samples = Samples(6, y, ones, 6.0)
        samples.struct_size += 8
        for name in ("objective_gradient", "objective_gauss_newton"):
            case.check(name, capi.STRUCT, samples=samples)


@pytest.mark.catalogue(60)
@pytest.mark.parametrize(
    ("loss", "wrong"),
    [
        ("logistic", [-0.5, 1.5, 2, np.nan, -2]),
        ("squared_hinge", [0.5, 2, np.nan]),
    ],
)
def test_attributes_invalid_refused(loss, wrong, tmp_path):
    with Case(tmp_path, loss=loss) as case:
        for bad in wrong:
            rows = np.zeros((6, 3))
            rows[5, 2] = bad
            case.check_samples(capi.TARGET, 6, None, None, 6.0, targets=rows)
    data = exported(Network((1, 1, 2), [Dense(1)]), np.ones(3), tmp_path)
    with OpenedObjective(data, loss) as objective:
        samples = Samples(2, np.zeros(2, np.intp), None, 2.0)
        Z, out = np.ones((2, 1, 1, 2)), np.empty(3)
        call = "objective_gradient", None, samples, Z, None, None, out
        assert objective.call(*call, product=False) == capi.TARGET


@pytest.mark.catalogue(60)
@pytest.mark.parametrize("loss", ["multiclass_hinge", "structured_hinge"])
def test_targets_for_a_loss_of_labels_refused(loss, tmp_path):
    with Case(tmp_path, loss=loss) as case:
        samples = Samples(6, None, None, 6.0)
        case.check(
            "objective_gradient", capi.TARGET, samples=samples, targets=np.full((6, 3), 1 / 3)
        )


@pytest.mark.catalogue(60)
@pytest.mark.parametrize("loss", sorted(known_losses.FLAT))
def test_gauss_newton_loss_without_curvature_refused(loss, tmp_path):
    with Case(tmp_path, loss=loss) as case:
        case.check("objective_gauss_newton", capi.DERIVATIVE)
        case.check("objective_gradient", OK)


@pytest.mark.catalogue(60)
def test_objective_without_loss_has_only_products_with_the_jacobian(tmp_path):
    with Case(tmp_path, loss=None) as case:
        case.check("objective_gradient", capi.DERIVATIVE)
        case.check("objective_gauss_newton", capi.DERIVATIVE)
        case.check("objective_jvp", OK)
        case.check("objective_vjp", OK)


@pytest.mark.catalogue(60)
def test_sizes_and_theta_refused(tmp_path):
    with Case(tmp_path) as case:
        pointer, sizes = case.objective.pointer, (ctypes.c_ssize_t(-7), ctypes.c_ssize_t(-7))
        workspace = entry("objective_workspace_size")
        assert workspace(None, 1, *sizes) == NULL
        assert workspace(pointer, -1, *sizes) == capi.SIZE
        assert sizes[0].value == sizes[1].value == -7
        assert workspace(pointer, 1, None, None) == OK
        shape = ObjectiveShape()
        assert entry("objective_get_shape")(pointer, None) == NULL
        assert entry("objective_get_shape")(None, shape) == NULL
        shape.struct_size += 8
        before = bytes(shape)
        assert entry("objective_get_shape")(pointer, shape) == capi.STRUCT
        assert bytes(shape) == before
        theta = poisoned(case.n, "float64")
        assert entry("objective_get_theta", "float64")(pointer, None) == NULL
        assert entry("objective_get_theta", "float64")(None, theta) == NULL
        assert entry("objective_get_theta", "float32")(pointer, theta) == capi.DTYPE
        assert theta.tobytes() == poisoned(case.n, "float64").tobytes()


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


def no_memory(path):
    """In a process of its own: nothing more may be allocated."""
    import resource

    loss, handle, status = Loss("softmax"), ctypes.c_void_p(CANARY), OK
    with open(path, "rb") as file:
        data = np.frombuffer(file.read(), np.uint8)
    call, opened = entry("objective_open_memory"), 0
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), used + (1 << 20)))
    while status == OK:
        status = call(data, len(data), loss, 0, handle)
        opened += status == OK
    print(status, handle.value, opened < 1000)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS")
def test_open_without_memory_refused(tmp_path):
    net = Network((1, 1, 500), [Dense(500), Dense(2)])
    exported(net, net.init(0), tmp_path)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, "no_memory", str(tmp_path / "net")],
        capture_output=True, text=True, timeout=300, check=False, cwd=TESTS,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{capi.MEMORY} None True\n"), done.stderr


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
