"""Linearization: products with the Jacobian of the outputs, and with matrices of second derivatives.

J is the Jacobian of all outputs z^{L+1,i}(theta) with respect to theta, B the Hessian of xi with
respect to the outputs. Products with J are derivatives along a direction v, computed in a forward
pass beside that of the outputs; products with J' are backward passes:

    J v      R{z^{L+1}}, where R{S} = V phi(Z) + W phi(R{Z}) and R{Z^1} = 0
    J'u      the gradient of u'z^{L+1}
    G v      J'B J v / l + v / C
    H v      the derivative of the gradient of f along v: that of J'dz, with R{dz} = B J v,
             R{dW} = R{dS} phi(Z)' + dS phi(R{Z})' and vec(R{dZ}) = P_phi' vec(W'R{dS} + V'dS)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .buffers import Buffers
from .evaluation import sum_leaves
from .kernels._arrays import as_array
from .kernels.sums import add
from .products import ShardProducts

if TYPE_CHECKING:
    from .operators import ProductOperator

Array = np.ndarray

# default of the budget in bytes for what depends on theta alone
KEEP = 256e6
# maximum number of vectors whose products are computed at the same time, and the bytes of their
# prepared and summed elements
COLUMNS = 16
COLUMNS_BYTES = 1 << 27


class Linearization:
    """An objective at one theta: its value and gradient, and products with its derivatives.

    `Objective.linearize` returns it. ``value``, ``gradient``, `gauss_newton` and `hessian` are those
    of f, the mean over all images with the regularisation; `jvp` and `vjp` are those of the outputs.
    Sums over images are added in the order of `matconv.sharding`, so that all results have the same
    bits for any number of threads.

    What depends on theta alone is kept from the first product on that needs it, within the budget
    ``keep``: first the parameters that are prepared for the passes, then the outputs of all layers,
    shard by shard, and then, for products with the Hessian, the gradients of these outputs. The rest
    is computed again for each product, but forward passes only once for up to 16 columns of v. The
    results have the same bits for any budget. Z and Y must not be written into meanwhile. A
    linearization can be copied and pickled; the copy computes again what was kept.

    Attributes
    ----------
    theta : ndarray, shape (n,)
        Read-only.

    Examples
    --------
    The step of a Gauss-Newton method, by conjugate gradients:

    >>> import numpy as np
    >>> from scipy.sparse.linalg import cg
    >>> from matconv import Dense, Network, Objective
    >>> net = Network((1, 1, 2), [Dense(1)])
    >>> Z = np.array([[1.0, 2], [3, 4], [5, 5]]).reshape(3, 1, 1, 2)
    >>> f = Objective(net, Z, np.array([[4.0], [8], [11]]))
    >>> at = f.linearize(np.zeros(3))
    >>> step, _ = cg(at.G, -at.gradient, rtol=1e-12)
    >>> bool(f(step) < 1e-12)  # the network is linear in theta
    True
    >>> at.jvp(step).shape, at.vjp(np.ones((3, 1))).tolist()
    ((3, 1), [9.0, 11.0, 3.0])
    """

    def __init__(self, objective: Any, theta: Array, keep: float) -> None:
        # an Objective; its members are used as if this were a part of its class
        self._f = objective
        self._keep = keep
        self.theta = theta
        self.theta.flags.writeable = False
        self._known: tuple[float, Array] | None = None
        self._filters: Array | None = None
        left = keep - self._f._program.prepared_bytes
        self._keeps_filters = left >= 0
        self._shards = ShardProducts(self._f, self.theta, left)

    def __reduce__(self) -> tuple[Any, ...]:
        # without what is kept
        return Linearization, (self._f, self.theta.copy(), self._keep)

    @property
    def value(self) -> float:
        """f(theta)."""
        return self._value_and_gradient()[0]

    @property
    def gradient(self) -> Array:
        """The gradient of f at theta, shape (n,); read-only."""
        return self._value_and_gradient()[1]

    @property
    def J(self) -> ProductOperator:
        """The Jacobian of the outputs, a SciPy LinearOperator of shape (l * n_outputs, n).

        ``J @ v`` is ``jvp(v).ravel()``, and ``J.T @ u.ravel()`` is ``vjp(u)``. Real vectors of
        another dtype are converted to the network's.
        """
        from .operators import ProductOperator

        shape = self._f.l * self._f.n_outputs, len(self.theta)
        return ProductOperator(self.theta.dtype, shape, self._flat_jvp, self._flat_vjp)

    @property
    def G(self) -> ProductOperator:
        """The Gauss-Newton matrix of f, a SciPy LinearOperator of shape (n, n); see `J`."""
        return self._symmetric(self.gauss_newton)

    @property
    def H(self) -> ProductOperator:
        """The Hessian of f, a SciPy LinearOperator of shape (n, n); see `J`."""
        return self._symmetric(self.hessian)

    def jvp(self, v: Any) -> Array:
        """Return J v, the derivative of all outputs along v.

        Parameters
        ----------
        v : array, shape (n,) or (n, k)
            In the network's dtype; columns are separate directions.

        Returns
        -------
        Jv : ndarray, shape (l, n_outputs) or (l, n_outputs, k)

        Raises
        ------
        TypeError, ValueError
            If v has another dtype or shape.
        """
        return self._by_columns("v", v, (len(self.theta),), self._jvp)

    def vjp(self, u: Any) -> Array:
        """Return J'u, the gradient of the sum of all elements of u z^{L+1}.

        Parameters
        ----------
        u : array, shape (l, n_outputs) or (l, n_outputs, k)
            In the network's dtype.

        Returns
        -------
        JTu : ndarray, shape (n,) or (n, k)

        Raises
        ------
        TypeError, ValueError
            If u has another dtype or shape.
        """
        return self._by_columns("u", u, (self._f.l, self._f.n_outputs), self._vjp)

    def gauss_newton(self, v: Any) -> Array:
        """Return G v, the product with the Gauss-Newton matrix of f.

        G is J'BJ divided by l, or by the total weight, with B multiplied by the weights, plus the
        diagonal matrix of p / C. For a convex loss it is positive semidefinite, and without
        regularisation it is the Hessian of f if the network is linear.

        Parameters
        ----------
        v : array, shape (n,) or (n, k)
            In the network's dtype; columns are separate vectors.

        Returns
        -------
        Gv : ndarray, shape of v

        Raises
        ------
        TypeError, ValueError
            If v has another dtype or shape, or the loss is one in Python without the method
            ``hessian_product``; see `matconv.losses.Loss`.
        """
        return self._by_columns("v", v, (len(self.theta),), self._curvature)

    def hessian(self, v: Any) -> Array:
        """Return H v, the product with the Hessian of f: the derivative of its gradient along v.

        It is exact, without differences. Where the gradient has kinks, as at 0 in a ReLU or where
        the maximum of a window changes, the derivative is that of the piece that the forward pass is
        on. H is symmetric, but not positive semidefinite in general.

        Parameters
        ----------
        v : array, shape (n,) or (n, k)
            In the network's dtype; columns are separate vectors.

        Returns
        -------
        Hv : ndarray, shape of v

        Raises
        ------
        TypeError, ValueError
            As `gauss_newton`.
        NotImplementedError
            If a layer has no second derivative.
        """
        step = self._f._program.without_tangent(True)
        if step >= 0:
            raise NotImplementedError(
                f"Linearization: layer {step} ({self._f.net.layers[step].kind}) has no pass "
                "tangent_backward, which products with the Hessian need"
            )
        return self._by_columns("v", v, (len(self.theta),), partial(self._curvature, exact=True))

    # products with the columns of an array; results with a row for each

    def _jvp(self, columns: list[Array]) -> Array:
        f = self._f
        program, shards = f._program, f.net.shards(f.l)
        results = np.empty((len(columns), f.l, f.n_outputs), self.theta.dtype)
        with self._directions(columns, False) as directions:

            def evaluate(part: slice, prepared: Array, block: Array, **sharing: Any) -> None:
                sharing.update(dropout=f._masks(part))
                state, Z = self._shards.forward(part, prepared, block, sharing)
                t_block = f._tangents.take()
                for direction, result in zip(directions, results, strict=True):
                    result[part] = program.tangent(
                        self.theta, prepared, *direction, len(Z), block, t_block, state=state,
                        **sharing,
                    )  # fmt: skip
                f._tangents.give(t_block, f.engine.n_threads)

            f._evaluation.run(
                self.theta, shards, evaluate, f.engine.n_threads, shared=len(shards) == 1,
                helper_bytes=program.tangent_bytes, prepared=self._prepared(),
            )  # fmt: skip
        return results

    def _vjp(self, columns: list[Array]) -> Array:
        f = self._f

        def sum_shard(
            part: slice, prepared: Array, block: Array, products: Array, add: bool,
            sharing: dict[str, Any],
        ) -> float:  # fmt: skip
            sharing = {**sharing, "dropout": f._masks(part)}
            state, Z = self._shards.forward(part, prepared, block, sharing)
            for u, product in zip(columns, self._rows(products, len(columns)), strict=True):
                f._program.backward(
                    self.theta, prepared, Z, u[part], block, product, state=state, add=add,
                    **sharing,
                )  # fmt: skip
            return 0.0

        return self._sum(sum_shard, len(columns))

    def _curvature(self, columns: list[Array], exact: bool = False) -> Array:
        """Return G v or, if exact, H v for each column v."""
        f = self._f
        buffers = f._curved if exact else f._tangents
        with self._directions(columns, exact) as directions:

            def sum_shard(
                part: slice, prepared: Array, block: Array, products: Array, add: bool,
                sharing: dict[str, Any],
            ) -> float:  # fmt: skip
                sharing = {**sharing, "dropout": f._masks(part)}
                state, Z = self._shards.forward(part, prepared, block, sharing)
                blocks = block, buffers.take()
                rows = self._rows(products, len(columns))
                for direction, product in zip(directions, rows, strict=True):
                    self._shards.curvature(
                        part, prepared, direction, blocks, state, Z, product, exact, add, sharing
                    )
                buffers.give(blocks[1], f.engine.n_threads)
                return 0.0

            if f.C == np.inf:
                return self._sum(sum_shard, len(columns), helper_bytes=buffers.nbytes)
            regularised = False

            def add_root(left: Array, right: Array) -> None:
                nonlocal regularised
                rows = (self._rows(products, len(columns)) for products in (left, right))
                for v, product, other in zip(columns, *rows, strict=True):
                    f._regularise(v, product, other)
                regularised = True

            products = self._sum(sum_shard, len(columns), add_root, buffers.nbytes)
        if not regularised:
            for v, product in zip(columns, products, strict=True):
                f._regularise(v, product)
        return products

    # parts of a product

    @contextmanager
    def _directions(
        self, columns: list[Array], backward: bool
    ) -> Iterator[list[tuple[Array, Array]]]:
        """Return (v, v prepared) for each column v, for both passes if ``backward``."""
        with ExitStack() as stack:
            prepared = self._f._evaluation.prepared
            yield [(v, stack.enter_context(prepared(v, backward))) for v in columns]

    def _rows(self, products: Array, count: int) -> Array:
        """Return the products of ``count`` columns as rows."""
        return products.reshape(count, len(self.theta))

    def _sum(
        self,
        sum_shard: Callable[..., float],
        count: int,
        add_root: Callable[[Array, Array], object] = add,
        helper_bytes: int = 0,
    ) -> Array:
        """Return the sums over all images of the vectors of shards, ``count`` of them."""
        f = self._f
        leaves = f.net.leaves(f.l)
        buffers = f._gradients if count == 1 else Buffers(count * self.theta.nbytes)
        sums = sum_leaves(
            f._evaluation,
            self.theta,
            leaves,
            range(len(leaves)),
            sum_shard,
            f.engine.n_threads,
            buffers,
            add_root,
            helper_bytes,
            self._prepared(),
        )
        ((_, products),) = sums.values()
        assert products is not None
        return self._rows(products, count)

    def _by_columns(
        self,
        name: str,
        value: Any,
        shape: tuple[int, ...],
        product: Callable[[list[Array]], Array],
    ) -> Array:
        """Return the products of an array, or of each of k arrays, along a further last axis."""
        array = as_array("Linearization", name, value)
        self._f.net.layout.check_dtype(f"Linearization: {name}", array)
        if array.shape[: len(shape)] != shape or array.ndim > len(shape) + 1:
            wanted = ", ".join(map(str, shape))
            one = f"({wanted},)" if len(shape) == 1 else f"({wanted})"
            raise ValueError(
                f"Linearization: {name} must have shape {one} or ({wanted}, k), got {array.shape}"
            )
        if array.ndim == len(shape):
            return product([np.require(array, self.theta.dtype, ["C", "A"])])[0]
        columns = [
            np.require(array[..., k], self.theta.dtype, ["C", "A"]) for k in range(array.shape[-1])
        ]
        if not columns:
            return product([np.zeros(shape, self.theta.dtype)])[0][..., np.newaxis][..., :0]
        at_once = self._columns_at_once()
        parts = [product(columns[k : k + at_once]) for k in range(0, len(columns), at_once)]
        return np.moveaxis(np.concatenate(parts), 0, -1).copy()

    def _columns_at_once(self) -> int:
        """Return how many vectors share the forward passes that are computed again."""
        nbytes = self._f._program.prepared_bytes + self.theta.nbytes
        return max(1, min(COLUMNS, COLUMNS_BYTES // max(nbytes, 1)))

    def _symmetric(self, product: Callable[[Array], Array]) -> ProductOperator:
        """Return the operator of a symmetric matrix of shape (n, n)."""
        from .operators import ProductOperator

        n = len(self.theta)
        return ProductOperator(self.theta.dtype, (n, n), product, product)

    def _prepared(self) -> Array | None:
        """Return theta prepared for both passes; None if it is not kept."""
        if self._filters is None and self._keeps_filters:
            self._filters = self._f._evaluation.prepare(self.theta, True)
        return self._filters

    def _value_and_gradient(self) -> tuple[float, Array]:
        if self._known is None:
            value, gradient = self._f.value_and_gradient(self.theta)
            gradient.flags.writeable = False
            self._known = value, gradient
        return self._known

    def _flat_jvp(self, v: Array) -> Array:
        return self.jvp(v).reshape(self._f.l * self._f.n_outputs, *v.shape[1:])

    def _flat_vjp(self, u: Array) -> Array:
        return self.vjp(u.reshape(self._f.l, self._f.n_outputs, *u.shape[1:]))
