"""The Cython modules against SciPy, `Network.forward` and `Objective`."""

import os

import curvature
import filters
import numpy as np
import truth
from filters import How
from threadpoolctl import threadpool_limits

import matconv

AUTO, IM2COL, WINOGRAD = range(3)


def threads_now():
    """Threads of this process: OpenMP's wait for more work. None where that is not told."""
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else None


random = np.random.default_rng(2)
calls = count = 0
before = threads_now()
for Z, W, b, S, *_, stride, pad in truth.convolutions(random):
    for algorithm in (AUTO, IM2COL, WINOGRAD):
        for how in How:
            for parts in {1, (len(Z) + 1) // 2, len(Z)}:
                out = np.full_like(S, np.nan)
                filters.conv(Z, W, b, out, stride, pad, algorithm, how, parts)
                if algorithm == IM2COL:
                    assert np.array_equal(out, S)
                else:
                    truth.assert_close(out, S)
                calls, count = calls + 1, count + out.size
print("convolutions:", calls, "calls,", count, "numbers, by", ", ".join(h.name for h in How))
after = threads_now()
if after is not None:
    assert after > before, "OpenMP has started no thread"
    print("OpenMP has", after - before, "threads")

net, theta, images, expected = truth.network()
net.export(theta, "from-cython.matconv")
with open("from-cython.matconv", "rb") as file:
    data = file.read()
done = 0
for source in ("from-cython.matconv", data):
    network = filters.Frozen(source)
    for how in How:
        for parts in (1, 2, 5, 12):
            out = np.full_like(expected, np.nan)
            network.predict(images, out, how, parts)
            truth.assert_close(out, expected)
            done += 1
    for threads in (1, 2, 5):
        out = np.full_like(expected, np.nan)
        network.predict_by_pool(images, out, threads)
        assert np.array_equal(out, net.freeze(theta)(images))
        done += 1
print("network:", done, "predictions of", len(images), "images")

labels = np.arange(len(images), dtype=np.intp) % 10
at = matconv.Objective(net, images, labels, "softmax").linearize(theta)
v, gradient, product = theta[::-1].copy(), np.full(net.n, np.nan), np.full(net.n, np.nan)
path = "from-cython.matconv"
with threadpool_limits(1):
    value = curvature.gradient_and_product(
        path, b"softmax", images, labels, theta, v, gradient, product
    )
assert value == at.value and np.array_equal(gradient, at.gradient)
assert np.array_equal(product, at.gauss_newton(v))
for loss, outputs, message in (
    (b"structured_hinge", labels, "matconv: the network or its loss does not have this derivative"),
    (b"sofmax", labels, "matconv: unknown loss"),
    (b"softmax", labels + 5, "matconv: a label, a target, a weight or the divisor is invalid"),
    (b"softmax", labels[1:], "gradient_and_product: the arrays do not fit the network"),
):
    try:
        curvature.gradient_and_product(path, loss, images, outputs, theta, v, gradient, product)
    except ValueError as error:
        assert str(error).startswith(message), error
    else:
        raise AssertionError(message)
print("derivatives:", gradient.size + product.size, "numbers with the bits of Python")

# outputs that are images need more room than their channels
matconv.Network((4, 4, 1), [matconv.Conv(2, 3)]).export(np.zeros(20), "images.matconv")
try:
    filters.Frozen("images.matconv").predict(np.zeros((3, 4, 4, 1)), np.zeros((3, 2)))
except ValueError as error:
    assert str(error) == "predict: the arrays do not fit the network"
else:
    raise AssertionError("images are written into rows of their channels")

zeros = np.zeros((1, 2, 2, 1))
refusals = {
    ValueError: (
        lambda: filters.Frozen(data[:-8]),
        lambda: filters.conv(zeros, zeros, np.zeros(1), zeros[:, :1, :1], 1, 0, 7, 0, 1),
        lambda: filters.conv(zeros, zeros, np.zeros(1), zeros[:, :1, :1], 0, 0, 0, 0, 1),
    ),
    OSError: (lambda: filters.Frozen("missing"),),
    OverflowError: (
        lambda: filters.conv(zeros, zeros, np.zeros(1), zeros[:, :1, :1], 1, 2**62, 0, 0, 1),
    ),
}
raised = []
for kind, refused in refusals.items():
    for call in refused:
        try:
            call()
        except kind as error:
            assert str(error).startswith("matconv: "), error
            raised.append(str(error))
assert len(raised) == 5 and len(set(raised)) == 5, raised
print("raised:", len(raised))
