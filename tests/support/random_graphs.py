"""Random networks that are graphs: every kind of layer, shared parameters, several outputs."""

import numpy as np

from matconv import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    ConvTranspose,
    Crop,
    Dense,
    Dropout,
    MaxPool,
    Multiply,
    Network,
    Pad,
    PReLU,
    Scale,
    Slice,
    Upsample,
)  # fmt: skip
from matconv.layers import LAYERS
from support.activations import EXAMPLES

# every third layer has no activation
ACTIVATIONS = (*EXAMPLES, *[None] * (len(EXAMPLES) // 2))
FACTORS = (1.0, -1.0, 0.5, 2.0, -0.25)
OWNERS = (Conv, ConvTranspose, Dense, Scale, PReLU)
# larger images are not enlarged
LARGE = 120
# layers that are drawn with arguments of their own
DRAWN = (
    Activation, Add, AvgPool, Concat, Conv, ConvTranspose, Crop, Dense, Dropout, MaxPool, Multiply,
    Pad, Scale, Slice, Upsample,
)  # fmt: skip
# other layers with arguments for them; without entries here by default arguments, if they have them
ARGUMENTS = {
    "LRN": [
        {},
        {"size": 2, "k": 1, "alpha": 0.5, "beta": 0.5},
        {"size": 3, "alpha": 0.25, "beta": 1},
        {"size": 4, "k": 1.5, "alpha": 0.5, "beta": 0.6},
    ],
    "Normalize": [
        {"epsilon": 0.5},
        {"p": 3, "epsilon": 0.25},
        {"p": 1, "epsilon": 1},
        {"epsilon": 0.5, "spatial": True},
    ],
}


def _others():
    """Return (class, arguments) of the layers that are not in `DRAWN`."""
    found = []
    for kind, layer in LAYERS.items():
        if layer in DRAWN or layer.input_limits() != (1, 1):
            continue
        for arguments in ARGUMENTS.get(kind, [{}]):
            try:
                layer(**arguments)
            except TypeError:  # arguments without default values
                continue
            found.append((layer, arguments))
    return found


OTHERS = _others()


class _Drawing:
    """Layers drawn so far; `shapes` of their outputs, by name; `unread` names."""

    def __init__(self, random, input_shape, algorithm):
        self.random = random
        self.algorithm = algorithm
        self.input_shape = input_shape
        self.layers = []
        self.shapes = {"input": input_shape}
        self.unread = ["input"]

    def any(self, values):
        return values[self.random.integers(len(values))]

    def source(self, images=False):
        """Return a value to read, preferably one that nothing reads yet."""
        names = [name for name in self.shapes if not images or len(self.shapes[name]) == 3]
        fresh = [name for name in names if name in self.unread]
        return self.any(fresh if fresh and self.random.random() < 0.7 else names)

    def append(self, layer):
        """Add a layer; return False if it does not fit its inputs."""
        try:
            # layers that nothing reads yet are outputs
            outputs = [name for name in self.unread if name not in ("input", *layer.inputs)]
            net = Network(
                self.input_shape, [*self.layers, layer], outputs=[*outputs, layer.name],
                algorithm=self.algorithm,
            )  # fmt: skip
        except ValueError as error:
            # not a problem of the layer, and not possible as the first layer reads the images
            assert "Network: no layer reads the input" not in str(error)
            return False
        shapes = net.output_shape
        self.shapes[layer.name] = shapes[-1] if isinstance(shapes[0], tuple) else shapes
        self.layers.append(layer)
        self.unread = [*outputs, layer.name]
        return True

    def draw(self):
        """Add a layer; return False if the drawn one does not fit."""
        name = f"{self.any('abcdefgh')}{len(self.layers)}"
        options = {"name": name, "inputs": self.source()}
        if not self.layers:
            options["inputs"] = "input"
        kinds = (
            ("filters",) * 4
            + ("share",) * 2
            + ("join",) * 4
            + ("pool", "shape", "shape", "other", "other")
        )
        kind = self.any(kinds)
        layer = getattr(self, f"_{kind}")(options)
        return layer is not None and self.append(layer)

    def _filters(self, options):
        shape = self.shapes[options["inputs"]]
        options |= {"activation": self.any(ACTIVATIONS), "bias": self.random.random() < 0.7}
        roll = self.random.random()
        if roll < 0.2:
            return Scale(**options)
        if len(shape) == 1 or roll < 0.35:
            return Dense(int(self.random.integers(1, 6)), **options)
        size = self.random.integers(1, 4, 2)
        if roll > 0.85:
            return self._transposed(size, options)
        groups = self.any([g for g in (1, 2, 3) if shape[2] % g == 0])
        channels = groups * int(self.random.integers(1, 4)) if groups > 1 else self.any((2, 3, 4))
        if self.random.random() < 0.6:
            return Conv(channels, size, pad="same", groups=groups, **options)
        pad = tuple(tuple(side) for side in self.random.integers(0, 3, (2, 2)).tolist())
        stride, dilation = self.random.integers(1, 3, 2), self.random.integers(1, 3, 2)
        return Conv(channels, size, stride, pad, dilation, groups, **options)

    def _transposed(self, size, options):
        height, width, d = self.shapes[options["inputs"]]
        groups = self.any([g for g in (1, 2, 3) if d % g == 0])
        channels = groups * int(self.random.integers(1, 4))
        upsample = 1 if height * width > LARGE else self.random.integers(1, 3, 2)
        crop = tuple(tuple(side) for side in self.random.integers(0, 2, (2, 2)).tolist())
        extra = self.random.integers(0, upsample, 2)
        dilation = self.random.integers(1, 3, 2)
        return ConvTranspose(channels, size, upsample, crop, dilation, extra, groups, **options)

    def _share(self, options):
        owners = [layer for layer in self.layers if isinstance(layer, OWNERS)]
        if not owners:
            return None
        owner = self.any(owners)
        given = {k: v for k, v in vars(owner).items() if k not in ("name", "inputs", "parameters")}
        given |= {"parameters": owner.name}
        if hasattr(owner, "activation"):
            given |= {"activation": self.any(ACTIVATIONS)}
        # reads the input of the owner, or another value with as many channels
        shape = self.shapes[owner.inputs[0]]
        names = [name for name, other in self.shapes.items() if other == shape]
        if isinstance(owner, (Conv, ConvTranspose)):
            names = [n for n, o in self.shapes.items() if len(o) == 3 and o[2] == shape[2]]
        options["inputs"] = self.any(names)
        return type(owner)(**given, **options)

    def _join(self, options):
        shape = self.shapes[options["inputs"]]
        kind = self.any((Add, Add, Multiply, Concat))
        names = [name for name, other in self.shapes.items() if other == shape]
        if kind is Concat:
            names = [n for n, o in self.shapes.items() if o[:-1] == shape[:-1]]
        if kind is Multiply:
            ones = ((shape[-1],), (1, 1, shape[-1]), shape)
            names = [n for n, o in self.shapes.items() if o in ones]
        count = int(self.random.integers(1, 3))
        if self.random.random() < 0.8:  # seldom several times the same value
            names.remove(options["inputs"])
            if not names:
                return None
        options["inputs"] = [options["inputs"], *(self.any(names) for _ in range(count))]
        if kind is Concat:
            return Concat(**options)
        options["activation"] = self.any(ACTIVATIONS)
        if kind is Multiply:
            return Multiply(**options)
        factors = [self.any(FACTORS) for _ in options["inputs"]]
        return Add(factors=self.any((None, factors)), **options)

    def _pool(self, options):
        options["inputs"] = self.source(images=True)
        kind = self.any((MaxPool, AvgPool))
        if kind is AvgPool:
            options["count_pad"] = self.random.random() < 0.3
        if self.random.random() < 0.2:
            return kind("image", **options)
        window = self.random.integers(2, 4, 2)
        stride = self.any((None, 1, 2))
        ceil = self.random.random() < 0.3
        return kind(window, stride, self.any((0, 1, "same")), ceil, **options)

    def _shape(self, options):
        kind = self.any((Crop, Pad, Slice, Upsample))
        options["inputs"] = self.source(images=kind is not Slice)
        shape = self.shapes[options["inputs"]]
        if kind is Slice:
            start = int(self.random.integers(0, shape[-1]))
            return Slice(start, int(self.random.integers(start, shape[-1])) + 1, **options)
        if kind is Upsample:
            factor = 1 if shape[0] * shape[1] > LARGE else self.random.integers(1, 3, 2)
            method = self.any((("nearest",), ("bilinear",), ("bilinear", True)))
            return Upsample(factor, *method, **options)
        smaller = [n for n, o in self.shapes.items()
                   if len(o) == 3 and o[0] <= shape[0] and o[1] <= shape[1]]  # fmt: skip
        if kind is Crop and self.random.random() < 0.3:
            return Crop(self.any((None, 0)), self.any(smaller), **options)
        return kind(tuple(map(tuple, self.random.integers(0, 2, (2, 2)).tolist())), **options)

    def _other(self, options):
        draw = self.random.random()
        if draw < 0.2:
            return Dropout(self.any((0.0, 0.25, 0.5)), **options)
        if draw < 0.5:
            return Activation(self.any(EXAMPLES), **options)
        kind, arguments = self.any(OTHERS)
        return kind(**arguments, **options)


def random_graph(seed, dtype=np.float64, algorithm="auto"):
    """Return a network of about 3 to 14 named layers, determined by the seed.

    All values that no layer reads are outputs.
    """
    random = np.random.default_rng(seed)
    shape = (*random.integers(4, 9, 2).tolist(), int(random.integers(1, 4)))
    drawing = _Drawing(random, shape, algorithm)
    wanted = random.integers(3, 15)
    for _ in range(200):
        drawing.draw()
        if len(drawing.layers) >= wanted and any(isinstance(x, OWNERS) for x in drawing.layers):
            break
    # sometimes a value that is read is an output too
    inside = [x.name for x in drawing.layers if x.name not in drawing.unread]
    outputs = drawing.unread + (inside[-1:] if inside and random.random() < 0.3 else [])
    return Network(shape, drawing.layers, dtype, algorithm, outputs)


def random_theta(net, seed):
    """Return a theta with gains about 1 and biases other than 0."""
    random = np.random.default_rng(seed)
    theta = net.init(seed)
    for views in net.unpack(theta):
        for name, view in zip(views._fields, views):
            if name != "W":
                view += (0.25 * random.standard_normal(view.shape)).astype(net.dtype)
    return theta


def random_images(net, seed, l=5):
    """Return images from N(0, 1)."""
    Z = np.random.default_rng(seed).standard_normal((l, *net.input_shape))
    return Z.astype(net.dtype)


def kinds(net):
    """Return the kinds of a network's layers, and "shared", "factors", "outputs", "twice"."""
    found = {layer.kind for layer in net.layers}
    for layer in net.layers:
        found |= {"shared"} if getattr(layer, "parameters", None) else set()
        found |= {"factors"} if getattr(layer, "factors", None) else set()
        found |= {"twice"} if len(set(layer.inputs)) < len(layer.inputs) else set()
    return found | ({"outputs"} if len(net.outputs) > 1 else set())
