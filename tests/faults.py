"""A stand-in for the module os that does something else at one chosen step of a save."""

import functools
import importlib
import io
import os

STEPS = ("open", "fdopen", "fchown", "setxattr", "removexattr", "chmod", "fsync", "replace")
MODULES = ("matconv.files.atomic", "matconv.files.attributes")


def install(faulty):
    """Let every module that takes part in a save use `faulty` in place of os."""
    for name in MODULES:
        importlib.import_module(name).os = faulty


def save_by(monkeypatch, faulty):
    """As `install`, for one test."""
    for name in MODULES:
        monkeypatch.setattr(f"{name}.os", faulty)


class FaultyOs:
    """Behaves as os; `trace` names its steps, and step number `at` is handed to `action`.

    Parameters
    ----------
    at : int, optional
        The step, counted from 0; none when left out.
    action : callable, optional
        Called with the step's name, the real function and its arguments instead of the step.
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
    """A file each of whose writes is a step."""

    def __init__(self, descriptor, mode, faulty):
        super().__init__(descriptor, mode)
        self._faulty = faulty

    def write(self, data):
        return self._faulty.step("write", super().write, data)
