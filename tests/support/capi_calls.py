"""One valid call of each C function that takes arrays, with the result of Python's function.

``python -m support.capi_calls guard_pages`` runs in a separate process, as an invalid access ends it.
"""

import ctypes
import sys
from dataclasses import dataclass, field

import numpy as np

import matconv
from matconv.kernels import _conv as conv
from matconv.kernels import _pool as pool
from matconv.kernels._geometry import WindowGeometry
from support import geometries
from support.activations import CLIP, LEAKY_RELU, NONE, RELU, activated, gradient
from support.capi import ALGORITHMS, DTYPES, METHODS, OK, Activation, Geometry, entry, poisoned


@dataclass
class Call:
    """One call of an entry: its arguments by name, in order.

    ``outs`` are written to, ``scratch`` may be; ``optional`` may be NULL.
    """

    name: str
    dtype: str
    arguments: dict
    outs: tuple
    optional: tuple = ()
    expected: tuple = ()
    scratch: tuple = field(default=("scratch",))

    def __call__(self, **changes):
        """The status, for these arguments with changes."""
        arguments = {**self.arguments, **changes}
        assert arguments.keys() == self.arguments.keys()
        return entry(self.name, self.dtype)(*arguments.values())

    def pointers(self):
        """Names of the arguments that are arrays."""
        return [name for name, value in self.arguments.items() if isinstance(value, np.ndarray)]

    def poison(self, byte=0xA5):
        for name in (*self.outs, *self.scratch):
            if isinstance(self.arguments.get(name), np.ndarray):
                self.arguments[name].view(np.uint8).fill(byte)

    def held(self):
        """The bytes of every argument."""
        return {
            name: value.tobytes() if isinstance(value, np.ndarray) else bytes(value)
            for name, value in self.arguments.items()
            if isinstance(value, (np.ndarray, ctypes.Structure))
        }

    def results(self):
        return tuple(self.arguments[name] for name in self.outs)

    def moved(self, guard):
        """The same call with every array flush against forbidden memory."""
        arguments = dict(self.arguments)
        for name in self.pointers():
            if name in self.outs or name in self.scratch:
                arguments[name] = guard.empty(arguments[name].shape, arguments[name].dtype)
            else:
                arguments[name] = guard.copy(arguments[name])
        return Call(
            self.name, self.dtype, arguments, self.outs, self.optional, self.expected, self.scratch
        )


def geometry_of(shape, kernel, stride=1, pad=0, dilation=1, groups=1, channels=None):
    """A struct, given and derived, by way of the Python class."""
    window = WindowGeometry("test", shape, kernel, stride, pad, dilation, groups, channels)
    (top, bottom), (left, right) = window.pad
    images, height, width, channels = window.shape
    return Geometry(
        images=images, height=height, width=width, channels=channels,
        filters=window.out_shape[3], groups=groups,
        kernel_height=window.kernel[0], kernel_width=window.kernel[1],
        stride_down=window.stride[0], stride_right=window.stride[1],
        pad_top=top, pad_bottom=bottom, pad_left=left, pad_right=right,
        dilation_down=window.dilation[0], dilation_right=window.dilation[1],
    )  # fmt: skip


# with or without a bias, and an activation; None is a pointer that is NULL
FUSED = (
    (False, None), (True, (RELU, 0, 0)), (False, (LEAKY_RELU, 0.1, 0)), (True, (CLIP, -0.3, 0.7)),
    (True, (NONE, 0, 0)),
)  # fmt: skip


def fused(layer, Z, W, b, activation, **options):
    """sigma(layer(Z, W, b)), as Python computes it."""
    if activation and activation[0] == RELU:
        return layer(Z, W, b, relu=True, **options)
    return activated(layer(Z, W, b, **options), *activation or (NONE, 0, 0))


def row_calls(S, b, dZ, dtype):
    """Calls of bias and activation and of their backward pass; rows and channels of S."""
    sizes = {"rows": S.size // S.shape[-1], "channels": S.shape[-1]}
    for has_bias, activation in FUSED:
        given = Activation(*activation) if activation else None
        bias = b if has_bias else None
        Z = activated(S + b if has_bias else S, *activation or (NONE, 0, 0))
        yield Call(
            "bias_activation", dtype,
            {**sizes, "S": S, "b": bias, "activation": given, "Z": poisoned(S.shape, dtype)},
            ("Z",), ("b", "activation"), (Z,),
        )  # fmt: skip
        dS = gradient(dZ, Z, *activation or (NONE, 0, 0))
        # row by row, as the C function adds
        db = np.zeros_like(b)
        for row in dS.reshape(-1, b.size):
            db += row
        yield Call(
            "bias_activation_backward", dtype,
            {**sizes, "dZ": dZ, "Z": Z, "activation": given, "dS": poisoned(S.shape, dtype),
             "db": poisoned(b.shape, dtype)},
            ("dS", "db"), ("db", "activation"), (dS, db),
        )  # fmt: skip


def layer_calls(case, dtype, random, data="real"):
    """Calls of im2col, col2im, bias and activation, and the convolution."""

    def draw(shape):
        if data == "real":
            return random.standard_normal(shape).astype(dtype)
        return geometries.integers(random, shape, dtype)

    out = (case.l, *case.out_size, case.d_out)
    Z, W, b, dS = map(draw, (case.shape, case.filter_shape, (case.d_out,), out))
    given = {**case.convolution, "kernel": case.kernel, "channels": case.d_out}
    g = geometry_of(case.shape, **given)
    whole = geometry_of(case.shape, **case.window)

    phi = matconv.im2col(Z, **case.window)
    yield Call(
        "im2col", dtype, {"g": whole, "Z": Z, "phi": poisoned(phi.shape, dtype)}, ("phi",),
        expected=(phi,),
    )  # fmt: skip
    columns = draw(phi.shape)
    back = matconv.col2im(columns, Z.shape, **case.window)
    yield Call(
        "col2im", dtype, {"g": whole, "phi": columns, "Z": poisoned(Z.shape, dtype)}, ("Z",),
        expected=(back,),
    )  # fmt: skip

    yield from row_calls(dS, b, draw(out), dtype)

    window = WindowGeometry("conv2d", case.shape, **given)
    for number, algorithm in enumerate(ALGORITHMS):
        options = {**case.convolution, "algorithm": algorithm}
        plan = conv.ConvPlan(window, dtype, algorithm)
        size = plan.scratch_size(False)
        for has_bias, activation in FUSED:
            bias = b if has_bias else None
            yield Call(
                "conv_forward", dtype,
                {"g": g, "algorithm": number, "Z": Z, "W": W, "b": bias,
                 "activation": Activation(*activation) if activation else None,
                 "S": poisoned(out, dtype), "scratch": poisoned(size, dtype),
                 "scratch_size": size},
                ("S",), ("b", "activation"),
                (fused(matconv.conv2d, Z, W, bias, activation, **options),),
            )  # fmt: skip
        size = plan.scratch_size(True)
        yield Call(
            "conv_backward", dtype,
            {"g": g, "algorithm": number, "dS": dS, "Z": Z, "W": W,
             "dZ": poisoned(Z.shape, dtype), "dW": poisoned(W.shape, dtype),
             "db": poisoned(b.shape, dtype), "scratch": poisoned(size, dtype),
             "scratch_size": size},
            ("dZ", "dW", "db"), ("dZ", "dW", "db"),
            matconv.conv2d_backward(dS, Z, W, **options),
        )  # fmt: skip


def transposed_calls(case, dtype, random):
    """Calls of the adjoint of a convolution as an operator, and of its gradients."""
    out = (case.l, *case.out_size, case.d_out)
    shapes = (out, case.filter_shape, (case.d,), case.shape)
    Z, W, b, dS = (random.standard_normal(shape).astype(dtype) for shape in shapes)
    given = {**case.convolution, "kernel": case.kernel, "channels": case.d_out}
    g = geometry_of(case.shape, **given)
    window = WindowGeometry("conv2d", case.shape, **given)
    extra = tuple(
        (n + sum(sides) - (h - 1) * e - 1) % s
        for n, sides, h, e, s in zip(
            case.size, window.pad, case.kernel, case.dilation, window.stride
        )
    )
    options = {"upsample": window.stride, "crop": case.pad, "dilation": case.dilation,
               "extra": extra, "groups": case.groups}  # fmt: skip
    for number, algorithm in enumerate(ALGORITHMS):
        options["algorithm"] = algorithm
        plan = conv.ConvPlan(window, dtype, algorithm)
        size = plan.scratch_size(True)
        for has_bias, activation in FUSED:
            bias = b if has_bias else None
            yield Call(
                "conv_transpose_forward", dtype,
                {"g": g, "algorithm": number, "Z": Z, "W": W, "b": bias,
                 "activation": Activation(*activation) if activation else None,
                 "S": poisoned(case.shape, dtype), "scratch": poisoned(size, dtype),
                 "scratch_size": size},
                ("S",), ("b", "activation"),
                (fused(matconv.conv_transpose2d, Z, W, bias, activation, **options),),
            )  # fmt: skip
        size = max(size, plan.scratch_size(False))
        yield Call(
            "conv_transpose_backward", dtype,
            {"g": g, "algorithm": number, "dS": dS, "Z": Z, "W": W,
             "dZ": poisoned(Z.shape, dtype), "dW": poisoned(W.shape, dtype),
             "db": poisoned(b.shape, dtype), "scratch": poisoned(size, dtype),
             "scratch_size": size},
            ("dZ", "dW", "db"), ("dZ", "dW", "db"),
            matconv.conv_transpose2d_backward(dS, Z, W, **options),
        )  # fmt: skip


def pool_calls(case, dtype, random):
    """Calls of both pools and their adjoints; none where the window does not fit."""
    pad = tuple(int(min(h - 1, 1)) for h in case.kernel)
    window = {"window": case.kernel, "stride": case.stride, "pad": pad}
    if any(n + 2 * p < h for n, h, p in zip(case.size, case.kernel, pad)):
        return
    # few different numbers, so that windows hold equal ones
    Z = random.integers(-3, 4, case.shape).astype(dtype)
    g = geometry_of(case.shape, case.kernel, case.stride, pad)
    S, indices = matconv.max_pool2d(Z, return_indices=True, **window)
    assert pool.pool_geometry("test", case.shape, **window).out_shape == S.shape
    dS = random.standard_normal(S.shape).astype(dtype)
    yield Call(
        "max_pool", dtype,
        {"g": g, "Z": Z, "S": poisoned(S.shape, dtype), "indices": poisoned(S.shape, np.intc)},
        ("S", "indices"), ("indices",), (S, indices),
    )  # fmt: skip
    yield Call(
        "max_pool_backward", dtype,
        {"g": g, "dS": dS, "indices": indices, "dZ": poisoned(Z.shape, dtype)}, ("dZ",),
        expected=(matconv.max_pool2d_backward(dS, indices, Z.shape),),
    )  # fmt: skip
    Z = random.standard_normal(case.shape).astype(dtype)
    yield Call(
        "avg_pool", dtype, {"g": g, "Z": Z, "S": poisoned(S.shape, dtype)}, ("S",),
        expected=(matconv.avg_pool2d(Z, **window),),
    )  # fmt: skip
    yield Call(
        "avg_pool_backward", dtype, {"g": g, "dS": dS, "dZ": poisoned(Z.shape, dtype)}, ("dZ",),
        expected=(matconv.avg_pool2d_backward(dS, Z.shape, **window),),
    )  # fmt: skip


def dense_calls(images, inputs, units, dtype, random):
    shapes = ((images, inputs), (inputs, units), (units,), (images, units))
    Z, W, b, dS = (random.standard_normal(shape).astype(dtype) for shape in shapes)
    sizes = {"images": images, "inputs": inputs, "units": units}
    size = inputs * units
    for has_bias, activation in FUSED:
        bias = b if has_bias else None
        yield Call(
            "dense_forward", dtype,
            {**sizes, "Z": Z, "W": W, "b": bias,
             "activation": Activation(*activation) if activation else None,
             "S": poisoned(dS.shape, dtype)},
            ("S",), ("b", "activation"), (fused(matconv.dense, Z, W, bias, activation),),
        )  # fmt: skip
    yield Call(
        "dense_backward", dtype,
        {**sizes, "dS": dS, "Z": Z, "W": W, "dZ": poisoned(Z.shape, dtype),
         "dW": poisoned(W.shape, dtype), "db": poisoned(b.shape, dtype),
         "scratch": poisoned(size, dtype), "scratch_size": size},
        ("dZ", "dW", "db"), ("dZ", "dW", "db"), matconv.dense_backward(dS, Z, W),
    )  # fmt: skip


def lrn_calls(rows, channels, dtype, random):
    Z, dS = (random.standard_normal((rows, channels)).astype(dtype) for _ in range(2))
    scratch = poisoned(8 * channels, dtype)
    for numbers in ((5, 2.0, 0.25, 0.75), (2 * channels + 3, 0.5, 1.0, 0.6)):
        arguments = dict(zip(("size", "k", "alpha", "beta"), numbers))
        sizes = {"rows": rows, "channels": channels, **arguments}
        yield Call(
            "lrn", dtype,
            {**sizes, "Z": Z, "S": poisoned(Z.shape, dtype), "scratch": scratch}, ("S",),
            expected=(matconv.lrn(Z, **arguments),),
        )  # fmt: skip
        yield Call(
            "lrn_backward", dtype,
            {**sizes, "dS": dS, "Z": Z, "dZ": poisoned(Z.shape, dtype), "scratch": scratch},
            ("dZ",), expected=(matconv.lrn_backward(dS, Z, **arguments),),
        )  # fmt: skip


def upsample_calls(shape, factor, dtype, random):
    """Calls of upsample by each method, and of its adjoint."""
    Z = random.standard_normal(shape).astype(dtype)
    sizes = dict(zip(("images", "height", "width", "channels"), shape))
    sizes.update(zip(("factor_down", "factor_right"), factor))
    for number, method in enumerate(METHODS):
        options = {"method": method.split()[0], "align_corners": "aligned" in method}
        S = matconv.upsample2d(Z, factor, **options)
        dS = random.standard_normal(S.shape).astype(dtype)
        yield Call(
            "upsample", dtype, {**sizes, "method": number, "Z": Z, "S": poisoned(S.shape, dtype)},
            ("S",), expected=(S,),
        )  # fmt: skip
        yield Call(
            "upsample_backward", dtype,
            {**sizes, "method": number, "dS": dS, "dZ": poisoned(Z.shape, dtype)}, ("dZ",),
            expected=(matconv.upsample2d_backward(dS, shape, factor, **options),),
        )  # fmt: skip


def every_call(case, dtype, seed=0, data="real"):
    """Calls of all entries that take arrays, on one geometry."""
    random = np.random.default_rng(seed)
    yield from layer_calls(case, dtype, random, data)
    yield from pool_calls(case, dtype, random)
    yield from transposed_calls(case, dtype, random)
    yield from dense_calls(case.l, int(np.prod(case.size)), case.d_out, dtype, random)
    yield from lrn_calls(case.l * case.size[0], case.size[-1], dtype, random)
    yield from upsample_calls(case.shape, case.stride, dtype, random)


def check(call):
    """The call succeeds and gives, bit for bit, what Python's function gives."""
    assert call() == OK, call.name
    for name, actual, expected in zip(call.outs, call.results(), call.expected, strict=True):
        same = actual.tobytes() == expected.tobytes() and actual.shape == expected.shape
        assert same, f"{name} of {call.name} is not Python's"


def guard_pages(count=60):
    """Every operand of every entry flush against a forbidden page, at either end."""
    from support.guarded import Guard

    calls = 0
    for k, case in enumerate(geometries.cases(count, seed=41)):
        for dtype in DTYPES:
            for call in every_call(case, dtype, k):
                for at_end in (False, True):
                    with Guard(at_end) as guard:
                        check(call.moved(guard))
                    calls += 1
    print("flush", "many" if calls > 10 * count else calls)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
