"""A picture of results, SVG: how many times faster than PyTorch training steps and layers are."""

import math

import drawing
import nets
import table
from drawing import WIDTH

#: Series from top to bottom: (dtype, peer), label, colour.
SERIES = (
    (("float64", "torch"), "double, against PyTorch's double", "#2f74c0"),
    (("float64", "torch-f32"), "double, against PyTorch's single", "#d98324"),
    (("float32", "torch"), "single, against PyTorch's single", "#3a9d6e"),
)

#: Panels from top to bottom: the kind of record, its pass, title.
PANELS = (
    ("nets", "step", "Training step"),
    ("layers", "both", "Convolution layers, forward and backward"),
)

LEFT, RIGHT, BAR = 130, 50, 9


def panels(records, threads):
    """[(title, {(dtype, peer): {name: spread of the ratios}})] of the panels that have records."""
    found = []
    for what, which, title in PANELS:
        values = {}
        for series, *_ in SERIES:
            key = (what, which, threads, "auto", *series)
            keys = ("what", "pass", "threads", "algorithm", "dtype", "peer")
            ratios = {x["name"]: x["ratio"] for x in records if tuple(map(x.get, keys)) == key}
            values |= {series: ratios} if ratios else {}
        found += [(title, values)] * bool(values)
    return found


def svg(document, threads=1):
    """The picture of the records with this number of threads; ValueError without any."""
    shown = panels(document["records"], threads)
    if not shown:
        wanted = " or ".join(f"{what}, {which}" for what, which, _ in PANELS)
        raise ValueError(
            f"nothing to draw: no records of {wanted}, with {table.count(threads)}, against PyTorch"
        )
    every = [x for _, found in shown for one in found.values() for x in one.values()]
    low = math.floor(math.log2(min(0.7, *(x["lower"] for x in every))))
    high = math.log2(max(1.4, *(x["upper"] for x in every))) + 0.1

    def place(ratio):
        """The horizontal place of a ratio, on a logarithmic axis."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log2(ratio) - low) / (high - low)

    parts, x, y = (
        [drawing.text(0, 14, "PyTorch's time / matconv's: right of 1x matconv is faster")],
        0,
        54,
    )
    for series, label, colour in SERIES:
        if any(series in found for _, found in shown):
            parts += [drawing.rectangle(x, 26, 12, 12, colour), drawing.text(x + 18, 36, label)]
            x += 250
    for title, found in shown:
        parts.append(drawing.text(0, y + 12, title, "font-weight='bold'"))
        y += 22
        bars, bottom = _bars(found, y, place)
        for tick in (2.0**k for k in range(low, math.floor(high) + 1)):
            x = place(tick)
            parts.append(drawing.line(x, y, x, bottom, 1.5 if tick == 1 else 0.4))
            parts.append(drawing.text(x, bottom + 13, f"{tick:g}x", "text-anchor='middle'"))
        parts += bars
        y = bottom + 32
    for line in _caption(document, threads):
        parts.append(drawing.text(0, y + 4, line, "font-size='10'"))
        y += 15
    return drawing.picture(y, parts)


def _bars(found, y, place):
    """A bar from 1 for each name and series, with its quartiles; and where they end."""
    parts = []
    for name in (*nets.NETS, *nets.LAYERS):
        if not any(name in one for one in found.values()):
            continue
        y += 4
        middle = y + BAR * len(found) / 2
        parts.append(drawing.text(LEFT - 10, middle + 4, name, "text-anchor='end'"))
        for series, _, colour in SERIES:
            if name in found.get(series, {}):
                ratio = found[series][name]
                left, right = sorted((place(1), place(ratio["median"])))
                lower, upper = place(ratio["lower"]), place(ratio["upper"])
                centre, text = y + (BAR - 1) / 2, f"{ratio['median']:.2f}"
                parts.append(drawing.rectangle(left, y, right - left, BAR - 1, colour))
                parts.append(drawing.line(lower, centre, upper, centre, 1))
                parts.append(
                    drawing.text(max(right, upper) + 4, y + BAR - 1, text, "font-size='9'")
                )
            y += BAR * (series in found)
        y += 3
    return parts, y + 3


def _caption(document, threads):
    """Where the numbers come from."""
    about, versions = document["machine"], document["machine"]["versions"]
    quick = "Quick run: too few samples to judge by. " if document["records"][0]["quick"] else ""
    yield f"{quick}{table.count(threads)}; medians of interleaved pairs, lines: quartiles."
    named = [f"{x} {versions[x]}" for x in ("matconv", "torch") if x in versions]
    isa = [about["isa"]] * (about["isa"] not in about["processor"])
    yield ", ".join([about["processor"], *isa, *about["blas"][:1], *named, about["date"][:10]])
