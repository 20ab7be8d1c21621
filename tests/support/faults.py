"""A replacement of the module os with another action at a chosen step of saving a file."""

import functools
import importlib
import io
import os

STEPS = ("open", "fdopen", "fchown", "setxattr", "removexattr", "chmod", "fsync", "replace")
MODULES = ("matconv.files.atomic", "matconv.files.attributes")


def install(faulty):
    """Let every module that saves files use `faulty` instead of os."""
    for name in MODULES:
        importlib.import_module(name).os = faulty


def save_by(monkeypatch, faulty):
    """Do the same as `install` for one test."""
    for name in MODULES:
        monkeypatch.setattr(f"{name}.os", faulty)


class FaultyOs:
    """A replacement of os that records its steps in `trace`.

    Parameters
    ----------
    at : int, optional
        Index of the step that is replaced. Default: none.
    action : callable, optional
        Called instead of this step with its name, the real function and the arguments.
    """

    def __init__(self, at=None, action=None):
        self.at = at
        self.action = action
        self.trace = []

    def __getattr__(self, name):
        real = self._fdopen if name == "fdopen" else getattr(os, name)
        return functools.partial(self.step, name, real) if name in STEPS else real

    def step(self, name, real, *args):
        self.trace.append(name)
        if len(self.trace) - 1 == self.at:
            return self.action(name, real, args)
        return real(*args)

    def _fdopen(self, descriptor, mode):
        return io.BufferedWriter(_Raw(descriptor, mode, self))


class _Raw(io.FileIO):
    """A file of which each write is a step."""

    def __init__(self, descriptor, mode, faulty):
        super().__init__(descriptor, mode)
        self._faulty = faulty

    def write(self, data):
        return self._faulty.step("write", super().write, data)
