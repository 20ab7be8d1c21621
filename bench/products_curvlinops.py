"""curvlinops: linear operators of PyTorch modules, which keep nothing between products."""

import functools

import peers_torch
import torch
from curvlinops import (
    GGNLinearOperator,
    HessianLinearOperator,
    JacobianLinearOperator,
    TransposedJacobianLinearOperator,
)
from peers import product_passes, product_side
from products_torch import Model, flat

FORMS = peers_torch.FORMS


class _Module(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.values = torch.nn.ParameterList(map(torch.nn.Parameter, model.parameters))
        self._outputs = model.outputs

    def forward(self, Z):
        return self._outputs(list(self.values), Z)


def products(case, dtype, threads, form):
    """A kept product has an operator that was made before, from scratch it is made for each."""
    model = Model(case, dtype, form)
    module = _Module(model)
    parameters, data = list(module.parameters()), [(model.Z, model.y)]
    loss = torch.nn.CrossEntropyLoss()
    v, u = model.like_parameters(case.v), torch.tensor(case.u.astype(dtype))

    def of_outputs(kind):
        return lambda: kind(module, parameters, data, check_deterministic=False)

    def of_loss(kind):
        return lambda: kind(module, loss, parameters, data, check_deterministic=False)

    passes = product_passes(
        {
            "jvp": (of_outputs(JacobianLinearOperator), lambda J: (J @ v)[0]),
            "vjp": (of_outputs(TransposedJacobianLinearOperator), lambda JT: JT @ [u]),
            "gauss_newton": (of_loss(GGNLinearOperator), lambda G: G @ v),
            "hessian": (of_loss(HessianLinearOperator), lambda H: H @ v),
        }
    )
    about = {"context": functools.partial(peers_torch.limit, threads), "form": form}
    return product_side(f"curvlinops {dtype}", dtype, passes, flat(case), **about)
