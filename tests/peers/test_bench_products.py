"""The benchmark's products with derivatives by other libraries are matconv's."""

import cases
import nets
import peers
import pytest

from matconv import Conv, MaxPool, Network

# PyTorch warns of what curvlinops, BackPACK and its own linearize call
pytestmark = pytest.mark.filterwarnings("ignore")

LAYERS = [
    *(nets.conv(6, 3, pad=1), MaxPool(2), Conv(4, (2, 3), bias=False)),
    *nets.dense(7, 3),
]


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """A small network by name."""
    monkeypatch.setitem(nets.NETS, "small", nets.Net(Network((9, 8, 2), LAYERS), 5))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("peer", peers.DERIVATIVES)
def test_products_of_a_peer_are_those_of_matconv(peer, dtype):
    case, seen = cases.ProductCase("small"), set()
    for side in peers.sides(case, peer, dtype, 1, "auto"):
        for which in side.passes:
            assert case.check(side, which) <= nets.PRODUCTS[dtype]
        seen |= side.passes.keys()
    assert seen == {*peers.PEERS[peer].products}


@pytest.mark.parametrize("peer", peers.DERIVATIVES)
def test_products_of_a_peer_at_another_theta_are_refused(peer):
    case = cases.ProductCase("small")
    which = peers.PEERS[peer].products[-1]
    case.check(peers.sides(case, "gradient", "float64", 1, "auto")[0], which)  # sets the truth
    case.theta *= 1.01
    for side in peers.sides(case, peer, "float64", 1, "auto"):
        if which in side.passes:
            with pytest.raises(ArithmeticError, match=f"^.*, small: {which} differs by "):
                case.check(side, which)
