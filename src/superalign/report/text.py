"""Untrusted text: what a reader cannot see is made visible, what a renderer obeys is escaped."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

_KEPT = frozenset("\t\n\u200c\u200d")  # joiners are spelling in Persian and in emoji; newlines are layout
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_MARKS = re.compile(r"([\\`*_\[\]|~$])")
_BLOCK = re.compile(r"^(\d{1,9}(?=[.)](\s|$)))|^(?=#{1,6}(\s|$)|[-+](\s|$)|(-\s*){2,}$|=+$)")


def visible(text: str) -> str:
    """`text` with control, direction and other invisible characters written out, as `[U+202E]`.

    A right-to-left override can make a page, a diff or a terminal show another text than the one stored.
    Newlines, tabs and the two joiners stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"[U+{ord(c):04X}]" if _is_hidden(c) else c for c in text)


def _is_hidden(character: str) -> bool:
    return character not in _KEPT and unicodedata.category(character) in _HIDDEN


def visible_all(value: Any) -> Any:
    """`visible` on every string of a JSON-like value, keys included."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(k)): visible_all(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [visible_all(v) for v in value]
    return value


def one_line(text: str) -> str:
    """`visible`, with every run of white space as one space: safe in a table cell or a terminal."""
    return visible(" ".join(text.split()))


def markdown_text(text: str) -> str:
    """`text` on one line such that Markdown shows it as it is: no markup, no HTML, no table cell ends."""
    line = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _BLOCK.sub(r"\1\\", _MARKS.sub(r"\\\1", line))


def markdown_code(text: str, language: str = "") -> str:
    """A fenced block that no run of backticks inside `text` can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible(text).rstrip()}\n{fence}"


def cell(value: Any) -> str:
    """A table value as text: floats to four significant digits, whole numbers with thousands separators."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, list | tuple):
        return ", ".join(cell(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}: {cell(v)}" for k, v in value.items())
    return str(value)


def column_cells(values: Sequence[Any]) -> list[str]:
    """A table column as text: numbers of one column share their decimals, so that their points line up."""
    floats = [v for v in values if isinstance(v, float) and math.isfinite(v)]
    if not all(isinstance(v, int | float | None) for v in values) or all(v.is_integer() for v in floats):
        return [cell(v) for v in values]
    if any("e" in _float(v) for v in floats):  # a very small or large value needs its exponent
        return [cell(v) for v in values]
    largest = max(abs(v) for v in floats)
    needed = max(len(_float(v).partition(".")[2]) for v in floats)
    decimals = max(0, min(needed, 3 - math.floor(math.log10(largest))))  # four digits of the largest
    return [f"{v:,.{decimals}f}" if isinstance(v, float) and math.isfinite(v) else cell(v) for v in values]


def _float(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
