"""Method: the record that describes a solver."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..options import Option, shown


@dataclass(frozen=True)
class Method:
    """A method of `minimize` and its options.

    Parameters
    ----------
    name : str
    function : callable
        Called as ``function(objective, run, max_iterations, **options)`` with a checked value for
        each option. Returns a message and whether the method converged.
    summary : str
        Description, a phrase without a full stop.
    iterations : int
        Default number of iterations on the command line.
    iteration : str
        Name of an iteration, in the singular: "iteration" or, for instance, "epoch".
    options : tuple of Option
    max_images : int, optional
        Maximum number of images for which the method is a default of the command line, which
        chooses the first such method of the list. None: no maximum. 0: only where the options
        that are given leave no other.
    progress : str
        Format of the text that describes the minimisation on the screen; its fields are ``count``,
        as in "10 epochs", and the options. By default the name, the count and all options.
    history : dict of str to str
        Entries of the history that the method adds, each with a description, a phrase without a
        full stop.
    """

    name: str
    function: Callable[..., tuple[str, bool]]
    summary: str
    iterations: int
    iteration: str = "iteration"
    options: tuple[Option, ...] = ()
    max_images: int | None = None
    progress: str = ""
    history: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the options."""
        return [option.name for option in self.options]

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return a value for each option: the given one, checked, or the default.

        Raises
        ------
        TypeError, ValueError, OverflowError
            If there is no such option, or a value is invalid.
        """
        for name in options:
            if name not in self.names:
                raise TypeError(
                    f"minimize: unexpected keyword argument {name!r}; the options of {self.name} "
                    f"are: {', '.join(self.names) or 'none'}"
                )
        return {one.name: one.check(options.get(one.name, one.default)) for one in self.options}

    def describe(self, count: str, options: dict[str, Any]) -> str:
        """Return a text for the screen that describes the minimisation."""
        if self.progress:
            return self.progress.format(count=count, **options)
        values = [f"{name.replace('_', ' ')} {shown(value)}" for name, value in options.items()]
        return ", ".join([self.name, count, *values])

    @property
    def documentation(self) -> str:
        """The method and its options in numpydoc's format."""
        blocks = [option.documentation.replace("\n", "\n    ") for option in self.options]
        head = f'"{self.name}" : {self.summary}; max_iterations counts {self.iteration}s'
        if self.history:
            entries = "; ".join(f'"{name}", {text}' for name, text in self.history.items())
            text = f"In the history: {entries}."
            blocks.append(textwrap.fill(text, 84).replace("\n", "\n    "))
        return "\n    ".join([head, *blocks])


def merged_options(methods: Iterable[Method]) -> dict[str, tuple[Option, list[str]]]:
    """Return the options of several methods by name, each with the names of the methods.

    Raises
    ------
    ValueError
        If two methods have different options of the same name: the command line and model files
        cannot distinguish them.
    """
    merged: dict[str, tuple[Option, list[str]]] = {}
    for method in methods:
        for option in method.options:
            known, owners = merged.setdefault(option.name, (option, []))
            if known != option:
                raise ValueError(
                    f"the option {option.name} of {method.name} is not that of {owners[0]}: "
                    f"give it another name, or make both the same"
                )
            owners.append(method.name)
    return merged


def usual_method(methods: Iterable[Method], images: int) -> Method:
    """Return the command line's default for a number of images."""
    methods = list(methods)
    for method in methods:
        if method.max_images is None or images <= method.max_images:
            return method
    return max(methods, key=lambda method: method.max_images or 0)
