"""What is hashed: the canonical text of a JSON value, the links of a stream's chain, an artifact's seal."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from superalign.core.errors import StoreError

NAME_BYTES = 1000  # PostgreSQL refuses index entries above about 2,700 bytes; one limit for both engines
DEPTH = 100  # far below Python's recursion limit, so that whatever was written can be read back

_JSON = "events and meta hold JSON values: None, bool, int, finite float, str, list, and dict with str keys"


def canonical(value: Mapping[str, Any], what: str) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, ASCII alone.

    ASCII escapes keep NUL and lone surrogates, which neither database takes in a text column.
    Raises StoreError, naming `what` and the place inside it, for anything that is not JSON.
    """
    if not isinstance(value, Mapping):
        raise StoreError(f"{what} must be a dict, got {type(value).__name__}; {_JSON}")
    try:
        return _text(_plain(value, what, ()))
    except ValueError as error:  # an int with more digits than Python converts
        raise StoreError(f"{what} cannot be kept: {error}; {_JSON}") from error


def link(previous: str, stream: str, position: int, body: str) -> str:
    """The hash of an event: SHA-256 of the JSON array [previous hash, stream, position, body]."""
    return hashlib.sha256(f'["{previous}",{json.dumps(stream)},{position},{body}]'.encode()).hexdigest()


def seal(key: str, sha256: str, size: int, meta: str) -> str:
    """The hash of an artifact's manifest, so that a changed size, meta or hash is seen too."""
    return hashlib.sha256(f'[{json.dumps(key)},"{sha256}",{size},{meta}]'.encode()).hexdigest()


def check_name(kind: str, name: str) -> None:
    """Raise StoreError unless `name` can be a stream or a key in either database."""
    if not isinstance(name, str) or not name:
        raise StoreError(f"a {kind} needs a name, got {name!r}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise StoreError(f"the {kind} {name!r} is not valid Unicode: {error.reason}") from error
    if "\0" in name:
        raise StoreError(f"the {kind} {name!r} holds a NUL character; leave it out")
    if size > NAME_BYTES:
        raise StoreError(f"the {kind} {name[:40]!r}... has {size} bytes, at most {NAME_BYTES} are possible; shorten it")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain(value: Any, what: str, where: tuple[Any, ...]) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _unfit(what, where, f"is {value}")
        return value
    if len(where) >= DEPTH:
        raise _unfit(what, where[:3], f"is nested more than {DEPTH} deep, or holds itself")
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise _unfit(what, where, f"has the key {name!r}, a {type(name).__name__}")
        return {name: _plain(v, what, (*where, name)) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, what, (*where, i)) for i, v in enumerate(value)]
    raise _unfit(what, where, f"is a {type(value).__name__}")


def _unfit(what: str, where: tuple[Any, ...], reason: str) -> StoreError:
    place = "".join(f"[{step!r}]" for step in where)
    return StoreError(f"{what} cannot be kept: {place or 'it'} {reason}; {_JSON}")
