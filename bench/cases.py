"""What is measured, with its operands and its truth: a convolution layer or a network."""

import functools

import nets
import numpy as np
import peers_matconv
import shapes
import truth

#: Outputs, f and norm of a network agree to this share of their largest element.
AGREEMENT = {"float64": 1e-10, "float32": 1e-3}


class LayerCase:
    """A layer of `shapes.LAYERS` with another number of images, or its own."""

    kind = "layer"

    def __init__(self, name, images=None):
        layer = shapes.LAYERS[name]
        self.layer = layer.with_batch(images or layer.batch)
        self.images, self.sizes = self.layer.batch, str(self.layer)
        self.data = operands(self.layer)
        self.truth = truth.Truth(self.layer, self.data)

    def flops(self, which):
        """Additions and multiplications of a pass, computed directly."""
        return self.layer.flops(which)

    def check(self, side, which):
        """Share of the rounding bound that a side uses; ArithmeticError beyond it."""
        with side.context():
            results = side.results(which)
        eps = float(np.finfo(side.dtype).eps)
        return self.truth.check(results, eps, f"{side.name}, {self.layer.name}", side.slack)


def operands(layer, seed=0):
    """Z, W, b, dS of a layer as float64 whose values are float32 numbers, so both dtypes agree."""
    draw = functools.partial(np.random.default_rng(seed).standard_normal, dtype=np.float32)
    shape = {
        "Z": layer.image_shape,
        "W": layer.weight_shape,
        "b": layer.filters,
        "dS": layer.output_shape,
    }
    return {name: draw(size).astype(np.float64) for name, size in shape.items()}


class NetCase:
    """A network of `nets` with parameters and a batch; its truth is im2col in double precision."""

    kind = "net"

    def __init__(self, name, images=None):
        self.name, self.net = name, nets.network(name)
        self.images = images or self.net.batch
        self.sizes = str(self.images)
        Z, y = nets.data(self.net, self.images, np.float32)
        self.data = Z.astype(np.float64), y
        self.values = nets.parameters(self.net)
        self._expected = {}

    def flops(self, which):
        """Additions and multiplications: a gradient counts as three forward passes, as a step."""
        return nets.flops(self.net, self.images) * (1 if which in ("forward", "predict") else 3)

    def check(self, side, which):
        """Largest relative difference of a side's results; ArithmeticError beyond `AGREEMENT`."""
        what = "forward" if which in ("forward", "predict") else "gradient"
        if what not in self._expected:
            reference = peers_matconv.net(self, "float64", 1, "im2col")
            self._expected[what] = reference.results(what)
        with side.context():
            results = side.results(which)
        who = f"{side.name}, {self.name}"
        return truth.agree(self._expected[what], results, AGREEMENT[side.dtype.name], who)
