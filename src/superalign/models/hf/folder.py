"""A folder that is whole or not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from superalign.core.errors import ModelError


def whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Call `write` on a new folder beside `folder` and give it that name at the end.

    Raises ModelError where `folder` exists; leaves nothing behind where `write` fails.
    """
    if folder.exists():
        raise ModelError(f"{folder} is already there; remove it or choose another name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    waiting = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(waiting)
        waiting.chmod(0o755)
        waiting.rename(folder)
    except BaseException:
        shutil.rmtree(waiting, ignore_errors=True)
        raise
