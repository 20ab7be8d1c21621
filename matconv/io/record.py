"""The training record of a model file, reduced to the maximum size of the file.

* Entries other than the history that have over a million elements are omitted, then the largest
  ones until the rest fits; "omitted" names them.
* Of the history the first row, the last row and an even selection between them are kept, at most
  `MAX_ROWS` rows; "history_thinned": {"of": n} has the original number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from matconv.files.regular import shortened
from matconv.io.plain import Converter, TooLarge, encode

__all__ = ["MAX_ROWS", "extended", "fitted", "history_length"]

# more points than a plot can show
MAX_ROWS = 100_000
# maximum number of elements in all lists and dicts of an entry; a number may take 16 bytes or more
_MAX_ELEMENTS = 10**6
_MAX_ROW_BYTES = 2**20
# bytes reserved for two rows of the history, and for the entries that `fitted` adds
_FOR_HISTORY = 4 * _MAX_ROW_BYTES
_FOR_NOTES = 16 * 2**10
_MAX_NAMES = 20
# maximum number and length of the entries that are kept of a row larger than _MAX_ROW_BYTES
_SHORT_ENTRIES = 200
_SHORT_TEXT = 100


def history_length(record: dict[str, Any]) -> int:
    """Return the original number of rows of a record's history."""
    history, thinned = record.get("history"), record.get("history_thinned")
    count = len(history) if isinstance(history, list | tuple) else 0
    of = thinned.get("of") if isinstance(thinned, dict) else None
    return max(of, count) if isinstance(of, int) and not isinstance(of, bool) else count


def extended(record: dict[str, Any] | None, rows: Sequence[Any]) -> dict[str, Any]:
    """Return the history of a record followed by more rows, with the number of all rows.

    Parameters
    ----------
    record : dict or None
        The training record of a model file.
    rows : sequence of dict

    Returns
    -------
    dict
        The entry "history" and, if rows of the record were omitted, "history_thinned".

    Examples
    --------
    >>> before = {"history": [{"iteration": 1}, {"iteration": 9}], "history_thinned": {"of": 9}}
    >>> after = extended(before, [{"iteration": 10}])
    >>> [row["iteration"] for row in after["history"]], after["history_thinned"]
    ([1, 9, 10], {'of': 10})
    """
    record = record or {}
    before = record.get("history")
    history = [*(before if isinstance(before, list | tuple) else []), *rows]
    count = history_length(record) + len(rows)
    if count == len(history):
        return {"history": history}
    return {"history": history, "history_thinned": {"of": count}}


def fitted(training: dict[Any, Any], max_bytes: int) -> tuple[dict[str, Any], list[str]]:
    """Return a training record that JSON can represent, of limited length.

    Parameters
    ----------
    training : dict
        Record with values of any type.
    max_bytes : int
        Maximum length of its JSON text; at least 5 MiB, so that two rows of a history fit.

    Returns
    -------
    record : dict
    problems : list of str
        Texts for a warning about values that were replaced by text and entries that were omitted.
        There is none about omitted rows of the history.
    """
    history = training.get("history")
    if not isinstance(history, list | tuple) or not history:
        return _fitted_entries(training, max_bytes - _FOR_NOTES)
    entries = {key: value for key, value in training.items() if key != "history"}
    record, problems = _fitted_entries(entries, max_bytes - _FOR_NOTES - _FOR_HISTORY)
    left = max_bytes - _FOR_NOTES - len(encode(record))
    record["history"], more = _fitted_history(history, left)
    count = history_length(training)
    record.pop("history_thinned", None)
    if len(record["history"]) < count:
        record["history_thinned"] = {"of": count}
    return record, problems + more


def _fitted_entries(entries: dict[Any, Any], max_bytes: int) -> tuple[dict[str, Any], list[str]]:
    """Convert the entries, and omit the largest ones until the rest fits."""
    converter = Converter()
    record: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    omitted = []
    names = converter.convert(dict.fromkeys(entries), "training", len(entries))
    for name, value in zip(names, entries.values(), strict=True):
        try:
            record[name] = converter.convert(value, f"training[{name!r}]", _MAX_ELEMENTS)
        except TooLarge:
            omitted.append(name)
        else:
            sizes[name] = len(encode({name: record[name]}))
    total = sum(sizes.values())
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if total <= max_bytes:
            break
        total -= sizes[name]
        del record[name]
        omitted.append(name)
    problems = converter.problems()
    if omitted:
        shown = [shortened(name) for name in omitted[:_MAX_NAMES]]
        if len(omitted) > len(shown):
            shown.append(f"and {len(omitted) - len(shown)} more")
        record["omitted"] = shown
        problems.append(f"training is too large for the file; omitted: {', '.join(shown)}")
    return record, problems


def _fitted_history(rows: Sequence[Any], max_bytes: int) -> tuple[list[Any], list[str]]:
    """Convert the rows, or an even selection of them that fits."""
    positions = _positions(rows)
    chosen = np.arange(len(rows))
    if len(rows) > MAX_ROWS:
        chosen = _evenly(positions, MAX_ROWS)
    converted, sizes, problems = _converted(rows, chosen, max_bytes - 2)
    count = len(chosen)
    if sizes.sum() > max_bytes - 2:
        count = _largest_count(positions[chosen], sizes, max_bytes - 2)
    while sizes.sum() > max_bytes - 2:
        # selected among all rows, not among those chosen before, so that the selection is even
        chosen = _evenly(positions, count)
        converted, sizes, problems = _converted(rows, chosen, max_bytes - 2)
        count = max(2, count * 9 // 10)
    return converted, problems


def _converted(
    rows: Sequence[Any], chosen: np.ndarray, max_bytes: int
) -> tuple[list[Any], np.ndarray, list[str]]:
    """Convert rows; return those that fit, the lengths of all, and problems."""
    converter = Converter()
    converted = []
    sizes = np.empty(len(chosen), np.int64)
    total = reduced = 0
    for i, k in enumerate(chosen.tolist()):
        try:
            row = converter.convert(rows[k], f"training['history'][{k}]", _MAX_ELEMENTS)
            size = len(encode(row)) + 1
        except TooLarge:
            row, size = None, _MAX_ROW_BYTES + 1
        if size > _MAX_ROW_BYTES:
            reduced += 1
            row = _short_entries(rows[k])
            size = len(encode(row)) + 1
        sizes[i] = size
        total += size
        if total <= max_bytes:
            converted.append(row)
    problems = converter.problems()
    if reduced:
        problems.append(f"{reduced} rows of training['history'] saved without their large entries")
    return converted, sizes, problems


def _short_entries(row: Any) -> dict[str, Any]:
    """Return the numbers and the short strings of a row that is too large."""
    result: dict[str, Any] = {}
    for key, value in row.items() if isinstance(row, dict) else ():
        if isinstance(value, str):
            short = len(value) <= _SHORT_TEXT
        else:
            short = isinstance(value, bool | int | float | np.number | np.bool_)
        if short and isinstance(key, str) and len(key) <= _SHORT_TEXT:
            result[key] = Converter().convert(value, "", 0)
        if len(result) == _SHORT_ENTRIES:
            break
    return result


def _positions(rows: Sequence[Any]) -> np.ndarray:
    """Return the rows' iterations if these increase, else their indices."""
    numbers = [row.get("iteration") if isinstance(row, dict) else None for row in rows]
    if all(isinstance(n, int | float | np.number) and not isinstance(n, bool) for n in numbers):
        try:
            positions = np.array(numbers, np.float64)
        except (OverflowError, TypeError, ValueError):
            return np.arange(len(rows), dtype=np.float64)
        with np.errstate(all="ignore"):
            steps = np.diff(positions)
            span = positions[-1] - positions[0]
        if np.isfinite(span) and (steps > 0).all():
            return positions
    return np.arange(len(rows), dtype=np.float64)


def _evenly(positions: np.ndarray, count: int) -> np.ndarray:
    """Return indices of the first, the last, and the nearest to evenly spaced positions."""
    targets = np.linspace(positions[0], positions[-1], count)
    after = np.searchsorted(positions, targets).clip(1, len(positions) - 1)
    nearer = targets - positions[after - 1] < positions[after] - targets
    return np.unique(after - nearer)


def _largest_count(positions: np.ndarray, sizes: np.ndarray, max_bytes: int) -> int:
    """Return the largest number of rows found, at least 2, for which an even selection fits."""
    fits, exceeds = 2, len(sizes)
    while exceeds - fits > 1:
        count = (fits + exceeds) // 2
        if sizes[_evenly(positions, count)].sum() <= max_bytes:
            fits = count
        else:
            exceeds = count
    return fits
