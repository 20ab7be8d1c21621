"""Objective: f(theta) = theta'theta/(2C) + (1/l) sum_i xi(z^{L+1,i}(theta); y^i), and its gradient.

With weights and factors of the regularisation it is the sum of p_j theta_j^2 / (2C) and of
w_i xi_i / sum_i w_i.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .kernels._geometry import as_size
from .kernels.sums import add
from .second_order import SecondOrder
from .sharding import PartialSum, combine, root_of


class Objective(SecondOrder):
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

    def __call__(self, theta: Any) -> float:
        """Return f(theta)."""
        return self.value(theta)

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

        Parameters and errors are those of `value`.

        Returns
        -------
        f : float
        gradient : ndarray, shape (n,)
            A new array, in the network's dtype.
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
            Sums of w_i xi_i, and of its gradient divided by ``total_weight``, over the nodes of the
            tree that make up the run, in the order of their images: a single one if the run
            consists of all leaves of a node.

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
