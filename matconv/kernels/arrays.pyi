from typing import Any

from numpy.typing import NDArray

def as_array(function: str, name: str, value: Any) -> NDArray[Any]: ...
