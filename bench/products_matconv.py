"""matconv's own products with derivatives; its gradient, which they are counted in; budgets.

Of `products` the form "gradient" is a peer: each pass is f and its gradient.
"""

import math

import nets
import peers_matconv
from peers import BUDGETS, PRODUCTS, Side, net_side, product_passes, product_side

import matconv

FORMS = ("auto",)


def _objective(case, dtype, threads, form="auto"):
    built, theta = peers_matconv.network(case, dtype, form)
    Z, y = case.data[0].astype(dtype, copy=False), case.data[1]
    return matconv.Objective(built, Z, y, loss=case.net.loss, n_threads=threads), theta


def products(case, dtype, threads, form="auto"):
    """Passes of `peers.PRODUCTS`; a kept product has everything of a linearization."""
    algorithm = "auto" if form == "gradient" else form
    objective, theta = _objective(case, dtype, threads, algorithm)
    v, u = case.v.astype(dtype), case.u.astype(dtype)
    if form == "gradient":
        passes = dict.fromkeys(PRODUCTS, lambda: objective.value_and_gradient(theta))
        return Side("matconv's gradient", theta.dtype, passes, lambda which: {}, form=None)

    def linearized():
        return objective.linearize(theta, math.inf)

    ways = {
        "jvp": (linearized, lambda at: at.jvp(v)),
        "vjp": (linearized, lambda at: at.vjp(u)),
        "gauss_newton": (linearized, lambda at: at.gauss_newton(v)),
        "hessian": (linearized, lambda at: at.hessian(v)),
    }
    # without a budget: nothing is kept for a second product
    scratch = {
        name: lambda product=product: product(objective.linearize(theta, 0))
        for name, (_, product) in ways.items()
    }
    passes = product_passes(ways, scratch)
    passes["gradient_norms"] = lambda: objective.gradient_norms(theta)
    passes["gauss_newton_diagonal"] = lambda: objective.gauss_newton_diagonal(theta)
    return product_side(f"matconv {algorithm}", dtype, passes, lambda x: x)


def net(case, dtype, threads, form):
    """The passes of `peers.BUDGETS` as gradients, for `memory.child`."""
    objective, theta = _objective(case, dtype, threads, form)
    v = nets.direction(len(theta)).astype(dtype)

    def product(name, keep):
        at = []

        def call():
            at[:] = at or [objective.linearize(theta, keep)]
            return 0.0, [getattr(at[0], name)(v)]

        return call

    passes = {key: product(*value) for key, value in BUDGETS.items() if value}
    passes["gradient"] = lambda: (0.0, [objective.value_and_gradient(theta)[1]])
    return net_side(f"matconv {form}", dtype, passes)
