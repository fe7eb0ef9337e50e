"""Writing what was rendered: whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from superalign.core.digest import digest
from superalign.core.errors import UserError


def write(content: str | bytes, path: str | Path) -> Path:
    """Write `content` to `path`, text as UTF-8, and return the path.

    Missing parent folders are made. The content goes to a temporary file beside the target, which then
    takes its place, so a reader sees the old file or the new one and never half of one. Device files
    (`/dev/stdout`) are written directly. Raises UserError where that cannot be done; nothing is left behind.
    """
    target = Path(path)
    data = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
    try:
        if target.is_dir():
            raise UserError(f"cannot write {str(target)!r}: it is a folder; name a file in it")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():
            with target.open("wb") as stream:
                stream.write(data)
        else:
            _replace(Path(os.path.realpath(target)), data)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write {str(target)!r}: {why}; choose another place for it") from error
    return target


def _replace(target: Path, data: bytes) -> None:
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0o022)  # the only way to read it is to set it
    os.umask(current)
    return current


def file_name(record_id: str, suffix: str = ".html") -> str:
    """A file name for a record, safe on every system; ids that had to be changed keep apart by a hash."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", record_id).strip(".-")[:80]
    if safe != record_id:
        safe = f"{safe or 'record'}-{digest(record_id)[:8]}"
    return safe + suffix
