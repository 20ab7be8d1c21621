"""Passes by Winograd's algorithm in pieces: the same bits in any order, the whole within a bound."""

from collections import Counter

import numpy as np
import pytest
from matconv.kernels._single import SingleStep
from support.conv_pieces import WINOGRAD, conv_words, random_convolutions
from support.step_passes import LEAKY, Passes, check, normal
from support.tolerances import assert_within, inner_product_bound
from support.winograd_bounds import magnitudes

from matconv.kernels._conv import ConvPlan
from matconv.kernels._geometry import WindowGeometry

DTYPES = ("float64", "float32")

WINOGRAD_CASES = {
    "blocks": ((61, 59, 24), 2, {"d_out": 40, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    "bands": ((80, 63, 32), 1, {"d_out": 33, "kernel": (3, 3), "pad": (1, 0, 1, 1)}),
    "bands-strided": (
        (64, 60, 16), 2, {"d_out": 40, "kernel": (5, 3), "stride": (2, 1), "pad": (2, 2, 1, 1)},
    ),
    "bands-groups": ((50, 41, 32), 3, {"d_out": 64, "kernel": (4, 3), "groups": 2}),
    "images": ((25, 25, 24), 20, {"d_out": 30, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    "channels": ((10, 13, 150), 1, {"d_out": 144, "kernel": (3, 3), "pad": (1, 1, 1, 1)}),
    "channels-strided": (
        (21, 17, 128), 2, {"d_out": 128, "kernel": (3, 3), "stride": (2, 2), "pad": (1, 1, 1, 1)},
    ),
}  # fmt: skip


def winograd_check(shape, images, options, dtype):
    """Phases of both passes; None where there are no transforms."""
    window = {name: options[name] for name in ("stride", "dilation", "groups") if name in options}
    pad = options.get("pad", (0,) * 4)
    window = {"stride": 1, "dilation": 1, "groups": 1, **window, "pad": (pad[:2], pad[2:])}
    geometry = WindowGeometry(
        "x", (images, *shape), options["kernel"], channels=options["d_out"], **window
    )
    tile = ConvPlan(geometry, dtype, "winograd").tile
    if tile is None:
        return None
    words = conv_words(**{**options, "bias": True}, algorithm=WINOGRAD)
    step = SingleStep("Conv", [shape], words, [], dtype, images, LEAKY)
    eps = np.finfo(dtype).eps
    for l in {images, max(images // 2, 1)}:
        passes = Passes(step, [shape], l, normal, np.random.default_rng(l))
        filters, bias = passes.arrays
        sizes, counts = magnitudes(
            passes.inputs[0], filters.reshape(geometry.filter_shape), bias, passes.d_output, tile,
            **window,
        )  # fmt: skip
        before = [*passes.before, *passes.arrays_before]
        n = l * step.shape[0] * step.shape[1]
        size_b = np.abs(passes.d_output).sum(axis=(0, 1, 2)) + np.abs(before[2])
        # a sum more for what the gradients are added to, and one for each run
        bounds = {
            "0": (counts[1] + 1) * eps * (sizes[1] + np.abs(before[0])),
            "1": (counts[2] + 33) * eps * (sizes[2].reshape(-1) + np.abs(before[1])),
            "2": inner_product_bound(n + 1, size_b, dtype),
        }

        def compare(actual, expected, what, bounds=bounds, size=counts[0] * eps * sizes[0]):
            assert_within(actual, expected, 2 * bounds.get(what[-1], size), what)

        flags = [(True,) * 3, (False, True, False), (True, False, True)]
        phases = check(passes, compare, flags)
    return phases


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WINOGRAD_CASES)
def test_winograd_pieces_are_within_the_bound(name, dtype):
    forward, backward = winograd_check(*WINOGRAD_CASES[name], dtype)
    assert forward[0] > 1
    assert len(backward) == {"bands": 4, "images": 3, "channels": 2, "blocks": 4}[
        name.partition("-")[0]
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_winograd_pieces_are_within_the_bound(dtype):
    shared = Counter()
    for shape, images, options in random_convolutions(32, 2, transforms=True):
        phases = winograd_check(shape, images, options, dtype)
        if phases is not None:
            forward, backward = phases
            shared["forward"] += forward[0] > 1
            shared["backward"] += max(backward) > 1
    assert min(shared.values()) >= 10, shared
