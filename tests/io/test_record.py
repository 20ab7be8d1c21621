"""Training records: long histories are thinned, and nothing in a record keeps theta from a file."""

import enum
import fractions
import json
import pathlib
import warnings

import numpy as np
import pytest

from matconv import Dense, Network
from matconv.io import load_model, save_model
from matconv.io import record as records
from matconv.io.header import MAX_BYTES
from matconv.io.plain import Converter, encode
from matconv.io.record import MAX_ROWS, extended, fitted, history_length

NET = Network((2, 2, 1), [Dense(2)])
THETA = NET.init(0)
MIB = 2**20


def rows(count, start=1, **more):
    return [{"iteration": k, "f": 1 / k, **more} for k in range(start, start + count)]


def iterations(history):
    return [row["iteration"] for row in history]


def saved(path, training):
    """The record that comes back; theta must, whatever the record was."""
    save_model(path, NET, THETA, training=training)
    model = load_model(path)
    assert model.theta.tobytes() == THETA.tobytes()
    return model.training


def saved_with_warnings(path, training):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = saved(path, training)
    assert all(warning.filename == __file__ for warning in caught)
    return record, [str(warning.message) for warning in caught]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.fixture
def few(monkeypatch):
    """A limit of 1000 rows."""
    monkeypatch.setattr(records, "MAX_ROWS", 1000)
    return 1000


# Histories


def test_save_model_history_within_the_limits_is_kept(path):
    training = {"history": rows(2000), "iterations": 2000}
    assert saved(path, training) == training


@pytest.mark.catalogue(67)
@pytest.mark.parametrize("count", [MAX_ROWS + 1, 111_000, 250_001])
def test_save_model_long_history_is_thinned(path, count):
    record = saved(path, {"history": rows(count), "iterations": count})
    kept = iterations(record["history"])
    assert record["history_thinned"] == {"of": count} and record["iterations"] == count
    assert (kept[0], kept[-1]) == (1, count) and kept == sorted(set(kept))
    assert 0.95 * MAX_ROWS < len(kept) <= MAX_ROWS
    gaps = np.diff(kept)
    assert gaps.max() - gaps.min() <= 1
    assert all(row["f"] == 1 / row["iteration"] for row in record["history"][::1000])


@pytest.mark.parametrize("length", [200, 2000, 100_000])
def test_save_model_large_rows_fill_the_header(path, length):
    count = 2 * MAX_BYTES // length
    record = saved(path, {"history": rows(count, note="x" * length)})
    kept = iterations(record["history"])
    assert (kept[0], kept[-1]) == (1, count) and record["history_thinned"] == {"of": count}
    assert 0.9 * MAX_BYTES < len(encode(record)) < MAX_BYTES
    gaps = np.diff(kept)
    assert gaps.max() - gaps.min() <= 1


def test_save_model_rows_of_very_different_length_fit(path):
    history = [
        row | ({"note": "x" * 900_000} if row["iteration"] % 7 == 0 else {}) for row in rows(700)
    ]
    kept = iterations(saved(path, {"history": history})["history"])
    assert (kept[0], kept[-1]) == (1, 700) and 8 < len(kept) < 700


def test_save_model_giant_rows_keep_their_numbers(path):
    history = rows(40, weights=np.zeros(10**6), name="a", note="x" * 2000)
    record, messages = saved_with_warnings(path, {"history": history})
    assert record["history"] == [row | {"name": "a"} for row in rows(40)]
    assert messages == [
        "save_model: 40 rows of training['history'] saved without their large entries"
    ]


def test_save_model_giant_first_and_last_rows_survive(path):
    big = {"note": "x" * (MIB - 200)}
    history = [row | big for row in rows(60)]
    other = {"other": "y" * 20 * MIB, "small": "z" * 3 * MIB}
    record, messages = saved_with_warnings(path, {**other, "history": history})
    kept = iterations(record["history"])
    assert (kept[0], kept[-1]) == (1, 60) and len(kept) >= 4
    assert record["omitted"] == ["other"] and record["small"] == other["small"]
    assert messages == ["save_model: training is too large for the file; omitted: other"]


def test_save_model_thinned_history_is_even_in_iterations_after_resumes(path, few):
    record = {"history": []}
    done = 0
    for more in (1500, 300, 30, 2000):
        record = saved(path, extended(record, rows(more, done + 1)))
        done += more
        kept = iterations(record["history"])
        assert record["history_thinned"] == {"of": done} and (kept[0], kept[-1]) == (1, done)
        assert 0.7 * few < len(kept) <= few
    gaps = np.diff(kept)
    assert gaps.max() <= 2 * done / few


@pytest.mark.parametrize(
    "history",
    [
        [{"f": k} for k in range(1050)],
        [{"iteration": 5, "f": k} for k in range(1050)],
        [{"iteration": "k"}, *rows(1050), {"iteration": None}],
        [{"iteration": float("nan")}, *rows(1050)],
        [*rows(1050), {"iteration": 10**400}],
        list(range(1050)),
        (*rows(1000), None, "text", [1, 2]),
    ],
    ids=["none", "equal", "texts", "nan", "huge", "numbers", "tuple"],
)
def test_save_model_history_without_iterations_is_thinned_by_position(path, few, history):
    record = saved(path, {"history": history})
    first, last = ([row] if isinstance(row, tuple) else row for row in (history[0], history[-1]))
    assert len(record["history"]) <= few
    assert record["history_thinned"] == {"of": len(history)}
    assert record["history"][0] == pytest.approx(first, nan_ok=True)
    assert record["history"][-1] == last


@pytest.mark.parametrize("thinned", [None, 7, {}, {"of": "9"}, {"of": True}, {"of": 1}])
def test_save_model_stale_count_is_corrected(path, thinned):
    record = saved(path, {"history": rows(3), "history_thinned": thinned})
    assert record == {"history": rows(3)}
    assert history_length({"history": rows(3), "history_thinned": thinned}) == 3


def test_save_model_true_count_is_kept(path):
    training = {"history": rows(3), "history_thinned": {"of": 9}}
    assert saved(path, training) == training


def test_extended_without_a_record_before():
    assert extended(None, rows(2)) == {"history": rows(2)}
    assert extended({"history": "odd"}, rows(2)) == {"history": rows(2)}


def test_fitted_time_grows_linearly():
    """Every row is converted at most twice."""
    converted = []

    class Counting(Converter):
        def convert(self, value, where, max_elements):
            converted.append(1)
            return super().convert(value, where, max_elements)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "Converter", Counting)
        fitted({"history": rows(3000, note="x" * 10_000)}, MAX_BYTES)
    assert len(converted) <= 2 * 3000 + 10


# Other entries


class Colour(enum.IntEnum):
    RED = 3


class Tensor:
    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.value, dtype)


class Scalar:
    def __float__(self):
        return 0.25


class Hostile:
    """Everything about it raises."""

    __array__ = property(lambda self: 1 / 0)

    def __repr__(self):
        raise RuntimeError("no text")


class Text(str):
    def __str__(self):
        return "another"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.full((1, 2), 0.5, np.longdouble), [[0.5, 0.5]]),
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.array(7), 7),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([1, "a", None], object), [1, "a", None]),
        (np.ma.masked_equal([1, 2], 2), [1, None]),
        ((1, (2,)), [1, [2]]),
        (Colour.RED, 3),
        (Text("x"), "x"),
        (np.str_("x"), "x"),
        (fractions.Fraction(1, 4), 0.25),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (Tensor(0.5), 0.5),
        (Tensor([[1, 2]]), [[1, 2]]),
        (Scalar(), 0.25),
        (2**2000, 2**2000),
        (float("inf"), float("inf")),
        ("\ud800\0", "\ud800\0"),
        ({"b": {"a": ()}}, {"b": {"a": []}}),
    ],
    ids=range(24),
)
def test_save_model_values_with_an_equivalent(path, value, expected):
    record = saved(path, {"a": value, "history": [{"f": value}]})
    assert record == {"a": expected, "history": [{"f": expected}]}
    assert type(record["a"]) is type(expected)


@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        (1j, "1j", "complex"),
        (np.complex64(1j), "np.complex64(1j)", "complex64"),
        ({1}, "{1}", "set"),
        (b"ab", "b'ab'", "bytes"),
        (np.datetime64("2020-01-01"), "np.datetime64('2020-01-01')", "datetime64"),
        (range(3), "range(0, 3)", "range"),
        (-(10**5000), "<int>", "int"),
        (Hostile(), "<Hostile>", "Hostile"),
        ({1j: 0}.keys(), "dict_keys([1j])", "dict_keys"),
        (len, "<built-in function len>", "builtin_function_or_method"),
    ],
    ids=range(10),
)
def test_save_model_values_without_an_equivalent_become_text(path, value, text, kind):
    record, messages = saved_with_warnings(path, {"a": value, "b": 1})
    assert record == {"a": text, "b": 1}
    (message,) = messages
    assert message.startswith(f"save_model: training['a'] is a {kind}")
    assert message.endswith("which JSON cannot hold; saved as text")


def test_save_model_warns_once_of_many_values(path):
    record, messages = saved_with_warnings(path, {"history": rows(500, odd={1})})
    assert record["history"][499]["odd"] == "{1}"
    (message,) = messages
    assert message == (
        "save_model: training['history'][0]['odd'] is a set, training['history'][1]['odd'] is a "
        "set, training['history'][2]['odd'] is a set (and 497 more), which JSON cannot hold; "
        "saved as text"
    )


def test_save_model_long_texts_of_objects_are_shortened(path):
    record, _ = saved_with_warnings(path, {"a": set(range(10_000))})
    assert len(record["a"]) == 200 and record["a"].endswith("...")


def test_save_model_keys_become_text_and_stay_different(path):
    record, messages = saved_with_warnings(
        path, {1: "a", "1": "b", None: "c", "d": {(2, 3): 4, Text("e"): 5}}
    )
    assert record == {"1'": "a", "1": "b", "None": "c", "d": {"(2, 3)": 4, "e": 5}}
    (message,) = messages
    assert message == (
        "save_model: a key of training is a int, a key of training is a NoneType, "
        "a key of training['d'] is a tuple, which JSON cannot hold; saved as text"
    )


@pytest.mark.parametrize("times", [1, 2])
def test_save_model_record_that_contains_itself(path, times):
    training = {"b": 1}
    training["again"] = [training] * times
    cycle = []
    cycle.extend([cycle] * times)
    training["cycle"] = cycle
    record, messages = saved_with_warnings(path, training)
    assert record["b"] == 1 and record["cycle"] == ["<list>"] * times
    assert record["again"][-1]["again"] == "<list>"
    assert len(messages) == 1 and "training['again'][0]['again'] is a list" in messages[0]


def test_save_model_deep_nesting_ends(path):
    value = 0
    for _ in range(10_000):
        value = [value]
    record, messages = saved_with_warnings(path, {"a": value, "b": 1})
    assert record["b"] == 1 and json.dumps(record["a"]).count("[") == 50
    assert len(messages) == 1


def test_save_model_shared_parts_that_multiply_are_omitted(path):
    value = [1]
    for _ in range(45):
        value = [value, value]
    record, messages = saved_with_warnings(path, {"a": value, "b": 1})
    assert record == {"b": 1, "omitted": ["a"]}
    assert messages == ["save_model: training is too large for the file; omitted: a"]


def test_save_model_giant_array_is_not_converted(path):
    giant = np.broadcast_to(0.5, (2**40,))
    record, _ = saved_with_warnings(path, {"a": giant, "b": 1})
    assert record == {"b": 1, "omitted": ["a"]}


def test_save_model_largest_entries_are_omitted(path):
    sizes = {"a": 9, "b": 1, "c": 7, "d": 3}
    training = {name: name * (size * MIB) for name, size in sizes.items()}
    record, messages = saved_with_warnings(path, {**training, "history": rows(5)})
    assert sorted(record) == ["b", "c", "d", "history", "omitted"]
    assert record["omitted"] == ["a"] and record["history"] == rows(5)
    assert messages == ["save_model: training is too large for the file; omitted: a"]


def test_save_model_very_many_entries_are_omitted(path):
    training = {f"{k:01000}": "\u20ac" * 100 for k in range(20_000)}
    record, messages = saved_with_warnings(path, training)
    omitted = record.pop("omitted")
    assert len(omitted) == 21 and omitted[-1] == f"and {20_000 - len(record) - 20} more"
    assert 9000 < len(record) < 20_000 and len(messages) == 1 and len(messages[0]) < 3000


def test_save_model_warning_as_error_comes_after_the_file(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="which JSON cannot hold"):
            save_model(path, NET, THETA, training={"a": 1j})
    assert load_model(path).training == {"a": "1j"}


def test_save_model_training_of_another_type_is_an_error(path):
    for training in ([1], "text", 3):
        with pytest.raises(TypeError, match="^save_model: training must be a dict, got "):
            save_model(path, NET, THETA, training=training)
    assert not path.exists()


def test_save_model_rows_that_were_not_measured_fit(path, few):
    """Beyond the limit of rows, the lengths of some are known only once they are selected."""
    measured = set(np.linspace(1, 3000, few).round().astype(int).tolist())
    history = [
        row | {"note": "x" * (20_000 if row["iteration"] in measured else 100_000)}
        for row in rows(3000)
    ]
    kept = iterations(saved(path, {"history": history})["history"])
    assert (kept[0], kept[-1]) == (1, 3000) and 100 < len(kept) < 500
