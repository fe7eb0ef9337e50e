"""A spec as TOML, so that a reader can copy it and run it again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"^[A-Za-z0-9_-]+$")


def toml(values: Mapping[str, Any]) -> str:
    """JSON-like values as TOML that `tomllib` reads back to the same values.

    TOML has no null: such fields appear as comments (in a list's tables they are left out), and a spec's
    defaults fill them in again.
    Invisible and control characters are written as escapes.
    """
    return "\n".join(_table(values, ())).strip() + "\n"


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    tables = {k: v for k, v in values.items() if isinstance(v, Mapping)}
    for key, value in values.items():
        if key in tables:
            continue
        if _has_null(value):
            note = "null" if value is None else json.dumps(value)
            lines.append(f"# {_key(key)} = {note}")
        else:
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, table in tables.items():
        here = (*path, key)
        lines += ["", "[" + ".".join(_key(k) for k in here) + "]", *_table(table, here)]
    return lines


def _has_null(value: Any) -> bool:
    return any(_has_null(v) for v in value) if isinstance(value, list | tuple) else value is None


def _key(key: str) -> str:
    return key if _BARE.match(key) else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if not _has_null(v)) + "}"
    return _string(str(value))


def _string(text: str) -> str:
    def escape(character: str) -> str:
        code = ord(character)
        if character in '"\\':
            return "\\" + character
        if 0xD800 <= code < 0xE000:
            return "\\uFFFD"  # half of a surrogate pair is no character in TOML
        if character.isprintable():
            return character
        return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"

    return '"' + "".join(map(escape, text)) + '"'
