"""What an explainer that reads is shown of a unit: its strongest windows, with levels or with marks, and what it asks for
besides: quiet windows, near misses, promoted tokens. All of it from the split `explain`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from superalign.interp.corpus import Windows
from superalign.interp.evidence import Evidence
from superalign.interp.layout import (
    BRIGHT,
    SPARSE,
    Rounding,
    block,
    bright,
    escaped,
    highlighted,
    levels,
    marks_for,
)
from superalign.interp.negatives import near_misses, peaks
from superalign.protocols.template import Template

if TYPE_CHECKING:
    from superalign.core.ports import Floats

SPLIT = "explain"
SURE = 0.9
"""The share of strongest tokens that must be one token for a unit to be explained by it."""
_STRONGEST, _LEAST = 50, 5

Style = Literal["tokens", "highlights"]

_SECTIONS = {
    "task": (), "unit": ("records", "quiet", "near", "promoted"), "quiet": ("records",), "near": ("records",),
    "promoted": ("tokens",), "again": (),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown, and how.

    `style`: `tokens` gives each token with its level (Bills et al. 2023), `highlights` running text with marks and the
    levels of what is marked (Paulo et al. 2024). `top`, `quiet` and `near` count windows. Tokens are marked from
    `bright` of their window's largest activation on.
    """

    style: Style = "tokens"
    top: int = 10
    quiet: int = 0
    near: int = 0
    bright: float = BRIGHT
    rounding: Rounding = "floor"


def sections(style: Style) -> dict[str, tuple[str, ...]]:
    """The sections of an explainer's template with their fields."""
    if style == "highlights":
        return dict(_SECTIONS)
    return {**_SECTIONS, "unit": (*_SECTIONS["unit"], "strong"), "strong": ("records",)}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The filled prompt of a unit and the numbers of the windows in it."""

    text: str
    windows: tuple[int, ...]


def unit_sheet(evidence: Evidence, shown: Shown, template: Template, promoted: Sequence[str] = ()) -> Sheet:
    """The prompt of a unit that fires on the split."""
    parts = {
        "records": evidence.top(SPLIT, shown.top),
        "quiet": evidence.quiet(SPLIT, shown.quiet),
        "near": Windows(evidence.corpus, near_misses(evidence, SPLIT)[: shown.near] if shown.near else _NONE),
    }
    values = {name: _cut(evidence.on(windows), windows) for name, windows in parts.items()}
    peak = max(float(v.max()) for v in values["records"])
    fields = {name: _records(w, values[name], peak, shown) for name, w in parts.items()}
    for name in ("quiet", "near"):
        fields[name] = template.fill(name, records=fields[name]) if fields[name] else ""
    if shown.style == "tokens":
        fields["strong"] = _strong(parts["records"], values["records"], peak, shown.rounding, template)
    names = ", ".join(f'"{escaped(token)}"' for token in promoted)
    fields["promoted"] = template.fill("promoted", tokens=names) if promoted else ""
    numbers = tuple(int(k) for w in parts.values() for k in w.index)
    return Sheet(template.fill("unit", **fields), numbers)


def single_token(evidence: Evidence) -> tuple[str, tuple[int, ...]] | None:
    """The token at which the unit peaks in 90 % of its strongest windows, with their numbers; None without one.

    Looked at are the strongest half of the active windows, 50 at most and at least 5.
    """
    count = min(_STRONGEST, -(-len(evidence.active(SPLIT)) // 2))
    if count < _LEAST:
        return None
    corpus = evidence.corpus
    token, often = Counter(corpus.tokens[peaks(evidence, SPLIT, count)].tolist()).most_common(1)[0]
    if often < SURE * count:
        return None
    return corpus.strings[token], tuple(int(k) for k in evidence.top(SPLIT, count).index)


_NONE = np.zeros(0, np.int64)


def _cut(values: Floats, windows: Windows) -> list[Floats]:
    return [values[a:b] for a, b in pairwise(windows.bounds.tolist())]


def _records(windows: Windows, values: Sequence[Floats], peak: float, shown: Shown) -> str:
    made = []
    for tokens, own in zip(windows.texts(), values, strict=True):
        level = levels(own, peak, shown.rounding)
        if shown.style == "tokens":
            made.append(block(tokens, level))
            continue
        on = bright(own, shown.bright)
        pairs = ", ".join(f'("{escaped(t)}", {n})' for t, n, k in zip(tokens, level, on, strict=True) if k)
        marks = marks_for("".join(tokens))
        made.append(
            f"Text: {highlighted(tokens, on, marks)}\nMarked by {marks.before} {marks.after}: {pairs or 'nothing'}"
        )
    return "\n".join(made) if shown.style == "tokens" else "\n\n".join(made)


def _strong(windows: Windows, values: Sequence[Floats], peak: float, rounding: Rounding, template: Template) -> str:
    """The records once more without zeros, where few levels are none."""
    level = [levels(own, peak, rounding) for own in values]
    if np.mean(np.concatenate(level) > 0) >= SPARSE:
        return ""
    texts = zip(windows.texts(), level, strict=True)
    return template.fill("strong", records="\n".join(block(t, n, zeros=False) for t, n in texts))
