"""Find regressions between two results files of ``bench/run.py``.

    python bench/compare.py old.json new.json

For every measurement that is in both files: "time" is matconv's old time over its new one, "peer"
the same for the peer, and "against peer" is the new ratio over the old one.  A slower or busier
machine slows both sides down, so "against peer" decides: below 1 means that matconv became slower
relative to a peer that was measured in turns with it.  The exit status is 1 if a measurement became
slower by more than the threshold, 2 if a file cannot be read, else 0.
"""

import argparse
import json
import sys
from pathlib import Path

from layers import KEYS, label
from table import aligned


def read(path):
    """Read a results file with records.

    Raises
    ------
    ValueError
        If it is not a results file; the message names the file and the reason.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"{path}: not JSON, so not a results file of bench/run.py") from None
    records = document.get("records") if isinstance(document, dict) else None
    needed = {*KEYS, "matconv", "other", "ratio"}
    if not isinstance(records, list) or not all(
        isinstance(one, dict) and needed <= set(one) for one in records
    ):
        raise ValueError(f"{path}: no records of bench/run.py's layers, nets or targets in it")
    return document


def changes(old, new):
    """Return a dictionary for each measurement in both documents, the slowest first.

    Examples
    --------
    >>> one = dict.fromkeys(KEYS, "x") | {k: {"median": 2.0} for k in ("matconv", "other", "ratio")}
    >>> (found,) = changes({"records": [one]}, {"records": [one | {"ratio": {"median": 1.0}}]})
    >>> found["time"], found["against"]
    (1.0, 0.5)
    """
    before = {tuple(one[key] for key in KEYS): one for one in old["records"]}
    found = []
    for one in new["records"]:
        past = before.get(tuple(one[key] for key in KEYS))
        if past is not None:
            found.append(
                {
                    **{key: one[key] for key in KEYS},
                    "time": past["matconv"]["median"] / one["matconv"]["median"],
                    "peer_time": past["other"]["median"] / one["other"]["median"],
                    "against": one["ratio"]["median"] / past["ratio"]["median"],
                }
            )
    return sorted(found, key=lambda one: one["against"])


def other_versions(old, new):
    """Return lines about differences of machine and versions."""
    lines = []
    before, after = (document.get("machine", {}) for document in (old, new))
    for name in ("processor", "cores", "system"):
        if before.get(name) != after.get(name):
            lines.append(f"{name}: {before.get(name)} -> {after.get(name)}")
    first, second = (about.get("versions", {}) for about in (before, after))
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) != second.get(name):
            lines.append(f"{name}: {first.get(name)} -> {second.get(name)}")
    return lines


def report(found, threshold):
    """Return the lines of the table and of its summary."""
    rows = [("measurement", "time", "peer", "against peer", "")]
    for one in found:
        mark = "SLOWER" if one["against"] < 1 - threshold else ""
        ratios = [f"{one[key]:.2f}" for key in ("time", "peer_time", "against")]
        rows.append((label(one), *ratios, mark))
    slower = sum(one["against"] < 1 - threshold for one in found)
    summary = f"{slower} of {len(found)} measurements lost more than {threshold:.0%}"
    return [*aligned(rows, indent=""), summary]


def main(arguments=None):
    """Read, compare and print; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="bench/compare.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--threshold", type=float, default=10.0, metavar="PERCENT", help="(10)")
    given = parser.parse_args(arguments)
    try:
        old, new = read(given.old), read(given.new)
        found = changes(old, new)
        if not found:
            raise ValueError(f"no measurement is in both {given.old} and {given.new}")
    except ValueError as error:
        print(f"bench/compare.py: {error}", file=sys.stderr)
        return 2
    threshold = given.threshold / 100
    print("\n".join([*other_versions(old, new), *report(found, threshold)]))
    return int(any(one["against"] < 1 - threshold for one in found))


if __name__ == "__main__":
    sys.exit(main())
