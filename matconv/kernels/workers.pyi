from collections.abc import Callable
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

def run(
    evaluate: Callable[[_Item], _Result],
    items: list[_Item],
    consume: Callable[[_Result], object],
    most: int,
    n_threads: int,
) -> None: ...
