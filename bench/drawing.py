"""Elements of SVG pictures that can be read on white and on black."""

from xml.sax.saxutils import escape

GREY, WIDTH = "#7a7a7a", 760


def picture(height, parts):
    """The document of elements."""
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' "
        f"font-family='Helvetica, Arial, sans-serif' font-size='12' fill='{GREY}'>"
    )
    return "\n".join([head, *parts, "</svg>", ""])


def text(x, y, words, more=""):
    """A line of text that starts at (x, y)."""
    return f"<text x='{x:.4g}' y='{y:.4g}' {more}>{escape(words)}</text>".replace(" >", ">")


def line(x, y, x2, y2, width):
    """A grey line."""
    place = f"x1='{x:.4g}' y1='{y:.4g}' x2='{x2:.4g}' y2='{y2:.4g}'"
    return f"<line {place} stroke='{GREY}' stroke-width='{width}'/>"


def rectangle(x, y, width, height, colour):
    """A filled rectangle."""
    place = f"x='{x:.4g}' y='{y:.4g}' width='{width:.4g}' height='{height}'"
    return f"<rect {place} fill='{colour}'/>"


def path(points, colour, *, filled=False):
    """A line through points, or the area that they enclose, translucent."""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    if filled:
        return f"<polygon points='{places}' fill='{colour}' fill-opacity='0.2'/>"
    return f"<polyline points='{places}' fill='none' stroke='{colour}' stroke-width='1.8'/>"
