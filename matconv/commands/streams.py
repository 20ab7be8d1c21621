"""Standard streams that may be closed, full, or without a reader."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TextIO, cast

from .messages import printable


class Output:
    """Standard output; after an error of the stream, further output is dropped.

    Parameters
    ----------
    stream : text file

    Attributes
    ----------
    error : OSError or None
        The first error of the stream, with "standard output" as its file name.
    keep_going : bool
        Whether an error is raised only in `finish`, so that the work is finished first.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        self.keep_going = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text and return its length."""
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._try(self._stream.flush)

    def finish(self) -> None:
        """Flush the stream; raise its first error, if there was one.

        Raises
        ------
        OSError
        """
        self.flush()
        if self.error is not None:
            raise self.error

    def _try(self, function: Callable[..., object], *arguments: Any) -> None:
        if self.error is not None:
            return
        try:
            function(*arguments)
        except OSError as error:
            self.error = _named(error)
            _silence(self._stream)
            if not self.keep_going:
                raise self.error from error


def _named(error: OSError) -> OSError:
    if error.errno is None:
        return error
    return OSError(error.errno, error.strerror, "standard output")


@contextmanager
def standard_streams() -> Iterator[Output]:
    """Make ``sys.stdin``, ``sys.stdout`` and ``sys.stderr`` usable in the block.

    A closed stream is replaced by the null device. A closed descriptor 0, 1 or 2 is also opened on
    the null device, for the rest of the process: otherwise the next file that is opened would get
    this number, and libraries would write their messages into it.

    Yields
    ------
    Output
        ``sys.stdout`` in the block. At the end it is flushed, without raising.
    """
    _reserve_descriptors()
    before = sys.stdin, sys.stdout, sys.stderr
    with ExitStack() as stack:
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            stream = getattr(sys, name)
            if stream is None or getattr(stream, "closed", False):
                null = stack.enter_context(open(os.devnull, mode, encoding="utf-8"))
                setattr(sys, name, null)
            elif mode == "w" and getattr(stream, "errors", None) == "strict":
                # characters that the encoding does not have are written as escape sequences
                with suppress(AttributeError):
                    stream.reconfigure(errors="backslashreplace")
        output = Output(sys.stdout)
        sys.stdout = cast(TextIO, output)
        try:
            yield output
        finally:
            output.keep_going = True
            output.flush()
            _flush_errors()
            sys.stdin, sys.stdout, sys.stderr = before


def complain(text: str) -> None:
    """Print a line on standard error; errors of the stream are ignored."""
    try:
        print(f"matconv: {text}", file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


def message(error: BaseException) -> str:
    """Return an exception and its notes as one line of printable characters.

    Examples
    --------
    >>> message(FileNotFoundError(2, "No such file", "a.npz")), message(KeyError("b"))
    ("'a.npz': No such file", "unexpected KeyError: 'b'; --debug shows more")
    """
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename is not None:
            text = f"{os.fsdecode(error.filename)!r}: {text}"
    elif isinstance(error, MemoryError):
        text = f"out of memory: {error}" if str(error) else "out of memory"
    elif isinstance(error, (OSError, ValueError, TypeError, ArithmeticError, ImportError)):
        text = str(error)
    else:
        text = f"unexpected {type(error).__name__}: {error}; --debug shows more"
    text = "; ".join([text, *getattr(error, "__notes__", [])])
    return printable(text)


def _reserve_descriptors() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # the system uses the lowest free number, which is this one: those below are in use
            opened = os.open(os.devnull, os.O_RDWR)
            if opened == number:
                os.set_inheritable(opened, True)
            else:  # another thread has just opened a file
                os.close(opened)


def _flush_errors() -> None:
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Redirect a stream to the null device, so that flushing it at exit raises no error."""
    with suppress(OSError, ValueError, AttributeError):
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, number)
        finally:
            os.close(null)
