"""matconv's own sides; as a peer also with another algorithm, or on one thread."""

import dataclasses
import functools
import itertools

import nets
import numpy as np
import threadpoolctl
from peers import layer_side, net_side

import matconv
from matconv.engines import ThreadEngine
from matconv.kernels.sums import descend
from matconv.solvers.sgd import PIECE

#: What conv2d and Network take as ``algorithm``.
FORMS = ("auto", "im2col", "winograd")

#: Factor of the rounding bound for Winograd's algorithm: it mixes neighbours before it multiplies,
#: so its errors follow the largest elements of a tile rather than each element's own sum.
WINOGRAD = 64


def layer(case, dtype, threads, form="auto", reuse=False):
    """`conv2d` and `conv2d_backward`; `reuse` makes S once.

    These functions have no threads: of several, S is a network's, whose threads share the images,
    and the derivatives are computed for a part of the batch by each.
    """
    options = {**case.window.options, "algorithm": form}
    Z, W, b, dS = (case.data[key].astype(dtype) for key in ("Z", "W", "b", "dS"))
    edges = np.linspace(0, len(Z), min(threads, len(Z)) + 1).astype(int)
    parts = [slice(*edge) for edge in itertools.pairwise(edges)]
    engine, out = ThreadEngine(threads), np.empty_like(dS)
    (convolution,) = case.net.network.layers
    linear = dataclasses.replace(convolution, activation=None)
    alone = matconv.Network(Z.shape[1:], [linear], dtype, form)
    theta = alone.pack([(W, b)])

    def forward():
        if threads > 1:
            return alone.forward(theta, Z, n_threads=threads)
        return matconv.conv2d(Z, W, b, out=out if reuse else np.empty_like(dS), **options)

    def backward():
        """[dZ of each part], dW, db: a part goes to the layer before it, so they are not joined."""
        done = [None] * len(parts)

        def one(k):
            done[k] = matconv.conv2d_backward(dS[parts[k]], Z[parts[k]], W, **options)

        engine.run(one, range(len(parts)))
        dZ, *slopes = zip(*done, strict=True)
        for total, *others in slopes:
            for other in others:
                total += other
        return dZ, *(total for total, *_ in slopes)

    return layer_side(
        *(f"matconv {form}", dtype, forward, backward),
        convert=lambda key, value: np.concatenate(value) if key == "dZ" else value,
        context=lambda: threadpoolctl.threadpool_limits(1, user_api="blas"),
        slack=1 if form == "im2col" else WINOGRAD,
    )


def network(case, dtype, algorithm="auto"):
    """The network of a case in a dtype, and theta."""
    given = case.net.network
    built = matconv.Network(given.input_shape, given.layers, dtype, algorithm)
    return built, case.theta.astype(dtype)


def net(case, dtype, threads, form="auto"):
    """`Network` and `Objective`; "predict" is the frozen network, into arrays made once."""
    built, theta = network(case, dtype, form)
    Z, y = case.data[0].astype(dtype), case.data[1]
    objective = matconv.Objective(built, Z, y, loss=case.net.loss, n_threads=threads)
    engine = ThreadEngine(threads)
    parts = [slice(k, k + PIECE) for k in range(0, len(theta), PIECE)]

    @functools.cache
    def frozen():
        predictor = built.freeze(theta, len(Z))
        scratch = np.empty(predictor.workspace_size(len(Z), threads), dtype)
        return predictor, np.empty((len(Z), *built.output_shape), dtype), scratch

    def predict():
        predictor, out, scratch = frozen()
        return predictor.into(Z, out, scratch, threads)

    def gradient():
        f, slope = objective.value_and_gradient(theta)
        return f, [slope]

    def step():
        f, (slope,) = gradient()
        engine.run(lambda k: descend(theta[k], slope[k], theta[k], nets.RATE), parts)
        return f

    def forward():
        return built.forward(theta, Z, n_threads=threads)

    passes = {"forward": forward, "gradient": gradient, "step": step, "predict": predict}
    return net_side(f"matconv {form}", dtype, passes)
