"""Hooks for PyInstaller, which does not see all imports of matconv.

PyInstaller finds this folder through the entry point ``pyinstaller40`` in pyproject.toml.
"""

import os


def get_hook_dirs() -> list[str]:
    """Return the folders of the hooks."""
    return [os.path.dirname(__file__)]
