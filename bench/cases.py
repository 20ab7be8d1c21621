"""What is compared: a convolution layer or a network, its operands and its expected results.

A layer is checked element by element.  With K terms in an inner product and eps the spacing of
floating-point numbers at 1, any order of summation, with or without fused multiply-add, gives

    |computed - exact| <= K / (1 - K eps / 2) eps / 2 |x|'|y|   <   (K + 2) eps |x|'|y|,

so two computed values differ by less than 2 (K + 2) eps |x|'|y|: the bound used, with eps of the
side's dtype.  K counts the bias.  A network is compared with matconv's im2col in float64.
"""

import math

import graphs
import kinks
import nets
import numpy as np
import peers_matconv
import products_matconv
from numpy.lib.stride_tricks import sliding_window_view


def convolution(window, Z, W, b, dS):
    """{name: array} of S, dZ, dW and db by numpy; of absolute values, the sums of the bound."""
    (top, left), (s_b, s_a), (e_b, e_a) = window.begin, window.stride, window.dilation
    padded = np.pad(Z, ((0, 0), *window.pad, (0, 0)))
    dpadded = np.zeros_like(padded)
    reach = [(h - 1) * e + 1 for h, e in zip(window.kernel, window.dilation, strict=True)]
    # (l, b_out, a_out, d, h_b, h_a), of the images and of their gradient
    windows, dwindows = (
        sliding_window_view(x, reach, (1, 2), writeable=x is dpadded)[
            :, ::s_b, ::s_a, :, ::e_b, ::e_a
        ]
        for x in (padded, dpadded)
    )
    S, dW = np.empty_like(dS), np.empty_like(W)
    for ins, outs in groups(window, W):
        z = windows[:, :, :, ins]
        S[..., outs] = np.tensordot(z, W[..., outs], 3)
        dW[..., outs] = np.tensordot(z, dS[..., outs], ((0, 1, 2), (0, 1, 2)))
        dz = np.tensordot(dS[..., outs], W[..., outs], (3, 3))
        for q, p in np.ndindex(window.kernel):  # windows overlap, those of one tap do not
            dwindows[:, :, :, ins, q, p] += dz[..., q, p]
    dZ = dpadded[:, top : top + Z.shape[1], left : left + Z.shape[2]]
    return {"S": S + b, "dZ": dZ, "dW": dW, "db": dS.sum(axis=(0, 1, 2))}


def groups(window, W):
    """The slices of channels and of filters of each group."""
    sizes = (len(W), W.shape[-1] // window.groups)
    return [[slice(k * n, (k + 1) * n) for n in sizes] for k in range(window.groups)]


class LayerCase:
    """A convolution with operands Z, W, b, dS: float64 that float32 represents exactly."""

    kind, modules = "layer", "peers_"

    def __init__(self, name, images=None):
        self.net = net = nets.named(name)
        self.name, self.images = name, images or net.batch
        self.sizes = nets.sizes(net, self.images)
        ((node, (W, *_)),) = graphs.walk(net.network, np.empty(net.network.n))
        self.window, weights = node.window, W.shape
        rng, outputs = np.random.default_rng(0), (self.images, *net.network.output_shape)
        inputs = (self.images, *node.shape)
        shapes = {"Z": inputs, "W": weights, "b": outputs[-1], "dS": outputs}
        self.data = {
            key: rng.standard_normal(shape, np.float32).astype(np.float64)
            for key, shape in shapes.items()
        }
        self.expected = convolution(self.window, **self.data)
        self.sums = convolution(self.window, **{key: np.abs(x) for key, x in self.data.items()})
        taps, n = math.prod(self.window.kernel), math.prod(outputs[:-1])
        inner, each = math.prod(weights[:-1]), outputs[-1] // self.window.groups
        self.lengths = {"S": inner + 1, "dZ": taps * each, "dW": n, "db": n}

    def check(self, side, which):
        """The largest share of the bound that a side uses; ArithmeticError beyond it."""
        with side.context():
            results = side.results(which)
        eps = side.slack * float(np.finfo(side.dtype).eps)
        largest, who = 0.0, f"{side.name}, {self.name}"
        for key, result in results.items():
            expected = self.expected[key]
            if result.shape != expected.shape:
                shapes = f"{result.shape}, expected {expected.shape}"
                raise ArithmeticError(f"{who}: {key} has shape {shapes}")
            bound = 2 * (self.lengths[key] + 2) * eps * self.sums[key]
            error = np.abs(result - expected)
            # not `error > bound`: a NaN must fail, and 0 <= 0 must pass
            wrong = ~(error <= bound)
            if wrong.any():
                where = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise ArithmeticError(
                    f"{who}: {key} exceeds the rounding bound at {int(wrong.sum())} of {wrong.size}"
                    f" elements, first at {where}: {result[where]!r}, expected {expected[where]!r}"
                )
            largest = max(largest, float(np.max(error / np.maximum(bound, np.finfo(float).tiny))))
        return largest


class NetCase:
    """A network with parameters and a batch; outputs, or f and |gradient|, are compared."""

    kind, modules = "net", "peers_"

    def __init__(self, name, images=None):
        self.name, self.net = name, nets.named(name)
        self.images = images or self.net.batch
        self.sizes = nets.sizes(self.net, self.images)
        Z, y = nets.data(self.net, self.images, np.float32)
        self.data = Z.astype(np.float64), y
        self.theta = nets.parameters(self.net.network)
        self.expected = {}

    def check(self, side, which):
        """The largest relative difference of a side; ArithmeticError beyond `nets.AGREEMENT`."""
        what = "forward" if which in ("forward", "predict") else "gradient"
        if what not in self.expected:
            reference = peers_matconv.net(self, "float64", 1, "im2col")
            self.expected[what] = reference.results(what)
        with side.context():
            results = side.results(which)
        who = f"{side.name}, {self.name}"
        return nets.agree(self.expected[what], results, side.dtype.name, who)


class ProductCase(NetCase):
    """A network at one theta with directions v of theta and u of the outputs; see peers.PRODUCTS.

    theta, v and u are float64 that float32 represents exactly.  Of several times as many images it
    has those that are farthest from the kinks of the network: their derivatives in float32 differ
    from those in float64 by rounding alone.
    """

    kind, modules = "products", "products_"
    candidates = 4  # per image

    def __init__(self, name, images=None):
        super().__init__(name, images)
        if self.net.loss != "softmax":
            raise ValueError(f"products: {name!r} has no classes")
        network = self.net.network
        self.theta = self.theta.astype(np.float32).astype(np.float64)
        Z, y = nets.data(self.net, self.candidates * self.images, np.float32)
        self.distances = kinks.distances(network, self.theta, Z.astype(np.float64))
        far = np.sort(np.argsort(-self.distances, kind="stable")[: self.images])
        self.data, self.distances = (Z[far].astype(np.float64), y[far]), self.distances[far]
        self.v = nets.direction(network.n)
        self.u = nets.direction(self.images * network.n_outputs).reshape(self.images, -1)
        self.cost = costs(network)

    def arrays(self, vector, dtype, first=False):
        """The arrays of each layer of a vector with the layout of theta; see `graphs.walk`."""
        walk = graphs.walk(self.net.network, vector.astype(dtype), first)
        return [arrays for _, arrays in walk]

    def vector(self, arrays, first=False):
        """The vector with the layout of theta whose arrays these are, float64."""
        order = self.arrays(np.arange(self.net.network.n), np.float64, first)
        order = np.concatenate([x.ravel() for one in order for x in one]).astype(int)
        found = np.empty(len(order))
        found[order] = np.concatenate([np.asarray(x, np.float64).ravel() for x in arrays])
        return found

    def check(self, side, which):
        """The largest relative difference of a side; ArithmeticError beyond `nets.PRODUCTS`."""
        if which not in self.expected:
            reference = products_matconv.products(self, "float64", 1, "im2col")
            self.expected |= reference.results(which)
        with side.context():
            results = side.results(which)
        who = f"{side.name}, {self.name}"
        return nets.agree(self.expected, results, side.dtype.name, who, nets.PRODUCTS)


def costs(network):
    """{pass: multiply-adds in gradients} of products, and "gradient" in multiply-adds per image.

    With F of a forward pass and M of the first layer, which has no gradient for the images, a
    gradient is 3 F - M.  Convolutions and dense layers count.  See peers.PRODUCTS.
    """
    products = []
    for node, arrays in graphs.walk(network, np.empty(network.n)):
        if node.kind in ("Conv", "Dense"):
            products.append(arrays[0].size * (node.places if node.kind == "Conv" else 1))
    F, M, outputs = sum(products), products[0], network.n_outputs
    kept = {"jvp": (2, 1), "vjp": (2, 1), "gauss_newton": (4, 2), "hessian": (6, 4)}
    scratch = {"jvp": (3, 1), "vjp": (3, 1), "gauss_newton": (5, 2), "hessian": (8, 5)}
    found = {f"{name} kept": pair for name, pair in kept.items()}
    found |= {f"{name} scratch": pair for name, pair in scratch.items()}
    found |= {"gradient_norms": (3, 1), "gauss_newton_diagonal": (1 + 2 * outputs, outputs)}
    gradient = 3 * F - M
    return {x: (a * F - b * M) / gradient for x, (a, b) in found.items()} | {"gradient": gradient}
