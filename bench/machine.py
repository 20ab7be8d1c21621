"""The machine of a measurement: processor, BLAS and its kernel, versions, load."""

import datetime
import importlib.metadata
import os
import platform

import threadpoolctl

_PACKAGES = ("matconv", "numpy", "scipy", "threadpoolctl", "torch", "jax", "onnxruntime")


def processor():
    """Return the name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.lower().startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux; the next line is what the standard library knows
    return platform.processor() or platform.machine()


def versions():
    """Return {package: version} of the installed packages and of Python."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def libraries():
    """Return the loaded thread pools: BLAS with its kernel, OpenMP.

    To be called after the peers have been imported.
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
    """Return the load average of the last minute, or None if it is not known."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe():
    """Return everything as JSON-able data.

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
    """Return each BLAS with its version and kernel; first SciPy's, which matconv calls.

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
    """Return the description as lines of text."""
    text = [
        f"machine   {description['processor']}, {description['cores']} cores, {description['system']}",
        f"BLAS      {'; '.join(blas(description)) or 'unknown'}",
        f"versions  {', '.join(f'{k} {v}' for k, v in description['versions'].items())}",
    ]
    if description["load"] is not None:
        text.append(f"date      {description['date']}, load before {description['load']:.2f}")
    return text
