"""Functions and scripts in processes of their own, and the state of BLAS in this one."""

import os
import subprocess
import sys
import threading

from threadpoolctl import threadpool_info

from . import SUPPORT


def blas_threads():
    """The different numbers of threads of all BLAS libraries that are loaded."""
    return sorted({info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"})


def script(name, *arguments, timeout=300):
    """The output of a script of tests/support."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-X", "faulthandler",
         str(SUPPORT / name), *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def run_in_child(function):
    """The exit status of a forked child that runs the function; None: it hangs."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if function() else 1)
        except BaseException:  # noqa: BLE001 - the child must not run the tests
            os._exit(2)
    done = threading.Event()
    killer = threading.Timer(20, lambda: done.is_set() or os.kill(child, 9))
    killer.start()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    done.set()
    killer.cancel()
    return status
