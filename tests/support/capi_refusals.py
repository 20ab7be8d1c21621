"""Calls of the C functions with bad arguments: the status, and no bit of any argument changed."""

import ctypes

import numpy as np

from support import capi_calls, geometries
from support.capi import Geometry

# No two sizes alike, a padding on one side only, so that nothing fits by accident.
CASE = geometries.Case(
    l=2, size=(7, 6), d=4, d_out=6, kernel=(3, 2), stride=(2, 1), pad=((1, 0), (0, 1)),
    dilation=(1, 1), groups=2, padding_kind="sides",
)  # fmt: skip


def calls(dtype, with_geometry=False):
    """One call of each entry, and of the convolution by each algorithm."""
    for call in capi_calls.every_call(CASE, dtype):
        if not with_geometry or isinstance(call.arguments.get("g"), Geometry):
            yield call
    g = capi_calls.geometry_of(
        CASE.shape, **{**CASE.convolution, "kernel": CASE.kernel, "channels": 6}
    )
    sizes = np.full(1, -7, np.intp), np.full(1, -7, np.intp)
    for algorithm in range(3):
        yield capi_calls.Call(
            "conv_scratch", dtype,
            {"g": g, "algorithm": algorithm, "forward": sizes[0], "backward": sizes[1]},
            ("forward", "backward"), ("forward", "backward"), scratch=(),
        )  # fmt: skip
    if with_geometry:
        yield Init(g)


class Init(capi_calls.Call):
    """The one entry that writes to its geometry, when it succeeds."""

    def __init__(self, g):
        super().__init__("geometry_init", None, {"g": g}, ("g",), scratch=())


def check_refused(call, status, **changes):
    """This status, and not a bit of any argument changed."""
    call.poison()
    changed = {k: v for k, v in changes.items() if isinstance(v, ctypes.Structure)}
    held, given = call.held(), {k: bytes(v) for k, v in changed.items()}
    assert call(**changes) == status, f"{call.name} {changes}"
    assert call.held() == held, f"{call.name} wrote something"
    assert {k: bytes(v) for k, v in changed.items()} == given


def check_geometry_refused(call, status, **fields):
    g = Geometry.from_buffer_copy(call.arguments["g"])
    for name, value in fields.items():
        setattr(g, name, value)
    check_refused(call, status, g=g)
