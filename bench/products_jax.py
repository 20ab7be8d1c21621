"""Products with derivatives in JAX, compiled: linearize and vjp, whose results are kept, and jvp.

Gradients of single images by vmap are left out: of LeNet they take more than a hundred gradients.
"""

import jax
import peers_jax
from peers import product_passes, product_side

FORMS = peers_jax.FORMS


def products(case, dtype, threads, form):
    """Each pass is one compiled function, or two of which the first keeps what the other needs."""
    values, Z, y, outputs, loss = peers_jax.functions(case, dtype, threads)
    v = jax.device_put(case.arrays(case.v, dtype))
    u, l = jax.device_put(case.u.astype(dtype)), len(Z)

    def of_theta(Z):
        return lambda values: outputs(values, Z).reshape(len(Z), -1)

    def linearized(values, Z):
        return jax.linearize(of_theta(Z), values)[1]

    def pulled(values, Z):
        return jax.vjp(of_theta(Z), values)[1]

    def gradient(Z, y):
        return lambda values: jax.grad(loss)(values, Z, y)

    def both(values, Z):
        z, pull = jax.vjp(of_theta(Z), values)
        return linearized(values, Z), pull, jax.nn.softmax(z, axis=1)

    def curved(p, tz):
        return p * (tz - (p * tz).sum(1, keepdims=True)) / l

    def gauss_newton(kept, v):
        push, pull, p = kept
        return pull(curved(p, push(v)))

    def compiled(function, *arguments):
        made = jax.jit(function)
        return lambda: jax.block_until_ready(made(*arguments))

    def applied(function, argument):
        made = jax.jit(function)
        return lambda kept: jax.block_until_ready(made(kept, argument))

    def called(kept, argument):
        return kept(argument)

    ways = {
        "jvp": (compiled(linearized, values, Z), applied(called, v)),
        "vjp": (compiled(pulled, values, Z), applied(called, u)),
        "gauss_newton": (compiled(both, values, Z), applied(gauss_newton, v)),
        "hessian": (
            compiled(lambda p, Z, y: jax.linearize(gradient(Z, y), p)[1], values, Z, y),
            applied(called, v),
        ),
    }
    scratch = {
        "jvp": compiled(lambda p, Z, v: jax.jvp(of_theta(Z), (p,), (v,))[1], values, Z, v),
        "vjp": compiled(lambda p, Z, u: pulled(p, Z)(u), values, Z, u),
        "gauss_newton": compiled(lambda p, Z, v: gauss_newton(both(p, Z), v), values, Z, v),
        "hessian": compiled(
            lambda p, Z, y, v: jax.jvp(gradient(Z, y), (p,), (v,))[1], values, Z, y, v
        ),
    }
    passes = product_passes(ways, scratch)

    def vector(found):
        return case.vector(jax.tree.leaves(found))

    return product_side(f"jax {dtype}", dtype, passes, vector, form=form)
