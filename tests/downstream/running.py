"""Run commands as a user would, without the environment of the tests' Python."""

import os
import subprocess
import sys


def run(*command, **options):
    """Run a command that must succeed, in ``cwd``; return what it printed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))}
    environment.update(options.pop("environment", {}))
    result = subprocess.run(
        [str(word) for word in command],
        capture_output=True, text=True, env=environment, check=False, timeout=600, **options,
    )  # fmt: skip
    said = f"{' '.join(map(str, command))}\n{result.stdout}\n{result.stderr}"
    assert result.returncode == 0, said[-8000:]
    return result.stdout


def environment_with(folder, *packages):
    """Make a virtual environment with the packages; return its interpreter."""
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, *packages, cwd=folder)
    return python
