"""Engines: evaluation of items, such as shards, on threads; the default number of threads."""

from .cores import available_cores, default_threads
from .threads import ThreadEngine

__all__ = ["ThreadEngine", "available_cores", "default_threads"]
