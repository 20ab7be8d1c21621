"""The C modules against SciPy, numpy and `Network.forward`; prints what was counted."""

import itertools
import os
import signal
import sys
import threading

import crowds
import faults
import numpy as np
import plain
import predicting
import truth

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
    check_refusals(exported)
    check_stacks(exported)
    check_fork(exported)
