"""Checks that run in a separate process: ``python isolated.py NAME``.

A fault there kills that process and not the tests; memory is counted from a fresh start.
"""

import gc
import hashlib
import os
import resource
import signal
import sys
import threading
import time

import numpy as np

import matconv
from matconv.kernels import _conv as conv
from matconv.kernels import _geometry as geometry
from matconv.kernels import _pool as pool
from support import geometries, loop_cases
from support.convolutions import integer_arrays
from support.operators import OPERATORS, results

DTYPES = ("float64", "float32")


def layer_arrays(case, dtype, random):
    """Z, W, b, dS of a geometry, integers."""
    out = (case.l, *case.out_size, case.d_out)
    shapes = (case.shape, case.filter_shape, (case.d_out,), out)
    return [geometries.integers(random, shape, dtype) for shape in shapes]


def guard_pages(count=150):
    """Every operand of every operator flush against a forbidden page, at either end."""
    from support.guarded import Guard

    random = np.random.default_rng(0)
    done = 0
    for case in geometries.cases(count, seed=20):
        for dtype in DTYPES:
            for at_end in (False, True):
                with Guard(at_end) as guard:
                    guarded_layer(case, layer_arrays(case, dtype, random), guard)
                    guarded_pools(case, dtype, random, guard)
                done += 1
    print(done, "geometries")


def check(actual, out, expected):
    assert actual is out
    assert np.array_equal(actual, expected)


def guarded_layer(case, arrays, guard):
    """im2col, col2im, the convolution with guarded scratch, bias and ReLU, dense."""
    dtype = arrays[0].dtype
    Z, W, b, dS = (guard.copy(array) for array in arrays)
    expected = matconv.im2col(arrays[0], **case.window)
    out = guard.empty(expected.shape, dtype)
    check(matconv.im2col(Z, **case.window, out=out), out, expected)
    back = guard.empty(Z.shape, dtype)
    expected = matconv.col2im(expected, Z.shape, **case.window)
    check(matconv.col2im(guard.copy(out), Z.shape, **case.window, out=back), back, expected)

    window = geometry.WindowGeometry(
        "conv2d", case.shape, groups=case.groups, channels=case.d_out, **case.window
    )
    for algorithm in ("im2col", "winograd"):
        plan = conv.ConvPlan(window, dtype, algorithm)
        options = {**case.convolution, "algorithm": algorithm}
        guarded_convolution(plan, arrays, (Z, W, b, dS), options, guard)

    out = guard.empty(dS.shape, dtype)
    check(matconv.bias_relu(dS, b, out=out), out, matconv.bias_relu(arrays[3], arrays[2]))
    mask, out = guard.copy(out), guard.empty(dS.shape, dtype)
    expected = matconv.bias_relu_backward(arrays[3], np.array(mask))[0]
    check(matconv.bias_relu_backward(dS, mask, out=out)[0], out, expected)
    if len(Z):
        weights = guard.copy(arrays[3].reshape(len(Z), -1).T)
        units, out = guard.copy(arrays[2][:1].repeat(len(Z))), guard.empty((1, len(Z)), dtype)
        row = guard.copy(arrays[3][:1])
        expected = matconv.dense(np.array(row), np.array(weights), np.array(units))
        check(matconv.dense(row, weights, units, out=out), out, expected)


def guarded_convolution(plan, arrays, guarded, options, guard):
    """Both passes with guarded operands, results and scratch, against those without."""
    Z, W, b, dS = guarded
    scratch = guard.empty((plan.scratch_size(False),), Z.dtype)
    S = guard.empty(dS.shape, Z.dtype)
    expected = matconv.conv2d(*arrays[:3], relu=True, **options)
    check(conv.forward(plan, Z, W, b, True, S, scratch), S, expected)

    scratch = guard.empty((plan.scratch_size(True),), Z.dtype)
    outs = [guard.empty(array.shape, Z.dtype) for array in (Z, W, b)]
    expected = matconv.conv2d_backward(arrays[3], *arrays[:2], **options)
    actual = conv.backward(plan, dS, Z, W, True, True, True, *outs, scratch)
    for one, out, exact in zip(actual, outs, expected, strict=True):
        check(one, out, exact)


def guard_loops():
    """The convolutions by loops, flush against a forbidden page, at either end."""
    from support.guarded import Guard

    cases = [*loop_cases.small_groups(100, 8), *loop_cases.depthwise(9)]
    cases += [*loop_cases.few_channels(30, 10), *loop_cases.long_rows()]
    for k, (shape, filters, options) in enumerate(cases):
        given = {"algorithm": "auto", **options}
        algorithm = given.pop("algorithm")
        window = geometry.WindowGeometry(
            "conv2d", shape, filters[1:3], channels=filters[3], **given
        )
        for dtype in DTYPES:
            random, *arrays = integer_arrays(shape, filters, dtype, k)
            S = matconv.conv2d(*arrays, **options)
            arrays.append(random.integers(-4, 5, S.shape).astype(dtype))
            plan = conv.ConvPlan(window, dtype, algorithm)
            for at_end in (False, True):
                with Guard(at_end) as guard:
                    guarded = [guard.copy(array) for array in arrays]
                    guarded_convolution(plan, arrays, guarded, options, guard)
    print(len(cases), "convolutions")


def guarded_pools(case, dtype, random, guard):
    """Both pools, forward and backward, with outputs and indices given."""
    window = {"window": case.kernel, "stride": case.stride}
    if any(n < h for n, h in zip(case.size, case.kernel)):
        return
    whole = geometries.integers(random, case.shape, dtype)
    Z, plan = guard.copy(whole), pool.pool_geometry("pool", case.shape, **window)
    for forward, options in (
        (pool.max_pool_forward, {"indices": guard.empty(plan.out_shape, np.intc)}),
        (pool.avg_pool_forward, {}),
    ):
        expected = results(forward(plan, whole))
        out = guard.empty(plan.out_shape, dtype)
        options = {**options, **({"return_indices": True} if options else {})}
        check(results(forward(plan, Z, out=out, **options))[0], out, expected[0])
    indices = guard.copy(matconv.max_pool2d(whole, return_indices=True, **window)[1])
    gradient = guard.copy(geometries.integers(random, plan.out_shape, dtype))
    back = guard.empty(case.shape, dtype)
    expected = matconv.max_pool2d_backward(gradient, indices, case.shape)
    check(pool.max_pool_adjoint(plan, gradient, indices, back), back, expected)
    back = guard.empty(case.shape, dtype)
    expected = matconv.avg_pool2d_backward(np.array(gradient), case.shape, **window)
    check(pool.avg_pool_adjoint(plan, gradient, back), back, expected)


def touch():
    """Prove that a guarded array is guarded: read the number after its last one."""
    from support.guarded import Guard

    with Guard(at_end=True) as guard:
        array = guard.empty((3,), np.float64)
        print(np.lib.stride_tricks.as_strided(array, (4,), (8,))[3])


def digest():
    """A hash of the bits of many results, and what fresh memory held."""
    fresh = np.empty(100_000, np.uint8)
    print("fresh", *sorted({hex(value) for value in fresh.tolist()}))
    total = hashlib.sha256()
    random = np.random.default_rng(1)
    for case in geometries.cases(150, seed=21):
        for dtype in DTYPES:
            Z, W, b, dS = (array / 7 for array in layer_arrays(case, dtype, random))
            phi = matconv.im2col(Z, **case.window)
            S = matconv.conv2d(Z, W, b, relu=True, **case.convolution)
            found = [phi, matconv.col2im(phi, Z.shape, **case.window), S]
            found += matconv.conv2d_backward(dS, Z, W, **case.convolution)
            found += matconv.bias_relu_backward(dS, S)
            for array in found:
                total.update(array.tobytes())
    for operator in OPERATORS.values():
        for array in results(operator(operator.arrays())):
            total.update(array.tobytes())
    print(total.hexdigest())


def calls(count):
    """Valid and refused calls of every operator, in turn."""
    valid = [(operator, operator.arrays()) for operator in OPERATORS.values()]
    refused = 0
    for k in range(count):
        operator, arrays = valid[k % len(valid)]
        name = operator.floats()[0]
        for bad in ({name: arrays[name][..., :0]}, {name: None}, {}):
            try:
                operator({**arrays, **bad})
            except (TypeError, ValueError):
                refused += 1
    return refused


def leaks(count=2000):
    """Memory after 2,000 rounds of calls against memory before."""
    calls(count // 4)
    gc.collect()
    blocks, peak = sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = calls(count)
    gc.collect()
    blocks = sys.getallocatedblocks() - blocks
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert refused == 2 * count
    print(blocks, "blocks", kilobytes, "KiB")


def forks(rounds=50):
    """Compute, fork, compute in both; the child must end, and be right, within 20 s."""
    random = np.random.default_rng(2)
    Z = random.integers(-9, 10, (2, 14, 14, 64)).astype(float)
    W = random.integers(-9, 10, (64, 3, 3, 64)).astype(float)
    S = matconv.conv2d(Z, W, relu=True)
    dZ = matconv.conv2d_backward(S, Z, W)[0]
    for _ in range(rounds):
        child = os.fork()
        same = np.array_equal(matconv.conv2d(Z, W, relu=True), S)
        same &= np.array_equal(matconv.conv2d_backward(S, Z, W)[0], dZ)
        if child == 0:
            os._exit(0 if same else 1)
        assert same
        deadline = time.monotonic() + 20
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise AssertionError("the forked child hangs")
            time.sleep(0.001)
        assert ended == (child, 0), "the forked child computed something else"
    print(rounds, "rounds")


def interrupted(count=20):
    """Ctrl-C at various moments of a row of calls; each is raised once, and nothing is torn."""
    random = np.random.default_rng(0)
    Z = random.integers(-9, 10, (8, 48, 48, 16)).astype(float)
    W = random.integers(-9, 10, (16, 3, 3, 16)).astype(float)
    S = matconv.conv2d(Z, W)
    kept = Z.tobytes(), W.tobytes()
    raised = 0
    for k in range(count):
        out = np.full_like(S, np.nan)
        timer = threading.Timer(0.002 * (k % 5), signal.raise_signal, [signal.SIGINT])
        try:
            timer.start()
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                matconv.conv2d(Z, W, out=out)
                matconv.conv2d_backward(S, Z, W, need_dZ=False)
            raise AssertionError("the interrupt was lost")
        except KeyboardInterrupt:
            raised += 1
        timer.join()
        assert (Z.tobytes(), W.tobytes()) == kept
        assert np.array_equal(matconv.conv2d(Z, W, out=out), S)
    print("interrupted", raised)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
