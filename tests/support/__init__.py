"""Helpers that several test files share."""

from pathlib import Path

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
