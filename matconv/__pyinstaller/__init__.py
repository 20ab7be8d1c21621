"""Hooks with which PyInstaller finds what matconv imports without an import statement.

PyInstaller asks for the folder through the entry point ``pyinstaller40``, see pyproject.toml.
"""

import os


def get_hook_dirs() -> list[str]:
    """The folders that hold hooks: this one."""
    return [os.path.dirname(__file__)]
