"""Every allocation of a call fails once: ``python tests/reliability/allocations.py``.

The first allocation of a call fails, then the second, until the call succeeds with none failing.
Each time it must raise MemoryError, or return MATCONV_MEMORY, or do without and be right; what it
was given, and what it would write to, must be as before; the next call must be right; no block
may stay behind. Everything allocates through malloc, which `failing_malloc.c` stands in for: the
arrays, the objects of Python, the blocks of frozen networks.
"""

import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

HERE = Path(__file__).parent

from reliability.native import compiled

# more than any call here makes
MOST = 20_000
# most of whose allocations are the standard library's
FILES = ("save_model", "export", "load_model", "load_predictor")
# beside the operators, the functions that are compiled
COMPILED = ("Predictor", "predictor", "predictor.into", "predictor of several outputs")


def blas_code():
    """Where the code of OpenBLAS lies: some of its products allocate, and do not look whether.

    NumPy and SciPy bring one each, and other libraries may lie between the two.
    """
    import scipy.linalg.cython_blas  # noqa: F401

    with open("/proc/self/maps", encoding="utf-8") as maps:
        lines = [line.split() for line in maps if "openblas" in line.lower()]
    places = [place for place, rights, *_ in lines if "x" in rights]
    return [[int(end, 16) for end in place.split("-")] for place in places]


def says_no_memory(error):
    """MemoryError. NumPy's operations may lose theirs, which Python then calls a SystemError (not
    in a function that is compiled here), and Python's locks say it in words."""
    if isinstance(error, SystemError):
        innermost = list(traceback.walk_tb(error.__traceback__))[-1][0].f_code.co_filename
        return not innermost.endswith(".pyx")
    locks = ("can't allocate lock", "can't allocate read lock")
    return isinstance(error, MemoryError) or str(error) in locks


class Loop:
    """Runs calls with failing allocations; counts them."""

    def __init__(self):
        own = ctypes.CDLL(None)
        self.arm, self.disarm, self.blocks = (
            own.failing_arm, own.failing_disarm, own.failing_blocks,
        )  # fmt: skip
        self.arm.argtypes, self.arm.restype = [ctypes.c_long], None
        own.failing_exempt.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        for place in blas_code():
            assert own.failing_exempt(*place) == 0
        self.calls = self.raised = self.survived = 0

    def once(self, call, n):
        """Result, exception, and whether an allocation failed."""
        result = error = None
        self.arm(n)
        try:
            result = call()
        except BaseException as caught:  # noqa: BLE001 - whatever it is
            error = caught
        return result, error, self.disarm()

    def exhaust(self, name, call, state, right, out=None, short=None, step=1):
        """One call, until it succeeds.

        `state()` is what must not change when it fails, nor may the array `out`; `right(result)`
        says whether a result is; the result `short` says that memory was. With a step only every
        `step`-th allocation fails, and with any exception: the standard library's, whose files
        these are.
        """
        for _ in range(3):
            assert right(call()), name
        unchanged = state()
        for n in range(1, MOST, step):
            if out is not None:
                out[...] = 7
            result, error, failed = self.once(call, n)
            where = f"{name}, allocation {n}"
            if not failed:
                assert error is None and right(result), (where, error)
                break
            if error is not None or (short is not None and result == short):
                good = error is None or step > 1 or says_no_memory(error)
                assert good, (where, repr(error))
                error = None  # and the frames that it holds
                assert state() == unchanged, f"{where}: something has changed"
                assert out is None or (out == 7).all(), f"{where}: out has changed"
                self.raised += 1
            else:
                assert right(result), f"{where}: a wrong result"
                self.survived += 1
            assert right(call()), f"{where}: the next call is wrong"
        else:
            raise AssertionError(f"{name}: more than {MOST} allocations")
        self.calls += 1
        print(f"{name}: {n - 1} allocations")

    def leaks(self, call, n):
        """Blocks that stay when the n-th allocation fails; 0 unless every time."""
        self.once(call, n)
        gc.collect()
        kept = 1
        for _ in range(5):
            before = self.blocks()
            self.once(call, n)
            gc.collect()
            kept = self.blocks() - before
            if kept <= 0:
                break
        return kept


def same(expected):
    """Whether arrays are these, bit for bit."""
    from support.operators import results

    def right(actual):
        pairs = zip(results(actual), expected, strict=True)
        return all(a.tobytes() == b.tobytes() for a, b in pairs)

    return right


def python_calls(folder):
    """Yield (name, call, state, right, out or None) of every Python function that allocates."""
    yield from operator_calls()
    yield repeated_by_im2col()
    yield from network_calls(folder)


def operator_calls():
    from support.operators import OPERATORS, WITH_OUT, results

    for operator in OPERATORS.values():
        arrays = operator.arrays()

        def state(arrays=arrays):
            return [array.tobytes() for array in arrays.values()]

        def call(operator=operator, arrays=arrays):
            return operator(arrays)

        expected = [array.copy() for array in results(call())]
        yield operator.name, call, state, same(expected), None
        if operator not in WITH_OUT:
            continue
        out = operator.output()

        def into(operator=operator, arrays=arrays, out=out):
            return operator(arrays, out=out)

        yield f"{operator.name}, out", into, state, same(expected), out


def network_calls(folder):
    import numpy as np
    from support import exported_files, networks
    from support.describing import encoded, freeze

    import matconv
    from matconv import Objective, Predictor

    net = networks.mixed()
    Z, Y = networks.images(net, 5)
    theta = net.init(seed=0)

    def inputs():
        return Z.tobytes(), Y.tobytes(), theta.tobytes()

    predictor = freeze(net, theta)
    several = Predictor(exported_files.graph())
    images = np.ones((5, *several.input_shape))
    expected = [predictor(Z)]
    out, scratch = np.empty((5, 3)), np.empty(predictor.workspace_size(5))
    objective = Objective(net, Z, Y, loss="softmax", C=10, n_threads=1)
    value, gradient = objective.value_and_gradient(theta)
    data = encoded(net, theta, 1)
    model, exported = folder / "m.npz", folder / "m.matconv"
    matconv.save_model(model, net, theta)
    net.export(theta, exported)
    contents = model.read_bytes(), exported.read_bytes()
    names = sorted(folder.iterdir())

    def files():
        # the old files whole, or the new ones, which are the same; and nothing else
        return (model.read_bytes(), exported.read_bytes()), sorted(folder.iterdir())

    def written(_):
        return files() == (contents, names)

    def is_value(found):
        return found[0] == value and same([gradient])(found[1])

    def predicts(made):
        return same(expected)(made(Z))

    for name, call, right, array in (
        ("forward", lambda: net.forward(theta, Z), same([net.forward(theta, Z)]), None),
        ("init", lambda: net.init(seed=0), same([theta]), None),
        ("freeze", lambda: freeze(net, theta), predicts, None),
        ("Predictor", lambda: Predictor(data), predicts, None),
        ("predictor", lambda: predictor(Z), same(expected), None),
        ("predictor.into", lambda: predictor.into(Z, out, scratch), same(expected), out),
        ("predictor of several outputs", lambda: several(images), same(several(images)), None),
        ("Objective", lambda: Objective(net, Z, Y, n_threads=1), lambda made: made.l == 5, None),
        ("value_and_gradient", lambda: objective.value_and_gradient(theta), is_value, None),
    ):
        yield name, call, inputs, right, array
    for name, call, right in (
        ("save_model", lambda: matconv.save_model(model, net, theta), written),
        ("export", lambda: net.export(theta, exported), written),
        ("load_model", lambda: matconv.load_model(model), lambda m: same([theta])(m.theta)),
        ("load_predictor", lambda: matconv.load_predictor(exported), predicts),
    ):
        yield name, call, lambda: (inputs(), files()), right, None


def repeated_by_im2col():
    """A convolution whose transforms overflow: the second pass needs no allocation of its own."""
    import numpy as np

    import matconv

    Z, W = np.ones((4, 26, 26, 16)), np.full((16, 3, 3, 32), 0.125)
    Z[1, 8, 8, 3] = np.finfo(float).max / 16
    expected = matconv.conv2d(Z, W, algorithm="im2col")
    assert not np.isfinite(matconv.conv2d(Z, W, algorithm="winograd")).all()
    assert np.isfinite(expected).all()
    out = np.empty_like(expected)

    def call():
        return matconv.conv2d(Z, W, out=out, algorithm="auto")

    return "conv2d repeated", call, lambda: (Z.tobytes(), W.tobytes()), same([expected]), out


def c_calls(folder):
    """(name, call) of the functions of C that allocate; the result is a status."""
    from support import exported_files, networks
    from support.capi import TABLE
    from support.describing import encoded

    net = networks.mixed()
    data = encoded(net, net.init(seed=0), 1)
    path = folder / "c.matconv"
    path.write_bytes(data)
    encoded, handle = str(path).encode(), ctypes.c_void_p()
    pointer = ctypes.byref(handle)

    def opened(function, *arguments):
        # what ctypes itself allocates fails as well, before the call or after it
        try:
            status = function(*arguments, pointer)
            assert (status == 0) == bool(handle.value)
            return status
        except ctypes.ArgumentError as error:
            raise MemoryError from error
        finally:
            close()

    def close():
        # the second time, when converting the argument failed: only one allocation fails
        try:
            TABLE.network_close(handle)
        except ctypes.ArgumentError:
            TABLE.network_close(handle)
        handle.value = None

    graph = exported_files.graph()
    yield "network_open_memory", lambda: opened(TABLE.network_open_memory, data, len(data))
    yield "network_open_memory, graph", lambda: opened(TABLE.network_open_memory, graph, len(graph))
    yield "network_open", lambda: opened(TABLE.network_open, encoded)


def main():
    if "FAILING_MALLOC" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            environment = {
                **os.environ,
                "FAILING_MALLOC": folder,
                "LD_PRELOAD": str(compiled("failing_malloc", folder, "-fno-builtin")),
                "PYTHONMALLOC": "malloc",
                "OPENBLAS_NUM_THREADS": "1",
            }
            return subprocess.run(
                [sys.executable, __file__], env=environment, check=False
            ).returncode

    from support.capi import MEMORY
    from support.operators import OPERATORS

    folder, loop = Path(os.environ["FAILING_MALLOC"]), Loop()
    for name, call in c_calls(folder):
        loop.exhaust(name, call, lambda: None, lambda status: status == 0, short=MEMORY)
        own = []
        for n in range(1, 50):
            if loop.once(call, n)[0] == MEMORY:
                own.append(n)
            call()
        assert len(own) >= 2, name  # the others are those of ctypes, which leaks
        for n in own:
            assert loop.leaks(call, n) == 0, f"{name}, allocation {n}: a leak"
    for name, call, *others in python_calls(folder):
        before = loop.raised
        # the standard library's zipfile complains of what it could not finish when it is forgotten
        sys.unraisablehook = (lambda what: None) if name in FILES else sys.__unraisablehook__
        loop.exhaust(name, call, *others, step=7 if name in FILES else 1)
        count = loop.raised - before
        if name not in COMPILED and name.partition(",")[0] not in OPERATORS:
            continue  # where it is the interpreter that tidies up, and it keeps caches
        for n in range(1, count + 1, max(1, count // 20)):
            kept = loop.leaks(call, n)
            assert kept <= 0, f"{name}, allocation {n}: {kept} blocks leak"
    print(
        f"failing allocations: {loop.calls} functions, {loop.raised} calls raised "
        f"and changed nothing, {loop.survived} did without, 0 leaks"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
