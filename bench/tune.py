"""A row of matconv's tuning table from measurements on this machine.

Each field, or group of fields that belong together, is tried with some other values. A value is
adopted if the layers take less time with it, in interleaved pairs.
"""

import math

import cases
import peers_matconv
import timing

from matconv.kernels import _tuning

#: Layers whose forward and backward passes are timed: 3x3, 1x1, 5x5 of few channels, strided.
LAYERS = ("vgg-128", "vgg-512", "cifar-32", "lenet-2", "resnet-1x1-wide", "resnet-3x3-s2")

#: A gain below this share is noise.
GAIN = 1.01


def _times(*names):
    """Candidates that multiply the current values of fields."""
    return [lambda row, x=x: {name: _scaled(row[name], x) for name in names} for x in (0.5, 2)]


def _scaled(value, factor):
    return type(value)(value * factor)


def _set(**values):
    return lambda row: values


WHOLE = {"product_rows": 1 << 30, "product_inner": 1 << 30, "product_multiply_adds": 1 << 62}
BLOCKS = [
    {"product_rows": m, "product_inner": k, "product_multiply_adds": m * 48 * k}
    for m, k in ((64, 128), (128, 256), (256, 256))
]

#: What is tried, in this order: each function maps a row to the fields that change.
CANDIDATES = [
    *(_set(**one) for one in (WHOLE, *BLOCKS)),
    *(_set(transposes=one) for one in (0, 1)),
    *_times("columns"),
    *_times("phi_elements"),
    *_times("min_phi_columns", "min_phi_columns_large", "max_phi_columns"),
    *_times("min_tiles", "max_tiles"),
    *_times("gather"),
    *_times("gather_row"),
    *_times("transform"),
    *_times("call"),
    *_times("filters"),
    *_times("stream"),
]


def run(dtype, names, effort, show=print):
    """Print what each candidate gains; return the row that is best."""
    row = dict(_tuning.row(dtype == "float64"))
    sides = [_actions(name, dtype) for name in names]
    for candidate in CANDIDATES:
        changed = candidate(row)
        if changed.items() <= row.items():
            continue
        gains = [_gain(act, dtype, row, {**row, **changed}, effort) for act in sides]
        gain = math.exp(sum(map(math.log, gains)) / len(gains))
        text = ", ".join(f"{key} {value}" for key, value in changed.items())
        show(f"{dtype}  {gain:5.3f}  (of layers: {min(gains):.3f} to {max(gains):.3f})  {text}")
        if gain >= GAIN:
            row |= changed
    show(f"{dtype}  {row}")
    return row


def _actions(name, dtype):
    side = peers_matconv.layer(cases.LayerCase(name, None), dtype, 1)
    return side.passes["both"], side.context


def _gain(side, dtype, row, changed, effort):
    """The time with ``row`` over that with ``changed``."""
    action, context = side

    def with_row(values):
        def act():
            _tuning.use(values, dtype == "float64")
            return action()

        return act, context

    try:
        mine, other = timing.pair(with_row(changed), with_row(row), effort)
    finally:
        _tuning.use(row, dtype == "float64")
    return timing.compared(mine, other)["ratio"]["median"]
