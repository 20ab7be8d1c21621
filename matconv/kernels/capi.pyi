from typing import Any

_API: Any
