"""The numbers of a results file and their origin as Markdown for bench/README.md.

python bench/run.py readme results.json
python bench/run.py readme results.json --write bench/README.md
"""

import textwrap
from pathlib import Path

import compare
import layers
import machine
import shapes
import targets
import timing

BEGIN, END = "<!-- numbers -->", "<!-- /numbers -->"

#: Names for readers.
NAMES = {
    "gemm": "BLAS",
    "torch": "PyTorch",
    "torch-f32": "PyTorch f32",
    "jax": "JAX",
    "onnxruntime": "ONNX Runtime f32",
}

_TITLES = {"both": "forward + backward", "step": "training step"}


def add_command(parser):
    """Add the arguments of ``run.py readme``."""
    parser.add_argument("results", type=Path, help="a JSON file of bench/run.py")
    parser.add_argument("--write", type=Path, metavar="README", help=f"between {BEGIN} and {END}")
    known = [*shapes.PASSES, "gradient", "step"]
    parser.add_argument("--passes", nargs="+", choices=known, help="tables of these passes only")


def main(given):
    """Print the tables or write them between the markers; return the exit status."""
    text = markdown(compare.read(given.results), given.passes)
    if given.write is None:
        print(text)
        return 0
    try:
        before = given.write.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{given.write}: {error.strerror}") from None
    given.write.write_text(replaced(before, text, given.write), encoding="utf-8")
    return 0


def replaced(before, text, name):
    """Return `before` with the text between the markers replaced.

    Raises ValueError unless each marker is there once.

    Examples
    --------
    >>> replaced(f"a {BEGIN} old {END} b", "new", "README.md").splitlines()
    ['a <!-- numbers -->', '', 'new', '', '<!-- /numbers --> b']
    """
    head, begin, rest = before.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in tail:
        raise ValueError(f"{name}: needs {BEGIN} and after it {END}, each once")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def markdown(document, passes=None):
    """Return the origin of the numbers, the targets, and a table for each kind of record."""
    parts = [origin(document)]
    if document.get("targets"):
        parts.append(target_table(document["targets"]))
    parts += tables([x for x in document["records"] if passes is None or x["pass"] in passes])
    return "\n\n".join(parts)


def origin(document):
    """Return date, machine, versions, the definition of a ratio, and the command."""
    about = document["machine"]
    versions = [f"{NAMES.get(k, k).removesuffix(' f32')} {v}" for k, v in about["versions"].items()]
    text = (
        f"Measured on {about['date'][:10]} on {about['processor']}, {about['cores']} cores; "
        f"{', '.join(machine.blas(about))}; {', '.join(versions)}. A ratio is the peer's time over "
        "matconv's (more than 1: matconv is faster), the median of interleaved pairs."
    )
    return "\n".join([*textwrap.wrap(text, 110), "", "```sh", document["command"], "```"])


def table(head, rows):
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def target_table(lines):
    """Return the table of verdicts."""
    rows = []
    for one in lines:
        threads = "" if one["threads"] is None else one["threads"]
        words = [one[key] for key in ("row", "measure")]
        rows.append([*words, threads, one["target"], one["measured"], targets.said(one["met"])])
    return table(["", "measure", "threads", "target", "measured", ""], rows)


def tables(records):
    """Return a table for each kind, pass, dtype and algorithm, with a column for each peer."""
    grouped = {}
    for key, group in layers.sections(records).items():
        kind, which, dtype, threads, algorithm, peer = key
        columns = grouped.setdefault((kind, which, dtype, algorithm), {})
        columns[peer, threads] = {one["name"]: one for one in group}
    parts = []
    for (kind, which, dtype, algorithm), columns in grouped.items():
        title = f'{_TITLES.get(which, which)}, {dtype}, `algorithm="{algorithm}"`'
        parts.append(f"{'Layers' if kind == 'layer' else 'Networks'}: {title}")
        parts.append(_table(kind, columns))
    return parts


def _table(kind, columns):
    sizes = {name: one["sizes"] for column in columns.values() for name, one in column.items()}
    unit = "l, d, b, f, h" if kind == "layer" else "images"
    head = [f"{kind} ({unit})"]
    head += [f"{NAMES.get(peer, peer)}, {layers.count(threads)}" for peer, threads in columns]
    rows = []
    for name, size in sizes.items():
        cells = [
            f"{column[name]['ratio']['median']:.2f}" if name in column else ""
            for column in columns.values()
        ]
        rows.append([f"{name} ({size})", *cells])
    means = [
        timing.geometric_mean(one["ratio"]["median"] for one in column.values())
        for column in columns.values()
    ]
    rows.append(["geometric mean", *(f"{mean:.2f}" for mean in means)])
    return table(head, rows)
