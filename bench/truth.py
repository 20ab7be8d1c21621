"""What the results must be: the convolution by numpy, and a bound of the rounding errors.

Every side is compared with this before it is timed.

With K terms in an inner product and eps the spacing of floating-point numbers at 1, any order of
summation, with or without fused multiply-add, gives

    |computed - exact| <= K / (1 - K eps / 2) eps / 2 |x|'|y|   <   (K + 2) eps |x|'|y|,

so two computed values differ by less than 2 (K + 2) eps |x|'|y|: the bound used, with eps of the
side's dtype.  K counts the bias as well.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def convolution(layer, Z, W, b, dS):
    """{name: array} of S, dZ, dW and db, in the notes' layout.

    With absolute values as arguments it gives the sums |x|'|y| of the bound.
    """
    pad, step, dilation = layer.pad, layer.stride, layer.dilation
    padded = np.pad(Z, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    dpadded = np.zeros_like(padded)
    reach = [(h - 1) * dilation + 1 for h in layer.kernel]
    # (l, b_out, a_out, d, h_b, h_a), of the images and of their gradient
    windows, slots = (
        sliding_window_view(x, reach, (1, 2), writeable=x is dpadded)[
            :, ::step, ::step, :, ::dilation, ::dilation
        ]
        for x in (padded, dpadded)
    )
    S, dW = np.empty(layer.output_shape), np.empty(layer.weight_shape)
    for ins, outs in groups(layer):
        z = windows[:, :, :, ins]
        S[..., outs] = np.tensordot(z, W[..., outs], 3)
        dW[..., outs] = np.tensordot(z, dS[..., outs], ((0, 1, 2), (0, 1, 2)))
        dz = np.tensordot(dS[..., outs], W[..., outs], (3, 3))
        for q, p in np.ndindex(layer.kernel):  # windows overlap, those of one tap do not
            slots[:, :, :, ins, q, p] += dz[..., q, p]
    dZ = dpadded[:, pad : pad + layer.size[0], pad : pad + layer.size[1]]
    return {"S": S + b, "dZ": dZ, "dW": dW, "db": dS.sum(axis=(0, 1, 2))}


def groups(layer):
    """The slices of channels and of filters of each group."""
    d, f = layer.channels // layer.groups, layer.filters // layer.groups
    return [(slice(k * d, (k + 1) * d), slice(k * f, (k + 1) * f)) for k in range(layer.groups)]


class Truth:
    """The values of one layer on operands Z, W, b, dS, and how far a side may be from them."""

    def __init__(self, layer, operands):
        self.values = convolution(layer, **operands)
        self.sizes = convolution(layer, **{k: np.abs(x) for k, x in operands.items()})
        taps, n = layer.kernel[0] * layer.kernel[1], layer.n_positions
        self.lengths = {
            "S": layer.n_inner + 1,
            "dZ": taps * layer.filters // layer.groups,
            "dW": n,
            "db": n,
        }

    def check(self, results, eps, who, slack=1):
        """The largest share of the bound that `results`, some of S, dZ, dW and db, use.

        `eps` is the machine epsilon of the side's dtype; `slack` a factor of the bound, for
        algorithms that do not sum the terms as they are.

        Raises
        ------
        ArithmeticError
            A result has another shape or leaves the bound; `who` is named in the message.
        """
        largest = 0.0
        for name, result in results.items():
            expected = self.values[name]
            if result.shape != expected.shape:
                raise ArithmeticError(
                    f"{who}: {name} has shape {result.shape}, expected {expected.shape}"
                )
            bound = slack * 2 * (self.lengths[name] + 2) * eps * self.sizes[name]
            error = np.abs(result - expected)
            # not `error > bound`: a NaN must fail, and 0 <= 0 must pass
            wrong = ~(error <= bound)
            if wrong.any():
                where = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise ArithmeticError(
                    f"{who}: {name} leaves the rounding bound at {int(wrong.sum())} of "
                    f"{wrong.size} elements, first at {where}: {result[where]!r}, expected "
                    f"{expected[where]!r}"
                )
            largest = max(largest, float(np.max(error / np.maximum(bound, np.finfo(float).tiny))))
        return largest


def agree(expected, results, share, who):
    """The largest difference of `results` from `expected`, relative to the largest element.

    Raises
    ------
    ArithmeticError
        It is more than `share`.

    Examples
    --------
    >>> agree({"f": 2.0, "norm": 2.0}, {"f": 2.5}, 0.3, "torch, lenet")
    0.25
    """
    largest = 0.0
    for key, value in results.items():
        error = np.max(np.abs(np.subtract(value, expected[key], dtype=np.float64)))
        difference = float(error / np.max(np.abs(expected[key])))
        if not difference <= share:
            raise ArithmeticError(
                f"{who}: {key} differs by {difference:.3g} of its largest element: "
                "not the same function"
            )
        largest = max(largest, difference)
    return largest
