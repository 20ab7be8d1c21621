"""Memory of graphs: its old content does not matter; values and gradients share it."""

import numpy as np
import pytest
from support import graph_reference
from support.passes import block, passes
from support.random_graphs import random_graph, random_images, random_theta
from support.tolerances import assert_same, assert_same_bytes

from matconv import (
    Activation,
    Add,
    Concat,
    LeakyReLU,
    Multiply,
    Network,
    Objective,
    Scale,
)

DTYPES = [np.float64, np.float32]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(12))
def test_random_graph_threads_do_not_change_bits(seed, dtype):
    net = random_graph(seed, dtype)
    theta, Z = random_theta(net, seed), random_images(net, seed, 600)
    output = net.outputs[0]
    sizes = dict(zip(net.outputs, np.atleast_1d(net.n_outputs)))
    Y = np.random.default_rng(seed).standard_normal((600, sizes[output]))
    assert len(net.shards(600)) > 1
    found = []
    for n_threads in (1, 2, 3, 5):
        f = Objective(net, Z, Y, "squared", 10.0, n_threads, output=output)
        z = net.forward(theta, Z, n_threads)
        z = z if isinstance(z, tuple) else (z,)
        value, gradient = f.value_and_gradient(theta)
        found.append((value, gradient.tobytes(), *(one.tobytes() for one in z)))
    assert all(one == found[0] for one in found[1:])


def fill_idle(evaluation, fill):
    """Give the next call memory that holds `fill`."""
    for buffers in (evaluation._blocks, evaluation._shared_blocks, evaluation._prepared):
        buffers.give(block(buffers.nbytes, fill))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(30))
def test_random_graph_memory_before_a_pass_does_not_change_bits(seed, dtype):
    net = random_graph(seed, dtype)
    theta, Z = random_theta(net, seed), random_images(net, seed, 5)
    found = []
    for fill in (0x00, 0xFF, 0xA5):
        fill_idle(net._evaluation, fill)
        z = net.forward(theta, Z, 1)
        z = z if isinstance(z, tuple) else (z,)
        here = [one.tobytes() for one in z]
        for output, one in zip(net.outputs, z):
            f = Objective(net, Z, np.ones((5, one[0].size)), n_threads=1, output=output)
            fill_idle(f._evaluation, fill)
            f._gradients.give(block(f._gradients.nbytes, fill))
            value, gradient = f.value_and_gradient(theta)
            here += [value, gradient.tobytes(), *passes(net, theta, Z, one, output, fill)]
        found.append([x.tobytes() if isinstance(x, np.ndarray) else x for x in here])
    assert found[1] == found[0]
    assert found[2] == found[0]


# what a block holds beside values, gradients and scratch: pointers, ends of cache lines
TABLES = 1 << 14


def elementwise(count, join=None):
    """A chain of layers without scratch, x1 to x{count}; each x{k} of 8 x 8 x 4 elements."""
    layers = [Scale(name="x1")]
    layers += [Activation(LeakyReLU(0.5), name=f"x{k}") for k in range(2, count + 1)]
    return Network((8, 8, 4), [*layers, *([] if join is None else [join])])


def value_bytes(net):
    return net.shard_size * 8 * 8 * 4 * 8


@pytest.mark.parametrize("count", [3, 10, 40])
def test_chain_inference_takes_two_values(count):
    net = elementwise(count)
    # the last one is in the caller's memory
    inside = net._program.inference_bytes
    assert min(2, count - 1) * value_bytes(net) <= inside <= 2 * value_bytes(net) + TABLES


@pytest.mark.parametrize("count", [3, 10, 40])
def test_chain_training_takes_all_values_and_two_gradients(count):
    net = elementwise(count)
    least = (count + 2) * value_bytes(net)
    assert least <= net._program.training_bytes <= least + TABLES


@pytest.mark.parametrize("first", [1, 4])
def test_value_read_late_is_kept_until_then(first):
    chain = elementwise(10)
    net = elementwise(10, Add(inputs=["x10", f"x{first}"]))
    assert net.shard_size == chain.shard_size
    size = value_bytes(net)
    assert 3 * size <= net._program.inference_bytes <= 3 * size + TABLES
    # 11 values; of gradients d x{first}, and those of two neighbours in the chain
    assert 14 * size <= net._program.training_bytes <= 14 * size + TABLES


def test_gradients_only_where_the_target_needs_them():
    layers = [
        Activation(LeakyReLU(0.5), name="a"), Activation(LeakyReLU(0.5), name="b"),
        Activation(LeakyReLU(0.5), name="c"), Scale(name="d"),
    ]  # fmt: skip
    net = Network((8, 8, 4), layers)
    # nothing before the Scale has parameters: four values, one gradient
    size = value_bytes(net)
    assert 5 * size <= net._program.training_bytes <= 5 * size + TABLES


def test_outputs_are_written_where_they_are_wanted():
    names = [f"x{k}" for k in range(1, 7)]
    layers = elementwise(6).layers
    net = Network((8, 8, 4), layers, outputs=names)
    assert net._program.inference_bytes <= TABLES
    part = Network((8, 8, 4), layers, outputs=["x3", "x6"])
    size = value_bytes(part)
    assert size <= part._program.inference_bytes <= 2 * size + TABLES
    theta, Z = net.init(0), random_images(net, 0)
    for k, (one, expected) in enumerate(zip(net.forward(theta, Z), names)):
        assert_same_bytes(one, graph_reference.forward(net, theta, Z)[k + 1], expected)


def test_multiply_reads_an_output_that_a_later_step_needs():
    layers = [
        Scale(name="a"), Scale(name="b"), Multiply(inputs=["a", "b"], name="c"),
        Concat(inputs=["c", "a"], name="d"),
    ]  # fmt: skip
    net = Network((2, 3, 2), layers, outputs=["a", "d"])
    theta = np.arange(1.0, net.n + 1)
    Z = np.random.default_rng(0).integers(-3, 4, (5, 2, 3, 2)).astype(float)
    for one, k in zip(net.forward(theta, Z), (1, 4)):
        assert_same(one, graph_reference.forward(net, theta, Z)[k])
