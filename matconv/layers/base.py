"""Layer: the base class of all layers."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..activations import as_activation
from ..arguments import as_flag, as_text
from ..immutable import Immutable
from ..kernels._operations import input_limits
from .initial import as_initial
from .windows import Shape, shortest

# arguments that `repr` omits if they have their default values
HIDDEN = ("name", "inputs", "parameters", "bias", "factors", "init", "ceil", "count_pad", "like")


class Parameter(NamedTuple):
    """A parameter array of a layer: its name, and the shape of its view of theta."""

    name: str
    shape: Shape


class Layer(Immutable, kw_only=True):
    """Base class of layers.

    The annotated attributes of a subclass are the arguments of the layer. Those called
    ``activation``, ``bias``, ``init`` and ``parameters`` are checked here. `words` and `numbers` describe the
    layer to the compiled operation called `kind`; `arrays` and `initial` define its parameters in
    theta.

    Parameters
    ----------
    name : str, optional
        Name by which other layers and ``Network(outputs=...)`` refer to this one. By default the
        kind and the position in the network: "conv1", "dense2", ...
    inputs : str or sequence of str, optional
        Names of the layers whose outputs this one reads; "input" stands for the images. By default
        the previous layer.
    """

    kind: ClassVar[str]
    # whether the output, without bias and activation, is a linear function of the input
    linear: ClassVar[bool] = True
    # whether the layer has a gain and a bias that `matconv.Network.normalized` sets
    normalizes: ClassVar[bool] = False
    # whether the layer acts in training only: everywhere else its output is its input
    training_only: ClassVar[bool] = False
    # text of the error when the operation refuses the shapes of the inputs
    demand: ClassVar[str] = "this input does not fit"
    # whether a TOML file must give the activation, so that it shows whether there is one
    explicit_activation: ClassVar[bool] = False

    name: str | None = None
    inputs: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            self._set(name=as_text(f"{self.kind}: name", self.name))
            if self.name == "input":
                raise ValueError(f"{self.kind}: name must not be 'input', which is the images")
        self._set(inputs=self._input_names())
        own = {field.name for field in fields(self)}
        if "activation" in own:
            self._set(activation=as_activation(self.kind, self.activation))  # type: ignore[attr-defined]
        if "bias" in own:
            self._set(bias=as_flag(f"{self.kind}: bias", self.bias))  # type: ignore[attr-defined]
        if "init" in own:
            self._set(init=as_initial(self.kind, self.init))  # type: ignore[attr-defined]
        if self.parameters_of is not None:
            self._set(parameters=as_text(f"{self.kind}: parameters", self.parameters_of))

    def _input_names(self) -> tuple[str, ...] | None:
        """Return the names of the inputs, checked; None if none are given."""
        minimum, maximum = self.input_limits()
        if self.inputs is None:
            if minimum > 1:
                raise TypeError(f"{self.kind}: inputs must name the layers that it reads")
            return None
        given = (self.inputs,) if isinstance(self.inputs, str) else self.inputs
        if not isinstance(given, (list, tuple)):
            raise TypeError(
                f"{self.kind}: inputs must be a name or a sequence of names, "
                f"got {self.inputs!r} ({type(self.inputs).__name__})"
            )
        if not minimum <= len(given) <= maximum:
            limit = minimum if len(given) < minimum else maximum
            bound = "" if minimum == maximum else "at least " if limit == minimum else "at most "
            raise ValueError(
                f"{self.kind}: inputs must name {bound}{limit} layer{'s' * (limit != 1)}, "
                f"got {len(given)}"
            )
        return tuple(as_text(f"{self.kind}: inputs", one) for one in given)

    @classmethod
    def input_limits(cls) -> tuple[int, int]:
        """Return the minimum and the maximum number of inputs that the operation takes."""
        try:
            return input_limits(cls.kind)
        except KeyError:  # a kind without an operation, which no network accepts
            return 1, 1

    def arguments(self) -> dict[str, Any]:
        """Return the arguments by name, each size in its shortest form: 3 for (3, 3)."""
        names = [field.name for field in fields(self) if field.name not in ("name", "inputs")]
        values = {name: shortest(getattr(self, name)) for name in names}
        inputs = self.inputs
        if inputs is not None and len(inputs) == 1:
            inputs = inputs[0]  # type: ignore[index]
        return {**values, "name": self.name, "inputs": inputs}

    def __repr__(self) -> str:
        defaults = {field.name: field.default for field in fields(self)}
        arguments = (
            f"{name}={value!r}"
            for name, value in self.arguments().items()
            if name not in HIDDEN or value != defaults[name]
        )
        return f"{type(self).__name__}({', '.join(arguments)})"

    @property
    def parameters_of(self) -> str | None:
        """Name of the layer whose parameters this one uses; None if it uses its own, or has none."""
        return getattr(self, "parameters", None)

    @property
    def shape_of(self) -> str | None:
        """Name of a layer of whose output only the shape is read; `words` gets it last."""
        return None

    def words(self, shapes: list[Shape], function: str, algorithm: str) -> list[int]:
        """Return the integers that describe the layer to its operation.

        Parameters
        ----------
        shapes : list of (height, width, channels) or (units,)
            Shapes of the inputs.
        function : str
            Beginning of every error message.
        algorithm : str
            Algorithm of the network, for a layer that does not name its own.

        Raises
        ------
        ValueError, OverflowError
            If the layer does not fit inputs of these shapes.
        """
        return []

    def numbers(self, count: int) -> list[float]:
        """Return the floats that describe the layer with ``count`` inputs to its operation."""
        return []

    def arrays(self, shapes: list[Shape]) -> list[Parameter]:
        """Return the layer's parameter arrays in their order in theta."""
        return []

    def initial(self, random: np.random.Generator, arrays: list[np.ndarray], fan_in: int) -> None:
        """Write initial values into the layer's parameter arrays, which are filled with zeros.

        Parameters
        ----------
        random : numpy.random.Generator
        arrays : list of ndarray
            The arrays of `arrays`, in the same order.
        fan_in : int
            Number of inputs of one output.
        """
