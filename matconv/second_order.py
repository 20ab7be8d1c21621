"""Methods of an objective that return products with second derivatives, or gradients of images."""

from __future__ import annotations

from typing import Any, ClassVar, Self
from zlib import crc32

import numpy as np

from . import per_image
from .arguments import as_budget
from .buffers import Buffers
from .curvature import KEEP, Linearization
from .terms import Terms


class SecondOrder(Terms):
    """Products with second derivatives of an objective, and gradients of single images.

    Base class of `matconv.Objective`, which documents the parameters and attributes.
    """

    _not_pickled: ClassVar[tuple[str, ...]] = (
        *Terms._not_pickled, "_tangents", "_curved", "_linearizations",
    )  # fmt: skip

    def _set_program(self) -> None:
        super()._set_program()
        self._tangents = Buffers(self._program.tangent_bytes)
        self._curved = Buffers(self._program.hessian_bytes)
        # of the last two thetas of `gnp` and `hessp`, the last used one first, each with the
        # checksum of the data
        self._linearizations: list[tuple[Linearization, int]] = []

    def __copy__(self) -> Self:
        other = super().__copy__()
        other._linearizations = []
        return other

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
        its last point after a step that it rejects. So are Z, Y and the weights, by a checksum, and
        attributes by identity: a product is always that of the present f.

        Parameters
        ----------
        theta : array, shape (n,)
            As for `linearize`.
        v : array, shape (n,) or (n, k)
            As for `Linearization.gauss_newton`, but real elements of another dtype are converted to
            the network's: SciPy's trust-constr passes integers once.

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
        return self._linearized_at(theta).gauss_newton(self._as_direction(v))

    def hessp(self, theta: Any, v: Any) -> np.ndarray:
        """Return H v, the product of the Hessian of f at theta with v, as SciPy's ``hessp``.

        Parameters, errors and what is kept are those of `gnp`, with `Linearization.hessian`.

        Returns
        -------
        Hv : ndarray, shape of v

        Examples
        --------
        >>> import numpy as np
        >>> from matconv import Dense, Network, Objective
        >>> net = Network((1, 1, 1), [Dense(1, bias=False), Dense(1, bias=False)])
        >>> f = Objective(net, np.ones((2, 1, 1, 1)), np.zeros((2, 1)))
        >>> f.hessp(np.array([2.0, 3.0]), np.array([1.0, 0.0]))  # of (theta_1 theta_2)^2
        array([18., 24.])
        """
        return self._linearized_at(theta).hessian(self._as_direction(v))

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

        Parameters and errors are those of `gradients`, for all images.

        Returns
        -------
        norms : ndarray of float64, shape (l,)

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
        as many as outputs for most losses. Parameters and errors are those of `Objective.value`;
        TypeError also if the loss is one in Python without the method ``factor``, see
        `matconv.losses.Loss`.

        Returns
        -------
        diagonal : ndarray, shape (n,)

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
        """Return `linearize(theta)`, or one of the last two if nothing has changed."""
        theta = self.net.as_theta(theta)
        checksum, kept = self._checksum(), self._linearizations
        for at, known in kept:
            same = np.array_equal(at.theta.view(np.uint8), theta.view(np.uint8))
            if same and known == checksum and self._has_attributes_of(at):
                break
        else:
            at = self.linearize(theta)
        others = [one for one in kept if one[0] is not at]
        self._linearizations = [(at, checksum), *others][:2]
        return at

    def _checksum(self) -> int:
        """Return a checksum of the images, targets and weights."""
        checksum = 0
        for part in self.net.shards(self.l):
            for array in self._shard(part):
                if array is not None:
                    checksum = crc32(np.ascontiguousarray(array).data, checksum)
        return checksum

    def _has_attributes_of(self, at: Linearization) -> bool:
        """Return whether no attribute has been set since a linearization was made."""
        then = vars(at._f)
        return all(
            then.get(name) is value
            for name, value in vars(self).items()
            if name != "_linearizations"
        )

    def _as_direction(self, v: Any) -> Any:
        """Return an array v in the network's dtype if it is real."""
        if isinstance(v, np.ndarray) and v.dtype.kind in "fiub":
            return v.astype(self.net.dtype, copy=False)
        return v
