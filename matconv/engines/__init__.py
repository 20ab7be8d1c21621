"""Engines: who evaluates the shards of a data set, and on how many threads."""

from .cores import available_cores, default_threads
from .threads import ThreadEngine

__all__ = ["ThreadEngine", "available_cores", "default_threads"]
