"""The command as a user types it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from superalign.cli.main import main


@pytest.fixture
def superalign(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run the command in an empty folder: `superalign(*arguments) -> (exit code, stdout, stderr)`."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["superalign", *arguments])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run
