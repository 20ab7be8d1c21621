"""Records as lines of text, and as tables of text or of Markdown."""

import math

import peers
import timing

TITLES = {"both": "forward + backward", "step": "training step", "predict": "frozen"}
ORDER = ("forward", "backward", "both", "gradient", "step", "predict", None)


def digits(value, n=3):
    """A number with at least n significant digits and no exponent.

    Examples
    --------
    >>> digits(0.012345), digits(1.2345), digits(123.45), digits(12345.6)
    ('0.0123', '1.23', '123', '12346')
    """
    if value == 0 or not math.isfinite(value):
        return str(value)
    return f"{value:.{max(0, n - 1 - math.floor(math.log10(abs(value))))}f}"


def amount(value, unit):
    """Seconds or bytes in a unit that suits them.

    >>> amount(0.0123, "s"), amount(2.5e-5, "s"), amount(3e6, "bytes")
    ('12.3 ms', '25.0 us', '3.00 MB')
    """
    if unit == "bytes":
        return f"{digits(value / 1e6)} MB"
    size = abs(value)
    scale, name = (1, "s") if size >= 1 else (1e3, "ms") if size >= 1e-3 else (1e6, "us")
    return f"{digits(value * scale)} {name}"


def label(peer):
    """A peer's name for readers."""
    return peers.PEERS[peer].label if peer in peers.PEERS else peer


def aligned(rows, markdown=False):
    """Lines of a table whose first row is the head; a text table has its columns aligned.

    Examples
    --------
    >>> print("\\n".join(aligned([("layer", "time"), ("a", "12.5 ms")])))
      layer  time
      a      12.5 ms
    >>> aligned([("layer", "time"), ("a", "12.5 ms")], markdown=True)
    ['| layer | time |', '| --- | --- |', '| a | 12.5 ms |']
    """
    rows = [[str(cell) for cell in row] for row in rows]
    if markdown:
        rows.insert(1, ["---"] * len(rows[0]))
        return ["| " + " | ".join(row) + " |" for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([c.ljust(n) for c, n in zip(row, widths, strict=True)] for row in rows)
    return ["  " + "  ".join(row).rstrip() for row in padded]


def mine(record):
    """matconv's median, and what a kind of record says besides."""
    text = amount(record["mine"]["median"], record["unit"])
    if "bytes" in record:
        text += f", peak {amount(record['bytes'], 'bytes')}"
    if "beside" in record:
        text += f", beside the kernels {amount(record['beside'], 's')}"
    return text


def ratio(record):
    """The median ratio and its quartiles."""
    return "{median:.2f} ({lower:.2f}-{upper:.2f})".format(**record["ratio"])


def line(record):
    """A record in one line."""
    words = [record["name"], record["sizes"] and f"({record['sizes']})", record["pass"]]
    words += [record["dtype"], record["threads"] and count(record["threads"]), record["algorithm"]]
    text = " ".join(word for word in words if word) + f": {mine(record)}"
    if "ratio" in record:
        other = amount(record["other"]["median"], record["unit"])
        form = f" {record['form']}" if record.get("form") else ""
        text += f"; {label(record['peer'])}{form} {other}, ratio {ratio(record)}"
    return text


def count(threads):
    """A number of threads with its unit.

    >>> count(1), count(2)
    ('1 thread', '2 threads')
    """
    return f"{threads} thread{'s' if threads > 1 else ''}"


def tables(records, markdown=False):
    """A table for each kind, pass, dtype and algorithm: a line a name, a column a peer.

    The columns of matconv have its times, those of a peer ratios with quartiles.
    """
    groups, lines = {}, []
    for record in records:
        key = tuple(record[name] for name in ("what", "pass", "dtype", "algorithm"))
        groups.setdefault(key, []).append(record)
    for key, group in sorted(groups.items(), key=lambda item: ORDER.index(item[0][1])):
        what, which, dtype, algorithm = key
        words = [TITLES.get(which, which), dtype, algorithm and f'algorithm="{algorithm}"']
        rows, columns, means = {}, {}, {}
        for record in group:
            threads = f", {count(record['threads'])}" if record["threads"] else ""
            cells = {f"matconv{threads}": mine(record)}
            if "ratio" in record:
                column = label(record["peer"]) + threads
                cells[column] = ratio(record)
                means.setdefault(column, []).append(record["ratio"]["median"])
            rows.setdefault((record["name"], record["sizes"]), {}).update(cells)
            columns |= cells
        table = [["", "sizes", *columns]]
        table += [[*name, *(row.get(c, "") for c in columns)] for name, row in rows.items()]
        if means:
            found = {c: f"{timing.geometric_mean(x):.2f}" for c, x in means.items()}
            table.append(["geometric mean", "", *(found.get(c, "") for c in columns)])
        title = ", ".join(word for word in words if word)
        lines += ["", f"{what}: {title}" if title else what, "", *aligned(table, markdown)]
    return lines
