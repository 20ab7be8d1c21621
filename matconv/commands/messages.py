"""Warnings on the command line: one line each, without file, line and category."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["printable", "warnings_as_lines"]


def printable(text: str) -> str:
    """Return the text as one line of printable characters.

    Examples
    --------
    >>> printable("a\\nb\\x1b[1m")
    'a\\\\nb\\\\x1b[1m'
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


@contextmanager
def warnings_as_lines(show: Callable[[str], None]) -> Iterator[None]:
    """Pass each warning within the block to a function, as a line ``warning: text``.

    The warning filters are not changed.

    Parameters
    ----------
    show : callable
        Called with the line.

    Examples
    --------
    >>> with warnings.catch_warnings(), warnings_as_lines(print):
    ...     warnings.simplefilter("always")
    ...     warnings.warn("m.npz: another range")
    warning: m.npz: another range
    """

    def line(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> Any:
        show(f"warning: {printable(str(message))}")

    before = warnings.showwarning
    warnings.showwarning = line
    try:
        yield
    finally:
        warnings.showwarning = before
