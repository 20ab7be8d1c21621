"""Who evaluates the shards of a data set."""

from .cores import available_cores
from .threads import ThreadEngine

__all__ = ["ThreadEngine", "available_cores"]
