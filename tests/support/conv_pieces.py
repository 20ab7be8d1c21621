"""Convolutions whose passes are in pieces, for `SingleStep`."""

import numpy as np

IM2COL, WINOGRAD = 1, 2


def conv_words(
    d_out, kernel, groups=1, stride=(1, 1), pad=(0, 0, 0, 0), dilation=(1, 1), bias=True,
    algorithm=IM2COL,
):  # fmt: skip
    return [d_out, groups, *kernel, *stride, *pad, *dilation, int(bias), algorithm]


def random_convolutions(count, seed, transforms=False):
    """Shapes, images and options of convolutions that are shared, or nearly."""
    random = np.random.default_rng(seed)
    found = 0
    while found < count:
        groups = int(random.choice([1, 1, 1, 2, 3]))
        d = groups * int(random.choice([1, 2, 3, 8, 17, 33, 70]))
        d_out = groups * int(random.choice([1, 3, 8, 16, 31, 65, 130]))
        kernel = tuple(int(h) for h in random.integers(1, 8, 2))
        dilation = tuple(int(e) for e in random.choice([1, 1, 1, 2, 3], 2))
        stride = tuple(int(s) for s in random.choice([1, 1, 2, 3], 2))
        pad = tuple(int(p) for p in random.integers(0, 5, 4))
        size = tuple(int(n) for n in random.integers(2, 90, 2))
        out = [
            (n + p - ((h - 1) * e + 1)) // s + 1
            for n, p, h, e, s in zip(
                size, (pad[0] + pad[1], pad[2] + pad[3]), kernel, dilation, stride, strict=True
            )
        ]
        if min(out) < 1 or (transforms and (max(kernel) > 5 or max(dilation) > 1)):
            continue
        one = out[0] * out[1] * d_out * np.prod(kernel) * d // groups
        images = int(random.choice([1, 1, 2, 3, 6, 30]))
        if 1 << 22 <= one * images <= 1 << 25:
            found += 1
            options = {
                "d_out": d_out, "kernel": kernel, "groups": groups, "stride": stride, "pad": pad,
                "dilation": dilation, "bias": bool(random.integers(2)),
            }  # fmt: skip
            yield (*size, d), images, options
