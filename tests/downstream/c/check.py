"""The C modules against SciPy, numpy and `Network.forward`; prints what was counted."""

import itertools
import os
import signal
import sys
import threading

import crowds
import faults
import fitting
import numpy as np
import plain
import predicting
import truth
from threadpoolctl import threadpool_limits

from matconv import Conv, Dense, MaxPool, Network, Objective
from matconv.data import load_digits

AUTO, IM2COL, WINOGRAD = range(3)


def check_operators():
    random = np.random.default_rng(0)
    count = 0
    for Z, W, b, S, dS, gradients, stride, pad in truth.convolutions(random):
        for algorithm in (AUTO, IM2COL, WINOGRAD):
            out = np.full_like(S, np.nan)
            plain.conv(Z, W, b, out, stride, pad, algorithm)
            outs = [np.full_like(array, np.nan) for array in gradients]
            plain.conv_backward(dS, Z, W, *outs, stride, pad, algorithm)
            for actual, expected in zip((out, *outs), (S, *gradients)):
                if algorithm == IM2COL:
                    assert np.array_equal(actual, expected)
                else:
                    truth.assert_close(actual, expected)
                count += actual.size
    print("operators:", len(truth.CONVOLUTIONS), "convolutions,", count, "numbers")

    Z = random.permutation(3.0 * np.arange(2 * 6 * 9 * 5)).reshape(2, 6, 9, 5)
    S, dS, dZ = truth.max_pool(Z, 3)
    out, indices, back = np.full_like(S, np.nan), np.empty(S.shape, np.intc), np.full_like(Z, -1)
    plain.max_pool(Z, out, indices, 3)
    plain.max_pool_backward(dS, indices, back, 3)
    assert np.array_equal(out, S) and np.array_equal(back, dZ) and S.size == 60
    Z, W, b = (truth.integers(random, *shape) for shape in ((7, 30), (30, 11), (11,)))
    out = np.full((7, 11), np.nan)
    plain.dense(Z, W, b, out)
    expected = np.maximum(np.einsum("lm,mu->lu", Z, W) + b, 0)
    assert np.array_equal(out, expected) and np.count_nonzero(expected) > 20
    print("pooling and dense:", S.size + dZ.size + out.size, "numbers")


def check_network(data):
    net, theta, images, expected = truth.network()
    net.export(theta, "ünet.matconv")
    frozen = net.freeze(theta)(images)
    done = 0
    for source in ("ünet.matconv", data):
        network = predicting.Network(source)
        assert network.shape == ((20, 20, 1), (1, 1, 10), 8)
        for threads in (1, 2, 5, 12, 20):
            out = np.full_like(expected, np.nan)
            network.predict(images, out, threads)
            truth.assert_close(out, expected)
            # other numbers of images at once may round differently in BLAS
            assert threads > 1 or np.array_equal(out, frozen)
            done += 1
    print("network:", done, "predictions of", len(images), "images by up to 20 threads")
    check_pool(predicting.Network(data), np.tile(images, (100, 1, 1, 1)), np.tile(frozen, (100, 1)))
    ticks, stop = [0], threading.Event()

    def tick():
        while not stop.wait(0.001):
            ticks[0] += 1

    many = np.tile(images, (400, 1, 1, 1))
    thread = threading.Thread(target=tick)
    thread.start()
    switch = sys.getswitchinterval()
    sys.setswitchinterval(100)  # who holds the GIL keeps it
    before = ticks[0]
    network.predict(many, np.empty((len(many), 10)), 1)
    during = ticks[0] - before
    sys.setswitchinterval(switch)
    stop.set()
    thread.join()
    assert during > 3, "no other Python thread ran meanwhile"
    print("GIL:", during, "ticks of another Python thread during one prediction")


def check_pool(network, images, expected):
    """By matconv's thread pool, for a pthread and for a thread that has the GIL."""
    done = 0
    outs = [np.full_like(expected, np.nan) for _ in range(8)]
    calls = itertools.product((1, 2, 3, 8), (False, True))
    for out, (threads, alien) in zip(outs, calls, strict=True):
        network.predict_by_pool(images, out, threads, False, alien)
        assert np.array_equal(out, outs[0])
        truth.assert_close(out, expected)
        done += 1
    for threads in (0, -1, 1025):
        out = np.full_like(expected, np.nan)
        try:
            network.predict_by_pool(images, out, threads, False, True)
        except ValueError as error:
            assert "threads" in str(error), error
        else:
            raise AssertionError(f"{threads} threads")
        assert np.isnan(out).all()
    while True:  # as many images as it takes until it is asked whether to stop
        try:
            asked = network.predict_by_pool(images, np.empty((len(images), 10)), 2, True, True)
        except ValueError as error:
            assert str(error) == "stopped before the end"
            break
        assert asked == 0
        images = np.concatenate([images, images])
    print("pool:", done, "predictions with the same bits, by 1 to 8 threads")


def dot(x, y):
    """The sum of x_k y_k in the order of k, as in C."""
    return float(np.add.accumulate(x * y)[-1])


def fitted(f, theta, C, iterations):
    """The method of fitting.c in NumPy, for f without regularisation: records, theta."""
    records = []

    def value_of(theta):
        return f(theta) + dot(theta, theta) / (2 * C)

    for _ in range(iterations):
        at = f.linearize(theta)
        value = at.value + dot(theta, theta) / (2 * C)
        gradient = at.gradient + 1 / C * theta
        step, residual, products = np.zeros_like(theta), -gradient, 0
        direction, now = residual.copy(), dot(residual, residual)
        stop = 0.01 * dot(gradient, gradient)
        while products < 30 and now > stop:
            product = at.gauss_newton(direction) + 1 / C * direction
            a = now / dot(direction, product)
            step += a * direction
            residual += -a * product
            now, before = dot(residual, residual), now
            direction = residual + now / before * direction
            products += 1
        factor, slope = 1.0, dot(step, gradient)
        while value_of(theta + factor * step) - value > 1e-4 * factor * slope:
            factor /= 2
        theta = theta + factor * step
        records.append((value, products, factor))
    return records, theta


def message_of(call, *arguments):
    try:
        call(*arguments)
    except ValueError as error:
        return str(error)
    raise AssertionError("nothing was raised")


def check_fit(C=1000.0, iterations=8):
    digits = load_digits()
    Z, labels = digits.Z_train, digits.y_train.astype(np.intp)
    net = Network((8, 8, 1), [Conv(4, 3, pad="same", activation="relu"), MaxPool(2), Dense(10)])
    theta, random = net.init(seed=0), np.random.default_rng(0)
    net.export(theta, "digits.matconv")
    f = Objective(net, Z, labels, "softmax", n_threads=2)
    at, v, u = f.linearize(theta), random.random(net.n), random.random((len(Z), 10))
    gradient, Jv = np.empty(net.n), np.empty((len(Z), 10))
    products, found = np.empty((2, net.n)), np.empty(net.n)
    with threadpool_limits(1):
        value = fitting.derivatives(
            "digits.matconv", "softmax", Z, labels, v, u, gradient, Jv, products
        )
        records = fitting.fit("digits.matconv", "softmax", Z, labels, C, iterations, -1, found)
    assert value == at.value and np.array_equal(gradient, at.gradient)
    assert np.array_equal(Jv, at.jvp(v)) and np.array_equal(products[0], at.vjp(u))
    assert np.array_equal(products[1], at.gauss_newton(v))
    expected, last = fitted(f, theta, C, iterations)
    assert records == expected and np.array_equal(found, last), (records, expected)
    # f of Python sums theta'theta in another order: n additions and products of each
    whole = Objective(net, Z, labels, "softmax", C=C)
    bound = 2 * (net.n + 4) * np.finfo(np.float64).eps * whole(last)
    assert abs(f(last) + dot(last, last) / (2 * C) - whole(last)) <= bound
    accuracy = (net.predict(found, digits.Z_test) == digits.y_test).mean()
    assert accuracy > 0.95 and records[-1][0] < 0.1 * records[0][0], (accuracy, records)
    print(
        f"fitting: {iterations} iterations on {len(Z)} images with the bits of Python, "
        f"{sum(k for _, k, _ in records)} products, f {records[0][0]:.3f} to "
        f"{records[-1][0]:.3f}, test accuracy {accuracy:.3f}"
    )

    def fit(loss="softmax", Z=Z, labels=labels, polls=-1):
        out = np.full(net.n, np.nan)
        arguments = "digits.matconv", loss, Z, labels, C, iterations, polls, out
        message = message_of(fitting.fit, *arguments)
        assert np.isnan(out).all()
        return message

    wrong = labels.copy()
    wrong[-1] = 10
    refused = {
        fit(labels=wrong): "a label, a target, a weight or the divisor is invalid",
        fit(loss="structured_hinge"): "the network or its loss does not have this derivative",
        fit(loss="sofmax"): "unknown loss",
        fit(labels=labels[:-1]): "array 1 has",
        fit(Z=Z[:, :7].copy()): "array 0 has",
    }
    assert all(said.startswith(expected) for said, expected in refused.items()), refused
    while True:  # as many images as it takes until it is asked whether to stop
        out = np.empty(net.n)
        with threadpool_limits(1):
            try:
                fitting.fit("digits.matconv", "softmax", Z, labels, C, 1, 0, out)
            except ValueError as error:
                assert str(error) == "stopped before the end"
                break
        Z, labels = np.concatenate([Z, Z]), np.concatenate([labels, labels])
    print("fits refused or stopped:", len(refused) + 1)


def assert_refused(records, least):
    """Each status is the expected one, and what is refused has written nothing; in words."""
    wrong = [r for r in records if r[2] != r[3] or r[4] != r[1].startswith("fine")]
    assert not wrong, wrong[:10]
    statuses = [r[3] for r in records if r[3] != 0]
    assert len(statuses) >= least, len(statuses)
    fine = len(records) - len(statuses)
    return f"{len(statuses)} calls, {fine} beside them fine, statuses {sorted(set(statuses))}"


def check_refusals(data):
    print("refused:", assert_refused(faults.refused(), 800))
    net, theta, _, _ = truth.network(np.float32)
    records = faults.refused_networks(data, net_bytes(net, theta))
    print("networks refused:", assert_refused(records, 2000))
    os.mkdir("folder")
    os.mkfifo("fifo")
    for name, version in (("older", 1), ("newer", 3)):
        with open("empty", "wb"), open(name, "wb") as file:
            file.write(data[:8] + bytes([version]) + data[9:])
    expected = {None: 7, "missing": 16, "folder": 16, "fifo": 16, "empty": 13, "": 16}
    expected.update(older=14, newer=14)
    found = {path: faults.opened(path) for path in expected}
    assert found == {path: (status, True) for path, status in expected.items()}, found
    print("files refused:", len(found))
    calls, image = 0, np.zeros((1, 2, 2, 1))
    for call in (
        lambda: predicting.Network("missing"),
        lambda: predicting.Network(data[:-1]),
        lambda: plain.conv(image, image, np.zeros(1), image, 0, 0, 0),
    ):
        try:
            call()
        except (OSError, ValueError) as error:
            assert len(str(error)) > 10
            calls += 1
    assert calls == 3
    print("raised:", calls)


def net_bytes(net, theta):
    net.export(theta, "bytes.matconv")
    with open("bytes.matconv", "rb") as file:
        return file.read()


def check_stacks(data):
    _, _, images, expected = truth.network()
    for name, status, size in crowds.stack_needed(data):
        assert status == 0, name
        assert size < 64 * 1024, f"{name} needs a stack of {size} bytes"
        print(f"stack: {size:6d} bytes for {name}")
    for threads, stack in ((1, 65536), (4, 65536), (128, 0), (128, 65536)):
        out = np.full((threads, *expected.shape), np.nan)
        assert crowds.crowd(data, images, out, len(images), threads, stack) == threads
        truth.assert_close(out[0], expected)
        assert all(np.array_equal(one, out[0]) for one in out)
        print("threads:", threads, "at once, stack", stack or "usual")


def check_fork(data, rounds=20):
    _, _, images, expected = truth.network()
    network = predicting.Network(data)
    first = np.full_like(expected, np.nan)
    network.predict(images, first, 4)
    truth.assert_close(first, expected)
    for _ in range(rounds):
        child = os.fork()
        out = np.full_like(expected, np.nan)
        if child == 0:
            signal.alarm(20)  # a child that hangs is one that fails
            network.predict(images, out, 4)
            fresh = np.full_like(expected, np.nan)
            predicting.Network(data).predict(images, fresh, 4)
            same = np.array_equal(out, first) and np.array_equal(fresh, first)
            os._exit(0 if same else 1)
        network.predict(images, out, 4)
        assert np.array_equal(out, first)
        assert os.waitpid(child, 0) == (child, 0), "the child hangs, or has other numbers"
    print("fork:", rounds, "children")


if __name__ == "__main__":
    net, theta, _, _ = truth.network()
    exported = net_bytes(net, theta)
    check_operators()
    check_network(exported)
    check_fit()
    check_refusals(exported)
    check_stacks(exported)
    check_fork(exported)
