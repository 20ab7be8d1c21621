from collections.abc import Callable
from contextvars import Context
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

def silent_context() -> Context: ...
def guarded(function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
