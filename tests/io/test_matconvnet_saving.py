"""save_matconvnet: networks that come back with the same theta and outputs of the same bits."""

import numpy as np
import pytest
import scipy.io

from matconv import (
    LRN,
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    ConvTranspose,
    Crop,
    Dense,
    Dropout,
    LeakyReLU,
    MaxPool,
    Multiply,
    Network,
    Pad,
    PReLU,
    Scale,
    Softmax,
)
from matconv.io import load_matconvnet, save_matconvnet

CHAIN = [
    Conv(6, (3, 2), stride=(1, 2), pad=((1, 0), (2, 1)), dilation=(2, 1), activation="relu"),
    Scale(activation=LeakyReLU(0.25)),
    LRN(4, 2, 0.1, 0.6),
    Conv(4, 3, pad="same", groups=2, bias=False),
    MaxPool(3, 2, pad="same"),
    ConvTranspose(4, (3, 2), upsample=2, crop=1, extra=1, groups=2, activation="sigmoid"),
    AvgPool(2, 2, ceil=True),
    Dropout(0.5),
    Dense(5, activation="relu"),
    Scale(),
    Dense(3, bias=False),
    Activation("sigmoid"),
    Softmax(),
]
GRAPH = [
    Conv(4, 3, pad=1, name="a"),
    Conv(4, 3, pad=1, name="b", activation="relu"),
    Conv(4, 3, pad=1, name="c", parameters="b", activation="relu"),
    Scale(bias=False, name="s"),
    Add(inputs=["a", "s"], activation="relu", name="sum"),
    Concat(inputs=["sum", "a"], name="both"),
    Multiply(inputs=["both", "both"], name="square"),
    MaxPool(2, name="pool"),
    Crop(like="pool", crop=(1, 2), inputs="square", name="crop"),
    Scale(inputs="crop", name="last"),
]
NETWORKS = {
    "chain": ((13, 12, 2), CHAIN, None),
    "graph": ((9, 8, 2), GRAPH, ["pool", "last", "a"]),
    "dense": ((2, 3, 4), [Dense(5)], None),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    return request.param


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_save_matconvnet_loaded_has_the_same_theta_and_bits(tmp_path, network, dtype):
    shape, layers, outputs = NETWORKS[network]
    net = Network(shape, layers, dtype, outputs=outputs)
    random = np.random.default_rng(4)
    theta = random.standard_normal(net.n).astype(dtype)
    theta[:3] = -0.0, 1e-42, 1e30
    save_matconvnet(tmp_path / "net.mat", net, theta)
    model = load_matconvnet(tmp_path / "net.mat")
    assert model.network.dtype == dtype and model.network.outputs == net.outputs
    assert model.theta.tobytes() == theta.tobytes()
    Z = random.standard_normal((3, *shape)).astype(dtype)
    found, expected = model.network.forward(model.theta, Z), net.forward(theta, Z)
    if outputs is None:
        found, expected = (found,), (expected,)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and one.tobytes() == other.tobytes()


def test_save_matconvnet_twice_same_bytes_and_same_layers(tmp_path):
    net = Network((13, 12, 2), CHAIN)
    theta = net.init(1)
    save_matconvnet(tmp_path / "a.mat", net, theta)
    first = load_matconvnet(tmp_path / "a.mat")
    save_matconvnet(tmp_path / "b.mat", first.network, first.theta)
    assert load_matconvnet(tmp_path / "b.mat").network == first.network
    save_matconvnet(tmp_path / "c.mat", net, theta)
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "c.mat").read_bytes()


def test_save_matconvnet_layout_is_that_of_matconvnet(tmp_path):
    net = Network((5, 6, 2), [Conv(3, (3, 4), pad=((1, 2), (0, 3)), activation="relu"), Softmax()])
    theta = net.init(1)
    save_matconvnet(tmp_path / "net.mat", net, theta, labels=[f"n{k}" for k in range(108)])
    found = scipy.io.loadmat(tmp_path / "net.mat")["net"][0, 0]
    conv, relu, softmax = (one[0, 0] for one in found["layers"][0])
    W, b = net.unpack(theta)[0]
    F = conv["weights"][0, 0]
    assert F.shape == (3, 4, 2, 3) and F[2, 3, 1, 0] == W[1, 2, 3, 0]
    assert np.array_equal(conv["weights"][0, 1], b[np.newaxis])
    assert conv["pad"].tolist() == [[1, 2, 0, 3]]
    assert (conv["type"], relu["type"], softmax["type"]) == ("conv", "relu", "softmax")
    names = found["meta"]["classes"][0, 0]["description"][0, 0]
    assert names.shape == (1, 108) and names[0, 1] == "n1"


def test_save_matconvnet_labels_and_preprocessing_come_back(tmp_path):
    net = Network((2, 3, 2), [Dense(2)])
    preprocessing = {"shift": 2.0, "scale": 0.125, "mean": [100.0, 120.0]}
    save_matconvnet(tmp_path / "net.mat", net, net.init(0), ["cat", "dog"], preprocessing)
    model = load_matconvnet(tmp_path / "net.mat")
    assert model.labels == ("cat", "dog")
    assert model.preprocessing == {
        "shift": 0.0,
        "scale": 0.125,
        "mean": [102.0, 122.0],
        "resize": [2, 3],
        "interpolation": "bilinear",
        "keep_aspect": False,
    }


def test_save_matconvnet_without_counterparts_names_all_and_writes_nothing(tmp_path):
    layers = [
        Pad(1),
        PReLU(),
        Conv(2, 3, activation="tanh", name="c"),
        Add(inputs=["c", "c"], factors=(1, -1)),
        ConvTranspose(2, 3, dilation=2),
        ConvTranspose(2, 3, upsample=2, extra=1),
        AvgPool(2, pad=1, count_pad=True),
        Crop(1),
    ]
    net = Network((8, 8, 2), layers)
    with pytest.raises(ValueError, match="save_matconvnet: layer 0") as caught:
        save_matconvnet(tmp_path / "net.mat", net, net.init(0))
    assert str(caught.value) == (
        "save_matconvnet: layer 0 (Pad): MatConvNet has no such layer; "
        "layer 1 (PReLU): MatConvNet has no such layer; "
        "layer 2 (Conv 'c'): MatConvNet has no activation 'tanh'; "
        "layer 3 (Add): MatConvNet's sum has no factors; "
        "layer 4 (ConvTranspose): MatConvNet has no dilation of transposed convolutions; "
        "layer 5 (ConvTranspose): extra must be at most the crop at the bottom and at the right; "
        "layer 6 (AvgPool): MatConvNet's means are over pixels of the image: no count_pad; "
        "layer 7 (Crop): MatConvNet's crop needs a layer of the size that remains: like"
    )
    assert not (tmp_path / "net.mat").exists()


def test_save_matconvnet_wrong_theta_refused(tmp_path):
    net = Network((2, 3, 2), [Dense(2)])
    with pytest.raises(ValueError, match="theta must have 26 elements"):
        save_matconvnet(tmp_path / "net.mat", net, np.zeros(3))
