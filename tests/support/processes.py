"""Functions and scripts in their own processes, and the number of threads of BLAS."""

import os
import signal
import subprocess
import sys

from threadpoolctl import threadpool_info

from . import SUPPORT


def blas_threads():
    """Return the different numbers of threads of all loaded BLAS libraries."""
    return sorted({info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"})


def script(name, *arguments, timeout=300):
    """Return the standard output of a script of tests/support, which must print no error."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-X", "faulthandler",
         str(SUPPORT / name), *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def run_in_child(function, limit=20):
    """Return the exit status of a forked child that calls a function.

    It is 0 if the function returns true, 1 if it returns false, 2 if it raises, and -SIGALRM if it
    takes longer than `limit` seconds.
    """
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(limit)
            os._exit(0 if function() else 1)
        except BaseException:  # noqa: BLE001 - the child must not run the tests
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
