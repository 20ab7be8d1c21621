"""On what a measurement was made: processor, BLAS and the kernel it chose, versions, load."""

import datetime
import importlib.metadata
import os
import platform

import threadpoolctl

_PACKAGES = ("matconv", "numpy", "scipy", "threadpoolctl", "torch", "jax", "onnxruntime")


def processor():
    """The processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.lower().startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux; the next line is what the standard library knows
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


def libraries():
    """The thread pools that are loaded now: BLAS with its kernel, OpenMP.

    Call it after the peers were imported: only what is loaded is seen.
    """
    keys = ("user_api", "internal_api", "version", "architecture", "threading_layer")
    return [
        {
            **{key: pool[key] for key in keys if pool.get(key)},
            "file": os.path.basename(pool["filepath"]),
            # wheels keep theirs in a folder such as scipy.libs
            "folder": os.path.basename(os.path.dirname(pool["filepath"])),
        }
        for pool in threadpoolctl.threadpool_info()
    ]


def load():
    """Runnable processes, averaged over the last minute, or None where that is unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe():
    """All of it as one JSON-able dictionary.

    Examples
    --------
    >>> sorted(describe())
    ['cores', 'date', 'libraries', 'load', 'processor', 'system', 'versions']
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": load(),
        "libraries": libraries(),
        "versions": versions(),
    }


def blas(description):
    """Each BLAS with its version and kernel, SciPy's first: that is the one that matconv calls.

    Examples
    --------
    >>> pool = {"user_api": "blas", "internal_api": "openblas", "architecture": "Zen"}
    >>> blas({"libraries": [pool | {"version": "0.3", "folder": "scipy.libs"}]})
    ['openblas 0.3 (Zen) of scipy']
    """
    found = []
    for pool in description["libraries"]:
        if pool["user_api"] == "blas" and "architecture" in pool:
            owner, libs, _ = pool.get("folder", "").partition(".libs")
            name = f"{pool['internal_api']} {pool.get('version', '')} ({pool['architecture']})"
            found.append(f"{name} of {owner}" if libs else name)
    return sorted(found, key=lambda text: not text.endswith("of scipy"))


def lines(description):
    """The description as a few lines of text."""
    text = [
        f"machine   {description['processor']}, {description['cores']} cores, {description['system']}",
        f"BLAS      {'; '.join(blas(description)) or 'unknown'}",
        f"versions  {', '.join(f'{k} {v}' for k, v in description['versions'].items())}",
    ]
    if description["load"] is not None:
        text.append(f"date      {description['date']}, load before {description['load']:.2f}")
    return text
