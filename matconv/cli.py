"""The command line: commands, errors, exit statuses.

exit status 0    success
            1    an error, in one line on standard error (with --debug, its traceback)
            2    a wrong command line
          129    SIGHUP; a training is ended and saved
          130    Ctrl-C; a training is ended and saved
          141    the reader of the output has closed it, as in ``| head``; a training is finished and
                 saved
          143    SIGTERM; a training is ended and saved

Output to a closed stream (``>&-``) is discarded without an error.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence

from .commands import check, convert, evaluate, info, predict, simplenn_train, train
from .commands.messages import warnings_as_lines
from .commands.options import Parser, UsageError
from .commands.streams import Output, complain, message, standard_streams
from .options import alternatives

COMMANDS = {
    module.__name__.rpartition(".")[2].replace("_", "-"): module
    for module in (train, evaluate, predict, convert, info, check, simplenn_train)
}

USAGE, SIGNALLED, BROKEN_PIPE = 2, 128, 141

_DESCRIPTION = """\
Convolutional networks as matrix operations: theta in, f(theta) and its gradient out.

start here:
  matconv train                        train on the included digits, save digits-model.npz
  matconv evaluate digits-model.npz    accuracy and confusion matrix on the test images
"""


def make_parser() -> Parser:
    """Return the parser of all commands and their options."""
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
    for name, module in COMMANDS.items():
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
    """Run a command and return the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        ``sys.argv[1:]`` by default.

    Returns
    -------
    status : int

    Examples
    --------
    >>> main(["--version"])
    matconv 0.1.0
    0
    """
    with standard_streams() as output:
        return _run(argv, output)


def _run(argv: Sequence[str] | None, output: Output) -> int:
    debug = False
    try:
        try:
            parser = make_parser()
            arguments, unknown = parser.parse_known_args(argv)
            if arguments.command is None:
                parser.error(f"a command is needed: {alternatives([*COMMANDS])}")
            if unknown:
                raise UsageError(f"unrecognized arguments: {' '.join(unknown)}")
            debug = arguments.debug
            with warnings_as_lines(complain):
                status = arguments.run(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        output.finish()
        return status
    except BrokenPipeError:
        if debug:
            raise
        return BROKEN_PIPE
    except KeyboardInterrupt as interrupt:
        complain(str(interrupt) or "interrupted")
        return SIGNALLED + getattr(interrupt, "number", signal.SIGINT)
    except UsageError as error:
        complain(f"error: {error} (see: matconv {arguments.command} --help)")
        return USAGE
    except Exception as error:
        if debug:
            raise
        complain(f"error: {message(error)}")
        return 1
