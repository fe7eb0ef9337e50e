"""No key of the person who runs the tests is used, shown or needed."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "SUPERALIGN_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
