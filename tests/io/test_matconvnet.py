"""Files of MatConvNet: real ones and written ones, against an independent evaluation."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from support import matconvnet_reference as reference
from support.matlab_files import SAVERS, save5

from matconv import Dense, Network
from matconv.io import FormatError, load_matconvnet, load_model, save_model, save_simplenn

FILES = Path(__file__).parent / "matconvnet"


def image(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def difference(model, X, Y):
    """Largest difference of the outputs for one image, relative to the largest output."""
    outputs = model.network.forward(model.theta, X[np.newaxis].astype(model.network.dtype))[0]
    assert outputs.shape == Y.shape
    return abs(outputs - Y).max() / abs(Y).max()


@pytest.mark.parametrize("name", ["net_stage_1", "net_stage_2", "DCFNet-net-7-125-2"])
def test_load_matconvnet_real_file_outputs_as_reference(name):
    path = FILES / f"{name}.mat"
    model = load_matconvnet(path, dtype=np.float64)
    X = 100 * image(model.network.input_shape)
    Y = reference.simplenn(scipy.io.loadmat(path)["net"], X)
    assert difference(model, X, Y) < 1e-12


def test_load_matconvnet_real_file_dtype_is_that_of_the_file():
    model = load_matconvnet(FILES / "net_stage_1.mat")
    assert model.theta.dtype == np.float32
    double = load_matconvnet(FILES / "net_stage_1.mat", dtype=np.float64)
    assert np.array_equal(model.theta, double.theta)


def test_load_matconvnet_real_file_tells_what_is_left_out():
    model = load_matconvnet(FILES / "net_stage_1.mat")
    assert model.training == {
        "imported": {
            "from": "MatConvNet SimpleNN",
            "notes": [
                "layers{8} 'layer8' (softmaxloss): left out",
                "no normalization in the file: pixels are used as they are",
            ],
        }
    }


def test_load_matconvnet_unknown_layers_are_all_named():
    with pytest.raises(FormatError) as caught:
        load_matconvnet(FILES / "net_stage_1_dilation.mat")
    assert str(caught.value).endswith(
        "net_stage_1_dilation.mat': layers{3} 'pool_m1' (dpool) is not supported; "
        "layers{4} 'pool_b1' (dpool) is not supported"
    )


def test_load_matconvnet_normalization_becomes_preprocessing():
    found = load_matconvnet(FILES / "DCFNet-net-7-125-2.mat").preprocessing
    assert found["mean"] == [123.0, 117.0, 104.0]
    assert found["resize"] == [125, 125]


def layer(kind, weights=(), **fields):
    return {"type": kind, "weights": list(weights), **fields}


def simplenn(layers, size, **meta):
    return {"net": {"layers": layers, "meta": {"inputSize": np.array(size, float), **meta}}}


@pytest.fixture(params=SAVERS)
def load(request, tmp_path):
    """Write variables to a file of one of the versions, and load it."""

    def load(variables, **options):
        path = tmp_path / "net.mat"
        SAVERS[request.param](path, variables)
        return load_matconvnet(path, **options)

    return load


def test_load_matconvnet_filters_are_not_transposed(load):
    # one filter that reads the pixel below, one that reads the pixel to the right
    F = np.zeros((3, 2, 1, 2))
    F[2, 0, 0, 0] = F[0, 1, 0, 1] = 1
    model = load(simplenn([layer("conv", [F, np.zeros((1, 2))])], [4, 5, 1]))
    X = np.arange(20.0).reshape(4, 5, 1)
    z = model.network.forward(model.theta, X[np.newaxis])[0]
    assert np.array_equal(z[..., 0], X[2:, :4, 0])
    assert np.array_equal(z[..., 1], X[:2, 1:, 0])


def every_kind(random):
    """Layers of all kinds, and a function that evaluates them."""
    F1, b1 = random.standard_normal((3, 4, 2, 6)), random.standard_normal((1, 6))
    F2 = random.standard_normal((2, 3, 3, 4))
    F3, b3 = random.standard_normal((3, 2, 5, 4)), random.standard_normal((5, 1))
    g, b = random.uniform(0.5, 2, (4, 1)), random.standard_normal((4, 1))
    moments = np.column_stack([random.standard_normal(4), random.uniform(0.5, 2, 4)])
    param = np.array([4, 2, 0.1, 0.75])
    layers = [
        layer("conv", [F1, b1], pad=np.array([1, 0, 2, 1]), stride=np.array([1, 2]), name="c"),
        layer("relu", leak=0.25),
        layer("normalize", param=param, name="n"),
        layer("conv", [F2, np.empty((0, 0))], pad=np.uint8([[1]]), dilate=2, name="grouped"),
        layer("bnorm", [g, b, moments], name="b"),
        layer("pool", pool=np.array([3, 2]), stride=2, pad=np.array([0, 1, 0, 1]), method="avg"),
        layer("sigmoid"),
        layer("convt", [F3, b3], upsample=np.array([2, 3]), crop=np.array([1, 0, 0, 1])),
        layer("dropout", rate=0.5),
        layer("pool", pool=2, stride=2, pad=np.array([0, 1, 0, 1]), method="max"),
        layer("softmax"),
    ]

    def evaluate(X):
        X = reference.relu(reference.conv(X, F1, b1, (1, 2), (1, 0, 2, 1)), 0.25)
        X = reference.conv(reference.normalize(X, param), F2, None, 1, 1, 2)
        X = reference.pool(reference.bnorm(X, g, b, moments), (3, 2), 2, (0, 1, 0, 1), "avg")
        X = reference.convt(1 / (1 + np.exp(-X)), F3, b3, (2, 3), (1, 0, 0, 1))
        return reference.softmax(reference.pool(X, 2, 2, (0, 1, 0, 1)))

    return layers, evaluate


def test_load_matconvnet_every_kind_as_reference(load):
    layers, evaluate = every_kind(np.random.default_rng(5))
    model = load(simplenn(layers, [11, 14, 2]))
    X = image((11, 14, 2))
    assert difference(model, X, evaluate(X)) < 1e-12
    assert model.network.names[:2] == ("c", "n")


def test_load_matconvnet_fields_at_top_level(load):
    layers, evaluate = every_kind(np.random.default_rng(6))
    model = load(simplenn(layers, [11, 14, 2])["net"])
    X = image((11, 14, 2))
    assert difference(model, X, evaluate(X)) < 1e-12


def test_load_matconvnet_early_form(load):
    F, b = image((2, 2, 3, 2)), image((1, 2))
    mean = 10 * image((5, 6, 3))
    net = {
        "layers": [
            {"type": "conv", "filters": F, "biases": b, "stride": 1, "pad": 0},
            {"type": "softmaxloss"},
        ],
        "classes": {"name": ["n1", "n2"], "description": ["cat", "dog"]},
        "normalization": {
            "imageSize": np.array([5.0, 6, 3]),
            "averageImage": mean,
            "interpolation": "bicubic",
            "keepAspect": True,
        },
    }
    model = load({"layers": net["layers"], **net}, input_shape=None)
    X = image((5, 6, 3), 1)
    assert model.network.output_shape == (4, 5, 2)
    assert difference(model, X, reference.conv(X, F, b)) < 1e-12
    assert model.preprocessing["interpolation"] == "bicubic"
    assert model.preprocessing["keep_aspect"] is True
    assert np.array_equal(model.preprocessing["mean"], mean)


def test_load_matconvnet_classes_become_labels(load):
    net = simplenn(
        [layer("conv", [image((2, 2, 1, 3)), np.zeros(3)])],
        [2, 2],
        classes={"name": ["n1", "n2", "n3"], "description": ["crane", "dog", "crane"]},
    )
    assert load(net).labels == ("n1", "n2", "n3")


def test_load_matconvnet_without_a_size_asks_for_it(load):
    net = {"net": {"layers": [layer("conv", [image((2, 2, 3, 2)), np.zeros(2)])]}}
    with pytest.raises(
        FormatError, match="the first filters have 3 channels: input_shape is needed"
    ):
        load(net)
    assert load(net, input_shape=(4, 4, 3)).network.output_shape == (3, 3, 2)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (layer("conv"), "conv\\): it has no filters"),
        (layer("conv", [np.ones((1, 1, 2, 2)), np.ones(3)]), "2 biases expected, got 3"),
        (layer("conv", [np.ones((1, 1, 3, 2)), np.ones(2)]), "filters of 3 channels do not fit 2"),
        (layer("conv", [np.ones((1, 1, 2, 2))], pad=np.ones(3)), "pad must have 1 or 4 elements"),
        (layer("conv", [np.ones((1, 1, 2, 2))], stride=1.5), "stride must be integers"),
        (layer("conv", [np.ones((9, 1, 2, 2))]), "the layers do not fit"),
        (layer("pool", pool=2, method="sum"), "method 'sum' is neither 'max' nor 'avg'"),
        (layer("bnorm", [np.ones(2), np.ones(2)]), "it has no moments"),
        (layer("bnorm", [np.ones(2), np.ones(2), np.ones((3, 2))]), "do not fit each other"),
        (layer("lrn", param=np.ones(3)), "param must be"),
        (layer("custom"), r"layers\{1\} \(custom\) is not supported"),
        ({"name": "x"}, r"layers\{1\} is not a struct with a type"),
        (layer("conv", ["text"]), "weights must be arrays"),
    ],
)
def test_load_matconvnet_invalid_layer_refused(load, one, message):
    with pytest.raises(FormatError, match=message):
        load(simplenn([one], [4, 4, 2]))


def test_load_matconvnet_other_content_refused(load):
    with pytest.raises(FormatError, match="not a network of MatConvNet: there is no struct 'net'"):
        load({"x": np.ones(3)})


def test_load_matconvnet_repeated_and_missing_names(load):
    net = simplenn([layer("relu", name="a"), layer("sigmoid", name="a"), layer("relu")], [2, 2, 1])
    assert load(net).network.names == ("a", "a_2", "layer3")


def test_load_matconvnet_compressed_file(tmp_path):
    layers, evaluate = every_kind(np.random.default_rng(7))
    save5(tmp_path / "net.mat", simplenn(layers, [11, 14, 2]), compress=True)
    X = image((11, 14, 2))
    assert difference(load_matconvnet(tmp_path / "net.mat"), X, evaluate(X)) < 1e-12


def test_load_model_recognises_matconvnet_by_content(tmp_path):
    model = load_model(FILES / "net_stage_1.mat")
    assert model.network == load_matconvnet(FILES / "net_stage_1.mat").network
    wide = load_model(FILES / "DCFNet-net-7-125-2.mat", (20, 31, 3), np.float64)
    assert wide.network.input_shape == (20, 31, 3) and wide.theta.dtype == np.float64
    save_model(tmp_path / "m.npz", model.network, model.theta, training=model.training)
    again = load_model(tmp_path / "m.npz")
    assert again.theta.tobytes() == model.theta.tobytes() and again.training == model.training


def test_load_model_input_shape_of_other_files_refused(tmp_path):
    net = Network((2, 2, 1), [Dense(2)])
    save_model(tmp_path / "m.npz", net, net.init(0))
    with pytest.raises(ValueError, match="m.npz' is for images of 2 x 2 x 1: another"):
        load_model(tmp_path / "m.npz", (3, 3, 1))
    assert load_model(tmp_path / "m.npz", (2, 2, 1)).network == net


@pytest.mark.parametrize("ending", ["npz", "mat"])
def test_load_model_dtype_of_other_files_rounds_theta(tmp_path, ending):
    net = Network((2, 2, 1), [Dense(2)])
    theta, path = net.init(0), tmp_path / f"m.{ending}"
    (save_model if ending == "npz" else save_simplenn)(path, net, theta)
    model = load_model(path, dtype="float32")
    assert model.network == Network((2, 2, 1), [Dense(2)], np.float32)
    assert model.theta.tobytes() == theta.astype(np.float32).tobytes()
    again = load_model(path, dtype=np.float64)
    assert again.network == net and again.theta.tobytes() == theta.tobytes()
    theta[1] = 1e39
    (save_model if ending == "npz" else save_simplenn)(path, net, theta)
    with pytest.raises(ValueError, match="theta has elements beyond float32"):
        load_model(path, dtype="float32")


def test_load_model_exported_network_refused(tmp_path):
    net = Network((2, 2, 1), [Dense(2)])
    net.export(net.init(0), tmp_path / "m.matconv")
    with pytest.raises(FormatError, match="without labels and preprocessing, which load_predictor"):
        load_model(tmp_path / "m.matconv")


def test_load_matconvnet_loss_in_the_middle_is_not_supported(load):
    net = simplenn([layer("relu"), layer("loss"), layer("relu")], [2, 2, 1])
    with pytest.raises(FormatError, match=r"layers\{2\} \(loss\) is not supported"):
        load(net)
    losses = [layer("relu"), layer("softmaxloss"), layer("loss")]
    assert load(simplenn(losses, [2, 2, 1])).training["imported"]["notes"] == [
        "layers{2} (softmaxloss): left out",
        "layers{3} (loss): left out",
        "no normalization in the file: pixels are used as they are",
    ]


@pytest.mark.parametrize("shape", [(32, 14), ()])
def test_load_matconvnet_input_shape_that_is_not_three_integers_refused(shape):
    with pytest.raises(ValueError, match=r"input_shape must be \(height, width, channels\), got"):
        load_matconvnet(FILES / "net_stage_1.mat", shape)
