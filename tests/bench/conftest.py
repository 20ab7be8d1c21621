"""Fixtures of the tests of the benchmark."""

import json

import measuring
import nets
import pytest
import run
import timing

from matconv import MaxPool, Network

_OPTIONS = {"stride": (2, 1), "pad": (1, 2), "dilation": (2, 1), "groups": 2}
GROUPED = nets.Net(Network((6, 5, 4), [nets.conv(6, (3, 2), **_OPTIONS)]), 3)
PLAIN = nets.Net(Network((5, 5, 3), [nets.conv(4, 3, pad=1)]), 2)
SMALL = nets.Net(Network((9, 9, 4), [nets.conv(6, 3, pad=1), MaxPool(3, 2), *nets.dense(3)]), 2)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Two tiny layers and a small network by name, and no waiting."""
    monkeypatch.setitem(nets.LAYERS, "grouped", GROUPED)
    monkeypatch.setitem(nets.LAYERS, "plain", PLAIN)
    monkeypatch.setitem(nets.NETS, "small", SMALL)
    both = nets.NETS | nets.LAYERS
    monkeypatch.setitem(measuring.KINDS, "nets", measuring.KINDS["nets"]._replace(known=both))
    monkeypatch.setattr(timing, "rest", lambda: None)
    yield
    measuring._case.cache_clear()
    measuring._sides.cache_clear()


@pytest.fixture
def measured(tmp_path):
    """Function that returns the document of a quick run with one thread."""

    def measure(*arguments, status=0):
        path = tmp_path / "found.json"
        options = ["--quick", "--threads", "1", "--json", str(path)]
        assert run.main([*arguments, *options]) == status
        return json.loads(path.read_text(encoding="utf-8"))

    return measure
