"""The wheel that all projects here are tried with."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def wheel():
    named = os.environ.get("MATCONV_WHEEL")
    if not named:
        pytest.fail("MATCONV_WHEEL must name the wheel to test: `pip wheel --no-deps -w dist .`")
    path = Path(named).resolve()
    if path.suffix != ".whl" or not path.is_file():
        pytest.fail(f"MATCONV_WHEEL: {path} is no wheel")
    return path
