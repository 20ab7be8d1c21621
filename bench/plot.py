"""A picture of results: how many times faster than PyTorch layers and networks are.

    python bench/run.py targets --rows S3 S4 S5 S5b --threads 1 --json results.json
    python bench/run.py plot results.json speed.svg

Needs matplotlib (the extra "plot").
"""

import math
import textwrap

import nets
import peers
import shapes
import table

#: Series from top to bottom: (dtype, peer), label, colour.
SERIES = (
    (("float64", "torch"), "double precision, against PyTorch's double", "#1f5fa8"),
    (("float32", "torch"), "single, against single", "#7fb2e5"),
    (("float64", "torch-f32"), "double, against PyTorch's single", "#e08a3c"),
)

#: Panels from left to right: the kind of record, its pass, title.
PANELS = (
    ("layer", "both", "Layers, forward and backward"),
    ("net", "step", "Networks, a step of training"),
)


def require():
    """matplotlib.pyplot without a window; raises `peers.Missing` where it is not installed."""
    matplotlib = peers.imported("matplotlib", "matplotlib")
    matplotlib.use("Agg")
    # letters as shapes, so that the picture is the same everywhere; equal input, equal file
    matplotlib.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "matconv"})
    return peers.imported("matplotlib.pyplot", "matplotlib")


def panel_values(records, what, which, threads):
    """{(dtype, peer): {name: (median, lower, upper)}} of the ratios of one panel."""
    found = {}
    for record in records:
        key = (record["what"], record["pass"], record["threads"], record["algorithm"])
        series = (record["dtype"], record["peer"])
        if key == (what, which, threads, "auto") and series in [s for s, *_ in SERIES]:
            ratio = record["ratio"]
            numbers = (ratio["median"], ratio["lower"], ratio["upper"])
            found.setdefault(series, {})[record["name"]] = numbers
    return found


def draw(document, path, threads=1):
    """Write the picture of the records with this number of threads.

    Raises
    ------
    ValueError
        There is nothing to draw.
    """
    panels = []
    for what, which, title in PANELS:
        values = panel_values(document["records"], what, which, threads)
        if values:
            panels.append((title, values, _order(values)))
    if not panels:
        wanted = " or ".join(f"{what}s, {which}" for what, which, _ in PANELS)
        raise ValueError(
            f"nothing to draw: no records of {wanted}, with {table.count(threads)}, against PyTorch"
        )
    plt = require()
    bars = max(len(names) * (len(values) + 0.8) for _, values, names in panels)
    height = 1.6 + bars * 0.105
    figure, axes = plt.subplots(
        *(1, len(panels)), figsize=(5 * len(panels), height), squeeze=False, layout="constrained"
    )
    for axis, (title, values, names) in zip(axes[0], panels, strict=True):
        _panel(axis, title, values, names, bars)
    _ticks(axes[0], [values for _, values, _ in panels])
    used = {label: axis for axis in axes[0] for label in axis.get_legend_handles_labels()[1]}
    labels = [label for _, label, _ in SERIES if label in used]
    handles = []
    for label in labels:
        found, names = used[label].get_legend_handles_labels()
        handles.append(found[names.index(label)])
    figure.legend(
        *(handles, labels), loc="outside upper center", ncols=3, frameon=False, fontsize=9
    )
    about = document["machine"]
    versions = [
        f"{x} {about['versions'][x]}" for x in ("matconv", "torch") if x in about["versions"]
    ]
    words = [about["processor"], *about["blas"][:1], *versions, about["date"][:10]]
    quick = "Quick run: too few samples to judge by. " if document["records"][0]["quick"] else ""
    caption = (
        f"{quick}{table.count(threads)}; median and quartiles of interleaved pairs. "
        f"{', '.join(words)}."
    )
    wrapped = textwrap.fill(caption, 75 * len(panels))
    figure.supxlabel(wrapped, fontsize=7.5, color="#555555", x=0.01, ha="left")
    figure.savefig(path, dpi=150, facecolor="white", metadata=_undated(path))
    plt.close(figure)


def _undated(path):
    return {"Date": None} if path.suffix == ".svg" else None


def _order(values):
    """The names of a panel, layers and networks as they are listed."""
    names = {name for series in values.values() for name in series}
    listed = [name for name in (*shapes.LAYERS, *nets.NETS) if name in names]
    return listed + sorted(names - set(listed))


def _panel(axis, title, values, names, bars):
    """Horizontal bars from 1, on a logarithmic axis; as thick as if there were `bars` of them."""
    series = [one for one in SERIES if one[0] in values]
    thick = 0.82 / len(series)
    for k, (key, label, colour) in enumerate(series):
        here = [name for name in names if name in values[key]]
        rows = [names.index(name) + (k - (len(series) - 1) / 2) * thick for name in here]
        middle, lower, upper = zip(*(values[key][name] for name in here), strict=True)
        axis.barh(rows, [m - 1 for m in middle], thick, left=1, color=colour, label=label)
        axis.hlines(rows, lower, upper, color="#333333", linewidth=0.8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(bars / (len(series) + 0.8) - 0.4, -0.6)
    axis.set_xlabel("PyTorch's time / matconv's", fontsize=8)
    axis.axvline(1, color="#222222", linewidth=1.2)
    axis.grid(axis="x", color="#dddddd", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.set_title(title, fontsize=10, loc="left", fontweight="bold")
    axis.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def _ticks(axes, panels):
    """The same logarithmic axis for all panels, with powers of 2."""
    every = [n for panel in panels for one in panel.values() for v in one.values() for n in v]
    low, high = min(0.9, *every), max(1.1, *every)
    powers = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xticks([2.0**k for k in powers], [f"{2.0**k:g}x" for k in powers])
        axis.set_xticks([], minor=True)
        axis.set_xlim(low / 1.1, high * 1.1)
