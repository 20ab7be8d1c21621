"""Errors with a given text."""

import re

import pytest


def raises(kind, message):
    """Return a context manager that expects an exception whose message contains a text."""
    return pytest.raises(kind, match=re.escape(message))
