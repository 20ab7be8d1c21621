"""Options of solvers and commands, each described by one record.

An `Option` has a name, the values that it may have, a default and a description. Three things are
derived from it: the check of the keyword argument in Python, the argument on the command line with
its help, and the check of a setting that is read from a model file. The kinds of values are
`Count`, `Number`, `Choice`, `Factors`, `Flag` and `Text`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import factors
from .arguments import as_count, as_flag, as_real


class Values:
    """Base class of the sets of values that an option may have."""

    @property
    def description(self) -> str:
        """Text for messages about what is expected: "a whole number of at least 1"."""
        raise NotImplementedError

    @property
    def type_name(self) -> str:
        """Text for the documentation of a keyword argument: "int, at least 1"."""
        raise NotImplementedError

    def check(self, name: str, value: Any) -> Any:
        """Return a keyword argument, checked, as a plain Python object.

        Raises
        ------
        TypeError, ValueError, OverflowError
            If it is not one of the values; the message begins with ``name``.
        """
        raise NotImplementedError

    def parse(self, text: str) -> Any:
        """Return the value of an argument of the command line.

        Raises
        ------
        ValueError
            If it is not one of the values; the message says what is expected.
        """
        try:
            return self.check("", self._from_text(text))
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"expected {self.description}, got {text!r}") from None

    def _from_text(self, text: str) -> Any:
        return text

    def read(self, value: Any) -> Any:
        """Return a value that was read from the JSON of a model file, as `check` returns it.

        Raises
        ------
        TypeError, ValueError, OverflowError
            If it is not one of the values.
        """
        return self.check("", value)

    def written(self, value: Any) -> Any:
        """Return a value as JSON for a model file; `read` is the inverse."""
        return value


@dataclass(frozen=True)
class Count(Values):
    """Integers of at least ``minimum``.

    Examples
    --------
    >>> Count(1).parse("12"), Count(0).check("seed", 3)
    (12, 3)
    """

    minimum: int = 1

    @property
    def description(self) -> str:
        return f"a whole number of at least {self.minimum}"

    @property
    def type_name(self) -> str:
        return f"int, at least {self.minimum}"

    def check(self, name: str, value: Any) -> int:
        return as_count(name, value, self.minimum)

    def _from_text(self, text: str) -> int:
        return int(text)


@dataclass(frozen=True)
class Number(Values):
    """Real numbers x with above < x, minimum <= x, x < below, x <= maximum.

    They are finite unless ``infinite`` is True. As JSON has no infinity, a model file contains the
    text "inf" instead.

    Examples
    --------
    >>> Number(minimum=0, below=1).description
    'a number at least 0 and below 1'
    >>> Number(above=0, maximum=1).description
    'a number above 0 and at most 1'
    >>> Number(above=0, infinite=True).parse("inf")
    inf
    """

    minimum: float = -math.inf
    above: float = -math.inf
    below: float = math.inf
    infinite: bool = False
    maximum: float = math.inf

    @property
    def _bounds(self) -> str:
        bounded = self.infinite or min(self.below, self.maximum) < math.inf
        bounds = [
            *([f"above {self.above:g}"] if self.above > -math.inf else []),
            *([f"at least {self.minimum:g}"] if self.minimum > -math.inf else []),
            *([f"below {self.below:g}"] if self.below < math.inf else []),
            *([f"at most {self.maximum:g}"] if self.maximum < math.inf else []),
            *([] if bounded else ["finite"]),
        ]
        return " and ".join(bounds)

    @property
    def description(self) -> str:
        return f"a number {self._bounds}".rstrip()

    @property
    def type_name(self) -> str:
        return f"float, {self._bounds}".rstrip(", ")

    def check(self, name: str, value: Any) -> float:
        number = as_real(name, value)
        fits = number < self.below or (self.infinite and number == math.inf)
        fits = fits and number <= self.maximum
        if not (self.above < number and self.minimum <= number and fits):
            raise ValueError(f"{name} must be {self._bounds}, got {number:g}")
        return number

    def _from_text(self, text: str) -> float:
        return float(text)

    def read(self, value: Any) -> float:
        return self.check("", math.inf if value == "inf" else value)

    def written(self, value: float) -> float | str:
        return "inf" if value == math.inf else value


@dataclass(frozen=True)
class Choice(Values):
    """One of several names; in Python also other values, if a function checks them.

    Parameters
    ----------
    names : iterable of str
        They are read at each use, so that names may be added, for instance to a dictionary.
    function : callable, optional
        Converts a keyword argument to what is passed to the solver, or raises an error.
    other : str
        Text for the documentation: what the function accepts in addition to the names.

    Examples
    --------
    >>> Choice(["fast", "exact"]).description
    'fast or exact'
    """

    names: Iterable[str]
    function: Callable[[Any], Any] | None = None
    other: str = ""

    @property
    def description(self) -> str:
        return alternatives([*self.names])

    @property
    def type_name(self) -> str:
        return alternatives([*(f'"{name}"' for name in self.names), *filter(None, [self.other])])

    def check(self, name: str, value: Any) -> Any:
        if self.function is not None:
            return self.function(value)
        return self._named(name, value)

    def _named(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in self.names:
            raise ValueError(f"{name} must be one of {', '.join(self.names)}, got {value!r}")
        return value

    def parse(self, text: str) -> str:
        try:
            return self._named("", text)
        except ValueError:
            raise ValueError(f"expected {self.description}, got {text!r}") from None

    def read(self, value: Any) -> str:
        return self._named("", value)


@dataclass(frozen=True)
class Flag(Values):
    """True or False."""

    @property
    def description(self) -> str:
        return "true or false"

    @property
    def type_name(self) -> str:
        return "bool"

    def check(self, name: str, value: Any) -> bool:
        return as_flag(name, value)


@dataclass(frozen=True)
class Factors(Values):
    """Factors of parameters: a number or, by layer and kind of parameters, several.

    In Python also an array with a factor for each element of theta; see `matconv.factors`.

    Examples
    --------
    >>> Factors().parse("0.5"), Factors().parse("biases=0,conv1=2")
    (0.5, {'biases': 0.0, 'conv1': 2.0})
    """

    @property
    def description(self) -> str:
        return "a number at least 0, or a list such as biases=0,conv1=2"

    @property
    def type_name(self) -> str:
        return "float, dict or array of shape (n,), at least 0"

    def check(self, name: str, value: Any) -> factors.Factors:
        return factors.as_factors(name, value)

    def _from_text(self, text: str) -> factors.Factors:
        return factors.parse_factors(text)

    def read(self, value: Any) -> factors.Factors:
        if isinstance(value, list):
            raise TypeError("expected a number or an object")
        return self.check("", value)

    def written(self, value: factors.Factors) -> Any:
        return value.tolist() if isinstance(value, np.ndarray) else value


@dataclass(frozen=True)
class Text(Values):
    """Any text, for instance the name of a file."""

    @property
    def description(self) -> str:
        return "text"

    @property
    def type_name(self) -> str:
        return "str"

    def check(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str, got {value!r} ({type(value).__name__})")
        return value


def alternatives(names: list[str]) -> str:
    """Return names as a list in a sentence.

    >>> alternatives(["a", "b", "c"]), alternatives(["a"])
    ('a, b or c', 'a')
    """
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


@dataclass(frozen=True)
class Option:
    """One option of a solver or of a command.

    Parameters
    ----------
    name : str
        The keyword argument in Python, and the key in a model file. The command line spells it
        with hyphens: ``batch_size`` is ``--batch-size``.
    values : Values
        The values that it may have.
    help : str
        Description, a phrase without a full stop.
    default : object
        Default value. None: the option has no value unless one is given; Python accepts None.
    command_default : object
        Default value on the command line, if it differs from that in Python.
    default_text : str
        Text for the command line's help in place of a default value.
    metavar : str or tuple of str
        Placeholder of the value in the command line's help; a tuple for an option with several
        values.
    aliases : tuple of str
        Other names on the command line.

    Examples
    --------
    >>> size = Option("batch_size", Count(1), "images of a batch", 64, metavar="N")
    >>> size.flag, size.full_help
    ('--batch-size', 'images of a batch. Default: 64')
    >>> print(size.documentation)
    batch_size : int, at least 1; default 64
        Images of a batch.
    """

    name: str
    values: Values
    help: str
    default: Any = None
    command_default: Any = None
    default_text: str = ""
    metavar: str | tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The option as it is written on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def usual(self) -> Any:
        """The default of the command line."""
        return self.default if self.command_default is None else self.command_default

    @property
    def full_help(self) -> str:
        """The command line's help: the description and the default."""
        default = self.default_text
        if not default and self.usual is not None and self.usual is not False:
            default = shown(self.usual)
        return f"{self.help}. Default: {default}" if default else self.help

    def check(self, value: Any) -> Any:
        """Return a keyword argument, checked; an error names the option."""
        if value is None and self.default is None:
            return None
        return self.values.check(self.name, value)

    @property
    def documentation(self) -> str:
        """The option in numpydoc's format: a line with the values, and an indented description."""
        if isinstance(self.default, str):
            default = f'default "{self.default}"'
        else:
            default = self.default_text if self.default is None else f"default {self.default!r}"
        head = f"{self.name} : {self.values.type_name}{'; ' if default else ''}{default}"
        text = f"{self.help[:1].upper()}{self.help[1:]}."
        return (
            f"{head}\n{textwrap.fill(text, 84, initial_indent=' ' * 4, subsequent_indent=' ' * 4)}"
        )


def shown(value: Any) -> str:
    """Return a value as text for the screen."""
    if isinstance(value, dict):
        return ",".join(f"{name}={shown(one)}" for name, one in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
