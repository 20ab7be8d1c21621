"""Objective: f(theta) = theta'theta/(2C) + (1/l) sum_i xi(z^{L+1,i}(theta); y^i), and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from .engines.threads import ThreadEngine
from .kernels.arrays import refuse_masked
from .kernels.guard import guarded
from .losses import Loss, get_loss, loss_gradient, loss_targets, loss_value, read_only
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
    ) -> None:
        self.net = net.with_algorithm(algorithm)
        self.loss = get_loss(loss)
        self.C = _regularisation(C)
        self._n_threads = n_threads
        self.engine = ThreadEngine(n_threads)
        self.Z = net.as_images(Z, "Objective")
        if len(self.Z) == 0:
            raise ValueError("Objective: Z has no images")
        self.Y = loss_targets(self.loss, Y, len(self.Z), net.n_outputs, net.dtype)
        self._indices: np.ndarray | None = None
        self.l = len(self.Z)
        self._set_buffers()

    def _set_buffers(self) -> None:
        self._workspaces = self.net.workspaces()
        # gradients of shards that are summed; list.append and list.pop are atomic
        self._gradients: list[np.ndarray] = []

    def __getstate__(self) -> dict[str, Any]:
        left_out = ("engine", "_workspaces", "_gradients")
        state = {name: value for name, value in vars(self).items() if name not in left_out}
        if self._indices is not None:
            state.update(Z=self.Z[self._indices], Y=self.Y[self._indices], _indices=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.Y = read_only(self.Y)
        self.engine = ThreadEngine(self._n_threads)
        self._set_buffers()

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
        parameters = self.net.layout.views(theta)
        total = _Sum()

        def evaluate(part: slice) -> float:
            Z, y = self._shard(part)
            with self._workspaces.borrow(len(Z)) as workspace:
                z = workspace.forward(parameters, Z, False, inner).reshape(len(Z), -1)
                return loss_value(self.loss, z, y)

        cut, inner = self._cut()
        self.engine.run(evaluate, cut, total.add)
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
        parameters = self.net.layout.views(theta)
        total = _Sum()
        sums: list[np.ndarray] = []  # of the gradients; the first one, once there is one

        def evaluate(part: slice) -> tuple[float, np.ndarray]:
            Z, y = self._shard(part)
            try:
                dtheta = self._gradients.pop()
            except IndexError:  # also where another thread was faster
                dtheta = np.empty_like(theta)
            with self._workspaces.borrow(len(Z)) as workspace:
                z = workspace.forward(parameters, Z, True, inner).reshape(len(Z), -1)
                value, dz = loss_gradient(self.loss, z, y, self.l)
                workspace.backward(parameters, Z, dz, self.net.layout.views(dtheta), inner)
            return value, dtheta

        def consume(result: tuple[float, np.ndarray]) -> None:
            value, dtheta = result
            total.add(value)
            if not sums:
                sums.append(dtheta)
                return
            np.add(sums[0], dtheta, out=sums[0])
            self._gradients.append(dtheta)

        cut, inner = self._cut()
        self.engine.run(evaluate, cut, consume, self.engine.n_threads + 1)
        (gradient,) = sums
        if self.C != np.inf:
            gradient += theta / self.C
        return total.value / self.l + self._penalty(theta), gradient

    def outputs(self, theta: Any) -> np.ndarray:
        """z^{L+1} of every image, shape (l, n_outputs); parameters and errors as for `value`."""
        parameters = self.net.layout.views(self.net.as_theta(theta))
        result = np.empty((self.l, self.net.n_outputs), self.net.dtype)

        def evaluate(part: slice) -> None:
            Z, _ = self._shard(part)
            with self._workspaces.borrow(len(Z)) as workspace:
                out = result[part].reshape(len(Z), *workspace.layers[-1].out_shape)
                workspace.forward(parameters, Z, False, inner, out)

        cut, inner = self._cut()
        self.engine.run(evaluate, cut, lambda done: None)
        return result

    def _penalty(self, theta: np.ndarray) -> float:
        """theta'theta / (2C)."""
        if self.C == np.inf:
            return 0.0
        wide = theta.astype(np.float64, copy=False)
        return float(np.sum(wide * wide)) / (2 * self.C)

    def _cut(self) -> tuple[list[slice], ThreadEngine | None]:
        """The shards; and the engine for use inside of one, if it is the only one."""
        cut = self.net.shards(self.l)
        return cut, self.engine if len(cut) == 1 else None

    def _shard(self, part: slice) -> tuple[np.ndarray, np.ndarray]:
        """Z and y of a shard: Z as the kernels read it, y read-only."""
        where = part if self._indices is None else self._indices[part]
        return np.require(self.Z[where], self.net.dtype, ["C", "A"]), read_only(self.Y[where])


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
