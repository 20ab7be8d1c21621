"""The benchmark's whole networks are the published ones: shapes and parameters counted by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import nets
import shapes

SMALL = {
    "input_shape": (9, 9, 4),
    "batch": 2,
    "layers": (
        ("conv", {"channels": 6, "kernel": 3, "stride": 2, "pad": 1, "groups": 2}),
        ("pool", {"window": 3, "stride": 2}),
        ("dense", {"units": 3}),
    ),
}

#: h h d_in/groups d_out + d_out of each convolution, m n + n of each dense layer.
PARAMETERS = {
    "lenet": 520 + 25_050 + 400_500 + 5_010,
    "simplenn-4": 2_432 + 18_496 + 36_928 + 10_250,
    "simplenn-7": 2_432 + 9_248 + 18_496 + 36_928 + 36_928 + 73_856 + 20_490,
    "vgg11": 1_792 + 73_856 + 295_168 + 590_080 + 1_180_160 + 3 * 2_359_808 + 5_130,
    "alexnet": 60_965_224,
}

#: (height, width, channels) that reach the first dense layer.
LAST_IMAGES = {
    "lenet": (4, 4, 50),
    "simplenn-4": (4, 4, 64),
    "simplenn-7": (4, 4, 128),
    "vgg11": (1, 1, 512),
    "alexnet": (6, 6, 256),
}


def test_every_net_is_counted():
    assert set(PARAMETERS) == set(LAST_IMAGES) == set(shapes.NETS)


@pytest.mark.parametrize("name", shapes.NETS)
def test_parameters_are_as_many_as_counted_by_hand(name):
    assert nets.for_matconv(shapes.NETS[name], np.float32).n == PARAMETERS[name]


@pytest.mark.parametrize("name", shapes.NETS)
def test_images_that_reach_the_dense_layers(name):
    found = nets.shapes_of(shapes.NETS[name])
    assert next(before for kind, _, before, _ in found if kind == "dense") == LAST_IMAGES[name]


def test_shapes_with_stride_pad_groups_and_overlapping_pools():
    assert [after for *_, after in nets.shapes_of(SMALL)] == [(5, 5, 6), (2, 2, 6), (3,)]
    network = nets.for_matconv(SMALL, np.float64)
    W, _ = nets.parameters(SMALL)[0]
    assert W.shape == (2, 3, 3, 6)
    assert network.n == 2 * 9 * 6 + 6 + 24 * 3 + 3


def test_a_pool_steps_by_its_window_unless_told():
    thirds = {"input_shape": (10, 9, 2), "layers": (("pool", {"window": 3}),)}
    assert [after for *_, after in nets.shapes_of(thirds)] == [(3, 3, 2)]


def test_channels_first_reorders_what_follows_an_image():
    values = nets.parameters(SMALL)
    (filters, _), (dense, _) = nets.channels_first(SMALL, values)
    W = values[0][0]
    assert filters.shape == (6, 2, 3, 3)
    assert filters[5, 1, 2, 0] == W[1, 2, 0, 5]
    W = values[1][0].reshape(2, 2, 6, 3)
    assert dense.reshape(3, 6, 2, 2)[1, 4, 0, 1] == W[0, 1, 4, 1]
    assert dense.flags.c_contiguous
