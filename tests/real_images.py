"""Real images at all magnitudes: handwritten digits, enlarged, scaled by powers of ten.

The images are enlarged by repetition where a geometry wants more pixels, one digit per channel.
"""

import numpy as np
from sklearn.datasets import load_digits

DIGITS = load_digits().images  # 1,797 images of 8 x 8, integers from 0 to 16
# powers of ten of the largest and smallest numbers: products of two stay normal numbers
DECADES = {"float64": 30, "float32": 12}


def digits(shape, first=0):
    """The digits from number `first` on, as images (l, b, a, d)."""
    l, b, a, d = shape
    times = -(-max(b, a) // 8)
    chosen = DIGITS[(first + np.arange(l * d)) % len(DIGITS)]
    large = np.kron(chosen, np.ones((1, times, times)))[:, :b, :a]
    return np.ascontiguousarray(large.reshape(l, d, b, a).transpose(0, 2, 3, 1))


def scales(random, kind, shape, decades):
    """Powers of ten: one for all, one per channel (the last axis), or one per element."""
    shape = {"whole": (), "channel": shape[-1:], "element": shape}[kind]
    return 10.0 ** random.uniform(-decades, decades, shape)


def real_layer(case, k, dtype):
    """Digits, random filters and gradients, scaled; (Z, W, b, dS)."""
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
