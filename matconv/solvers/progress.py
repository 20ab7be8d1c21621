"""Progress of a minimisation: a line for each iteration, and a bar with tqdm."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# columns of every line: key, width, format
_COLUMNS = (("iteration", 9, "d"), ("f", 12, ".6g"), ("gradient_norm", 12, ".4g"))


def _cell(key: str, value: Any) -> str:
    """Return a value that a callback added as text; accuracies in percent."""
    if isinstance(value, float):
        return f"{100 * value:.2f} %" if key.endswith(("accuracy", "error")) else f"{value:.6g}"
    return str(value)


def _tqdm(stream: TextIO) -> Any:
    """Return tqdm's class if it is installed and the stream is a terminal, else None.

    The thread that refreshes the bar is switched off: an interrupt can leave tqdm's lock locked,
    and the thread would wait for it when the process ends.
    """
    if not (hasattr(stream, "isatty") and stream.isatty()):
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return type("Bar", (tqdm,), {"monitor_interval": 0})


class Progress:
    """Shows the progress of a minimisation.

    Parameters
    ----------
    lines : text file, optional
        File for the lines. Without it nothing is shown.
    iteration : str
        Name of an iteration, a heading.
    """

    def __init__(self, lines: TextIO | None = None, iteration: str = "iteration") -> None:
        self._lines = lines
        self._headings: tuple[str, ...] | None = (iteration, "f", "|gradient|")
        self._tqdm = None if lines is None else _tqdm(sys.stderr)
        self._bar: Any = None

    def begin(self, total: int, unit: str) -> None:
        """Show a bar, if that is possible, for ``total`` parts called ``unit``."""
        if self._tqdm is not None:
            with self._losing_the_bar():
                self._bar = self._tqdm(total=total, unit=f" {unit}", leave=False, file=sys.stderr)

    def advance(self) -> None:
        """Count a part as done."""
        self._on_bar("update")

    def _on_bar(self, method: str) -> None:
        if self._bar is not None:
            with self._losing_the_bar():
                getattr(self._bar, method)()

    @contextmanager
    def _losing_the_bar(self) -> Iterator[None]:
        """Show no bar any more after an error of the terminal."""
        try:
            yield
        except OSError:
            self._bar = None

    def line(self, row: dict[str, Any]) -> None:
        """Write the line of an iteration; `row` is its entry in the history.

        A list in it is not shown.
        """
        if self._lines is None:
            return
        known = {key for key, _, _ in _COLUMNS} | {"seconds"}
        more = {
            key: value
            for key, value in row.items()
            if key not in known and not isinstance(value, list)
        }
        text = ""
        if self._headings is not None:
            titles = [f"{title:>{column[1]}}" for title, column in zip(self._headings, _COLUMNS)]
            titles += [f"{_title(key):>{_width(key)}}" for key in more]
            text = "  ".join([*titles, f"{'seconds':>8}"]) + "\n"
            self._headings = None
        cells = [f"{row[key]:>#{width}{spec}}" for key, width, spec in _COLUMNS]
        cells += [f"{_cell(key, value):>{_width(key)}}" for key, value in more.items()]
        text += "  ".join([*cells, f"{row['seconds']:>8.1f}"]) + "\n"
        self._on_bar("clear")
        self._lines.write(text)
        self._lines.flush()
        self._on_bar("refresh")

    def close(self) -> None:
        """Remove the bar."""
        self._on_bar("close")


def _title(key: str) -> str:
    return key.replace("_", " ")


def _width(key: str) -> int:
    return max(len(key), 9)
