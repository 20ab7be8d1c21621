"""Data that is included in the library.

digits    load_digits: 1,797 handwritten digits of 8 x 8 pixels
"""

from matconv.data.digits import Split, load_digits

__all__ = ["Split", "load_digits"]
