from collections.abc import Callable
from typing import TypeVar

_Item = TypeVar("_Item")

def run(evaluate: Callable[[_Item], object], items: list[_Item], n_threads: int) -> None: ...
def interrupt_check(n: int | None) -> int: ...
