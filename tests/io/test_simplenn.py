"""Files of simpleNN: configurations, data, models, and numbers that simpleNN itself computed."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from support.matlab_files import SAVERS

from matconv import Conv, Dense, Dropout, MaxPool, Network, Objective
from matconv.io import (
    FormatError,
    load_model,
    load_simplenn,
    read_images_mat,
    read_simplenn_config,
    read_simplenn_data,
    save_simplenn,
)

FILES = Path(__file__).parent / "simplenn"
TINY = """\
% conv, pool, conv, two dense layers
L = 4; LC = 2;
LF = 2;
wd_input = 6;
ht_input = [7];
ch_input = [2,3,4];
wd_pad_added = [1 0];
wd_filter = [3,2];
strides = [1;1]; % a column
wd_subimage_pool = [2,1];
full_neurons = [5, 3];
"""


@pytest.fixture
def config(tmp_path):
    """Write a configuration and give its path."""

    def config(text):
        (tmp_path / "net.config").write_text(text)
        return tmp_path / "net.config"

    return config


def test_read_simplenn_config_network(config):
    assert read_simplenn_config(config(TINY)) == Network(
        (6, 7, 2),
        [
            Conv(3, 3, pad=1, activation="relu"),
            MaxPool(2),
            Conv(4, 2, activation="relu"),
            Dense(5, activation="relu"),
            Dense(3),
        ],
    )


def test_simplenn_value_and_gradient_are_those_of_simplenn(config):
    known = np.load(FILES / "tiny-a.npz")
    net = read_simplenn_config(config(TINY))
    assert net.n == len(known["theta"]) == 212
    f = Objective(net, known["Z"], known["y"], "squared", float(known["C"]))
    value, gradient = f.value_and_gradient(known["theta"])
    assert abs(value - known["f"]) < 1e-13 * known["f"]
    assert abs(gradient - known["gradient"]).max() < 1e-13 * abs(known["gradient"]).max()
    outputs = net.forward(known["theta"], known["Z"])
    assert abs(outputs - known["outputs"]).max() < 1e-13 * abs(known["outputs"]).max()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TINY.replace("[5, 3]", "system('rm')"), "line 11: expected NAME = integer"),
        (TINY.replace("[5, 3]", "ones(1, 2)"), "line 11: expected NAME = integer"),
        (TINY.replace("[5, 3]", "[5, x]"), "line 11: expected NAME = integer"),
        (TINY.replace("[5, 3]", "[5, 2^3]"), "line 11: expected NAME = integer"),
        (TINY.replace("[5, 3]", "[5, -3]"), "line 11: expected NAME = integer"),
        (TINY.replace("[5, 3]", "[5, 3"), "line 11: expected NAME = integer"),
        (TINY.replace("full_neurons =", "full_neurons"), "line 11: expected NAME = integer"),
        (TINY.replace("strides", "stride"), "line 9: 'stride' is not one of L, LC"),
        (TINY.replace("strides = [1;1];", ""), "strides is missing"),
        ("", "empty"),
        (";" * 65000, "L, LC, LF, wd_input, ht_input, ch_input, .* are missing"),
        ("A=" + " " * 65000 + "]", "line 1: expected NAME = integer"),
        ("A=[1" + " " * 65000 + "x]", "line 1: expected NAME = integer"),
        ("A=[1;2];;B=[1;,2]", "line 1: 'A' is not one of L, LC"),
        ("LF=[1;2];;LC=[1;,2]", r"line 1: expected NAME = integer.*got 'LC=\[1;,2\]'"),
        ("%", "L, LC, LF, wd_input, ht_input, ch_input, .* are missing"),
        (TINY.replace("L = 4", "L = 5"), "L = 5 layers must be LC = 2 and LF = 2"),
        (TINY.replace("[3,2]", "[3]"), "wd_filter must have 2 elements, got 1"),
        (TINY.replace("= 6;", "= [6, 6];"), "wd_input must be one integer, got 2"),
        (TINY.replace("wd_filter = [3,2]", "wd_filter = [3,9]"), "layer 2"),
        (TINY.replace("wd_filter = [3,2]", "wd_filter = [3,999999999]"), "layer 2"),
    ],
)
def test_read_simplenn_config_invalid_refused(config, text, message):
    with pytest.raises(FormatError, match=message):
        read_simplenn_config(config(text))


def test_read_simplenn_config_of_dense_layers_alone(config):
    text = "L=1;LC=0;LF=1;wd_input=3;ht_input=2;ch_input=1;wd_pad_added=[];wd_filter=[];"
    net = read_simplenn_config(config(text + "strides=[];wd_subimage_pool=[];full_neurons=4"))
    assert net == Network((3, 2, 1), [Dense(4)])


def test_read_simplenn_config_large_file_refused(config):
    with pytest.raises(FormatError, match="at most 65536 bytes, got 70000"):
        read_simplenn_config(config("%" * 70000))


# Data


def rows(images):
    """Z of simpleNN: for each image its channels in turn, each by columns."""
    return images.transpose(0, 3, 2, 1).reshape(len(images), -1)


IMAGES = np.random.default_rng(2).standard_normal((4, 2, 3, 2))


@pytest.mark.parametrize("version", SAVERS)
@pytest.mark.parametrize("labels", [[3, -1, 3, 7], [[3], [-1], [3], [7]]])
def test_read_simplenn_data_by_columns(tmp_path, version, labels):
    SAVERS[version](tmp_path / "d.mat", {"Z": rows(IMAGES), "y": np.array(labels, float)})
    Z, y = read_simplenn_data(tmp_path / "d.mat", (2, 3, 2))
    assert np.array_equal(Z, IMAGES) and Z.flags.c_contiguous
    assert y.dtype == np.int64 and y.tolist() == [3, -1, 3, 7]


@pytest.mark.parametrize("version", SAVERS)
@pytest.mark.parametrize("columns", [12, 11, 0])
def test_read_simplenn_data_sparse_without_last_columns(tmp_path, version, columns):
    Z = rows(IMAGES) * (np.arange(48).reshape(4, 12) % 3 == 1)
    Z[:, columns:] = 0
    sparse = scipy.sparse.csc_array(Z[:, : columns or 1])
    SAVERS[version](tmp_path / "d.mat", {"Z": sparse, "y": np.arange(4.0)})
    found, _ = read_simplenn_data(tmp_path / "d.mat", (2, 3, 2))
    assert found.dtype == np.float64 and np.array_equal(rows(found), Z)
    again, _ = read_images_mat(tmp_path / "d.mat", (2, 3, 2))
    assert np.array_equal(again, found)


def test_read_simplenn_data_sparse_that_expands_too_far_refused(tmp_path):
    sparse = scipy.sparse.csc_array((10**6, 12))
    SAVERS["5"](tmp_path / "d.mat", {"Z": sparse, "y": np.arange(4.0)})
    with pytest.raises(FormatError, match="the images would take more than 64 times the file"):
        read_simplenn_data(tmp_path / "d.mat", (2, 3, 2))


@pytest.mark.parametrize("version", SAVERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda Z: Z.indices.__setitem__(3, 4), "an index of a sparse matrix .* is out of range"),
        (lambda Z: Z.indices.__setitem__(0, -1), "an index of a sparse matrix .* is out of range"),
        (lambda Z: Z.indptr.__setitem__(1, 9), "the indices of a sparse matrix .* do not fit"),
        (lambda Z: Z.indptr.__setitem__(-1, 99), "the indices of a sparse matrix .* do not fit"),
        (lambda Z: Z.indptr.__setitem__(0, 1), "the indices of a sparse matrix .* do not fit"),
    ],
)
def test_read_simplenn_data_sparse_with_wrong_indices_refused(tmp_path, version, change, message):
    Z = scipy.sparse.csc_array(np.eye(4, 12)[[2, 1, 3, 0]])
    SAVERS[version](tmp_path / "d.mat", {"Z": Z, "y": np.arange(4.0)})
    content = (tmp_path / "d.mat").read_bytes()
    kind = np.int32 if version == "5" else np.uint64
    before = [Z.indices.astype(kind).tobytes(), Z.indptr.astype(kind).tobytes()]
    change(Z)
    after = [Z.indices.astype(kind).tobytes(), Z.indptr.astype(kind).tobytes()]
    for old, new in zip(before, after, strict=True):
        assert content.count(old) == 1
        content = content.replace(old, new)
    (tmp_path / "d.mat").write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read_simplenn_data(tmp_path / "d.mat", (2, 3, 2))


def test_read_simplenn_data_by_rows(tmp_path):
    Z = IMAGES.transpose(0, 3, 1, 2).reshape(4, -1)
    SAVERS["5"](tmp_path / "d.mat", {"Z": Z.astype(np.float32), "y": np.arange(4.0)})
    found, _ = read_simplenn_data(tmp_path / "d.mat", (2, 3, 2), order="row")
    assert found.dtype == np.float32 and np.array_equal(found, IMAGES.astype(np.float32))


def test_read_simplenn_data_libsvm_text(tmp_path):
    lines = ["# a comment", "", "+1 1:0.5 3:-2e1 # more", "-7.0 12:1", "3"]
    (tmp_path / "d.txt").write_text("\n".join(lines))
    Z, y = read_simplenn_data(tmp_path / "d.txt", (2, 3, 2))
    expected = np.zeros((3, 12))
    expected[0, 0], expected[0, 2], expected[1, 11] = 0.5, -20, 1
    assert np.array_equal(rows(Z), expected)
    assert y.tolist() == [1, -7, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0:1", "line 1: the indices must increase from 1 to at most 12"),
        ("1 13:1", "line 1: the indices must increase"),
        ("1 2:1 2:1", "line 1: the indices must increase"),
        ("1 2:x", "line 1: could not convert"),
        ("\n1.5 1:1", "line 2: label 1.5 is not an integer"),
        ("1 1:1\n1e300 1:1", r"line 2: label 1e\+300 is not an integer between -2\^53 and 2\^53"),
        ("-9007199254740992 1:1", "line 1: label -9.0072e.15 is not an integer between"),
        ("nan 1:1", "line 1: label nan is not an integer"),
        ("1 2", "line 1: expected pairs index:value"),
        ("1 99999999999999999999:1", "line 1: "),
        ("#", "there are no images"),
    ],
)
def test_read_simplenn_data_invalid_text_refused(tmp_path, text, message):
    (tmp_path / "d.txt").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_simplenn_data(tmp_path / "d.txt", (2, 3, 2))


def test_read_simplenn_data_text_that_expands_too_far_refused(tmp_path):
    (tmp_path / "d.txt").write_text("1\n" * 100)
    with pytest.raises(FormatError, match="the images would take more than 64 times the file"):
        read_simplenn_data(tmp_path / "d.txt", (2**10, 2**10, 1))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"Z": rows(IMAGES)}, "Z and y must be arrays of numbers"),
        ({"Z": {"a": 1.0}, "y": np.ones(4)}, "Z and y must be arrays of numbers"),
        ({"Z": rows(IMAGES)[:, 1:], "y": np.ones(4)}, r"must have the shape \(l, 12\)"),
        ({"Z": rows(IMAGES), "y": np.ones(3)}, "4 images in Z, but 3 labels in y"),
        ({"Z": rows(IMAGES), "y": np.full(4, 0.5)}, "the labels must be integers"),
        ({"Z": "text", "y": np.ones(3)}, "Z and y must be arrays of numbers"),
    ],
)
def test_read_simplenn_data_invalid_variables_refused(tmp_path, variables, message):
    SAVERS["5"](tmp_path / "d.mat", variables)
    with pytest.raises(FormatError, match=message):
        read_simplenn_data(tmp_path / "d.mat", (2, 3, 2))


# Models

CONFIG = {
    "L": [4],
    "LC": [2],
    "LF": [2],
    "wd_input": [6],
    "ht_input": [7],
    "ch_input": [2, 3, 4],
    "wd_pad_added": [1, 0],
    "wd_filter": [3, 2],
    "strides": [1, 1],
    "wd_subimage_pool": [2, 1],
    "full_neurons": [5, 3],
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_save_simplenn_loaded_has_the_same_theta_and_bits(tmp_path, config, dtype):
    net = read_simplenn_config(config(TINY), dtype)
    theta = np.random.default_rng(1).standard_normal(net.n).astype(dtype)
    save_simplenn(tmp_path / "m.mat", net, theta, labels=[-1, 5, 7])
    model = load_simplenn(tmp_path / "m.mat")
    assert model.network == net and model.labels == (-1, 5, 7)
    assert model.theta.tobytes() == theta.tobytes()
    Z = np.random.default_rng(1).standard_normal((5, 7, 6, 2)).astype(dtype)
    expected = net.forward(theta, np.ascontiguousarray(Z.transpose(0, 2, 1, 3)))
    assert net.forward(model.theta, model.prepare(Z)).tobytes() == expected.tobytes()


def test_save_simplenn_struct_is_that_of_cnn_train(tmp_path, config):
    net = read_simplenn_config(config(TINY))
    theta = net.init(0)
    save_simplenn(tmp_path / "m.mat", net, theta)
    found = scipy.io.loadmat(tmp_path / "m.mat")["model"][0, 0]
    assert [one.shape for one in found["weight"][:, 0]] == [(3, 18), (4, 12), (5, 16), (3, 5)]
    assert [one.shape for one in found["bias"][:, 0]] == [(3, 1), (4, 1), (5, 1), (3, 1)]
    assert found["var_ptr"].ravel().tolist() == [1, 58, 110, 195, 213]
    assert found["ht_input"].ravel().tolist() == [7, 3, 2]
    assert found["wd_input"].ravel().tolist() == [6, 3, 2]
    assert found["labels"].ravel().tolist() == [1, 2, 3]
    assert found["net_config"][0, 0]["full_neurons"].tolist() == [[5, 3]]
    first = found["weight"][0, 0].ravel(order="F")
    assert np.array_equal(first, theta[:54])


@pytest.mark.parametrize("version", SAVERS)
def test_load_simplenn_theta_in_the_order_of_var_ptr(tmp_path, version):
    theta = np.random.default_rng(1).standard_normal((212, 1))
    config = {name: np.array(values, float) for name, values in CONFIG.items()}
    content = {"net_config": config, "theta": theta, "labels": np.array([2.0, 4, 6])}
    SAVERS[version](tmp_path / "m.mat", content)
    model = load_simplenn(tmp_path / "m.mat")
    assert np.array_equal(model.theta, theta.ravel())
    assert model.labels == (2, 4, 6)
    assert model.pixel_shape == (7, 6, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["weight"].pop(), "3 weights, but 4 biases"),
        (lambda m: m["weight"].__setitem__(1, np.ones((4, 11))), r"weight\{2\} must be \(4, 12\)"),
        (lambda m: m["bias"].__setitem__(0, np.ones((4, 1))), r"bias\{1\} must be \(3, 1\)"),
        (lambda m: m["bias"].__setitem__(0, "x"), "weights and biases must be arrays"),
        (lambda m: m["net_config"].pop("L"), "the configuration lacks L"),
        (
            lambda m: m["net_config"].update(L=np.array([[1.5]])),
            "L must be integers that are not negative",
        ),
        (lambda m: m.update(labels=np.ones(4)), "4 labels for 3 outputs"),
        (lambda m: m.pop("net_config"), "there is no configuration"),
    ],
)
def test_load_simplenn_invalid_model_refused(tmp_path, change, message):
    random = np.random.default_rng(0)
    config = {name: np.array(values, float) for name, values in CONFIG.items()}
    shapes = [(3, 18), (4, 12), (5, 16), (3, 5)]
    model = {
        "net_config": config,
        "weight": [random.standard_normal(shape) for shape in shapes],
        "bias": [random.standard_normal((shape[0], 1)) for shape in shapes],
    }
    change(model)
    SAVERS["5"](tmp_path / "m.mat", {"model": model})
    with pytest.raises(FormatError, match=message):
        load_simplenn(tmp_path / "m.mat")


@pytest.mark.parametrize(
    "layers",
    [
        [Conv(3, 3), Dense(2)],
        [Conv(3, (3, 2), activation="relu"), Dense(2)],
        [Conv(3, 3, pad=((1, 0), (1, 1)), activation="relu"), Dense(2)],
        [Conv(4, 3, activation="relu", groups=2), Dense(2)],
        [Conv(3, 3, activation="relu", bias=False), Dense(2)],
        [MaxPool(2), Dense(2)],
        [Conv(3, 3, activation="relu"), MaxPool(2, stride=1), Dense(2)],
        [Conv(3, 3, activation="relu"), Dropout(0.5), Dense(2)],
        [Dense(2, activation="relu")],
        [Conv(3, 3, activation="relu")],
    ],
)
def test_save_simplenn_other_network_refused(tmp_path, layers):
    net = Network((8, 8, 2), layers)
    with pytest.raises(ValueError, match="save_simplenn: simpleNN has chains of square convolut"):
        save_simplenn(tmp_path / "m.mat", net, net.init(0))
    assert not (tmp_path / "m.mat").exists()


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"preprocessing": "{"}, "model of simpleNN: Expecting"),
        ({"preprocessing": "[" * 100000}, "model of simpleNN: "),
        ({"preprocessing": "[]"}, "matconv.preprocessing: expected 'shift' and 'scale', got"),
        ({"preprocessing": '{"shift":NaN,"scale":1}'}, "'shift' must be finite, got nan"),
        ({"preprocessing": '{"shift":0,"scale":1,"mean":[1]}'}, "'mean' must have the shape"),
        ({"labels": ["a", "b"]}, "matconv.labels: 2 labels for 3 outputs"),
    ],
)
def test_load_simplenn_invalid_own_field_refused(tmp_path, own, message):
    config = {name: np.array(values, float) for name, values in CONFIG.items()}
    model = {"net_config": config, "theta": np.zeros((212, 1)), "matconv": own}
    SAVERS["5"](tmp_path / "m.mat", {"model": model})
    with pytest.raises(FormatError, match=message):
        load_simplenn(tmp_path / "m.mat")


def test_load_model_recognises_simplenn_by_content(tmp_path, config):
    net = read_simplenn_config(config(TINY))
    save_simplenn(tmp_path / "m.mat", net, net.init(3))
    model = load_model(tmp_path / "m.mat")
    assert model.network == net and np.array_equal(model.theta, net.init(3))
