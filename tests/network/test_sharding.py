"""The rule of shards and leaves, and the order of sums over them."""

import itertools
import threading

import numpy as np
import pytest
from support.networks import images, lenet, mixed

from matconv import Add, Conv, Dense, Network, Objective
from matconv.kernels.program import LOSSES
from matconv.sharding import (
    MAX_BLOCK_BYTES,
    MAX_IMAGES,
    PartialSum,
    Sharding,
    Tree,
    combine,
    cut_evenly,
    max_waiting,
    root_of,
)

COUNTS = [*range(1, 20), 31, 32, 33, 63, 64]


def test_cut_evenly_covers_everything():
    for l in (0, 1, 5, 64, 65, 1000):
        for count in {0 if l == 0 else 1, min(l, 3), l}:
            cut = cut_evenly(l, count)
            indices = [i for part in cut for i in range(part.start, part.stop)]
            assert len(cut) == count and indices == list(range(l))
            lengths = {part.stop - part.start for part in cut}
            assert not lengths or max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("four, two", [(16, 4), (1, 1), (64, 64), (1000, 100)])
def test_shards_any_number_of_images_keep_the_rule(four, two):
    rule = Sharding(64, four, two)
    assert rule.shards(0) == rule.leaves(0) == []
    for l in range(1, 1500, 7):
        cut = rule.shards(l)
        assert [i for part in cut for i in range(part.start, part.stop)] == list(range(l))
        lengths = [part.stop - part.start for part in cut]
        assert max(lengths) <= 64 and max(lengths) - min(lengths) <= 1
        needed = -(-l // 64)
        if len(cut) > max(needed, 2):  # more than there must be: each is worth it
            assert min(lengths) >= four
        if len(cut) == 2 > needed:
            assert min(lengths) >= two
        if -(-needed // 4) * 4 * four <= l and needed <= 16:
            assert len(cut) % 4 == 0


def test_sharding_of_sizes_follows_the_rule():
    """Bounded by what is kept, unless there are more parameters than that; worth their cost."""
    small = Sharding.of(multiply_adds=1000, elements=100, parameters=10)
    assert small.shard_size == MAX_IMAGES and small.four > 256  # too little work for four
    large = Sharding.of(multiply_adds=10**9, elements=10**6, parameters=10**3)
    assert (large.shard_size, large.four, large.two) == (2, 1, 1)
    heavy = Sharding.of(multiply_adds=150_000_000, elements=170_000, parameters=9_200_000)
    assert heavy.shard_size == 64 and heavy.two < heavy.four <= heavy.shard_size
    assert Sharding.of(0, 1, 0).shard_size == MAX_IMAGES  # pooling only


@pytest.mark.parametrize("image_bytes", [1 << 18, 3 << 18, 1 << 22, 5 << 22, 1 << 29, 1 << 30])
def test_shard_size_block_of_memory_is_limited(image_bytes):
    size = Sharding.of(10**6, 1, 0, lambda images: images * image_bytes).shard_size
    assert size == 1 or size * image_bytes <= MAX_BLOCK_BYTES == 1 << 29
    assert size == MAX_IMAGES or 2 * size * image_bytes > MAX_BLOCK_BYTES


@pytest.mark.parametrize("outputs", [None, ["big", "out"], ["out", "big"]])
def test_network_shard_size_block_of_any_output_is_limited(outputs):
    """So many parameters that the rule without a limit would take more images."""
    layers = [
        Conv(64, 3, pad="same", name="big"),
        Conv(64, 3, pad="same", name="next"),
        Add(inputs=["big", "next"], name="sum"),
        Dense(30, name="out"),
    ]
    net = Network((128, 128, 3), layers, outputs=outputs)
    assert net.n > 30 << 20
    blocks = [net.program(name).whole_training_bytes for name in outputs or [None]]
    assert max(blocks) <= MAX_BLOCK_BYTES
    found = []
    for name in outputs or [None]:
        program = Network(net.input_shape, layers, outputs=outputs).program(name)
        program.plan(2 * net.shard_size, program.target)
        found.append(program.whole_training_bytes)
    assert max(found) > MAX_BLOCK_BYTES


@pytest.mark.parametrize(
    "inputs, units, bias, limit",
    [
        (10, 4, True, 64),
        (1 << 12, 1 << 10, False, 64),
        (1 << 12, 1 << 10, True, 16),
        (1 << 13, 1 << 12, False, 16),
        (1 << 13, 1 << 12, True, 8),
    ],
)
def test_leaves_number_is_limited_by_the_parameters(inputs, units, bias, limit):
    net = Network((1, 1, inputs), [Dense(units, bias=bias)])
    for l in (1, net.shard_size, 100 * net.shard_size, 100_000 * net.shard_size + 1):
        shards, leaves = net.shards(l), net.leaves(l)
        assert len(leaves) == min(len(shards), limit)
        assert list(itertools.chain(*leaves)) == shards
        lengths = {len(leaf) for leaf in leaves}
        assert max(lengths) - min(lengths) <= 1


# The tree ----------------------------------------------------------------------------------------


def text_of(low, high, leaves):
    """The sum of leaves low to high - 1, an aligned run, by the definition."""
    if high - low == 1:
        return str(low)
    half = 1 << (high - low - 1).bit_length() - 1
    assert low % half == 0 and (high - low == 2 * half or high == leaves)
    return f"({text_of(low, low + half, leaves)}+{text_of(low + half, high, leaves)})"


def text_tree(leaves, first=0, last=None):
    return Tree(leaves, lambda node, left, right: f"({left}+{right})", first, last)


@pytest.mark.parametrize("leaves", COUNTS)
def test_tree_any_order_gives_the_same_sum(leaves):
    expected = {root_of(leaves): text_of(0, leaves, leaves)}
    for seed in range(20):
        tree = text_tree(leaves)
        for leaf in np.random.default_rng(seed).permutation(leaves).tolist():
            tree.put((0, leaf), str(leaf))
        assert tree.sums == tree.remaining() == expected


@pytest.mark.parametrize("leaves", [1, 2, 3, 5, 8, 11, 16, 21])
def test_tree_every_run_gives_its_nodes(leaves):
    for first, last in itertools.combinations(range(leaves + 1), 2):
        tree = text_tree(leaves, first, last)
        nodes = tree.nodes()
        spans = [tree.span(node) for node in nodes]
        # they are the run; none has its parent in it
        assert list(itertools.chain(*(range(*span) for span in spans))) == list(range(first, last))
        for level, index in nodes:
            low, high = tree.span((level + 1, index >> 1))
            whole = tree.span((level, index)) == (0, leaves)
            assert whole or not first <= low < high <= last
        for leaf in reversed(range(first, last)):
            tree.put((0, leaf), str(leaf))
        assert tree.sums == {n: text_of(*s, leaves) for n, s in zip(nodes, spans, strict=True)}


@pytest.mark.parametrize("leaves", COUNTS)
def test_tree_leaves_in_order_few_sums_wait(leaves):
    found = 0
    tree = text_tree(leaves)
    for leaf in range(leaves):
        found = max(found, len(tree.remaining()))
        tree.put((0, leaf), str(leaf))
    assert found <= max_waiting(leaves)


def test_tree_several_threads_at_once_each_pair_is_added_once():
    leaves, threads = 64, 4
    for _ in range(30):
        start, tree = threading.Barrier(threads), text_tree(leaves)

        def put(k, start=start, tree=tree):
            start.wait(20)
            for leaf in range(k, leaves, threads):
                tree.put((0, leaf), str(leaf))

        helpers = [threading.Thread(target=put, args=(k,)) for k in range(threads)]
        for thread in helpers:
            thread.start()
        for thread in helpers:
            thread.join()
        assert tree.sums == {(6, 0): text_of(0, leaves, leaves)}


def sums_of(values):
    return [PartialSum(0, k, value, np.array([value])) for k, value in enumerate(values)]


def test_combine_adds_pairs_left_to_right():
    one, tiny = 1.0, 2.0**-53
    # (1 + tiny) + (tiny + tiny): 1 + 2 tiny is the next double after 1, and 1 + tiny is 1
    (total,) = combine(sums_of([one, tiny, tiny, tiny]), 4)
    assert (total.level, total.index) == (2, 0)
    assert total.value == total.gradient[0] == 1 + 2 * tiny
    without = [PartialSum(0, 0, 1.0, None), PartialSum(0, 1, 2.0, np.ones(1))]
    assert combine(without, 2)[0].gradient is None


@pytest.mark.parametrize(
    "nodes, message",
    [
        ([(0, 5)], r"combine: a tree of 5 leaves has no node \(0, 5\)"),
        ([(2, 2)], r"combine: a tree of 5 leaves has no node \(2, 2\)"),
        ([(-1, 0)], r"combine: a tree of 5 leaves has no node \(-1, 0\)"),
        ([(0, 1), (0, 1)], "combine: leaf 1 is part of two of the sums"),
        ([(0, 1), (1, 0)], "combine: leaf 1 is part of two of the sums"),
        ([(0, 4), (2, 1)], "combine: leaf 4 is part of two of the sums"),
    ],
)
def test_combine_wrong_nodes_are_refused(nodes, message):
    with pytest.raises(ValueError, match=message):
        combine([PartialSum(*node, 1.0, None) for node in nodes], 5)


# Sums of a network -------------------------------------------------------------------------------


def digest(sum):
    return sum.level, sum.index, sum.value, sum.gradient.tobytes()


def narrow(dtype=np.float64):
    """A network whose shards have few elements."""
    return Network((1, 1, 3), [Dense(4, activation="relu"), Dense(2)], dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("make, l, several", [(mixed, 3000, False), (narrow, 130 * 256, True)])
def test_sums_by_hand_are_f_and_its_gradient(make, l, several, dtype):
    """Each leaf by passes of the program in plain Python, and the tree by its definition."""
    net = make(dtype)
    theta, (Z, y) = net.init(0), images(net, l)
    f = Objective(net, Z, y, "squared", n_threads=2)
    leaves = net.leaves(l)
    assert len(leaves) > 1 and (max(map(len, leaves)) > 1) == several
    program = net.program()
    block = np.empty(program.whole_training_bytes, np.uint8)
    prepared = np.empty(program.prepared_bytes, np.uint8)
    program.prepare(theta, prepared, True)
    sums = []
    for leaf in leaves:
        value, gradient = 0.0, np.empty_like(theta)
        for k, part in enumerate(leaf):
            value += program.loss(
                LOSSES["squared"], theta, prepared, Z[part], y[part], l, block, gradient, add=k > 0
            )
        sums.append((value, gradient))

    def by_definition(low, high):
        if high - low == 1:
            return sums[low]
        half = 1 << (high - low - 1).bit_length() - 1
        left, right = by_definition(low, low + half), by_definition(low + half, high)
        return left[0] + right[0], left[1] + right[1]

    value, gradient = by_definition(0, len(leaves))
    found = f.value_and_gradient(theta)
    assert found[0] == value / l
    np.testing.assert_array_equal(found[1], gradient)


@pytest.mark.parametrize("C", [np.inf, 7.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_partial_sums_of_any_runs_combine_to_the_same_bits(dtype, C):
    net = mixed(dtype)
    theta, (Z, y) = net.init(0), images(net, 3000)
    f = Objective(net, Z, y, "softmax", C, n_threads=2)
    count = len(net.leaves(f.l))
    value, gradient = f.value_and_gradient(theta)
    random = np.random.default_rng(0)
    for processes in (1, 2, 3, 7, count):
        ends = np.sort(random.choice(np.arange(1, count), processes - 1, replace=False))
        runs = itertools.pairwise([0, *ends.tolist(), count])
        sums = [one for run in runs for one in f.partial_sums(theta, *run)]
        random.shuffle(sums)
        found = f.from_partial_sums(theta, sums)
        assert found[0] == value
        np.testing.assert_array_equal(found[1], gradient)
        # in steps, as a process that receives them one after the other
        half = combine(sums[: len(sums) // 2], count)
        (total,) = combine([*half, *sums[len(sums) // 2 :]], count)
        found = f.from_partial_sums(theta, [total])
        assert found[0] == value
        np.testing.assert_array_equal(found[1], gradient)


def test_partial_sums_aligned_run_is_one_node():
    net = mixed()
    f = Objective(net, *images(net, 3000), "softmax", n_threads=2)
    theta, count = net.init(0), len(net.leaves(3000))
    tree = Tree(count, None)
    for level in range(root_of(count)[0] + 1):
        for index in range(-(-count >> level)):
            if tree.span((level, index))[0] < count:
                (one,) = f.partial_sums(theta, *tree.span((level, index)))
                assert tree.span((one.level, one.index)) == tree.span((level, index))
    one, two = f.partial_sums(theta, 1, 3)
    assert (one.level, one.index, two.level, two.index) == (0, 1, 0, 2)
    assert f.partial_sums(theta, 1, 3, gradient=False)[0].gradient is None
    assert f.partial_sums(theta, 1, 3, gradient=False)[1].value == two.value


def test_partial_sums_single_shard_is_the_only_leaf():
    net = lenet()
    f = Objective(net, *images(net, 1), "softmax", 3.0, n_threads=2)
    theta = net.init(0)
    assert net.leaves(1) == [[slice(0, 1)]]
    (one,) = f.partial_sums(theta, 0, 1)
    before = digest(one)
    value, gradient = f.from_partial_sums(theta, [one])
    assert digest(one) == before == (0, 0, *before[2:])
    expected = f.value_and_gradient(theta)
    assert value == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])


def test_from_partial_sums_values_alone_give_f():
    net = mixed()
    f = Objective(net, *images(net, 3000), "softmax", 3.0)
    theta, count = net.init(0), len(net.leaves(3000))
    sums = f.partial_sums(theta, 0, 2, False) + f.partial_sums(theta, 2, count, False)
    assert f.from_partial_sums(theta, sums) == (f.value(theta), None)


@pytest.mark.parametrize("first, last", [(0, 0), (3, 2), (-1, 2), (0, 99), (99, 100)])
def test_partial_sums_run_out_of_range_is_refused(first, last):
    net = mixed()
    f = Objective(net, *images(net, 3000))
    count = len(net.leaves(3000))
    message = f"0 <= first < last <= {count}, got {first} and {last}"
    with pytest.raises(ValueError, match=f"Objective: first and last must be leaves, {message}"):
        f.partial_sums(net.init(0), first, last)


def test_partial_sums_run_of_another_kind_is_refused():
    net = mixed()
    f = Objective(net, *images(net, 3000))
    with pytest.raises(TypeError, match=r"Objective: first must be an integer, got 0.5 \(float\)"):
        f.partial_sums(net.init(0), 0.5, 2)


def test_from_partial_sums_missing_leaf_is_refused():
    net = mixed()
    f = Objective(net, *images(net, 3000))
    theta, count = net.init(0), len(net.leaves(3000))
    sums = f.partial_sums(theta, 0, 2) + f.partial_sums(theta, 3, count)
    with pytest.raises(ValueError, match=f"sums must be of all {count} leaves, some are missing"):
        f.from_partial_sums(theta, sums)
