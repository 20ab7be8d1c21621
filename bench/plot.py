"""A picture of results: speed of the forward pass of layers, of PyTorch and of the limit.

    python bench/run.py --layers all --passes forward --threads 1 --dtypes float64 float32 \\
        --algorithms auto im2col --peers gemm torch --plot speed.png
    python bench/run.py plot results.json speed.png

Needs matplotlib (the extra "plot").
"""

import textwrap
from pathlib import Path

import compare
import layers
import machine
import numpy as np
import peers
import shapes

#: Bars from left to right: what a record calls it, label, colour.
BARS = (
    (("matconv", "auto"), "matconv", "#1f5fa8"),
    (("matconv", "im2col"), "matconv, im2col only", "#8fb8e0"),
    (("other", "torch"), "PyTorch, same precision", "#e08a3c"),
)
LIMIT = (("other", "gemm"), "BLAS alone on the same matrices", "#222222")


def add_command(parser):
    """Add the arguments of ``run.py plot``."""
    parser.add_argument("results", type=Path, nargs="+", help="JSON files of bench/run.py")
    parser.add_argument("picture", type=Path, help="PNG, SVG or PDF, by its ending")


def main(given):
    """Draw the records of files in one picture; return the exit status."""
    documents = [compare.read(path) for path in given.results]
    joined = {**documents[0], "records": [x for one in documents for x in one["records"]]}
    draw(joined, given.picture)
    return 0


def require():
    """Return matplotlib.pyplot without a window, or raise `peers.Missing`."""
    try:
        import matplotlib
    except ImportError:
        raise peers.Missing("matplotlib is not installed") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def speeds(records, dtype, threads):
    """Return {(who, which): {layer: useful GFLOP/s}} of forward passes.

    ("matconv", algorithm) and ("other", peer); of several measurements the fastest median.
    """
    found = {}
    for one in records:
        chosen = (one["kind"], one["pass"], one["dtype"], one["threads"])
        if chosen != ("layer", "forward", dtype, threads) or one["peer"] == "1 thread":
            continue
        for side, name in (("matconv", one["algorithm"]), ("other", one["peer"])):
            speed = one["flops"] / one[side]["median"] / 1e9
            series = found.setdefault((side, name), {})
            series[one["name"]] = max(speed, series.get(one["name"], 0.0))
    return found


def draw(document, path):
    """Write the picture: a panel for each dtype, forward passes, the fewest threads measured.

    Raises
    ------
    ValueError
        If there are no forward passes of layers in the document.
    """
    forward = [
        one for one in document["records"] if (one["kind"], one["pass"]) == ("layer", "forward")
    ]
    if not forward:
        raise ValueError("nothing to draw: no forward passes of layers among the results")
    threads = min(one["threads"] for one in forward)
    panels = [
        (dtype, speeds(forward, dtype, threads))
        for dtype in ("float64", "float32")
        if any((one["dtype"], one["threads"]) == (dtype, threads) for one in forward)
    ]
    order = [
        name for name in shapes.LAYERS if any(name in s for _, p in panels for s in p.values())
    ]
    order += sorted({one["name"] for one in forward} - set(order))
    plt = require()
    width = max(6.5, 1.6 + 0.46 * len(order))
    height = 1.6 + 2.5 * len(panels)
    figure, axes = plt.subplots(len(panels), 1, figsize=(width, height), sharex=True, squeeze=False)
    for axis, (dtype, found) in zip(axes[:, 0], panels, strict=True):
        _panel(axis, dtype, found, order)
    axes[-1, 0].set_xticks(
        range(len(order)), map(_tick, order), rotation=40, ha="right", rotation_mode="anchor"
    )
    title = f"Convolution layers, forward pass, {layers.count(threads)}: higher is faster"
    figure.suptitle(title, fontsize=12, fontweight="bold", y=1 - 0.1 / height).set_in_layout(False)
    handles = {
        label: handle
        for axis in axes[:, 0]
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    where = {"loc": "upper center", "bbox_to_anchor": (0.5, 1 - 0.28 / height)}
    figure.legend(handles.values(), handles, ncols=4, frameon=False, fontsize=9, **where)
    caption = textwrap.fill(_caption(document), int(width * 18))
    figure.text(0.012, 0.012, caption, fontsize=7.5, color="#555555", va="bottom")
    figure.tight_layout(rect=(0, (0.2 + 0.13 * caption.count("\n")) / height, 1, 1 - 0.55 / height))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _tick(name):
    """Return a layer's name with the size and stride of its filters."""
    layer = shapes.LAYERS.get(name)
    if layer is None:
        return name
    stride = f"/{layer.stride}" if layer.stride > 1 else ""
    return f"{name} ({layer.kernel[0]}\N{MULTIPLICATION SIGN}{layer.kernel[1]}{stride})"


def _panel(axis, dtype, found, order):
    """Draw the bars of a dtype and the marks of the limit."""
    bars = [bar for bar in BARS if bar[0] in found]
    width = 0.82 / max(1, len(bars))
    for k, (key, label, colour) in enumerate(bars):
        heights = [found[key].get(name, np.nan) for name in order]
        offset = (k - (len(bars) - 1) / 2) * width
        axis.bar(np.arange(len(order)) + offset, heights, width, color=colour, label=label)
    key, label, colour = LIMIT
    if key in found:
        heights = [found[key].get(name, np.nan) for name in order]
        axis.hlines(
            heights,
            np.arange(len(order)) - 0.43,
            np.arange(len(order)) + 0.43,
            color=colour,
            linewidth=1.6,
            label=label,
        )
    words = {"float64": "double precision", "float32": "single precision"}
    axis.set_title(words[dtype], fontsize=10, loc="left")
    axis.set_ylabel("useful GFLOP/s", fontsize=9)
    axis.set_xlim(-0.6, len(order) - 0.4)
    axis.grid(axis="y", color="#dddddd", linewidth=0.7)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _caption(document):
    """Return the caption: definition of GFLOP/s, machine, versions, date."""
    about = document["machine"]
    blas = next(iter(machine.blas(about)), "unknown BLAS")
    versions = [f"{k} {v}" for k, v in about["versions"].items() if k != "threadpoolctl"]
    return (
        "Useful: additions and multiplications of the direct convolution, over the time taken. "
        "In brackets: filter / stride. "
        f"{about['processor']}; {blas}; {', '.join(versions)}; "
        f"{about['date'][:10]}."
    )
