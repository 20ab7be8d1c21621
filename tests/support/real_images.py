"""Real images of all magnitudes: handwritten digits, scaled by powers of ten.

Each channel of an image is a digit, enlarged by repetition of its pixels if necessary.
"""

import numpy as np
from sklearn.datasets import load_digits

DIGITS = load_digits().images  # 1,797 images of 8 x 8, integers from 0 to 16
# largest exponent of ten: products of two elements are normal numbers
DECADES = {"float64": 30, "float32": 12}


def digits(shape, first=0):
    """Return the digits from index `first` on as images (l, b, a, d)."""
    l, b, a, d = shape
    times = -(-max(b, a) // 8)
    chosen = DIGITS[(first + np.arange(l * d)) % len(DIGITS)]
    large = np.kron(chosen, np.ones((1, times, times)))[:, :b, :a]
    return np.ascontiguousarray(large.reshape(l, d, b, a).transpose(0, 2, 3, 1))


def scales(random, kind, shape, decades):
    """Return powers of ten: one for all, one for each channel (the last axis) or element."""
    shape = {"whole": (), "channel": shape[-1:], "element": shape}[kind]
    return 10.0 ** random.uniform(-decades, decades, shape)


def real_layer(case, k, dtype):
    """Return (Z, W, b, dS): digits, random filters and gradients, scaled."""
    random = np.random.default_rng(k)
    kind = ("whole", "channel", "element")[k % 3]

    def scaled(array):
        factor = scales(random, kind, array.shape, DECADES[dtype])
        return np.ascontiguousarray(array * factor).astype(dtype)

    Z = scaled(digits((max(case.l, 1), *case.shape[1:]), first=17 * k))
    W = scaled(random.standard_normal(case.filter_shape))
    b = scaled(random.standard_normal(case.d_out))
    dS = scaled(random.standard_normal((len(Z), *case.out_size, case.d_out)))
    return Z, W, b, dS
