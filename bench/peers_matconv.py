"""matconv's own sides; as a peer also with another algorithm, or on one thread."""

import functools
import itertools

import nets
import numpy as np
import threadpoolctl
from peers import Side

import matconv
from matconv.engines import ThreadEngine

PASSES = {
    "layer": ("forward", "backward", "both"),
    "net": ("forward", "gradient", "step", "predict"),
}

#: What conv2d and Network take as ``algorithm``.
FORMS = ("auto", "im2col", "winograd")

#: Factor of the rounding bound for Winograd's algorithm: it mixes neighbours before it multiplies,
#: so its errors follow the largest elements of a tile rather than each element's own sum.
WINOGRAD = 64

#: The rate of the SGD update: so small that theta keeps its values, which were checked.
RATE = 1e-20


def require():
    """Nothing: it is here."""


def layer(case, dtype, threads, form="auto", reuse=False):
    """`conv2d` and `conv2d_backward`: a piece of the batch for each thread, BLAS on one thread.

    With `reuse` the output is written into an array made once.
    """
    shape = case.layer
    options = {**shape.options, "algorithm": form}
    Z, W, b, dS = (case.data[key].astype(dtype) for key in ("Z", "W", "b", "dS"))
    edges = np.linspace(0, shape.batch, min(threads, shape.batch) + 1).astype(int)
    pieces = [slice(*edge) for edge in itertools.pairwise(edges)]
    out = np.empty(shape.output_shape, dtype) if reuse else None
    in_threads = _in_threads(threads)

    def forward():
        S = np.empty(shape.output_shape, dtype) if out is None else out
        in_threads(lambda part: matconv.conv2d(Z[part], W, b, out=S[part], **options), pieces)
        return S

    def backward():
        """[dZ of each piece], dW, db: a piece goes to the layer before it, so no joining."""
        done = in_threads(
            lambda part: matconv.conv2d_backward(dS[part], Z[part], W, **options), pieces
        )
        _, dW, db = done[0]
        for _, more_dW, more_db in done[1:]:
            dW += more_dW
            db += more_db
        return [dZ for dZ, _, _ in done], dW, db

    def both():
        return forward(), backward()

    def results(which):
        named = {}
        if which != "backward":
            named["S"] = forward()
        if which != "forward":
            dZ, dW, db = backward()
            named |= {"dZ": np.concatenate(dZ), "dW": dW, "db": db}
        return {key: value.astype(np.float64) for key, value in named.items()}

    return Side(
        name=f"matconv {form}",
        dtype=np.dtype(dtype),
        passes={"forward": forward, "backward": backward, "both": both},
        results=results,
        context=lambda: threadpoolctl.threadpool_limits(1, user_api="blas"),
        slack=1 if form == "im2col" else WINOGRAD,
    )


def _in_threads(threads):
    """A function that applies a function to each item by matconv's threads; results in order."""
    engine = ThreadEngine(threads)

    def apply(function, items):
        done = [None] * len(items)

        def evaluate(k):
            done[k] = function(items[k])

        engine.run(evaluate, range(len(items)))
        return done

    return apply


def network(net, values, dtype, algorithm="auto"):
    """`matconv.Network` of a `nets.Net`, and theta."""
    made, arrays = [], []
    for step, value in zip(nets.steps(net), values, strict=True):
        made.append(_KINDS[step.kind](step.options, "relu" if step.options["relu"] else None))
        if value is not None:
            arrays.append(tuple(array.astype(dtype) for array in value))
    built = matconv.Network(net.input_shape, made, dtype=dtype, algorithm=algorithm)
    return built, built.pack(arrays)


def _conv(options, activation):
    named = {key: options[key] for key in ("channels", "stride", "pad", "dilation", "groups")}
    return matconv.Conv(kernel=options["side"], activation=activation, **named)


_KINDS = {
    "conv": _conv,
    "pool": lambda options, _: matconv.MaxPool(options["side"], stride=options["stride"]),
    "dense": lambda options, activation: matconv.Dense(options["units"], activation=activation),
}


def net(case, dtype, threads, form="auto"):
    """`Network` and `Objective`; "predict" is the frozen network, into arrays made once."""
    built, theta = network(case.net, case.values, dtype, form)
    Z, y = case.data[0].astype(dtype), case.data[1]
    objective = matconv.Objective(built, Z, y, loss=case.net.loss, n_threads=threads)

    @functools.cache
    def frozen():
        predictor = built.freeze(theta, len(Z))
        scratch = np.empty(predictor.workspace_size(len(Z)), dtype)
        return predictor, np.empty((len(Z), *built.output_shape), dtype), scratch

    def predict():
        predictor, out, scratch = frozen()
        return predictor.into(Z, out, scratch)

    def gradient():
        return objective.value_and_gradient(theta)

    def step():
        f, slope = gradient()
        slope *= RATE
        np.subtract(theta, slope, out=theta)
        return f

    def forward():
        return built.forward(theta, Z, n_threads=threads)

    def results(which):
        if which in ("forward", "predict"):
            return {"outputs": (forward if which == "forward" else predict)()}
        f, slope = gradient()
        return {"f": f, "norm": np.linalg.norm(slope.astype(np.float64))}

    passes = {"forward": forward, "gradient": gradient, "step": step, "predict": predict}
    return Side(f"matconv {form}", np.dtype(dtype), passes, results)
