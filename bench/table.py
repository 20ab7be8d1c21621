"""Aligned columns of text, and numbers with significant digits."""

import math


def aligned(rows, indent="  "):
    """Return the lines of a table: the first column to the left, the others to the right.

    Examples
    --------
    >>> print("\\n".join(aligned([("layer", "ms"), ("a", "12.5")], indent="")))
    layer    ms
    a      12.5
    """
    rows = [tuple(map(str, row)) for row in rows]
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def digits(value, n=3):
    """Return a number with at least n significant digits and without an exponent.

    Examples
    --------
    >>> digits(0.012345), digits(1.2345), digits(123.45), digits(12345.6)
    ('0.0123', '1.23', '123', '12346')
    """
    if value == 0 or not math.isfinite(value):
        return str(value)
    return f"{value:.{max(0, n - 1 - math.floor(math.log10(abs(value))))}f}"
