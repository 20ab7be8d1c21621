"""Normal: initial values of Conv and Dense, its place in descriptions, bad arguments."""

import json
import re

import numpy as np
import pytest

from matconv import Conv, Dense, Network
from matconv.layers import Normal
from matconv.presets import make_network


def net(*inits):
    layers = [Conv(40, 5, groups=2, init=inits[0]), Dense(100, init=inits[1])]
    return Network((9, 9, 4), layers)


def test_init_without_normal_is_that_of_the_default_normal():
    np.testing.assert_array_equal(
        net(None, None).init(3), net(Normal(), Normal(None, 2, 0)).init(3)
    )


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        (Normal(0.01), lambda K: 0.01),
        (Normal(scale=1), lambda K: np.sqrt(1 / K)),
        (Normal(scale=0.5, bias=-1), lambda K: np.sqrt(0.5 / K)),
        (Normal(0.5, scale=7, bias=0.25), lambda K: 0.5),
        (Normal(0), lambda K: 0),
    ],
)
def test_init_is_a_multiple_of_the_same_normal_deviates(init, deviation):
    one, other = net(init, init), net(Normal(1), Normal(1))
    for K, values, unit in zip((50, 1000), one.unpack(one.init(5)), other.unpack(other.init(5))):
        np.testing.assert_allclose(values.W, deviation(K) * unit.W, rtol=1e-15)
        np.testing.assert_array_equal(values.b, init.bias)
        assert abs(unit.W.std() - 1) < 4 / np.sqrt(2 * unit.W.size)


def test_init_of_a_layer_without_bias_sets_w():
    bare = Network((2, 2, 1), [Conv(3, 2, bias=False, init=Normal(0.5, bias=1))])
    assert bare.n == 12 and 0 < abs(bare.init(0)).max() < 3


def test_init_goes_through_json_and_is_part_of_equality():
    one = net(Normal(0.01, bias=1), Normal(scale=1))
    description = json.loads(json.dumps(one.description()))
    assert description["layers"][0]["init"] == {"std": 0.01, "bias": 1.0}
    assert description["layers"][1]["init"] == {"scale": 1.0}
    assert Network.from_description(description) == one != net(None, None)
    assert "init" not in net(None, None).description()["layers"][0]


def test_init_is_shown_by_repr_only():
    one = net(Normal(0.01, bias=1), None)
    assert "init=Normal(std=0.01, scale=2.0, bias=1.0)" in repr(one)
    assert repr(one).count("init") == 1
    assert one.summary() == net(None, None).summary()


def test_init_is_read_from_toml(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text('[[layers]]\nkind = "Dense"\nunits = 3\ninit = {std = 0.01, bias = 1}\n')
    found = make_network(str(path), (2, 2, 1), 10)
    assert found.layers == (Dense(3, init=Normal(0.01, bias=1)),)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"std": -1}, ValueError, "Normal: std must be finite and at least 0, got -1"),
        ({"std": np.inf}, ValueError, "Normal: std must be finite and at least 0, got inf"),
        ({"scale": np.nan}, ValueError, "Normal: scale must be finite and at least 0, got nan"),
        ({"bias": -np.inf}, ValueError, "Normal: bias must be finite, got -inf"),
        ({"bias": "1"}, TypeError, "Normal: bias must be a number, got '1' (str)"),
        ({"scale": None}, TypeError, "Normal: scale must be a number, got None (NoneType)"),
    ],
)
def test_normal_bad_argument_raises(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Normal(**arguments)
    with pytest.raises(error, match=f"^{re.escape(f'Dense: init: {message}')}$"):
        Dense(3, init=arguments)


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        (0.01, TypeError, "Conv: init must be a Normal or None, got 0.01 (float)"),
        (Normal, TypeError, f"Conv: init must be a Normal or None, got {Normal!r} (type)"),
        (
            {"sd": 1, "a": 2},
            ValueError,
            "Conv: init has no a, sd, only std, scale, bias",
        ),
    ],
)
def test_init_bad_argument_raises(init, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Conv(3, 2, init=init)
