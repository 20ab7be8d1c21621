"""Products with derivatives for several vectors at once."""

import numpy as np
import pytest
from support.networks import images
from support.second_order import Counted, CurvedError, labelled

from matconv import Objective, curvature


def test_columns_of_hessian_are_products_of_their_own():
    f, theta, _ = labelled(C=2.0)
    at, V = f.linearize(theta), np.random.default_rng(0).standard_normal((f.net.n, 3))
    found = at.hessian(V)
    for k in range(3):
        np.testing.assert_array_equal(found[:, k], at.hessian(V[:, k]))
    np.testing.assert_array_equal(at.H @ V, found)
    np.testing.assert_array_equal(at.H.T @ V[:, 0], found[:, 0])
    assert at.hessian(V[:, :0]).shape == (f.net.n, 0)


@pytest.mark.parametrize("loss", ["softmax", "python"])
@pytest.mark.parametrize("at_once", [16, 2])
def test_columns_share_forward_passes_without_a_budget(loss, at_once, mixed, monkeypatch):
    monkeypatch.setattr(curvature, "COLUMNS", at_once)
    net = mixed("float64")
    Z, y = images(net, 400)
    f = Objective(net, Z, y, CurvedError() if loss == "python" else loss, C=2.0, n_threads=2)
    random, theta = np.random.default_rng(0), net.init(0)
    V, U = random.standard_normal((net.n, 3)), random.standard_normal((400, 3, 3))
    kept, at = f.linearize(theta), f.linearize(theta, keep=0)
    program, calls = at._f._program, []
    for name, columns in (("jvp", V), ("vjp", U), ("gauss_newton", V), ("hessian", V)):
        found = [getattr(kept, name)(columns[..., k]) for k in range(3)]
        at._f._program = Counted(program, calls)
        np.testing.assert_array_equal(getattr(at, name)(columns), np.stack(found, -1))
        at._f._program = program
        assert len(calls) == len(net.shards(400)) * (1 if at_once == 16 else 2)
        calls.clear()
