"""Long runs of the C functions and frozen networks, on many threads, after forks, on small stacks:
``python tests/reliability/endurance.py NAME``, in a process of its own each.
"""

import ctypes
import gc
import hashlib
import itertools
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from support import activations, capi, networks
from support.capi import Activation, Geometry, entry, function, pointers
from support.describing import encoded
from support.opened import Opened

import matconv
from matconv import Predictor

RELU = Activation(activations.RELU, 0, 0)


def exported(dtype="float64"):
    """Images of a network with every kind of layer, its outputs, and its file."""
    net = networks.mixed(dtype)
    Z, _ = networks.images(net, 5)
    theta = net.init(seed=0)
    data = encoded(net, theta, 1)
    return Z, Predictor(data)(Z), data


class Layer:
    """A convolution, its gradients and a pool through the table of C."""

    def __init__(self, dtype, algorithm, l=2):
        self.dtype = dtype
        self.algorithm = capi.ALGORITHMS.index(algorithm)
        self.g = Geometry(
            images=l, height=9, width=8, channels=4, filters=6, groups=2, kernel_height=3,
            kernel_width=3, pad_top=1, pad_bottom=1, pad_left=1, pad_right=1,
        )  # fmt: skip
        self.window = Geometry(
            images=l, height=9, width=8, channels=4, filters=4, kernel_height=3, kernel_width=2,
            stride_down=2, stride_right=2,
        )  # fmt: skip
        random = np.random.default_rng(3)

        def integers(*shape):
            return random.integers(-9, 10, shape).astype(dtype)

        self.Z, self.W, self.b = integers(l, 9, 8, 4), integers(2, 3, 3, 6), integers(6)
        self.dS = integers(l, 9, 8, 6)
        self.inputs = (self.Z, self.W, self.b, self.dS)
        for array in self.inputs:
            array.flags.writeable = False
        sizes = [ctypes.c_ssize_t(), ctypes.c_ssize_t()]
        assert self.call("conv_scratch", self.g, self.algorithm, *sizes) == capi.OK
        self.scratch_sizes = [size.value for size in sizes]

    def call(self, name, *arguments):
        """The status of a function for this dtype."""
        return entry(name, self.dtype)(*arguments)

    def run(self):
        """All of them into fresh memory."""
        Z, W, b, dS = self.inputs
        S, dZ, dW, db = (np.empty_like(array) for array in (dS, Z, W, b))
        P = np.empty((len(Z), 4, 4, 4), S.dtype)
        indices = np.empty(P.shape, np.intc)
        dP = np.empty_like(Z)
        forward, backward = (np.empty(size, S.dtype) for size in self.scratch_sizes)
        g, algorithm, window = self.g, self.algorithm, self.window
        statuses = [
            self.call("conv_forward", g, algorithm, Z, W, b, RELU, S, forward, forward.size),
            self.call("conv_backward", g, algorithm, dS, Z, W, dZ, dW, db, backward, backward.size),
            self.call("max_pool", window, Z, P, indices),
            self.call("max_pool_backward", window, P, indices, dP),
        ]
        assert statuses == [capi.OK] * 4, statuses
        return [S, dZ, dW, db, P, indices, dP]

    def refused(self):
        """Bad calls; how many."""
        wrong, huge = (Geometry(**{**sizes_of(self.g), **size}) for size in (
            {"groups": 3}, {"pad_left": 2**63 - 1},
        ))  # fmt: skip
        out = np.full(self.dS.shape, 7, self.Z.dtype)
        W, short = self.W, self.scratch_sizes[0] - 1
        cases = (
            (capi.GROUPS, wrong, 0, W, 10**6),
            (capi.OVERFLOW, huge, 0, W, 10**6),
            (capi.SCRATCH, self.g, self.algorithm, W, short),
            (capi.NULL, self.g, self.algorithm, None, 10**6),
            (capi.NULL, None, self.algorithm, W, 10**6),
            (capi.ALGORITHM, self.g, 3, W, 10**6),
        )
        for expected, g, algorithm, filters, size in cases:
            status = self.call(
                "conv_forward", g, algorithm, self.Z, filters, self.b, RELU, out, out, size
            )
            assert status == expected, (expected, status)
        assert (out == 7).all()
        return len(cases)


def sizes_of(g):
    return {name: getattr(g, name) for name in capi.GIVEN}


def same(one, two):
    """The same bits; the C level gives the output of a dense layer a height and a width."""
    return one.tobytes() == two.tobytes()


def leaks(count=2000):
    """Networks opened, used and closed, files refused, calls of C, good and bad."""
    files = [exported(dtype) for dtype in capi.DTYPES]
    layers = [Layer(dtype, algorithm) for dtype in capi.DTYPES for algorithm in capi.ALGORITHMS]
    folder = Path("/tmp") if not os.environ.get("TMPDIR") else Path(os.environ["TMPDIR"])
    path = folder / f"endurance-{os.getpid()}.matconv"
    path.write_bytes(files[0][2])
    refused = 0

    def rounds(number):
        nonlocal refused
        for k in range(number):
            Z, z, data = files[k % 2]
            with Opened(data) as network:
                assert same(network.run(Z), z)
            with Opened(path) as network:
                assert network.status == 0
            broken = bytearray(data)
            broken[8 * (k % (len(data) // 8)) + k % 8] ^= 1 << k % 8
            for bad in (bytes(broken), data[: 8 * (k % 40)], path.with_suffix(".none")):
                with Opened(bad) as network:
                    assert network.status != 0
                    refused += 1
            predictor = Predictor(data)
            assert same(predictor(Z), z)
            for call in (
                lambda bad=bytes(broken): Predictor(bad),
                lambda p=predictor, Z=Z: p(Z[:, :1]),
                lambda p=predictor, Z=Z: p.into(Z, Z),
            ):
                try:
                    call()
                except ValueError:
                    refused += 1
            layer = layers[k % len(layers)]
            layer.run()
            refused += layer.refused()

    def state():
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return sys.getallocatedblocks(), pages * resource.getpagesize()

    try:
        rounds(200)
        states, refused = [state()], 0
        for _ in range(2):
            rounds(count // 2)
            states.append(state())
    finally:
        path.unlink()
    # what is lost is lost in both halves; caches of the interpreter fill once
    halves = [[b - a for a, b in zip(*pair)] for pair in itertools.pairwise(states)]
    blocks, size = map(min, zip(*halves))
    print(f"leaks: {count} rounds, {refused} refused calls, {blocks} blocks, {size // 1024} KiB")
    # the rarest kind of call comes 166 times in a half
    assert blocks < 120 and size < 1 << 19


def hammer(workers=8, calls=10_000):
    """Threads on shared networks and shared read-only inputs: the same bits every time."""
    work = []
    for dtype in capi.DTYPES:
        Z, z, data = exported(dtype)
        Z.flags.writeable = False
        network, predictor = Opened(data), Predictor(data)
        scratch = threading.local()

        def into(p=predictor, Z=Z, local=scratch):
            if not hasattr(local, "scratch"):
                local.scratch = np.empty(p.workspace_size(len(Z)), Z.dtype)
            return [p.into(Z, None, local.scratch)]

        work += [
            (lambda n=network, Z=Z: [n.run(Z)], [z]),
            (lambda p=predictor, Z=Z: [p(Z)], [z]),
            (into, [z]),
        ]
        for algorithm in capi.ALGORITHMS:
            layer = Layer(dtype, algorithm)
            work.append((layer.run, layer.run()))
    expected = [digest(arrays) for _, arrays in work]
    start = threading.Barrier(workers)
    wrong, done, broken = [0] * workers, [0] * workers, []

    def calling(worker):
        try:
            start.wait()
            for k in range(calls // workers):
                at = (worker + k) % len(work)
                wrong[worker] += digest(work[at][0]()) != expected[at]
                done[worker] += 1
        except BaseException as error:  # noqa: BLE001 - whatever it is
            broken.append(error)

    threads = [threading.Thread(target=calling, args=(k,)) for k in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"hammer: {workers} threads, {sum(done)} calls, {sum(wrong)} with other bits")
    assert not broken and not any(wrong) and sum(done) == calls, broken


def digest(arrays):
    total = hashlib.sha256()
    for array in arrays:
        total.update(array.tobytes())
    return total.digest()


def forks(rounds=50):
    """Predict, fork, predict in both; and open a network in the child."""
    Z, z, data = exported()
    layer = Layer("float64", "winograd")
    expected = digest(layer.run())
    network, predictor = Opened(data), Predictor(data)

    def right():
        good = same(network.run(Z), z) and same(predictor(Z), z)
        good = good and digest(layer.run()) == expected
        with Opened(data) as other:
            return good and same(other.run(Z), z)

    longest = 0.0
    for _ in range(rounds):
        assert right()
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # ends a child that hangs
            good = False
            try:
                good = right()
            finally:
                os._exit(0 if good else 1)
        assert right()
        _, status = os.waitpid(child, 0)
        assert status == 0, f"the child ended with {status}"
        longest = max(longest, time.monotonic() - start)
    print(f"forks: {rounds} rounds, the longest {longest:.3f} s")


# Stack -------------------------------------------------------------------------------------------


def stack(size=1 << 16):
    """Every function of C on a thread with a stack of 64 KiB, and how much of it each touches.

    The thread is one that Python has never seen: libc starts it, on memory of ours.
    """
    from reliability.native import Native

    used = {}
    for dtype in capi.DTYPES:
        Z, z, data = exported(dtype)
        with Opened(data) as network:
            out = np.empty_like(z)
            scratch = np.empty(network.workspace(len(Z)), Z.dtype)
            native = Native(size)
            status, most = native.call(
                function("network_predict", dtype), network.handle.value, len(Z), Z, pointers(out),
                scratch, scratch.size,
            )  # fmt: skip
            assert status == 0 and np.array_equal(out, z)
            used[f"predict {dtype}"] = most
        handle = ctypes.c_void_p()
        array = np.frombuffer(data, np.uint8)
        status, most = native.call(function("network_open_memory"), array, array.size, handle)
        assert status == 0
        function("network_close")(handle)
        used[f"open {dtype}"] = most
        for algorithm in ("im2col", "winograd"):
            layer = Layer(dtype, algorithm, l=40)
            S = np.empty_like(layer.dS)
            expected = layer.run()
            for k, name in enumerate(("conv_forward", "conv_backward")):
                scratch = np.empty(layer.scratch_sizes[k], S.dtype)
                Z, W, b, dS = layer.inputs
                outs = [np.empty_like(array) for array in expected[1:4]] if k else [S]
                given = (dS, Z, W) if k else (Z, W, b, RELU)
                status, most = native.call(
                    function(name, dtype), layer.g, layer.algorithm, *given, *outs, scratch,
                    scratch.size,
                )  # fmt: skip
                wanted = expected[1:4] if k else expected[:1]
                assert status == 0 and all(map(np.array_equal, outs, wanted))
                used[f"{name} {algorithm} {dtype}"] = most
    for name, most in used.items():
        print(f"  {name}: {most / 1024:.1f} KiB")
    print(f"stack: at most {max(used.values()) / 1024:.1f} KiB of {size >> 10} KiB")


if __name__ == "__main__":
    assert matconv.__file__
    globals()[sys.argv[1]]()
