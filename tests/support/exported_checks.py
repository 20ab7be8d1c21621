"""Whether the library refuses or accepts files of exported networks, and why."""

import re

import numpy as np

from matconv.kernels.predictor import Predictor
from support.exported_files import MAGIC, word
from support.exported_reading import steps_of, understood

DAMAGED = "^Predictor: not an exported network, or a damaged one$"


OTHER = (
    r"^Predictor: an exported network of version \d+ of the format; this matconv reads version 2$"
)


def refused(data, match=DAMAGED):
    """Whether the library refuses these bytes, with this message."""
    try:
        Predictor(data)
    except ValueError as error:
        assert re.search(match, str(error)), str(error)
        return True
    return False


def theta_offset(data):
    """The byte at which theta begins."""
    return 8 * steps_of(data)[1]


HARD_VALUES = (
    0,
    1,
    2,
    3,
    4,
    5,
    8,
    -1,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**61,
    2**62,
    2**63 - 1,
    -(2**63),
)


def agrees(data):
    """The library and the reading by hand make the same of a file; whether it is a network."""
    expected = understood(data)
    other = data[:8] == MAGIC and word(data, 1) != 2 and word(data, 1) > 0
    try:
        predictor = Predictor(data)
    except ValueError as error:
        assert re.search(OTHER if other else DAMAGED, str(error))
        assert expected is None, f"refused: {expected}"
        return False
    assert expected is not None, f"accepted: {[word(data, k) for k in range(len(data) // 8)]}"
    outputs = expected.outputs
    assert predictor.input_shape == expected.input_shape
    assert predictor.output_shape == (outputs if len(outputs) > 1 else outputs[0])
    assert predictor.dtype.itemsize == expected.item_size
    if expected.work < 1e6:
        found = predictor(np.ones((2, *expected.input_shape), predictor.dtype))
        found = found if isinstance(found, tuple) else (found,)
        assert [out.shape for out in found] == [(2, *shape) for shape in outputs]
    else:
        assert predictor.workspace_size(0) > 0
    return True
