"""A time limit for scripts that may hang."""

import faulthandler
import signal


def end_after(seconds):
    """End this process with the traceback of every thread, `seconds` from now.

    By a signal: a thread that waits would map memory of its own, which counts against a limit.
    """
    faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
    signal.alarm(seconds)
