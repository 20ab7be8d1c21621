"""The C++ module, in single precision, against SciPy and numpy and `Network.forward`."""

import numpy as np
import pluscxx
import truth

AUTO, IM2COL, WINOGRAD = range(3)


def single(*arrays):
    return [np.ascontiguousarray(array, np.float32) for array in arrays]


random = np.random.default_rng(1)
cases = count = 0
for Z, W, b, S, dS, gradients, stride, pad in truth.convolutions(random):
    if stride > 1:
        continue
    for algorithm in (AUTO, IM2COL, WINOGRAD):
        expected = single(S, *gradients)
        outs = [np.full_like(array, np.nan) for array in expected]
        pluscxx.conv(*single(Z, W, b, dS), *outs, pad, algorithm)
        for actual, truly in zip(outs, expected):
            if algorithm == IM2COL:  # integers are exact in single precision as well
                assert np.array_equal(actual, truly)
            else:
                truth.assert_close(actual, truly)
            count += actual.size
    cases += 1
print("operators:", cases, "convolutions,", count, "numbers")

Z, dS = single(truth.integers(random, 2, 8, 6, 3), truth.integers(random, 2, 4, 3, 3))
S, dZ = np.full_like(dS, np.nan), np.full_like(Z, np.nan)
pluscxx.avg_pool(Z, dS, S, dZ, 2)
assert np.array_equal(S, np.einsum("lqupvd->lqpd", Z.reshape(2, 4, 2, 3, 2, 3)) / 4)
assert np.array_equal(
    dZ, np.kron(dS.transpose(0, 3, 1, 2), np.ones((2, 2))).transpose(0, 2, 3, 1) / 4
)
dS, Z, W = single(*(truth.integers(random, *shape) for shape in ((5, 7), (5, 9), (9, 7))))
outs = [np.full(shape, np.nan, np.float32) for shape in (Z.shape, W.shape, 7)]
pluscxx.dense_backward(dS, Z, W, *outs)
expected = np.einsum("lu,mu->lm", dS, W), np.einsum("lm,lu->mu", Z, dS), np.einsum("lu->u", dS)
for actual, truly in zip(outs, expected):
    assert np.array_equal(actual, truly) and np.count_nonzero(truly) > 3
print("pooling and dense:", S.size + dZ.size + sum(out.size for out in outs), "numbers")

net, theta, images, expected = truth.network(np.float32)
net.export(theta, "single.matconv")
with open("single.matconv", "rb") as file:
    data = file.read()
done = 0
for source in ("single.matconv", data):
    for threads in (0, 1, 3, 12, 16, -1, -2, -5):
        out = np.full_like(expected, np.nan)
        pluscxx.predict(source, images, out, threads)
        truth.assert_close(out, expected)
        done += 1
print(
    "network:", done, "predictions of", len(images), "images by up to 16 std::threads, or the pool"
)

net, theta, *_ = truth.network(np.float64)
net.export(theta, "double.matconv")
thrown = []
for source, threads in (
    ("missing", 0),
    (data[:-8], 0),
    ("double.matconv", 0),
    ("double.matconv", 3),
):
    out = np.full_like(expected, 7)
    try:
        pluscxx.predict(source, images, out, threads)
    except ValueError as error:
        thrown.append(str(error))
    assert np.all(out == 7)
assert thrown == [
    "the file cannot be read",
    "not an exported network, or a damaged one",
    "the dtype of the network does not match",
    "the dtype of the network does not match",
], thrown
print("thrown:", len(thrown))
