"""On what a measurement was made: processor, BLAS and its kernel, versions, switches, load."""

import datetime
import importlib.metadata
import os
import platform

import threadpoolctl

_PACKAGES = ("matconv", "numpy", "scipy", "threadpoolctl", "torch", "jax", "onnxruntime")

#: Environment variables that choose kernels or numbers of threads.
_SWITCHES = (
    *("OPENBLAS_CORETYPE", "MATCONV_SIMD", "MATCONV_TUNING"),
    *("ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
)


def processor():
    """The processor's name as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.lower().startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def versions():
    """{package: version} of what is installed here, Python included."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def blas():
    """Each BLAS that is loaded, with version, kernel and owner; matconv's, that of SciPy, first."""
    found = []
    for pool in threadpoolctl.threadpool_info():
        if pool["user_api"] == "blas":
            # wheels keep theirs in a folder such as scipy.libs
            folder = os.path.basename(os.path.dirname(pool["filepath"]))
            owner, libs, _ = folder.partition(".libs")
            kernel = pool.get("architecture", "unknown kernel")
            name = f"{pool['internal_api']} {pool['version']} ({kernel})"
            found.append(f"{name} of {owner}" if libs else name)
    return sorted(found, key=lambda text: not text.endswith("of scipy"))


def load():
    """Runnable processes, averaged over the last minute, or None where that is unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe():
    """All of it as a dictionary for JSON.

    Examples
    --------
    >>> sorted(describe())
    ['blas', 'cores', 'date', 'load', 'processor', 'switches', 'system', 'versions']
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "blas": blas(),
        "switches": {name: os.environ[name] for name in _SWITCHES if name in os.environ},
        "versions": versions(),
        "load": load(),
    }


def isa(description):
    """ "avx512" or "avx2": whether SciPy's OpenBLAS has its kernels for AVX-512.

    Examples
    --------
    >>> isa({"blas": ["openblas 0.3 (SkylakeX) of scipy"]}), isa({"blas": ["openblas 0.3 (Zen)"]})
    ('avx512', 'avx2')
    """
    first = next(iter(description["blas"]), "")
    kernels = ("SkylakeX", "Cooperlake", "SapphireRapids")
    return "avx512" if any(kernel in first for kernel in kernels) else "avx2"


def lines(description):
    """The description as lines of text."""

    def joined(mapping):
        return ", ".join(f"{key} {value}" for key, value in mapping.items())

    words = (description[key] for key in ("processor", "cores", "system"))
    return [
        "machine   {}, {} cores, {}".format(*words),
        f"BLAS      {'; '.join(description['blas']) or 'unknown'}",
        f"versions  {joined(description['versions'])}",
        f"switches  {joined(description['switches']) or 'none'}",
        f"date      {description['date']}, load before {description['load']}",
    ]
