"""Convolutions that are computed by loops instead of products: few channels, or few per group.

Generators of (shape of Z, shape of W, options of `conv2d`).
"""

import numpy as np

from support.convolutions import kernel_fits

WIDTHS = (2, 3, 4, 5, 7, 8, 9, 12, 15, 17, 24, 33, 300)


def few_channels(count, seed):
    """Around the limits of what is read by offsets."""
    random = np.random.default_rng(seed)
    while count:
        kernel = tuple(random.integers(1, 8, 2).tolist())
        stride, dilation = (tuple(random.integers(1, high, 2).tolist()) for high in (4, 3))
        pad = tuple(map(tuple, (random.integers(0, 5, (2, 2)) * random.integers(0, 2)).tolist()))
        size = tuple(random.integers(1, 40, 2).tolist())
        if kernel_fits(size, pad, kernel, dilation):
            count -= 1
            d, d_out = (int(random.integers(low, high)) for low, high in ((1, 6), (7, 70)))
            options = {"stride": stride, "pad": pad, "dilation": dilation, "algorithm": "im2col"}
            yield (int(random.integers(0, 4)), *size, d), (d, *kernel, d_out), options


def long_rows():
    """Several bands of rows with padding; in the last one the scratch is mostly packed filters."""
    options = {"stride": (2, 4), "pad": ((1, 0), (2, 1)), "algorithm": "im2col"}
    for d_out in (21, 24):
        yield (1, 20, 500, 4), (4, 2, 3, d_out), options
    yield (1, 40, 500, 1), (1, 2, 1, 72), {"pad": ((1, 0), (0, 0)), "algorithm": "im2col"}


def small_groups(count, seed):
    """Depthwise, with a multiplier, and with small groups."""
    random = np.random.default_rng(seed)
    while count:
        groups = int(random.integers(2, 20))
        kernel, stride, dilation = (
            tuple(random.integers(1, high, 2).tolist()) for high in (6, 4, 4)
        )
        highest = 8 if stride == (1, 1) else 16
        d_g, d_out_g = (
            (1, 1)
            if random.random() < 0.4
            else random.integers(1, highest, 2, endpoint=True).tolist()
        )
        pad = tuple(map(tuple, random.integers(0, 5, (2, 2)).tolist()))
        size = tuple(random.integers(1, 16, 2).tolist())
        if kernel_fits(size, pad, kernel, dilation):
            count -= 1
            shape = (int(random.integers(0, 4)), *size, groups * d_g)
            options = {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups}
            yield shape, (d_g, *kernel, groups * d_out_g), options


def depthwise(seed):
    """Depthwise layers of 3 x 3 and other taps: tiles, edges, whole and partial vectors."""
    random = np.random.default_rng(seed)
    for d in WIDTHS:
        for stride in ((1, 1), (2, 2), (1, 2), (3, 1), (4, 5)):
            for dilation in (1, 2):
                kernel = (
                    (3, 3) if random.random() < 0.8 else tuple(random.integers(1, 6, 2).tolist())
                )
                size = tuple(random.integers(1, 14, 2).tolist())
                high = tuple((h - 1) * dilation // 2 for h in kernel)
                if all(
                    n + 2 * p > (h - 1) * dilation
                    for n, p, h in zip(size, high, kernel, strict=True)
                ):
                    options = {"stride": stride, "pad": high, "dilation": dilation, "groups": d}
                    yield (2, *size, d), (1, *kernel, d), options
