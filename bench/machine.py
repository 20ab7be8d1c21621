"""On what a measurement was made: processor, BLAS and its kernel, versions, switches, load."""

import datetime
import importlib.metadata
import os
import platform
import re
from contextlib import suppress
from pathlib import Path

import threadpoolctl

import matconv

_PACKAGES = ("numpy", "scipy", "threadpoolctl", "torch", "jax", "onnxruntime", "openvino")
_PACKAGES += ("curvlinops-for-pytorch", "backpack-for-pytorch")

#: The environment variables of ``--isa``: OpenBLAS and matconv, then the peers.
_OWN = {"OPENBLAS_CORETYPE": "Haswell", "MATCONV_SIMD": "avx2"}
ISAS = {"avx2": {**_OWN, "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}}

#: Environment variables that choose kernels or numbers of threads.
_SWITCHES = (*ISAS["avx2"], "MATCONV_TUNING", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def _cpuinfo(field):
    """The first value of a field of /proc/cpuinfo; "" where there is none."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    found = re.search(rf"^{field}\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def isa(blas):
    """The instruction set of SciPy's OpenBLAS; restricted to AVX2, with a note about the peers."""
    kernels = ("SkylakeX", "Cooperlake", "SapphireRapids")
    if any(kernel in next(iter(blas), "") for kernel in kernels):
        return "avx512"
    if "avx512f" not in _cpuinfo("flags").split():
        return "avx2"
    restricted = os.environ.get("ONEDNN_MAX_CPU_ISA") == ISAS["avx2"]["ONEDNN_MAX_CPU_ISA"]
    return "avx2, peers emulated" if restricted else "avx2, peers not restricted"


def blas():
    """Each BLAS that is loaded, with version, kernel and owner; matconv's, that of SciPy, first."""
    found = []
    for pool in threadpoolctl.threadpool_info():
        if pool["user_api"] == "blas":
            # wheels keep theirs in a folder such as scipy.libs
            owner, libs, _ = Path(pool["filepath"]).parent.name.partition(".libs")
            pool = {"architecture": "unknown kernel", **pool, "of": f" of {owner}" if libs else ""}
            found.append("{internal_api} {version} ({architecture}){of}".format(**pool))
    return sorted(found, key=lambda text: not text.endswith("of scipy"))


def describe():
    """All of it as a dictionary for JSON."""
    loaded = blas()
    versions = {"python": platform.python_version(), "matconv": matconv.__version__}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": isa(loaded),
        "blas": loaded,
        "switches": {name: os.environ[name] for name in _SWITCHES if name in os.environ},
        "versions": versions,
        "load": os.getloadavg()[0],
    }


def lines(description):
    """The description as lines of text."""

    def joined(key):
        return ", ".join(" ".join(item) for item in description[key].items()) or "none"

    return [
        "machine   {processor}, {cores} cores, {system}".format(**description),
        f"ISA       {description['isa']}",
        f"BLAS      {'; '.join(description['blas']) or 'unknown'}",
        f"versions  {joined('versions')}",
        f"switches  {joined('switches')}",
        "date      {date}, load before {load:.2f}".format(**description),
    ]
