"""The tests of the kernels again, on a build with the sanitizers for addresses and undefined
behaviour: ``python tests/reliability/sanitized.py``.

A copy of the tree is built in a temporary folder, the baseline or the SIMD variant that ``--simd``
names; signed integers may not wrap there. What a sanitizer reports, in any process, is a failure.
With ``--fuzz SECONDS`` the fuzzer of exported networks runs on the same build; ``--only-fuzz``
leaves the tests out.
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

# the kernels, and what reads bytes that nobody vouches for
TESTS = (
    "kernels/test_exact.py", "kernels/test_relations.py", "kernels/test_pool.py",
    "kernels/test_winograd.py", "kernels/test_direct.py", "kernels/test_offsets.py",
    "kernels/test_memory_safety.py", "kernels/test_layouts.py", "kernels/test_faults_operators.py",
    "kernels/test_faults_limits.py", "capi/test_capi.py", "capi/test_capi_faults.py",
    "capi/test_capi_geometries.py", "capi/test_capi_networks.py",
    "network/test_frozen.py", "network/test_frozen_faults.py", "network/test_frozen_into.py",
    "network/test_exported.py", "network/test_exported_damaged.py",
    "network/test_exported_forged.py", "network/test_exported_memory.py",
)  # fmt: skip
# The allocator is the sanitizer's: it keeps freed memory back, has no MALLOC_PERTURB_, and ends the
# process where malloc would return NULL. The time of a call says nothing here.
NOT_HERE = "nothing_leaks or fresh_memory or within or no_memory or without_memory"


def copy_tree(folder):
    """The source without anything that was built."""
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info", ".pytest_cache")
    for name in COPIED:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, folder / name, ignore=ignored)
        else:
            shutil.copy(TOP / name, folder / name)


def build(folder, simd):
    # UBSan heeds no log_path when it is not the first sanitizer of the process
    folder.joinpath("sitecustomize.py").write_text(
        "import ctypes\n\n"
        'undefined = ctypes.CDLL("libubsan.so.1")\n'
        f'undefined.__sanitizer_set_report_path(b"{folder}/report.undefined")\n'
    )
    variants = "" if simd == "baseline" else simd
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=folder,
        env={**os.environ, "MATCONV_BUILD_SANITIZE": "address,undefined",
             "MATCONV_BUILD_VARIANTS": variants},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"the sanitized build failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def environment(folder, simd):
    """What a process needs to load the sanitized modules, and to leave its reports here."""
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        **os.environ,
        "LD_PRELOAD": library,
        # a fault at a guard page stays a fault; the interpreter's own blocks are malloc's
        "ASAN_OPTIONS": "detect_leaks=0:handle_segv=0:allocator_may_return_null=1:"
        f"log_path={folder}/report.address",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "MATCONV_SIMD": simd,
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "tests")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def own(folder, environ, simd):
    """The modules that are loaded must be those of this build and variant."""
    code = "import matconv.kernels._winograd as m; print(m.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    found = Path(done.stdout.strip() or "/")
    loaded = "baseline" if found.parent.name == "kernels" else found.parent.name
    good = found.is_relative_to(folder) and loaded == simd
    if not good or b"__asan_init" not in found.read_bytes():
        sys.exit(f"not the sanitized build: {found}\n{done.stderr}")


def run(command, folder, environ):
    """One command; its exit code, and what it printed."""
    print("$", *command[1:], flush=True)
    with subprocess.Popen(
        command, cwd=folder, env=environ, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        lines = []
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
    return process.returncode, "".join(lines)


def reports(folder):
    """What the sanitizers wrote."""
    count = 0
    for path in sorted(folder.glob("report.*")):
        text = path.read_text(errors="replace")
        # that an allocation beyond any memory fails is only worth a warning
        if re.search("ERROR: |runtime error: ", text):
            print(f"--- {path.name}\n{text[:6000]}")
            count += 1
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--keep", type=Path, help="build and leave everything in this new folder")
    parser.add_argument("--fuzz", type=float, default=0, help="seconds of fuzzing; none: 0")
    parser.add_argument("--only-fuzz", action="store_true", help="no tests")
    parser.add_argument("--simd", default="baseline", help="baseline, avx2 or avx512")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer")
    parser.add_argument("tests", nargs="*", help="files in tests/, instead of the usual ones")
    options = parser.parse_args()
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = folder.resolve()
        if not (folder / "setup.py").exists():
            folder.mkdir(parents=True, exist_ok=True)
            copy_tree(folder)
            build(folder, options.simd)
        print(f"sanitized build: {time.monotonic() - start:.0f} s", flush=True)
        environ = environment(folder, options.simd)
        own(folder, environ, options.simd)
        good, ran = True, "no tests"
        if not options.only_fuzz:
            names = options.tests or TESTS
            files = [f"tests/{name}" for name in names]
            code, out = run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k",
                 f"not ({NOT_HERE})", *files], folder, environ,
            )  # fmt: skip
            passed = re.search(r"^(\d+) passed", out, re.MULTILINE)
            ran = f"{passed[1] if passed else 0} tests passed of {len(files)} files"
            good = code == 0 and passed is not None
        if options.fuzz:
            code, out = run(
                [sys.executable, "tests/reliability/fuzz.py", "--seconds", str(options.fuzz),
                 "--seed", str(options.seed)], folder, environ,
            )  # fmt: skip
            good &= code == 0
            ran += ", " + (out.splitlines() or ["nothing fuzzed"])[-1]
        count = reports(folder)
        print(
            f"sanitized, {options.simd}: {ran}, {count} reports, {time.monotonic() - start:.0f} s"
        )
    return 0 if good and not count else 1


if __name__ == "__main__":
    sys.exit(main())
