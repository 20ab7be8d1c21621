"""Products with derivatives in PyTorch: by backward passes through kept graphs, and by torch.func.

Both compute the product with B, of the loss with respect to the outputs, in closed form.  Which is
faster differs by product and by memory format; the fastest is measured.
"""

import functools

import graphs
import peers_torch
import torch
import torch.func
from peers import product_passes, product_side

FORMS = tuple(f"{name}, {way}" for way in ("backward", "func") for name in peers_torch.FORMS)


class Model:
    """Outputs (l, n_outputs) and f as functions of the parameters, a list in the order of theta."""

    def __init__(self, case, dtype, form):
        self._case, self._dtype, self._form = case, dtype, form
        self._layers = self._with_arrays(case.theta)
        self.parameters = self._leaves(self._layers)
        self.Z = peers_torch.tensor(case.data[0], dtype, form)
        self.y = torch.tensor(case.data[1])

    def _with_arrays(self, vector):
        walk = graphs.walk(self._case.net.network, vector.astype(self._dtype), first=True)
        return [(node, peers_torch.parameters(node, x, self._form)) for node, x in walk]

    @staticmethod
    def _leaves(layers):
        return [one for _, arrays in layers for one in arrays if one.requires_grad]

    def like_parameters(self, vector):
        """A vector with the layout of theta as a list like the parameters."""
        return [one.detach() for one in self._leaves(self._with_arrays(vector))]

    def outputs(self, values, Z=None):
        values, layers = iter(values), []
        for node, arrays in self._layers:
            layers.append((node, [next(values) if x.requires_grad else x for x in arrays]))
        return peers_torch.evaluate(layers, self.Z if Z is None else Z).flatten(1)

    def loss(self, values, Z=None, y=None):
        y = self.y if y is None else y
        return torch.nn.functional.cross_entropy(self.outputs(values, Z), y)

    def hessian_product(self, z):
        """The function tz -> B tz at outputs z: p (tz - p'tz) / l with p of softmax."""
        p = torch.softmax(z.detach(), 1) / len(z)
        return lambda tz: p * (tz - len(z) * (p * tz).sum(1, keepdim=True))


def _backward_passes(model, v, u):
    """Graphs that are kept; J v is the derivative of J'w with respect to w."""
    parameters = model.parameters
    again = functools.partial(torch.autograd.grad, retain_graph=True)

    def outputs():
        return model.outputs(parameters)

    def transposed():
        z = outputs()
        w = torch.zeros_like(z, requires_grad=True)
        slopes = torch.autograd.grad(z, parameters, w, create_graph=True)
        return z, w, slopes, model.hessian_product(z)

    def jvp(kept):
        _, w, slopes, _ = kept
        return again(slopes, w, v)[0]

    def gauss_newton(kept):
        z, *_, B = kept
        return again(z, parameters, B(jvp(kept)))

    def gradient():
        return torch.autograd.grad(model.loss(parameters), parameters, create_graph=True)

    return product_passes(
        {
            "jvp": (transposed, jvp),
            "vjp": (outputs, lambda z: again(z, parameters, u)),
            "gauss_newton": (transposed, gauss_newton),
            "hessian": (gradient, lambda slopes: again(slopes, parameters, v)),
        }
    )


def _func_passes(model, v, u):
    """`torch.func`: linearize and vjp; jvp where nothing is kept; vmap of the gradient."""
    values, v = tuple(x.detach() for x in model.parameters), tuple(v)

    def outputs(*values):
        return model.outputs(values)

    def loss(*values):
        return model.loss(values)

    gradient = torch.func.grad(loss, tuple(range(len(values))))

    def both():
        z, pushed = torch.func.linearize(outputs, *values)
        return pushed, torch.func.vjp(outputs, *values)[1], model.hessian_product(z)

    def gauss_newton():
        z, tz = torch.func.jvp(outputs, values, v)
        return torch.func.vjp(outputs, *values)[1](model.hessian_product(z)(tz))

    def gradient_norms():
        one = torch.func.grad(lambda values, z, y: model.loss(values, z[None], y[None]))
        rows = torch.func.vmap(one, (None, 0, 0))(values, model.Z, model.y)
        return sum(row.flatten(1).square().sum(1) for row in rows).sqrt()

    scratch = {
        "jvp": lambda: torch.func.jvp(outputs, values, v)[1],
        "gauss_newton": gauss_newton,
        "hessian": lambda: torch.func.jvp(gradient, values, v)[1],
    }
    ways = {
        "jvp": (lambda: torch.func.linearize(outputs, *values)[1], lambda pushed: pushed(*v)),
        "vjp": (lambda: torch.func.vjp(outputs, *values)[1], lambda pulled: pulled(u)),
        "gauss_newton": (both, lambda kept: kept[1](kept[2](kept[0](*v)))),
        "hessian": (lambda: torch.func.linearize(gradient, *values)[1], lambda push: push(*v)),
    }
    return {**product_passes(ways, scratch), "gradient_norms": gradient_norms}


_WAYS = {"backward": _backward_passes, "func": _func_passes}


def flat(case):
    """Function that makes a vector with the layout of theta of a list of tensors."""
    return lambda arrays: case.vector([x.detach().contiguous().numpy() for x in arrays], True)


def products(case, dtype, threads, form):
    """The passes of one of the `FORMS`."""
    memory, _, way = form.partition(", ")
    model = Model(case, dtype, memory)
    u = torch.tensor(case.u.astype(dtype))
    passes = _WAYS[way](model, model.like_parameters(case.v), u)
    about = {"context": functools.partial(peers_torch.limit, threads), "form": form}
    return product_side(f"torch {dtype}, {form}", dtype, passes, flat(case), **about)
