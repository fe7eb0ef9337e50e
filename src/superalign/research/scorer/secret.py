"""The scorer's key: made once per campaign, in a file that its owner alone can read.

It draws the seeds of confirmations and signs results. The first entry of the ledger commits to it; closing the campaign
publishes it. Code that a campaign runs never gets to see the file: its sandbox has no view of it.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from superalign.core.errors import StoreError

BYTES = 32


def folder_of(home: Path, campaign: str) -> Path:
    """The scorer's folder of a campaign. Raises StoreError for a name that is no plain file name."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,80}", campaign):
        raise StoreError(f"{campaign!r} cannot name a campaign; use letters, digits, '-', '_' and '.'")
    return home / campaign


def key_of(home: Path, campaign: str) -> bytes:
    """The key of a campaign, made and synced to disk where there is none. Raises StoreError for one that others can
    read, and for a damaged one."""
    folder = folder_of(home, campaign)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "key"
    if not path.exists():
        _make(path)
    found = os.stat(path)
    if found.st_mode & 0o077:
        raise StoreError(f"{path} can be read by others (mode {found.st_mode & 0o777:o}); type: chmod 600 {path}")
    lost = f"without it the campaign cannot be confirmed, so put a copy back; type: cp COPY {path}"
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError as error:
        raise StoreError(f"{path} holds no key in hexadecimal digits; {lost}") from error
    if len(key) != BYTES:
        raise StoreError(f"{path} holds {len(key)} bytes, a key has {BYTES}; {lost}")
    return key


def _make(path: Path) -> None:
    """Whole or not at all, and the first of several processes wins."""
    new = path.with_name(f"key.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(new)
