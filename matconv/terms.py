"""Terms of f: the sum of xi over the shards of the images, with its gradient, and the regularisation."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, ClassVar, Self

import numpy as np

from .arguments import as_count, as_indices, as_regularisation, as_weights
from .buffers import Buffers
from .engines.threads import ThreadEngine
from .evaluation import Evaluation, Sum, sum_leaves
from .factors import as_factors, runs
from .kernels._arrays import contiguous
from .kernels._guard import guarded
from .kernels.program import LOSSES
from .kernels.sums import add, regularise
from .losses import (
    KnownLoss,
    Loss,
    compiled_name,
    get_loss,
    image_weights,
    loss_gradient,
    loss_targets,
    loss_value,
    position_rows,
    read_only,
    total_weight,
)
from .network import Network
from .sharding import Node


class Terms:
    """Sums over the images of an objective, its regularisation, and subsets of the images.

    Base class of `matconv.Objective`, which documents the parameters, attributes and errors. Methods
    whose names begin with an underscore do not check their arguments.
    """

    # what is made again for an unpickled object
    _not_pickled: ClassVar[tuple[str, ...]] = ("engine", "_program", "_evaluation", "_gradients")

    def __init__(
        self,
        net: Network,
        Z: Any,
        Y: Any,
        loss: str | Loss = "squared",
        C: float = np.inf,
        n_threads: int | None = None,
        algorithm: str | None = None,
        output: str | None = None,
        weights: Any = None,
        penalty: Any = 1.0,
    ) -> None:
        self.net = net.with_algorithm(algorithm)
        self.output = output
        self.loss = get_loss(loss)
        self._set_program()
        self.C = as_regularisation("Objective: C", C)
        self._n_threads = n_threads
        self.engine = ThreadEngine(n_threads)
        self.Z = net.as_images(Z, "Objective")
        if len(self.Z) == 0:
            raise ValueError("Objective: Z has no images")
        shape = self._program.shape(self._program.target)
        self.Y, self._positions = loss_targets(self.loss, Y, len(self.Z), shape, net.dtype)
        self.weights = None
        if weights is not None:
            self.weights = as_weights("Objective: weights", weights, len(self.Z))
        self._image_weights = image_weights(self.loss, self.Y, self._positions, self.weights)
        self.penalty = as_factors("Objective: penalty", penalty)
        self._penalties = runs("Objective: penalty", self.penalty, net.n, net.layout.arrays())
        self._indices: np.ndarray | None = None
        # numbers of the images of Z in the whole data set; None: 0, 1, ...
        self._numbers: np.ndarray | None = None
        self._dropout: tuple[int, int] | None = None
        self.l = len(self.Z)
        self.total_weight = self._total_weight()
        if self.total_weight == 0:
            raise ValueError("Objective: no image with a positive weight is labelled")
        if self.total_weight == np.inf:
            raise ValueError("Objective: the sum of weights must be finite")

    def _set_program(self) -> None:
        """Set the program and the buffers that its calls reuse."""
        self._program = self.net.program(self.output)
        self.n_outputs = prod(self._program.shape(self._program.target))
        # 0: a loss that is evaluated in Python
        self._code = LOSSES.get(compiled_name(self.loss), 0)
        self._parameter = self.loss.parameter if isinstance(self.loss, KnownLoss) else 0.0
        self._evaluation = Evaluation(
            self._program, self._program.whole_training_bytes, self._program.training_bytes
        )
        self._gradients = Buffers(self.net.n * self.net.dtype.itemsize)

    def __getstate__(self) -> dict[str, Any]:
        left_out = self._not_pickled
        state = {name: value for name, value in vars(self).items() if name not in left_out}
        if self._indices is not None:
            numbers = self._image_numbers(slice(None))
            state.update(Z=self.Z[self._indices], Y=self.Y[self._indices], _indices=None)
            for name in ("weights", "_image_weights"):
                if state[name] is not None:
                    state[name] = state[name][self._indices]
            state.update(_numbers=numbers)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.Y = read_only(self.Y)
        if self.weights is not None:
            self.weights = read_only(self.weights)
        self.engine = ThreadEngine(self._n_threads)
        self._set_program()

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def subset(self, indices: Any) -> Self:
        """Return the same objective on some of the images, for instance a mini-batch.

        Parameters
        ----------
        indices : array of integers from 0 to l - 1, or slice
            Indices of the images, in any order, possibly repeated. Images are not copied.

        Returns
        -------
        objective : Objective
            Its mean is over the images of the subset. If none of them is labelled, f and its
            gradient are those of the regularisation.

        Raises
        ------
        TypeError, ValueError
            If the indices are not integers, not a vector, empty or out of range.
        """
        indices = as_indices("Objective: indices", indices, self.l)
        part = self.__copy__()
        part._indices = indices if self._indices is None else self._indices[indices]
        part.l = len(indices)
        part.total_weight = part._total_weight()
        return part

    def with_dropout(self, seed: Any, epoch: Any = 0) -> Self:
        """Return the same objective with elements dropped by the layers `matconv.layers.Dropout`.

        It is a function of theta like the original, and its gradient is that of this function: the
        dropped elements are the same in each evaluation. For others, pass another epoch. An image
        has the same dropped elements in a subset, and in the sums of several processes, as in the
        objective that the subset was taken from.

        Parameters
        ----------
        seed : int or None
            From 0 to 2^64 - 1. None: nothing is dropped, as in an objective that was constructed.
        epoch : int
            From 0 to 2^64 - 1; elements are dropped independently in each epoch.

        Returns
        -------
        objective : Objective

        Raises
        ------
        TypeError, ValueError
            If an argument is not such an integer.

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Dense, Dropout, Network, Objective
        >>> net = Network((1, 1, 4), [Dense(3, activation="relu"), Dropout(0.5), Dense(2)])
        >>> f = Objective(net, np.ones((5, 1, 1, 4)), np.arange(5) % 2, loss="softmax")
        >>> theta, f_0 = net.init(0), f.with_dropout(seed=1)
        >>> f_0(theta) == f(theta), f_0(theta) == f.with_dropout(1, epoch=0)(theta)
        (False, True)
        """
        part = self.__copy__()
        part._dropout = None
        if seed is not None:
            part._dropout = _as_key("seed", seed), _as_key("epoch", epoch)
        return part

    def regularisation(self, theta: Any) -> float:
        """Return the part of f that depends on theta alone; see `Objective.value`."""
        return self._squares(self.net.as_theta(theta)) / (2 * self.C)

    def _sums(
        self,
        theta: np.ndarray,
        run: range | None = None,
        *,
        gradient: bool = False,
        add_root: Callable[[np.ndarray, np.ndarray], object] = add,
    ) -> dict[Node, Sum]:
        """Return the sums of xi and of its gradient over a run of leaves, by default over all."""
        leaves = self.net.leaves(self.l)
        # without labelled samples the gradient is 0, whatever it is divided by
        divisor = self.total_weight or 1.0

        def sum_shard(
            part: slice,
            prepared: np.ndarray,
            block: np.ndarray,
            dtheta: np.ndarray | None,
            add: bool,
            sharing: dict[str, Any],
        ) -> float:
            Z, y, weights = self._shard(part)
            sharing = {**sharing, "dropout": self._masks(part)}
            if self._code:
                return self._program.loss(
                    self._code, theta, prepared, Z, y, divisor, block, dtheta,
                    weights=weights, parameter=self._parameter, add=add, **sharing,
                )  # fmt: skip
            z = self._program.forward(theta, prepared, Z, block, **sharing)
            if self._positions:
                z, y, weights = position_rows(z, y, weights, self._positions)
            if dtheta is None:
                return guarded(loss_value, self.loss, z, y, weights)
            value, dz = guarded(loss_gradient, self.loss, z, y, divisor, weights)
            self._program.backward(theta, prepared, Z, dz, block, dtheta, add=add, **sharing)
            return value

        return sum_leaves(
            self._evaluation,
            theta,
            leaves,
            range(len(leaves)) if run is None else run,
            sum_shard,
            self.engine.n_threads,
            self._gradients if gradient else None,
            add_root,
        )

    def _squares(self, theta: np.ndarray, gradient: np.ndarray | None = None) -> float:
        """Return sum_j p_j theta_j^2 and add p theta / C to the gradient; 0, no change for C = inf."""
        return 0.0 if self.C == np.inf else self._regularise(theta, gradient)

    def _regularise(
        self, theta: np.ndarray, left: np.ndarray | None = None, right: np.ndarray | None = None
    ) -> float:
        """Compute left += right + p theta / C, and return sum_j p_j theta_j^2."""
        if self._penalties is None:
            return regularise(theta, self.C, left, right)
        squares = 0.0
        for start, stop, factor in self._penalties:
            part = slice(start, stop)
            squares += regularise(
                theta[part],
                self.C,
                None if left is None else left[part],
                None if right is None else right[part],
                factor,
            )
        return squares

    def _mean(self, value: float, squares: float) -> float:
        """Return f from the sums of w_i xi_i and of p_j theta_j^2."""
        return value / (self.total_weight or 1.0) + squares / (2 * self.C)

    def _total_weight(self) -> float:
        weights = self._image_weights
        if weights is not None and self._indices is not None:
            weights = weights[self._indices]
        return total_weight(weights, self.l * (self._positions or 1))

    def _shard(self, part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return Z of a shard, C-contiguous, y, contiguous or read-only for the loss, and weights."""
        where = part if self._indices is None else self._indices[part]
        return contiguous(self.Z[where]), *self._labels(part)

    def _labels(self, part: slice) -> tuple[np.ndarray, np.ndarray | None]:
        """Return y and the weights of a shard, as `_shard`."""
        where = part if self._indices is None else self._indices[part]
        y = self.Y[where]
        weights = None if self.weights is None else self.weights[where]
        return contiguous(y) if self._code else read_only(y), weights

    def _masks(self, part: slice) -> tuple[int, int, np.ndarray] | None:
        """Return seed, epoch and numbers of the images of a shard; None if nothing is dropped."""
        return None if self._dropout is None else (*self._dropout, self._image_numbers(part))

    def _image_numbers(self, part: slice) -> np.ndarray:
        """Return the numbers of the images of a shard in the whole data set."""
        where = np.arange(*part.indices(self.l)) if self._indices is None else self._indices[part]
        numbers = where if self._numbers is None else self._numbers[where]
        return np.ascontiguousarray(numbers, np.int64)


def _as_key(name: str, value: Any) -> int:
    """Return a word of the key of the random bits, checked."""
    key = as_count(f"Objective: {name}", value, 0)
    if key >= 2**64:
        raise ValueError(f"Objective: {name} must be below 2^64, got {key}")
    return key
