"""Pooling, for compiled code only; `_pool` has the functions for Python."""
