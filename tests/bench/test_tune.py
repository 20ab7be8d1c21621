"""The benchmark's search for a row of the tuning table."""

import timing
import tune

from matconv.kernels import _tuning

EFFORT = timing.Effort(repeats=1, seconds=1e-4, budget=0.0, quick=True)


def test_adopts_what_gains_and_nothing_else(monkeypatch):
    before, lines = _tuning.row(False), []
    wanted = [{"columns": 2 * before["columns"]}, {"gather": 0.5 * before["gather"]}]

    def gain(side, dtype, row, changed, effort):
        difference = {key: value for key, value in changed.items() if row[key] != value}
        return 1.5 if difference in wanted else 0.9

    monkeypatch.setattr(tune, "_gain", gain)
    row = tune.run("float32", ["lenet-2"], EFFORT, lines.append)
    assert row == {**before, **wanted[0], **wanted[1]}
    assert len(lines) > 15 and lines[-1] == f"float32  {row}"
    assert sum("1.500" in line for line in lines) == 2


def test_gain_is_measured_with_each_row_and_leaves_the_first_in_use():
    before, seen = _tuning.row(True), []
    changed = {**before, "columns": 1}

    def action():
        seen.append(_tuning.row(True)["columns"])

    try:
        side = tune._actions("lenet-2", "float64")
        assert tune._gain((action, side[1]), "float64", before, changed, EFFORT) > 0
        assert {1, before["columns"]} == set(seen)
        assert _tuning.row(True) == before
    finally:
        _tuning.use(before, True)
