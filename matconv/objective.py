"""Objective: f(theta) = theta'theta/(2C) + (1/l) sum_i xi(z^{L+1,i}(theta); y^i), and its gradient."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .buffers import Buffers
from .engines.threads import ThreadEngine
from .kernels.arrays import refuse_masked
from .kernels.guard import guarded
from .kernels.program import LOSSES
from .losses import (
    Loss,
    compiled_name,
    get_loss,
    loss_gradient,
    loss_targets,
    loss_value,
    read_only,
)
from .network import Network


class Objective:
    """f(theta) over all images, and its gradient, for any optimiser of one flat vector.

        f(theta) = theta'theta / (2C) + (1/l) sum_i xi(z^{L+1,i}(theta); y^i)

    The images are cut into shards whose size never depends on the number of threads, and partial
    sums are added in the order of the shards: f and its gradient have the same bits for any
    number of threads. Memory beyond Z does not grow with l.

    An objective can be copied and pickled. ``copy.copy`` shares Z and Y; a pickle holds them, that
    of a subset only the images of the subset. Threads are not pickled: where ``n_threads`` was
    left out, the copy takes all cores of its own process. Objectives compare by identity.

    Parameters
    ----------
    net : Network
    Z : array, shape (l, height, width, channels)
        In the network's dtype, of any layout; may be read-only or memory-mapped. Not copied: it
        stays the caller's, and what is written into it changes f.
    Y : array, shape (l,) of integer labels, or (l, n_outputs)
        What the loss compares the outputs with. Copied only where it is converted.
    loss : "squared", "softmax" or an object as in `matconv.losses`
    C : float
        Regularisation; ``inf`` (none) when left out.
    n_threads : int, optional
        All cores when left out.
    algorithm : "auto", "im2col" or "winograd", optional
        See `conv2d`; the network's own when left out.
    output : str, optional
        Name of the layer whose output the loss is of; needed for a network with several outputs.

    Attributes
    ----------
    net : Network
        As given, or the same by the algorithm.
    l : int
        Number of images.
    Z, Y : ndarray
        Of all images, also those that a subset leaves out; Y as the loss returned it, read-only.
    loss : object
        See `matconv.losses.Loss`.
    C : float

    Raises
    ------
    TypeError, ValueError

    Examples
    --------
    >>> from scipy.optimize import minimize
    >>> from matconv import Conv, Dense, Network, Objective
    >>> from matconv.data import load_digits
    >>> digits = load_digits()
    >>> net = Network((8, 8, 1), [Conv(4, 3, stride=2), Dense(10)])
    >>> f = Objective(net, digits.Z_train, digits.y_train, loss="softmax", C=1000)
    >>> result = minimize(f.value_and_gradient, net.init(0), jac=True, method="L-BFGS-B",
    ...                   options={"maxiter": 20})
    >>> bool((net.predict(result.x, digits.Z_test) == digits.y_test).mean() > 0.9)
    True
    """

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
    ) -> None:
        self.net = net.with_algorithm(algorithm)
        self.output = output
        self.loss = get_loss(loss)
        self._set_program()
        self.C = _regularisation(C)
        self._n_threads = n_threads
        self.engine = ThreadEngine(n_threads)
        self.Z = net.as_images(Z, "Objective")
        if len(self.Z) == 0:
            raise ValueError("Objective: Z has no images")
        self.Y = loss_targets(self.loss, Y, len(self.Z), self.n_outputs, net.dtype)
        self._indices: np.ndarray | None = None
        self.l = len(self.Z)

    def _set_program(self) -> None:
        """The program, and what its calls take turns with."""
        self._program = self.net.program(self.output)
        self.n_outputs = prod(self._program.shape(self._program.target))
        # 0: a loss written in Python
        self._code = LOSSES.get(compiled_name(self.loss), 0)
        self._blocks = Buffers(self._program.training_bytes)
        self._prepared = Buffers(self._program.prepared_bytes)
        # gradients of shards that are summed; list.append and list.pop are atomic
        self._gradients: list[np.ndarray] = []

    def __getstate__(self) -> dict[str, Any]:
        left_out = ("engine", "_program", "_blocks", "_prepared", "_gradients")
        state = {name: value for name, value in vars(self).items() if name not in left_out}
        if self._indices is not None:
            state.update(Z=self.Z[self._indices], Y=self.Y[self._indices], _indices=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.Y = read_only(self.Y)
        self.engine = ThreadEngine(self._n_threads)
        self._set_program()

    def __copy__(self) -> Objective:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __call__(self, theta: Any) -> float:
        """f(theta)."""
        return self.value(theta)

    def subset(self, indices: Any) -> Objective:
        """The same objective on some of the images: a mini-batch.

        Parameters
        ----------
        indices : array of integers from 0 to l - 1, or slice
            Images may come in any order and more than once. Nothing is copied.

        Returns
        -------
        objective : Objective
            Its mean is over the images of the subset.

        Raises
        ------
        TypeError, ValueError
        """
        if isinstance(indices, slice):
            indices = np.arange(self.l)[indices]
        refuse_masked("Objective", "indices", indices)
        indices = np.asarray(indices)
        if indices.dtype.kind not in "iu" and indices.size:
            raise TypeError(f"Objective: indices must be integers, got {indices.dtype}")
        if indices.ndim != 1 or indices.size == 0:
            raise ValueError(
                f"Objective: indices must be a vector of at least one, got shape {indices.shape}"
            )
        if not (0 <= indices.min() and indices.max() < self.l):
            raise ValueError(
                f"Objective: indices must be from 0 to {self.l - 1}, got {indices.min()} to "
                f"{indices.max()}"
            )
        part = self.__copy__()
        part._indices = indices if self._indices is None else self._indices[indices]
        part.l = len(indices)
        return part

    def value(self, theta: Any) -> float:
        """f(theta).

        Parameters
        ----------
        theta : array, shape (n,)

        Raises
        ------
        TypeError, ValueError
        """
        return guarded(self._value, self.net.as_theta(theta))

    def _value(self, theta: np.ndarray) -> float:
        total = _Sum()
        with self._prepared.borrow() as prepared:
            self._program.prepare(theta, prepared, False)

            def evaluate(part: slice) -> float:
                Z, y = self._shard(part)
                with self._blocks.borrow() as block:
                    if self._code:
                        return self._program.loss(self._code, theta, prepared, Z, y, 1.0, block)
                    z = self._program.forward(theta, prepared, Z, block)
                    return loss_value(self.loss, z, y)

            for value in self._in_order(evaluate):
                total.add(value)
        return total.value / self.l + self._penalty(theta)

    def gradient(self, theta: Any) -> np.ndarray:
        """The gradient of f at theta; parameters and errors as for `value`."""
        return self.value_and_gradient(theta)[1]

    def value_and_gradient(self, theta: Any) -> tuple[float, np.ndarray]:
        """f(theta) and its gradient, in one forward and one backward pass.

        Parameters
        ----------
        theta : array, shape (n,)

        Returns
        -------
        f : float
        gradient : ndarray, shape (n,), of the network's dtype

        Raises
        ------
        TypeError, ValueError
        """
        return guarded(self._value_and_gradient, self.net.as_theta(theta))

    def _value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        total = _Sum()
        sums: list[np.ndarray] = []  # of the gradients; the first one, once there is one

        def evaluate(part: slice) -> tuple[float, np.ndarray]:
            Z, y = self._shard(part)
            try:
                dtheta = self._gradients.pop()
            except IndexError:  # also where another thread was faster
                dtheta = np.empty_like(theta)
            with self._blocks.borrow() as block:
                if self._code:
                    value = self._program.loss(
                        self._code, theta, prepared, Z, y, self.l, block, dtheta
                    )
                else:
                    z = self._program.forward(theta, prepared, Z, block)
                    value, dz = loss_gradient(self.loss, z, y, self.l)
                    self._program.backward(theta, prepared, Z, dz, block, dtheta)
            return value, dtheta

        with self._prepared.borrow() as prepared:
            self._program.prepare(theta, prepared, True)
            for value, dtheta in self._in_order(evaluate):
                total.add(value)
                if not sums:
                    sums.append(dtheta)
                else:
                    np.add(sums[0], dtheta, out=sums[0])
                    self._gradients.append(dtheta)
        (gradient,) = sums
        if self.C != np.inf:
            gradient += theta / self.C
        return total.value / self.l + self._penalty(theta), gradient

    def outputs(self, theta: Any) -> np.ndarray:
        """z^{L+1} of every image, shape (l, n_outputs); parameters and errors as for `value`."""
        return guarded(self._outputs, self.net.as_theta(theta))

    def _outputs(self, theta: np.ndarray) -> np.ndarray:
        result = np.empty((self.l, self.n_outputs), self.net.dtype)
        with self._prepared.borrow() as prepared:
            self._program.prepare(theta, prepared, False)

            def evaluate(part: slice) -> None:
                Z, _ = self._shard(part)
                with self._blocks.borrow() as block:
                    result[part] = self._program.forward(theta, prepared, Z, block)

            self.engine.run(evaluate, self.net.shards(self.l))
        return result

    def _in_order(self, evaluate: Any) -> list[Any]:
        """What evaluating each shard returns, in the order of the shards."""
        shards = self.net.shards(self.l)
        results: list[Any] = [None] * len(shards)

        def keep(k: int) -> None:
            results[k] = evaluate(shards[k])

        self.engine.run(keep, range(len(shards)))
        return results

    def _penalty(self, theta: np.ndarray) -> float:
        """theta'theta / (2C)."""
        if self.C == np.inf:
            return 0.0
        wide = theta.astype(np.float64, copy=False)
        return float(np.sum(wide * wide)) / (2 * self.C)

    def _shard(self, part: slice) -> tuple[np.ndarray, np.ndarray]:
        """Z and y of a shard: Z as the kernels read it, y read-only."""
        where = part if self._indices is None else self._indices[part]
        y = self.Y[where]
        if self._code:
            y = np.require(y, requirements=["C", "A"])
        return np.require(self.Z[where], self.net.dtype, ["C", "A"]), read_only(y)


class _Sum:
    """A running sum."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, value: float) -> None:
        self.value += value


def _regularisation(C: Any) -> float:
    refuse_masked("Objective", "C", C)
    if isinstance(C, (bool, str, bytes)) or C is None:
        raise TypeError(f"Objective: C must be a number, got {C!r}")
    try:
        value = float(C)
    except (TypeError, ValueError):
        raise TypeError(f"Objective: C must be a number, got {C!r}") from None
    if not value > 0:
        raise ValueError(f"Objective: C must be positive (inf: no regularisation), got {C!r}")
    return value
