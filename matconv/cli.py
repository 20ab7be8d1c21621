"""The command line: which commands there are, and what an error looks like.

exit status 0    done
            1    an error, in one line on standard error (with --debug, its traceback)
            2    the command line is wrong
          130    Ctrl-C
          141    whoever read the output has gone, as in ``| head``
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .commands import check, evaluate, info, predict, train
from .commands.messages import warnings_as_lines
from .commands.options import Parser, UsageError

USAGE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141

_DESCRIPTION = """\
Convolutional networks as matrix operations: theta in, f(theta) and its gradient out.

start here:
  matconv train                        learn the digits that ship, save digits-model.npz
  matconv evaluate digits-model.npz    accuracy and confusion matrix on the test images
"""


def make_parser() -> Parser:
    """All commands and their options."""
    import argparse

    from . import __version__

    parser = Parser(
        prog="matconv",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"matconv {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for module in (train, evaluate, predict, info, check):
        name = module.__name__.rpartition(".")[2]
        one = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog=getattr(module, "EPILOG", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_options(one)
        one.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        ``sys.argv[1:]`` when left out.

    Examples
    --------
    >>> main(["--version"])
    matconv 0.1.0
    0
    """
    debug = False
    _never_fail_to_print()
    try:
        try:
            parser = make_parser()
            arguments = parser.parse_args(argv)
            if arguments.command is None:
                parser.error("a command is needed: train, evaluate, predict, info or check")
            debug = arguments.debug
            with warnings_as_lines(_complain):
                status = arguments.run(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        if debug:
            raise
        _silence(sys.stdout)
        return BROKEN_PIPE
    except KeyboardInterrupt as interrupt:
        _complain(str(interrupt) or "interrupted")
        return INTERRUPTED
    except UsageError as error:
        _complain(f"error: {error} (see: matconv {arguments.command} --help)")
        return USAGE
    except Exception as error:
        if debug:
            raise
        _complain(f"error: {message(error)}")
        return 1


def message(error: BaseException) -> str:
    """An exception in one line of printable characters, with its notes.

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
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _complain(text: str) -> None:
    try:
        print(f"matconv: {text}", file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


def _silence(stream) -> None:
    """Let the interpreter flush into nothing when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError, AttributeError):
        pass


def _never_fail_to_print() -> None:
    """A character that the terminal's encoding lacks is shown as its number."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
