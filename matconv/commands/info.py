"""matconv info: the content of a model file, or the installation."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

from ..files.regular import shortened
from . import options

SUMMARY = "content of a model file; without one, what is installed"
DESCRIPTION = """\
Show the content of a model file, or of an exported network. Without one, show what is installed:
versions, BLAS, threads, the SIMD variant of the kernels, the folder of the C headers.

example:
  matconv info digits-model.npz
"""

# a package that may be missing, the extra that installs it, what it is for
_PROGRESS = ("tqdm", "progress", "progress bars")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add(parser, replace(options.MODEL, required=False), options.DEBUG)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    print(installation() if arguments.model is None else _model(arguments.model))
    return 0


def _model(path: str) -> str:
    from ..io import kinds, load_model
    from .tables import facts

    if kinds.file_kind(path) == "exported":
        return _exported(path)
    model = load_model(path)
    rows = [("model", path)]
    labels = model.labels
    rows.append(("labels", "none" if labels is None else _printable(", ".join(map(str, labels)))))
    rows += _preprocessing(model.preprocessing)
    trained = model.pixels
    if trained is not None:
        values = f"{trained['dtype']} from {trained['min']:.6g} to {trained['max']:.6g}"
        rows.append(("trained on", values))
    theta = f"{model.theta.dtype}, |theta| = {_norm(model.theta):.6g}"
    rows.append(("theta", f"{model.theta.size:,} elements, {theta}"))
    record = model.training or {}
    rows += _imported(record)
    rows += [(_printable(name), _text(name, value)) for name, value in _in_order(record)]
    rows += _history(record)
    chosen = record.get("settings")
    if isinstance(chosen, dict):
        pairs = (f"{_printable(name)} = {_text(name, chosen[name])}" for name in sorted(chosen))
        rows.append(("settings", ", ".join(pairs)))
    return f"{facts(rows)}\n\n{model.network.summary()}"


def _exported(path: str) -> str:
    """Return a text about an exported network."""
    from ..graph import shape_text
    from ..io import load_predictor
    from .tables import facts

    predictor = load_predictor(path)
    shapes = predictor.output_shape
    several = bool(shapes) and isinstance(shapes[0], tuple)
    outputs = [shape_text(one) for one in (shapes if several else [shapes])]
    return facts(
        [
            ("exported", f"{path}, a network for load_predictor, Cython, C and C++"),
            ("images", shape_text(predictor.input_shape)),
            ("outputs", ", ".join(outputs)),
            ("dtype", str(predictor.dtype)),
            ("size", f"{predictor.nbytes:,} bytes"),
        ]
    )


def _preprocessing(how: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return lines about the preprocessing."""
    if how is None:
        return [("pixels", "as they are")]
    mean = how.get("mean")
    minus = f" - {how['shift']:g}"
    if mean is not None:
        image = isinstance(mean[0], list)
        minus = " - mean image" if image else f" - ({', '.join(f'{x:g}' for x in mean)})"
        minus += f" - {how['shift']:g}" if how["shift"] else ""
    text = f"(pixel{minus}) * {how['scale']:.6g}"
    text += f", channels {how['channels']}" if "channels" in how else ""
    text += ", rows and columns exchanged" if how.get("transpose") else ""
    rows = [("pixels", text)]
    if "resize" in how:
        text = f"{how['resize'][0]} x {how['resize'][1]}, {how.get('interpolation', 'bilinear')}"
        text += ", aspect kept, the centre" if how.get("keep_aspect") else ""
        if any(how.get("border", ())):
            text += f", of {' x '.join(str(n + m) for n, m in zip(how['resize'], how['border']))}"
        rows.append(("pictures", text))
    return rows


def _imported(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return lines about the file of another program that the model comes from."""
    found = record.get("imported")
    if not isinstance(found, dict):
        return []
    notes = found.get("notes")
    rows = [("imported", f"from {_text('', found.get('from'))}")]
    rows += [("note", _text("", note)) for note in (notes if isinstance(notes, list) else [])]
    return rows


def _norm(theta: Any) -> float:
    import numpy as np

    return float(np.linalg.norm(theta.astype(np.float64)))


def _in_order(record: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the entries of a training record except history, settings and fingerprints."""
    first = (
        "matconv",
        "network",
        "images",
        "iterations",
        "f",
        "train_accuracy",
        "test_accuracy",
    )
    names = [name for name in first if name in record]
    later = ("imported", "history", "history_thinned", "settings", "fingerprints")
    names += [name for name in record if name not in (*first, *later)]
    return [(name, record[name]) for name in names]


def _history(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the number of rows of the history in a file."""
    from ..io import record as records
    from .tables import counted

    history = record.get("history")
    if not isinstance(history, list):
        return []
    count = records.history_length(record)
    if count == len(history):
        return [("history", counted(count, "row"))]
    # the number comes from an untrusted file and may have any length
    total = f"{count:,}" if count < 10**15 else "very many"
    return [("history", f"{len(history):,} of {total} rows: the first, the last, evenly between")]


def _printable(text: str) -> str:
    return shortened(text if text.isprintable() else json.dumps(text), 70)


def _text(name: str, value: Any) -> str:
    """Return a value of a file as one printable line."""
    if isinstance(value, float) and name.endswith(("accuracy", "error")):
        return f"{100 * value:.2f} %"
    if isinstance(value, float):
        return f"{value:.6g}"
    return _printable(value if isinstance(value, str) else json.dumps(value))


def installation() -> str:
    """Return a text for problem reports: versions, folder of the package, BLAS, cores."""
    import importlib.metadata
    import os
    import platform
    import sys

    import numpy as np
    import scipy
    import scipy.linalg.cython_blas  # loads the BLAS that the kernels call
    import threadpoolctl

    from .. import __file__ as package
    from .. import __version__, get_include
    from ..engines import available_cores
    from ..io import extras
    from ..kernels import _tuning, built, capi, supported, variant
    from .tables import facts

    rows = [
        ("matconv", f"{__version__}, {os.path.dirname(package)}"),
        ("Python", f"{platform.python_version()}, {sys.executable}"),
        ("system", f"{platform.platform()}, {available_cores()} cores for this process"),
        ("numpy", np.__version__),
        ("scipy", scipy.__version__),
    ]
    readers = [(one.package.lower(), extra, one.formats) for extra, one in extras.EXTRAS.items()]
    for name, extra, what in [_PROGRESS, *readers]:
        try:
            rows.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, f'not installed; pip install "matconv[{extra}]" adds {what}'))
    abi = f"version {capi.ABI_VERSION}, #include <matconv/matconv.h> in {get_include()}"
    rows.append(("C API", abi))
    known = f"built: {', '.join(built)}; this processor runs: {', '.join(supported)}"
    rows.append(("kernels", f"{variant} ({known})"))
    rows.append(("tuning", f"{_tuning.name} (rows: {', '.join(_tuning.NAMES)})"))
    for library in threadpoolctl.threadpool_info():
        if library["user_api"] == "blas":
            kernel = f", kernel {library['architecture']}" if "architecture" in library else ""
            version = f"{library['internal_api']} {library['version']}{kernel}"
            threads = f"{library['num_threads']} threads"
            rows.append(("BLAS", f"{version}, {threads}, {library['filepath']}"))
    return facts(rows)
