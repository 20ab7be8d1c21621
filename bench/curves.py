"""A picture of solvers, SVG: test accuracy and f against time and against passes over the data.

A curve is the median of the seeds, the area around it their range.
"""

import math

import drawing
import numpy as np
from drawing import GREY, WIDTH

#: Runs by name: label, colour.
SERIES = {
    "newton:0.01": ("newton, 1 % of the images", "#9cc3ee"),
    "newton:0.05": ("newton, 5 %", "#4f8fd6"),
    "newton:0.1": ("newton, 10 %", "#2c5fae"),
    "lbfgs": ("lbfgs", "#3a9d6e"),
    "sgd:0.001": ("sgd, rate 0.001", "#e3c13f"),
    "sgd:0.01": ("sgd, 0.01", "#dd8526"),
    "sgd:0.1": ("sgd, 0.1", "#c4462d"),
    "sgd:1": ("sgd, 1", "#9c3d80"),
}

#: Indices of the rows of a run, with titles.
ACROSS = ((0, "seconds"), (1, "passes over the data"))
DOWN = ((3, "test accuracy, %"), (2, "f"))

LEFT, GAP, HEIGHT, TOP, POINTS = 44, 60, 210, 74, 160
PANEL = (WIDTH - LEFT - GAP - 8) / 2


def curve(rows, across, down, grid):
    """Median, minimum and maximum over the seeds of a quantity at the places of a grid."""
    values = []
    for one in rows:
        found = np.array([row for row in one if np.all(np.isfinite(row))])
        values.append(np.interp(grid, found[:, across], found[:, down]))
    return np.median(values, 0), np.min(values, 0), np.max(values, 0)


def extent(rows, across):
    """The places that all seeds of a run reach."""
    ends = [[row[across] for row in one if np.all(np.isfinite(row))] for one in rows]
    return max(x[0] for x in ends), min(x[-1] for x in ends)


def ticks(low, high):
    """1, 2, 5, 10, ... within limits."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [x for x in every if low * 0.999 <= x <= high * 1.001]


class Axis:
    """Values to places between two ends, on a logarithmic scale unless `step` separates ticks."""

    def __init__(self, low, high, start, end, step=None):
        self.ticks = ticks(low, high) if step is None else np.arange(low, high + step / 2, step)
        self._scale = np.log if step is None else np.asarray
        self._low, self._high, self._start, self._end = low, high, start, end

    def __call__(self, values):
        ends = self._scale([self._low, self._high]).astype(float)
        share = (self._scale(values) - ends[0]) / (ends[1] - ends[0])
        return self._start + share * (self._end - self._start)


def vertical(down, values, top):
    """The axis of f, logarithmic, or of the accuracy from 60 %, which begins lower."""
    if down == 3:
        return Axis(60, 5 * math.ceil(20 * max(values)), top + HEIGHT, top, 5)
    low = min(values) / 1.1
    return Axis(low, max(2.6, min(max(values), 5)), top + HEIGHT, top)


def panel(runs, across, down, left, top):
    """The elements of one panel."""
    ends = {name: extent(rows, across) for name, rows in runs.items()}
    x = Axis(min(a for a, _ in ends.values()), max(b for _, b in ends.values()), left, left + PANEL)
    found = {}
    for name, rows in runs.items():
        grid = np.geomspace(*ends[name], POINTS)
        found[name] = grid, curve(rows, across, down, grid)
    y = vertical(down, np.concatenate([medians for _, (medians, *_) in found.values()]), top)
    parts, factor, clip = [], 100 if down == 3 else 1, f"panel{across}{down}"
    for tick in x.ticks:
        parts.append(drawing.line(x(tick), top, x(tick), top + HEIGHT, 0.3))
        middle = "text-anchor='middle' font-size='10'"
        parts.append(drawing.text(x(tick), top + HEIGHT + 13, f"{tick:g}", middle))
    for tick in y.ticks:
        parts.append(drawing.line(left, y(tick), left + PANEL, y(tick), 0.3))
        end = "text-anchor='end' font-size='10'"
        parts.append(drawing.text(left - 5, y(tick) + 4, f"{tick:g}", end))
    box = drawing.rectangle(left, top, PANEL, HEIGHT, GREY)
    parts += [f"<clipPath id='{clip}'>{box}</clipPath>", f"<g clip-path='url(#{clip})'>"]
    for name, (grid, values) in found.items():
        middle, low, high = (y(factor * one) for one in values)
        across_, colour = x(grid), SERIES[name][1]
        if len(runs[name]) > 1:
            around = [*zip(across_, low), *zip(across_[::-1], high[::-1])]
            parts.append(drawing.path(around, colour, filled=True))
        parts.append(drawing.path(zip(across_, middle), colour))
    return [*parts, "</g>"]


def svg(document):
    """The picture of a document of solvers.py; ValueError if it has no run that is drawn."""
    runs = {}
    for one in document["runs"]:
        if one["name"] in SERIES and len(one["rows"]) > 1:
            runs.setdefault(one["name"], []).append(one["rows"])
    runs = {name: runs[name] for name in SERIES if name in runs}
    if not runs:
        raise ValueError(f"nothing to draw: no runs of {', '.join(SERIES)}")
    parts = [drawing.text(0, 14, document["title"])]
    for k, name in enumerate(runs):
        label, colour = SERIES[name]
        left, top = 190 * (k % 4), 26 + 18 * (k // 4)
        parts += [drawing.rectangle(left, top, 12, 12, colour)]
        parts += [drawing.text(left + 18, top + 10, label)]
    y = TOP
    for down, quantity in DOWN:
        y += 16
        for k, (across, unit) in enumerate(ACROSS):
            left = LEFT + k * (PANEL + GAP)
            parts.append(drawing.text(left, y - 6, quantity, "font-weight='bold'"))
            parts += panel(runs, across, down, left, y)
            end = "text-anchor='end' font-size='10'"
            parts.append(drawing.text(left + PANEL, y + HEIGHT + 27, unit, end))
        y += HEIGHT + 40
    seeds = max(map(len, runs.values()))
    words = f"Curves: medians of {seeds} seeds; areas: their range. " if seeds > 1 else ""
    words += "Processor time of one thread. A pass: as many images in gradients and products."
    return drawing.picture(y + 16, [*parts, drawing.text(0, y + 4, words, "font-size='10'")])
