"""The folder of real data; tests that need it skip where it is absent, or fail if SUPERALIGN_REQUIRE names `data`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("SUPERALIGN_TEST_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data").resolve()


def data(name: str) -> Path:
    """The path of a file of the data folder."""
    path = ROOT / name
    if not path.exists():
        message = f"needs the data folder ({name}); set SUPERALIGN_TEST_DATA"
        if "data" in os.environ.get("SUPERALIGN_REQUIRE", "").replace(",", " ").split():
            pytest.fail(message)
        pytest.skip(message)
    return path
