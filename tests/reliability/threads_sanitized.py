"""The thread pool under the sanitizer for data races: ``python tests/reliability/threads_sanitized.py``.

Needs gcc with libtsan. A copy of the tree, and the native pieces of the tests, are built with
``-fsanitize=thread``. Callers with teams of their own then run jobs one after another, callbacks
and items of Python. A report is a failure.

``--break ATOMIC`` makes one atomic of the copy an ordinary access or a relaxed one, to see that the
sanitizer reports it; the exit status is then 0 if it does.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).parents[2]
COPIED = ("matconv", "include", "tests", "setup.py", "pyproject.toml", "README.md", "LICENSE")
FLAGS = ["-fsanitize=thread", "-fno-omit-frame-pointer", "-O1", "-g"]  # of pieces.pyx

# glibc's own: it frees the thread-local variables of a thread that has ended and was detached
SUPPRESSIONS = "race:_dl_deallocate_tls\n"

# what `--break` replaces in _native.pxd
BROKEN = {
    # the state of a board is an ordinary variable
    "state": (
        "matconv_load_word(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)",
        "matconv_load_word(p) (*(p))",
    ),
    # a piece is counted as done before what it has written
    "done": (
        "matconv_add(p, x) __atomic_add_fetch(p, x, __ATOMIC_SEQ_CST)",
        "matconv_add(p, x) __atomic_add_fetch(p, x, __ATOMIC_RELAXED)",
    ),
    # flags are ordinary variables
    "flags": (
        "matconv_load(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)",
        "matconv_load(p) (*(p))",
    ),
}


def copy_tree(folder, broken):
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info", ".pytest_cache")
    for name in COPIED:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, folder / name, ignore=ignored)
        else:
            shutil.copy(TOP / name, folder / name)
    if broken is not None:
        path = folder / "matconv/kernels/_native.pxd"
        old, new = BROKEN[broken]
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        path.write_text(text.replace(old, new), encoding="utf-8")


def checked(command, folder, environ):
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"the sanitized build failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def build(folder):
    switches = {"MATCONV_BUILD_SANITIZE": "thread", "MATCONV_BUILD_VARIANTS": ""}
    checked(
        [sys.executable, "setup.py", "build_ext", "--inplace"], folder, {**os.environ, **switches}
    )
    for built in folder.glob("matconv/kernels/*.so"):
        if b"__tsan_init" not in built.read_bytes():
            sys.exit(f"not sanitized: {built}")
    # pieces.pyx is built in a process that imports matconv, which now needs the sanitizer
    pieces = folder / "pieces"
    pieces.mkdir()
    script = f"from support import compiled; compiled.build({str(pieces)!r}, *{FLAGS})"
    checked([sys.executable, "-c", script], folder, environment(folder, "build"))
    return pieces


def environment(folder, name):
    """What a process needs to load the modules, and to leave its reports here."""
    suppressions = folder / "suppressions"
    suppressions.write_text(SUPPRESSIONS)
    library = subprocess.run(
        ["gcc", "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        **os.environ,
        "LD_PRELOAD": str(Path(library).resolve()),
        "TSAN_OPTIONS": f"log_path={folder}/report.{name} exitcode=0 report_signal_unsafe=0 "
        f"suppressions={suppressions}",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "tests")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def reports(folder):
    """How many data races and other findings; the first of each file is printed."""
    count = 0
    for path in sorted(folder.glob("report.run*")):
        text = path.read_text(errors="replace")
        found = re.findall(r"(?ms)^WARNING: ThreadSanitizer.*?^=====", text)
        if found:
            print(f"--- {path.name}: {len(found)}\n{found[0][:3000]}")
        count += len(found)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--break", dest="broken", choices=BROKEN, help="see above")
    options = parser.parse_args()
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        copy_tree(folder, options.broken)
        pieces = build(folder)
        done = subprocess.run(
            [sys.executable, "tests/support/teamwork.py", str(pieces), "hammer", str(options.calls)],
            cwd=folder, env=environment(folder, "run"), capture_output=True, text=True, check=False,
        )  # fmt: skip
        print(done.stdout, done.stderr, sep="", end="")
        count = reports(folder)
    print(f"threads sanitized: {count} reports, {time.monotonic() - start:.0f} s")
    if options.broken is not None:
        return 0 if count else 1
    return 0 if done.returncode == 0 and not count else 1


if __name__ == "__main__":
    sys.exit(main())
