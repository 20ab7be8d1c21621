"""What an exported network computes, by plain loops from the bytes of its file."""

import numpy as np

from support import activations, normalizing, reference
from support.exported_files import HEADER, word
from support.exported_reading import layer_of, steps_of, values_of


def theta_of(data):
    """Return the parameters of a valid file."""
    at = 8 * steps_of(data)[1]
    return np.frombuffer(data, f"<f{word(data, 3)}", word(data, 10), at)


def parameters_of(data, dtype):
    """Return the arrays of each step, its own or those of another one."""
    steps, _ = steps_of(data)
    shapes, _, _ = values_of(tuple(word(data, k) for k in (6, 7, 8)), steps, word(data, 3))
    theta, at, found = theta_of(data).astype(dtype), 0, []
    for k, step in enumerate(steps):
        if step.owner:
            found.append(found[step.owner - 1])
            continue
        arrays = []
        for size in layer_of(step, shapes[: k + 1]).arrays:
            arrays.append(theta[at : at + size])
            at += size
        found.append(arrays)
    return found


class _Arguments:
    """The arguments of a layer, from the words and numbers of its record."""

    def __init__(self, step):
        if step.name == "LRN":
            (self.size,) = step.words
            self.k, self.alpha, self.beta = step.numbers
        if step.name == "Normalize":
            self.spatial = bool(step.words[0])
            self.p, self.epsilon = step.numbers


def step_output(step, arrays, Z):
    """Return the output of a step for the values that it reads."""
    first, integers = Z[0], step.words
    if step.name in normalizing.FORWARD:
        return normalizing.FORWARD[step.name](_Arguments(step), first, *arrays[:1])
    if step.name == "Add":
        return sum(first.dtype.type(c) * z for c, z in zip(step.numbers, Z))
    if step.name == "Multiply":
        several = max(z.ndim for z in Z) == 4
        total = 1
        for z in Z:
            total = total * (z[:, None, None] if several and z.ndim == 2 else z)
        return total
    if step.name == "Concat":
        return np.concatenate(Z, axis=-1)
    if step.name == "Crop":
        top, bottom, left, right = integers
        return first[:, top : first.shape[1] - bottom, left : first.shape[2] - right]
    if step.name == "Pad":
        top, bottom, left, right = integers
        return np.pad(first, ((0, 0), (top, bottom), (left, right), (0, 0)))
    if step.name == "Slice":
        return first[..., integers[0] : integers[1]]
    if step.name == "Upsample":
        method = ("nearest", "bilinear", "bilinear")[integers[2]]
        return reference.upsample2d(first, tuple(integers[:2]), method, integers[2] == 2)
    if step.name == "ConvTranspose":
        return transposed(integers, arrays, first)
    if step.name == "Scale":
        return arrays[0] * first + (arrays[1] if integers[0] else 0)
    if step.name in ("Activation", "Dropout"):
        return first
    if step.name == "Dense":
        flat = first.reshape(len(first), -1)
        return flat @ arrays[0].reshape(flat.shape[1], -1) + (arrays[1] if integers[1] else 0)
    if step.name == "Conv":
        filters, groups, *window = integers[:12]
        W = arrays[0].reshape(first.shape[3] // groups, *window[:2], filters)
        b = arrays[1] if integers[12] else np.zeros(filters, first.dtype)
        pad = (tuple(window[4:6]), tuple(window[6:8]))
        return reference.conv2d(
            first, W, b, stride=tuple(window[2:4]), pad=pad, dilation=tuple(window[8:10]),
            groups=groups,
        )  # fmt: skip
    pad = (integers[4:6], integers[6:8])
    if step.name == "MaxPool":
        return reference.max_pool2d(first, integers[:2], integers[2:4], pad)[0]
    counted = None
    if integers[8] >= 0:
        counted = (integers[4], integers[8]), (integers[6], integers[9])
    return reference.avg_pool2d(first, integers[:2], integers[2:4], pad, counted)


def transposed(integers, arrays, Z):
    """Return the output of a ConvTranspose."""
    channels, groups, *window = integers[:14]
    h, s, crop, e = window[:2], window[2:4], (window[4:6], window[6:8]), window[8:10]
    size = [
        step * (n - 1) + (k - 1) * gap + 1 + more - sum(sides)
        for n, k, step, gap, more, sides in zip(Z.shape[1:3], h, s, e, window[10:12], crop)
    ]
    W = arrays[0].reshape(channels // groups, *h, Z.shape[3])
    b = arrays[1] if integers[14] else None
    return reference.conv_transpose2d(Z, W, b, size, tuple(s), crop, tuple(e), groups)


def computed(data, Z, dtype=np.longdouble):
    """Return the outputs of a valid file for images, by plain loops."""
    steps, _ = steps_of(data)
    values = [np.asarray(Z, dtype)]
    for step, arrays in zip(steps, parameters_of(data, dtype)):
        output = step_output(step, arrays, [values[k] for k in step.inputs])
        values.append(activations.activated(output, *step.activation))
    return [values[word(data, HEADER + k)] for k in range(word(data, 9))]
