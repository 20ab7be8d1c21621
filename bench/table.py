"""Records and verdicts as lines of text, and as tables that are also Markdown."""

import collections
import math
import statistics

import peers

#: Kinds with one table of all passes, a row each.
LISTS = ("products", "budgets")

TITLES = {"both": "forward + backward", "step": "training step"}
ORDER = ("both", "step", "predict", "forward", "backward", "gradient", None)


def digits(value):
    """A number with three significant digits or more and no exponent."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def amount(value, unit):
    """Seconds or bytes as text."""
    return f"{digits(1e3 * value)} ms" if unit == "s" else f"{digits(value / 1e6)} MB"


def count(threads):
    """A number of threads with its unit; "" for None."""
    return f"{threads} thread{'s' if threads > 1 else ''}" if threads else ""


def geometric_mean(values):
    """The mean for ratios: its logarithm is the mean logarithm."""
    return math.exp(statistics.fmean(map(math.log, values)))


def label(peer):
    """A peer's name in tables."""
    return peers.PEERS[peer].label if peer in peers.PEERS else peer


def aligned(rows):
    """Lines of a Markdown table whose first row is the head, its columns aligned."""
    rows = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * n for n in widths])
    return [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows]


def mine(record):
    """matconv's median, and what a kind of record says besides."""
    text = amount(record["mine"]["median"], record["unit"])
    if "bytes" in record:
        text += f", peak {amount(record['bytes'], 'bytes')}"
    if "beside" in record:
        text += f", beside the kernels {digits(1e6 * record['beside'])} us"
    return text


def ratio(record):
    """The median ratio and its quartiles."""
    return "{median:.2f} ({lower:.2f}-{upper:.2f})".format(**record["ratio"])


def cell(record):
    """What a table has of a peer: its ratio, or what matconv's product costs in gradients."""
    if record["peer"] != "gradient":
        return ratio(record)
    lower, median, upper = (1 / record["ratio"][x] for x in ("upper", "median", "lower"))
    return f"{median:.2f} ({lower:.2f}-{upper:.2f}), in theory {record['cost']:.2f}"


def line(record):
    """A record in one line."""
    words = [record["name"], record["sizes"] and f"({record['sizes']})", record["pass"]]
    words += [record["dtype"], count(record["threads"]), record["algorithm"]]
    text = " ".join(word for word in words if word) + f": {mine(record)}"
    if "ratio" in record:
        form = f" {record['form']}" if record.get("form") else ""
        other = amount(record["other"]["median"], record["unit"])
        text += f"; {label(record['peer'])}{form} {other}, {'cost' if record['peer'] == 'gradient' else 'ratio'} {cell(record)}"
    return text


def tables(records):
    """A table for each kind, pass, dtype and algorithm, of matconv's times and peers' ratios.

    Each number of threads has its columns, and so has each ISA if there are several.
    """
    groups, lines = collections.defaultdict(list), []
    records = list(records)
    isas = tuple(dict.fromkeys(record["isa"] for record in records))
    for record in records:
        which = record["pass"] if record["what"] not in LISTS else None
        groups[record["what"], which, record["dtype"], record["algorithm"]].append(record)
    for key, group in sorted(groups.items(), key=lambda item: ORDER.index(item[0][1])):
        what, which, dtype, algorithm = key
        rows, columns = collections.defaultdict(dict), collections.defaultdict(list)
        for record in group:
            words = (count(record["threads"]), record["isa"] if len(isas) > 1 else "")
            about = "".join(f", {word}" for word in words if word)
            name = record["name"] + f", {record['pass']}" * (what in LISTS)
            row = rows[name, record["sizes"]]
            row[f"matconv{about}"] = mine(record)
            columns[f"matconv{about}"] = []
            if "ratio" in record:
                column = label(record["peer"]) + about
                row[column], ratios = cell(record), columns[column]
                ratios += [record["ratio"]["median"]] * (record["peer"] != "gradient")
        table = [["", "sizes", *columns]]
        table += [[*name, *map(row.get, columns)] for name, row in rows.items()]
        means = [f"{geometric_mean(x):.2f}" if x else None for x in columns.values()]
        if any(means):
            table.append(["geometric mean", "", *means])
        words = [what, TITLES.get(which, which), dtype, algorithm, *isas[: len(isas) == 1]]
        lines += ["", ", ".join(word for word in words if word), "", *aligned(table)]
    return lines


def verdicts(found):
    """The result of `targets.verdicts` as a table, and how many there are of each."""
    words = {True: "met", False: "NOT met", None: "-"}
    rows = [("", "measure", "ISA", "threads", "target", "measured", "")]
    rows += [(*one[:6], words[one.met]) for one in found]
    counts = collections.Counter(one.met for one in found)
    summary = f"{counts[True]} met, {counts[False]} not met, {counts[None]} not judged"
    return ["", *aligned(rows), "", summary]
