"""Method: what a solver is, in one record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..options import Option, shown


@dataclass(frozen=True)
class Method:
    """A method of `minimize` and its options.

    Parameters
    ----------
    name : str
    function : callable
        Called as ``function(objective, run, max_iterations, **options)`` with a value for each
        option, which has been checked. Returns a message and whether the method converged.
    summary : str
        What the method is, as a phrase without a full stop.
    iterations : int
        The default number of iterations of the command line.
    iteration : str
        The word for an iteration, in the singular.
    options : tuple of Option
    max_images : int, optional
        The command line's default is the first method of the list that is meant for as many
        images; None: any number.
    progress : str
        Format of the text that says on the screen what will be done; its fields are ``count``, as
        in "10 epochs", and the options. When left out, the name, the count and all options.
    """

    name: str
    function: Callable[..., tuple[str, bool]]
    summary: str
    iterations: int
    iteration: str = "iteration"
    options: tuple[Option, ...] = ()
    max_images: int | None = None
    progress: str = ""

    @property
    def names(self) -> list[str]:
        """The names of the options."""
        return [option.name for option in self.options]

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return a value for each option: the one given, checked, else the default.

        Raises
        ------
        TypeError, ValueError, OverflowError
        """
        for name in options:
            if name not in self.names:
                raise TypeError(
                    f"minimize: unexpected keyword argument {name!r}; the options of {self.name} "
                    f"are: {', '.join(self.names) or 'none'}"
                )
        return {one.name: one.check(options.get(one.name, one.default)) for one in self.options}

    def describe(self, count: str, options: dict[str, Any]) -> str:
        """Return what will be done, as a text for the screen."""
        if self.progress:
            return self.progress.format(count=count, **options)
        values = [f"{name.replace('_', ' ')} {shown(value)}" for name, value in options.items()]
        return ", ".join([self.name, count, *values])

    @property
    def documentation(self) -> str:
        """The method and its options as numpydoc has them."""
        blocks = [option.documentation.replace("\n", "\n    ") for option in self.options]
        head = f'"{self.name}" : {self.summary}; max_iterations counts {self.iteration}s'
        return "\n    ".join([head, *blocks])


def merged_options(methods: Iterable[Method]) -> dict[str, tuple[Option, list[str]]]:
    """Return the options of several methods by name, each with the names of its methods.

    Raises
    ------
    ValueError
        If two methods have different options of the same name, which would be one and the same
        on the command line and in a model file.
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
    return methods[-1]
