"""Expected results, computed with the whole phi in numpy, and a bound of rounding errors.

Every side is compared with these results before it is timed.

With K terms in an inner product and eps the spacing of floating-point numbers at 1, any order of
summation, with or without fused multiply-add, gives

    |computed - exact| <= K / (1 - K eps / 2) eps / 2 |x|'|y|   <   (K + 2) eps |x|'|y|,

so two computed values differ by less than 2 (K + 2) eps |x|'|y|: the bound used, with the larger
eps of the two sides.  K counts the bias as well.
"""

import numpy as np


def phi(Z, layer):
    """Return phi of every group: a list of (l b_out a_out, d/groups h_b h_a) arrays."""
    side = ((0, 0), (layer.pad, layer.pad), (layer.pad, layer.pad), (0, 0))
    padded = np.pad(Z, side)
    reach = [(h - 1) * layer.dilation + 1 for h in layer.kernel]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    step, dilation = layer.stride, layer.dilation
    # windows is (l, rows, columns, d, reach_b, reach_a): thin it out to strides and dilation.
    windows = windows[:, ::step, ::step, :, ::dilation, ::dilation]
    each = layer.channels // layer.groups
    return [
        windows[:, :, :, k * each : (k + 1) * each].reshape(layer.n_positions, layer.n_inner)
        for k in range(layer.groups)
    ]


def phi_adjoint(dphi, layer):
    """Return dZ from the gradient of phi (list by group): each element is added to its pixel."""
    pad, step, (b_out, a_out) = layer.pad, layer.stride, layer.out_size
    l, b, a, d = layer.image_shape
    padded = np.zeros((l, b + 2 * pad, a + 2 * pad, d), dtype=dphi[0].dtype)
    each = d // layer.groups
    for k, block in enumerate(dphi):
        block = block.reshape(l, b_out, a_out, each, *layer.kernel)
        into = padded[..., k * each : (k + 1) * each]
        for q in range(layer.kernel[0]):
            rows = slice(q * layer.dilation, q * layer.dilation + (b_out - 1) * step + 1, step)
            for p in range(layer.kernel[1]):
                first = p * layer.dilation
                columns = slice(first, first + (a_out - 1) * step + 1, step)
                into[:, rows, columns] += block[..., q, p]
    return padded[:, pad : pad + b, pad : pad + a]


def by_group(X, layer):
    """Return an array with the filters last as a list of (-1, filters / groups) by group."""
    each = layer.filters // layer.groups
    flat = X.reshape(-1, layer.filters)
    return [flat[:, k * each : (k + 1) * each] for k in range(layer.groups)]


def convolution(layer, Z, W, b, dS):
    """Return {name: array}: W phi, S = phi W + b, dZ from dphi = dS W', dW = phi' dS, db.

    For absolute values as arguments these are the sums |x|'|y| of the bound.
    """
    columns, weights, slopes = phi(Z, layer), by_group(W, layer), by_group(dS, layer)
    product = np.concatenate([c @ w for c, w in zip(columns, weights, strict=True)], axis=1)
    dW = np.concatenate([c.T @ s for c, s in zip(columns, slopes, strict=True)], axis=1)
    dphi = [s @ w.T for s, w in zip(slopes, weights, strict=True)]
    return {
        "W phi": product.reshape(layer.output_shape),
        "S": (product + b).reshape(layer.output_shape),
        "dZ": phi_adjoint(dphi, layer),
        "dW": dW.reshape(layer.weight_shape),
        "db": dS.reshape(-1, layer.filters).sum(axis=0),
    }


def lengths(layer):
    """Return {name: K}, the longest inner product of an element of each result."""
    taps = layer.kernel[0] * layer.kernel[1] * layer.filters // layer.groups
    return {
        "W phi": layer.n_inner,
        "S": layer.n_inner + 1,
        "dZ": taps,
        "dW": layer.n_positions,
        "db": layer.n_positions,
    }


class Truth:
    """The results of a layer for given operands, and the bounds of their errors.

    Parameters
    ----------
    layer : shapes.Layer
    operands : dict
        Z, W, b and dS in float64.
    """

    def __init__(self, layer, operands):
        self.values = convolution(layer, **operands)
        self.sizes = convolution(layer, **{k: np.abs(x) for k, x in operands.items()})
        self.lengths = lengths(layer)

    def check(self, results, eps, who, slack=1):
        """Return the largest part of a bound that `results` need; above 1 raise ArithmeticError.

        Parameters
        ----------
        results : dict
            Some of W phi, S, dZ, dW and db, in the notes' layout.
        eps : float
            Machine epsilon of the side's arithmetic, at least that of float64.
        who : str
            Named in the message.
        slack : float
            Factor of the bound, for algorithms that do not sum the terms themselves.
        """
        worst = 0.0
        for name, result in results.items():
            if result.shape != self.values[name].shape:
                raise ArithmeticError(
                    f"{who}: {name} has shape {result.shape}, expected {self.values[name].shape}"
                )
            bound = slack * 2 * (self.lengths[name] + 2) * eps * self.sizes[name]
            error = np.abs(result - self.values[name])
            # Not `error > bound`: a NaN must fail, and 0 <= 0 must pass.
            wrong = ~(error <= bound)
            if wrong.any():
                where = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise ArithmeticError(
                    f"{who}: {name} leaves the rounding bound at {int(wrong.sum())} of "
                    f"{wrong.size} elements, first at {where}: {result[where]!r} for "
                    f"{self.values[name][where]!r}"
                )
            worst = max(worst, float(np.max(error / np.maximum(bound, np.finfo(float).tiny))))
        return worst
