"""Arguments that the C functions of objectives refuse, each with its status, and nothing written."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import TESTS, capi, known_losses
from support.capi import DTYPES, NULL, OK, Loss, ObjectiveShape, Samples, entry, poisoned
from support.exported_files import graph, small, with_word
from support.networks import images, mixed
from support.objectives import CANARY, OpenedObjective, exported

from matconv import Conv, Dense, Network

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
