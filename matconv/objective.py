"""Objective: f(theta) = theta'theta/(2C) + (1/l) sum_i xi(z^{L+1,i}(theta); y^i), and its gradient.

With weights and factors of the regularisation it is the sum of p_j theta_j^2 / (2C) and of
w_i xi_i / sum_i w_i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import numpy as np

from . import per_image
from .arguments import as_budget, as_count, as_indices, as_regularisation, as_weights
from .buffers import Buffers
from .curvature import KEEP, Linearization
from .engines.threads import ThreadEngine
from .evaluation import Evaluation, Sum, sum_leaves
from .factors import as_factors, runs
from .kernels._arrays import contiguous
from .kernels._geometry import as_size
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
from .sharding import Node, PartialSum, combine, root_of


class Objective:
    """f(theta) over all images, and its gradient, for any optimiser of one flat vector.

        f(theta) = theta'theta / (2C) + (1/l) sum_i xi(z^{L+1,i}(theta); y^i)

    With weights w and factors p of the regularisation it is

        f(theta) = sum_j p_j theta_j^2 / (2C) + sum_i w_i xi(z^{L+1,i}(theta); y^i) / sum_i w_i

    where i runs over the samples that are labelled: images, or positions in images.

    The images are cut into shards, and sums over shards are added in an order that depends on the
    network and l alone (`matconv.sharding`). Therefore f and its gradient have the same bits for
    any number of threads, and of processes that share the work (`partial_sums`). The memory that is
    needed in addition to Z does not grow with l.

    An objective can be copied and pickled. ``copy.copy`` shares Z and Y. A pickle contains them, the
    pickle of a subset only its own images. If ``n_threads`` was not given, an unpickled objective
    uses the default number of threads of its own process. Objectives compare by identity.

    Parameters
    ----------
    net : Network
    Z : array, shape (l, height, width, channels)
        Images, in the network's dtype and any memory layout; may be read-only or memory-mapped. Not
        copied: writing into it changes f.
    Y : array, shape (l,) of integer labels, or (l, n_outputs)
        What the loss compares the outputs with. Copied only if it must be converted. A sample with
        the label -1 is not labelled: it is ignored. For dense prediction, by a network with an
        output of shape (height, width, channels), Y has the shape (l, height, width), a label for
        each position, or (l, height, width, channels). Then the samples are positions, and each
        position is compared with its channels. The classes of `matconv.losses` describe what else Y
        may be.
    loss : str or Loss
        A name in `matconv.losses.LOSSES`, or an object as in `matconv.losses`. "squared" by default.
    C : float
        Inverse strength of the regularisation, positive. ``inf``, the default, is none.
    n_threads : int, optional
        Number of threads; `matconv.engines.default_threads` by default.
    algorithm : "auto", "im2col" or "winograd", optional
        Algorithm of the convolutions, see `matconv.conv2d`. By default that of the network.
    output : str, optional
        Name of the layer whose output is passed to the loss; needed for a network with several
        outputs.
    weights : array, shape (l,), optional
        Weights of the images, finite, not negative and not all 0; 1 by default. An image whose
        weight is 0 is not compared with its target. A loss in Python is called once for each weight
        that occurs in a shard.
    penalty : float, dict or array of shape (n,)
        Factors p of the regularisation, finite and not negative; 1 by default. A dict names layers
        and kinds of parameters, as in ``{"biases": 0}`` or ``{"conv1": 2, "dense3.weights": 0.5}``;
        see `matconv.factors`.

    Attributes
    ----------
    net : Network
        The argument, with ``algorithm``.
    l : int
        Number of images.
    total_weight : float
        Sum of the weights of all labelled samples, by which f divides. Without weights their
        number. 0 is possible for a subset: then f is the regularisation alone.
    Z, Y : ndarray
        Images and targets, also those that are not part of a subset. Y is the read-only result of
        ``loss.targets``.
    loss : object
        See `matconv.losses.Loss`.
    C : float
    weights : ndarray or None
        Weights of all images, also those that are not part of a subset.
    penalty : float, dict or ndarray
        The argument, checked.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, the shapes of Z and Y do not fit the network, or no sample of
        positive weight is labelled.

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
        self._tangents = Buffers(self._program.tangent_bytes)
        self._curved = Buffers(self._program.hessian_bytes)
        # of the last two thetas of second-order products, the last used one first
        self._linearizations: list[Linearization] = []

    def __getstate__(self) -> dict[str, Any]:
        left_out = (
            "engine", "_program", "_evaluation", "_gradients", "_tangents", "_curved",
            "_linearizations",
        )  # fmt: skip
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

    def __copy__(self) -> Objective:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._linearizations = []
        return other

    def __call__(self, theta: Any) -> float:
        """Return f(theta)."""
        return self.value(theta)

    def subset(self, indices: Any) -> Objective:
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

    def with_dropout(self, seed: Any, epoch: Any = 0) -> Objective:
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

    def value(self, theta: Any) -> float:
        """Return f(theta).

        Parameters
        ----------
        theta : array, shape (n,)
            In the network's dtype.

        Returns
        -------
        f : float

        Raises
        ------
        TypeError, ValueError
            If theta has another dtype or shape.
        """
        theta = self.net.as_theta(theta)
        ((value, _),) = self._sums(theta).values()
        return self._mean(value, self._squares(theta))

    def gradient(self, theta: Any) -> np.ndarray:
        """Return the gradient of f at theta; see `value_and_gradient`."""
        return self.value_and_gradient(theta)[1]

    def value_and_gradient(self, theta: Any) -> tuple[float, np.ndarray]:
        """Return f(theta) and its gradient, computed in one forward and one backward pass.

        Parameters
        ----------
        theta : array, shape (n,)
            In the network's dtype.

        Returns
        -------
        f : float
        gradient : ndarray, shape (n,)
            A new array, in the network's dtype.

        Raises
        ------
        TypeError, ValueError
            If theta has another dtype or shape.
        """
        theta = self.net.as_theta(theta)
        squares = None

        def add_root(left: np.ndarray, right: np.ndarray) -> None:
            nonlocal squares
            squares = self._regularise(theta, left, right)

        sums = self._sums(theta, gradient=True, add_root=add if self.C == np.inf else add_root)
        ((value, gradient),) = sums.values()
        assert gradient is not None
        if squares is None:
            squares = self._squares(theta, gradient)
        return self._mean(value, squares), gradient

    def outputs(self, theta: Any) -> np.ndarray:
        """Return z^{L+1} of every image, shape (l, n_outputs); parameters and errors as for `value`."""
        theta = self.net.as_theta(theta)
        result = np.empty((self.l, self.n_outputs), self.net.dtype)

        def evaluate(part: slice, prepared: np.ndarray, block: np.ndarray, **sharing: Any) -> None:
            Z = self._shard(part)[0]
            sharing.update(dropout=self._masks(part))
            result[part] = self._program.forward(theta, prepared, Z, block, **sharing)

        shards = self.net.shards(self.l)
        self._evaluation.run(
            theta, shards, evaluate, self.engine.n_threads, shared=len(shards) == 1
        )
        return result

    # second order

    def linearize(self, theta: Any, keep: Any = KEEP) -> Linearization:
        """Return f at one theta, with products with its first and second derivatives.

        Parameters
        ----------
        theta : array, shape (n,)
            In the network's dtype. Copied.
        keep : float
            Bytes of what depends on theta alone that are kept for later products; 0: nothing,
            ``inf``: everything. Results do not depend on it. See `matconv.curvature`.

        Returns
        -------
        at : Linearization

        Raises
        ------
        TypeError, ValueError
            If theta has another dtype or shape, or keep is not a number that is at least 0.
        NotImplementedError
            If a layer has no derivative along a direction.

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Dense, Network, Objective
        >>> net = Network((1, 1, 2), [Dense(3, activation="tanh"), Dense(2)])
        >>> Z, y = np.ones((4, 1, 1, 2)), np.array([0, 1, 1, 0])
        >>> f, theta = Objective(net, Z, y, "softmax", C=10), net.init(0)
        >>> at, v = f.linearize(theta), np.ones(net.n)
        >>> at.value == f(theta), at.jvp(v).shape, bool(v @ at.gauss_newton(v) > v @ v / 10)
        (True, (4, 2), True)
        """
        theta = self.net.as_theta(theta)
        keep = as_budget("Objective: keep", keep)
        step = self._program.without_tangent(False)
        if step >= 0:
            raise NotImplementedError(
                f"Objective: layer {step} ({self.net.layers[step].kind}) has no tangent pass, which "
                "second-order products need"
            )
        # a copy, so that an objective and the linearizations that it keeps form no cycle
        return Linearization(self.__copy__(), theta.copy(), keep)

    def gnp(self, theta: Any, v: Any) -> np.ndarray:
        """Return G v, the product of the Gauss-Newton matrix of f at theta with v.

        What depends on theta alone is kept for the last two thetas, up to the default budget of
        `linearize` for each. They are compared by value: an optimiser may pass copies, and return to
        its last point after a step that it rejects.

        Parameters
        ----------
        theta : array, shape (n,)
            In the network's dtype.
        v : array, shape (n,) or (n, k)
            As for `Linearization.gauss_newton`.

        Returns
        -------
        Gv : ndarray, shape of v

        Raises
        ------
        TypeError, ValueError, NotImplementedError
            As `linearize` and `Linearization.gauss_newton`.

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Dense, Network, Objective
        >>> net = Network((1, 1, 1), [Dense(1, bias=False)])
        >>> f = Objective(net, np.full((2, 1, 1, 1), 3.0), np.zeros((2, 1)))
        >>> f.gnp(np.ones(1), np.ones(1))  # of (3 theta)^2
        array([18.])
        """
        return self._linearized_at(theta).gauss_newton(v)

    def hessp(self, theta: Any, v: Any) -> np.ndarray:
        """Return H v, the product of the Hessian of f at theta with v, as SciPy's ``hessp``.

        What depends on theta alone is kept as by `gnp`.

        Parameters
        ----------
        theta : array, shape (n,)
            In the network's dtype.
        v : array, shape (n,) or (n, k)
            As for `Linearization.hessian`.

        Returns
        -------
        Hv : ndarray, shape of v

        Raises
        ------
        TypeError, ValueError, NotImplementedError
            As `linearize` and `Linearization.hessian`.

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Dense, Network, Objective
        >>> net = Network((1, 1, 1), [Dense(1, bias=False), Dense(1, bias=False)])
        >>> f = Objective(net, np.ones((2, 1, 1, 1)), np.zeros((2, 1)))
        >>> f.hessp(np.array([2.0, 3.0]), np.array([1.0, 0.0]))  # of (theta_1 theta_2)^2
        array([18., 24.])
        """
        return self._linearized_at(theta).hessian(v)

    def gradients(self, theta: Any, indices: Any = None) -> np.ndarray:
        """Return the gradients of xi of single images, not weighted, without the regularisation.

        Parameters
        ----------
        theta : array, shape (n,)
            In the network's dtype.
        indices : array of integers from 0 to l - 1, or slice, optional
            The images, as for `subset`; by default all.

        Returns
        -------
        rows : ndarray, shape (images, n)
            The gradient of xi_i with respect to theta; of the sum of xi over the positions of an
            image, if samples are positions. 0 for an image that is not labelled.

        Raises
        ------
        TypeError, ValueError
            If theta has another dtype or shape, or the indices are invalid.

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Dense, Network, Objective
        >>> net = Network((1, 1, 2), [Dense(1, bias=False)])
        >>> Z = np.array([[1.0, 2], [3, 4]]).reshape(2, 1, 1, 2)
        >>> f = Objective(net, Z, np.array([[1.0], [1.0]]))
        >>> rows = f.gradients(np.zeros(2))
        >>> rows.tolist(), (rows.mean(axis=0) == f.gradient(np.zeros(2))).all().item()
        ([[-2.0, -4.0], [-6.0, -8.0]], True)
        """
        theta = self.net.as_theta(theta)
        part = self if indices is None else self.subset(indices)
        return per_image.gradients(part, theta)

    def gradient_norms(self, theta: Any) -> np.ndarray:
        """Return the norms of the rows of `gradients`, which are not stored.

        Parameters
        ----------
        theta : array, shape (n,)
            In the network's dtype.

        Returns
        -------
        norms : ndarray of float64, shape (l,)

        Raises
        ------
        TypeError, ValueError
            If theta has another dtype or shape.

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Dense, Network, Objective
        >>> net = Network((1, 1, 2), [Dense(1, bias=False)])
        >>> f = Objective(net, np.full((1, 1, 1, 2), 3.0), np.array([[1.0]]))
        >>> f.gradient_norms(np.zeros(2)) ** 2
        array([72.])
        """
        return per_image.gradient_norms(self, self.net.as_theta(theta))

    def gauss_newton_diagonal(self, theta: Any) -> np.ndarray:
        """Return the diagonal of the Gauss-Newton matrix of f, see `Linearization.gauss_newton`.

        It takes a backward pass for each column of a factor of the Hessian of xi, of which there are
        as many as outputs for most losses.

        Parameters
        ----------
        theta : array, shape (n,)
            In the network's dtype.

        Returns
        -------
        diagonal : ndarray, shape (n,)

        Raises
        ------
        TypeError, ValueError
            If theta has another dtype or shape, or the loss is one in Python without the method
            ``factor``; see `matconv.losses.Loss`.

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Dense, Network, Objective
        >>> net = Network((1, 1, 2), [Dense(1, bias=False)])
        >>> Z = np.array([[1.0, 2], [3, 4]]).reshape(2, 1, 1, 2)
        >>> f = Objective(net, Z, np.zeros((2, 1)))
        >>> f.gauss_newton_diagonal(np.zeros(2)), np.diag(f.linearize(np.zeros(2)).G @ np.eye(2))
        (array([10., 20.]), array([10., 20.]))
        """
        return per_image.gauss_newton_diagonal(self, self.net.as_theta(theta))

    def _linearized_at(self, theta: Any) -> Linearization:
        """Return `linearize(theta)`, or one of the last two if theta has the same bytes."""
        theta = self.net.as_theta(theta)
        kept = self._linearizations
        for at in kept:
            if np.array_equal(at.theta.view(np.uint8), theta.view(np.uint8)):
                break
        else:
            at = self.linearize(theta)
        self._linearizations = [at, *(other for other in kept if other is not at)][:2]
        return at

    # evaluation by several processes

    def partial_sums(
        self, theta: Any, first: int, last: int, gradient: bool = True
    ) -> list[PartialSum]:
        """Return the sums of xi and of its gradient over a run of leaves.

        Several processes can share the images: each evaluates a run of the leaves,
        ``net.leaves(l)``, and `from_partial_sums` computes from their results what
        `value_and_gradient` returns, with the same bits. `matconv.sharding` defines the order of
        the sums.

        Parameters
        ----------
        theta : array, shape (n,)
        first, last : int
            The run consists of the leaves first to last - 1.
        gradient : bool
            Whether to compute the gradient too.

        Returns
        -------
        sums : list of PartialSum
            Sums of w_i xi_i, and of its gradient divided by ``total_weight``, over the nodes of the tree that make up the run, in the order of their images: a
            single one if the run consists of all leaves of a node.

        Raises
        ------
        TypeError, ValueError
            If theta has another dtype or shape, or there are no such leaves.

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Dense, Network, Objective
        >>> net = Network((1, 1, 2), [Dense(3)])
        >>> Z, y = np.ones((1200, 1, 1, 2)), np.arange(1200) % 3
        >>> f, theta = Objective(net, Z, y, "softmax", C=10), net.init(0)
        >>> leaves = len(net.leaves(f.l))
        >>> one, other = f.partial_sums(theta, 0, 3), f.partial_sums(theta, 3, leaves)
        >>> leaves, [(x.level, x.index) for x in one + other]
        (5, [(1, 0), (0, 2), (0, 3), (2, 1)])
        >>> f.from_partial_sums(theta, one + other)[0] == f.value(theta)
        True
        """
        theta = self.net.as_theta(theta)
        leaves = len(self.net.leaves(self.l))
        first, last = as_size("Objective", "first", first), as_size("Objective", "last", last)
        if not 0 <= first < last <= leaves:
            raise ValueError(
                f"Objective: first and last must be leaves, 0 <= first < last <= {leaves}, "
                f"got {first} and {last}"
            )
        sums = self._sums(theta, range(first, last), gradient=gradient)
        return combine([PartialSum(*node, *sum) for node, sum in sums.items()], leaves)

    def from_partial_sums(
        self, theta: Any, sums: Iterable[PartialSum]
    ) -> tuple[float, np.ndarray | None]:
        """Return f(theta) and its gradient from the sums over all leaves.

        Parameters
        ----------
        theta : array, shape (n,)
        sums : iterable of PartialSum
            Results of `partial_sums` or `matconv.sharding.combine`, of all leaves, in any order.

        Returns
        -------
        f : float
        gradient : ndarray, shape (n,), or None
            None if the sums have no gradients.

        Raises
        ------
        TypeError, ValueError
            If theta has another dtype or shape, or a leaf is missing or given twice.
        """
        theta = self.net.as_theta(theta)
        leaves = len(self.net.leaves(self.l))
        given = list(sums)
        combined = combine(given, leaves)
        if [(one.level, one.index) for one in combined] != [root_of(leaves)]:
            raise ValueError(f"Objective: sums must be of all {leaves} leaves, some are missing")
        value, gradient = combined[0].value, combined[0].gradient
        if gradient is not None and len(given) == 1:
            gradient = gradient.copy()
        return self._mean(value, self._squares(theta, gradient)), gradient

    # parts of an evaluation

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

    def regularisation(self, theta: Any) -> float:
        """Return the part of f that depends on theta alone; parameters and errors as for `value`."""
        return self._squares(self.net.as_theta(theta)) / (2 * self.C)

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
        y = self.Y[where]
        weights = None if self.weights is None else self.weights[where]
        return contiguous(self.Z[where]), contiguous(y) if self._code else read_only(y), weights

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
