"""Epochs of LeNet on real images, matconv and PyTorch in turns: time and accuracy.

    python bench/run.py epoch --data DIR           DIR with the four IDX files of (Fashion-)MNIST

Each side starts from the same theta, takes batches of 64 in an order of its own, and descends with
momentum 0.9 and a learning rate of 0.02.  matconv's time is that of `minimize`: gathering the
batch, f and gradient, the update, the means of the epoch.
"""

import time
from pathlib import Path

import nets
import numpy as np
import peers
import shapes
from table import aligned, digits

import matconv

BATCH, RATE, MOMENTUM = 64, 0.02, 0.9


def images(folder):
    """Return Z_train, y_train, Z_test, y_test of the four IDX files: float64 in [0, 1], labels."""
    found = []
    for part in ("train", "t10k"):
        paths = []
        for kind in ("images-idx3", "labels-idx1"):
            here = sorted(Path(folder).glob(f"{part}-{kind}-ubyte*"))
            if not here:
                raise ValueError(f"{folder}: no {part}-{kind}-ubyte")
            paths.append(here[0])
        Z, y = matconv.read_idx_images(*paths)
        found += [Z / 255, y]
    return found


class Matconv:
    """`matconv.minimize` by stochastic gradient, an epoch at a time."""

    def __init__(self, values, data, dtype, threads):
        self.name = f"matconv {np.dtype(dtype).name}"
        self.net = nets.for_matconv(shapes.NETS["lenet"], dtype)
        self.theta = self.net.pack([(W.astype(dtype), b.astype(dtype)) for W, b in values])
        self.Z_test, self.y_test = data[2].astype(dtype), data[3]
        self.threads = threads
        self.f = matconv.Objective(
            self.net, data[0].astype(dtype), data[1], loss="softmax", n_threads=threads
        )

    def epoch(self, k):
        """Run an epoch; the velocity begins with 0."""
        options = {"batch_size": BATCH, "learning_rate": RATE, "momentum": MOMENTUM, "seed": k}
        self.theta = matconv.minimize(
            self.f, self.theta, method="sgd", max_iterations=1, **options
        ).theta

    def accuracy(self):
        """Share of the test images whose label is right."""
        return float(
            (self.net.predict(self.theta, self.Z_test, self.threads) == self.y_test).mean()
        )


class Torch:
    """PyTorch as in its tutorials, in one memory format."""

    def __init__(self, values, data, dtype, threads, form):
        import torch

        self.name = f"PyTorch {np.dtype(dtype).name}, {form}"
        torch.set_num_threads(threads)
        self.torch = torch
        self.format = getattr(torch, form + ("_format" if form == "contiguous" else ""))
        self.model = nets.for_torch(shapes.NETS["lenet"], values, dtype)
        self.model = self.model.to(memory_format=self.format)
        self.Z, self.Z_test = (
            torch.from_numpy(Z.astype(dtype))
            .permute(0, 3, 1, 2)
            .contiguous(memory_format=self.format)
            for Z in (data[0], data[2])
        )
        self.y = torch.from_numpy(data[1].astype(np.int64))
        self.y_test = data[3]
        self.descent = torch.optim.SGD(self.model.parameters(), lr=RATE, momentum=MOMENTUM)

    def epoch(self, k):
        """One epoch."""
        order = self.torch.from_numpy(np.random.default_rng(k).permutation(len(self.y)))
        for part in order.split(BATCH):
            self.descent.zero_grad()
            outputs = self.model(self.Z[part])
            self.torch.nn.functional.cross_entropy(outputs, self.y[part]).backward()
            self.descent.step()

    def accuracy(self):
        """Share of the test images whose label is right."""
        with self.torch.no_grad():
            found = self.model(self.Z_test).argmax(1).numpy()
        return float((found == self.y_test).mean())


def measure(folder, threads, epochs, say=lambda text: None):
    """Return records: name of a side, seconds of each epoch, accuracy after the last one."""
    data = images(folder)
    values = nets.parameters(shapes.NETS["lenet"])
    sides = [Matconv(values, data, dtype, threads) for dtype in ("float64", "float32")]
    try:
        peers.require_torch()
        for dtype in ("float64", "float32"):
            for form in ("contiguous", "channels_last"):
                sides.append(Torch(values, data, dtype, threads, form))
    except peers.Missing as missing:
        say(str(missing))
    seconds = {side.name: [] for side in sides}
    for k in range(epochs):
        for side in sides:
            start = time.perf_counter()
            side.epoch(k)
            seconds[side.name].append(time.perf_counter() - start)
            say(f"epoch {k + 1}: {side.name}: {seconds[side.name][-1]:.1f} s")
    return [
        {
            "who": side.name,
            "threads": threads,
            "seconds": seconds[side.name],
            "accuracy": side.accuracy(),
        }
        for side in sides
    ]


def run(given, say):
    """Return records for each number of threads, and the lines of a report."""
    records = [
        one for threads in given.threads for one in measure(given.data, threads, given.epochs, say)
    ]
    rows = [("lenet, batches of 64", "threads", "s per epoch", "test accuracy")]
    for one in records:
        middle = float(np.median(one["seconds"]))
        rows.append((one["who"], one["threads"], digits(middle), f"{100 * one['accuracy']:.2f} %"))
    return {"epochs": records}, ["", *aligned(rows)]
