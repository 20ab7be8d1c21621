"""Who evaluates the shards of a data set."""

from .threads import ThreadEngine, available_cores

__all__ = ["ThreadEngine", "available_cores"]
