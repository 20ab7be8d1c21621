"""A deterministic sequence of window geometries of all sizes.

Each parameter takes all its levels again and again, in each round in a new order from a fixed seed,
so that all levels are equally frequent and the combinations differ. Windows that do not fit the
padded image are left out.
"""

from dataclasses import dataclass

import numpy as np

from support import reference

SIZES = (*range(1, 18), 28)
KERNELS = tuple(range(1, 8))
STRIDES = (1, 2, 3, 4, "over")  # "over": one more than the kernel, so that pixels are skipped
DILATIONS = (1, 2, 3)
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17)
FILTERS = (1, 2, 3, 5, 6, 7, 8, 9, 15, 17, 33)
GROUPS = (1, 1, 1, 2, 3)
IMAGES = (1, 2, 3, 1, 2, 3, 1, 2, 0)
PADDINGS = ("none", "integer", "pair", "sides")

# the maximum of filter offsets times output positions, for the time of the reference
MOST_TAPS = 20_000


@dataclass(frozen=True)
class Case:
    """A geometry: images (l, b, a, d), d_out filters, and a window in array order."""

    l: int
    size: tuple
    d: int
    d_out: int
    kernel: tuple
    stride: tuple
    pad: object
    dilation: tuple
    groups: int
    padding_kind: str

    @property
    def shape(self):
        return (self.l, *self.size, self.d)

    @property
    def filter_shape(self):
        return (self.d // self.groups, *self.kernel, self.d_out)

    @property
    def window(self):
        """The arguments of im2col and col2im besides their array."""
        return {
            "kernel": self.kernel,
            "stride": self.stride,
            "pad": self.pad,
            "dilation": self.dilation,
        }

    @property
    def convolution(self):
        """The arguments of conv2d besides its arrays."""
        return {
            "stride": self.stride,
            "pad": self.pad,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    @property
    def out_size(self):
        return reference.output_shape(self.size, **self.window)


def rounds(levels, random):
    """Yield all levels in random order, again and again, each round in a new order."""
    while True:
        for k in random.permutation(len(levels)):
            yield levels[k]


def draw_pad(kind, kernel, random):
    """Return a padding of one of the four kinds, each side from 0 to the kernel plus 2."""
    if kind == "none":
        return 0
    if kind == "integer":
        return int(random.integers(0, min(kernel) + 3))
    if kind == "pair":
        return tuple(int(random.integers(0, h + 3)) for h in kernel)
    return tuple((int(random.integers(0, h + 3)), int(random.integers(0, h + 3))) for h in kernel)


def cases(count, seed=0):
    """Yield the first `count` geometries for a seed."""
    random = np.random.default_rng(seed)
    draw = {
        name: rounds(levels, random)
        for name, levels in {
            "b": SIZES, "a": SIZES, "h_b": KERNELS, "h_a": KERNELS, "s_b": STRIDES,
            "s_a": STRIDES, "e_b": DILATIONS, "e_a": DILATIONS, "l": IMAGES, "d": CHANNELS,
            "f": FILTERS, "groups": GROUPS, "pad": PADDINGS,
        }.items()
    }  # fmt: skip
    found = 0
    while found < count:
        new = {name: next(levels) for name, levels in draw.items()}
        kernel = (new["h_b"], new["h_a"])
        stride = tuple(
            h + 1 if s == "over" else s for h, s in zip(kernel, (new["s_b"], new["s_a"]))
        )
        case = Case(
            l=new["l"], size=(new["b"], new["a"]), d=new["d"] * new["groups"],
            d_out=new["f"] * new["groups"], kernel=kernel, stride=stride,
            pad=draw_pad(new["pad"], kernel, random), dilation=(new["e_b"], new["e_a"]),
            groups=new["groups"], padding_kind=new["pad"],
        )  # fmt: skip
        positions = int(np.prod(case.out_size))
        if 0 < positions * kernel[0] * kernel[1] <= MOST_TAPS:
            found += 1
            yield case


def integers(random, shape, dtype=np.int64):
    """Return integers in [-32, 32], whose products and sums are exact in float32."""
    return random.integers(-32, 33, size=shape).astype(dtype)
