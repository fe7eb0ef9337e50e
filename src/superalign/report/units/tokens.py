"""Excerpts as shaded text: the measured activation behind each token, the simulated one in a strip below it.

One linear scale a unit, from 0 to its peak, in nine steps of one hue, so that no colour has to be told from another.
Numbers stand on hover and for screen readers. Tokens are untrusted: every character is shown, none is obeyed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from markupsafe import Markup, escape

from superalign.interp.dossier import Dossier, Excerpt
from superalign.report.text import visible

LEVELS = 9
WIDEST = 64
"""Tokens of an excerpt that a page shows; of longer ones, those around its largest value."""
_SILENT = "never fires"
_SHARE = re.compile(r"^quantile (\d+)/(\d+)$")
_TITLES = {"top": "Strongest windows", "random": "Windows drawn at random", "quiet": "Windows where it is silent"}


@dataclass(frozen=True, slots=True)
class Stratum:
    """Excerpts that are shown for one reason."""

    name: str
    title: str
    excerpts: tuple[Excerpt, ...]

    @property
    def simulated(self) -> bool:
        """Whether any of them has a simulation."""
        return any(e.simulated for e in self.excerpts)


def strata(dossier: Dossier) -> list[Stratum]:
    """The excerpts by why they are shown, in the order of their first appearance."""
    order = {name: k for k, name in enumerate(dict.fromkeys(e.stratum for e in dossier.excerpts))}
    ranked = sorted(dossier.excerpts, key=lambda e: order[e.stratum])
    return [Stratum(name, title(name), tuple(found)) for name, found in groupby(ranked, key=lambda e: e.stratum)]


def title(stratum: str) -> str:
    """A stratum as a heading: `quantile 3/10` reads `Quantile 3 of 10`."""
    known = _TITLES.get(stratum) or _SHARE.sub(r"Quantile \1 of \2", stratum)
    return known[:1].upper() + known[1:]


def scale(dossier: Dossier) -> float:
    """The upper end of the unit's scale: its peak, or more where a simulation goes beyond."""
    shown = (v for e in dossier.excerpts for v in (*e.values, *e.simulated) if math.isfinite(v))
    return max(dossier.peak if math.isfinite(dossier.peak) else 0.0, max(shown, default=0.0), 0.0)


def level(value: float, top: float) -> int:
    """The step of the scale, 0 for what is not positive, 1 to `LEVELS` for the rest."""
    return max(1, math.ceil(LEVELS * min(value / top, 1.0))) if value > 0 and top > 0 else 0


def brief(value: float) -> str:
    """An activation in three significant digits."""
    return f"{value:.3g}"


def strongest(excerpt: Excerpt) -> str:
    """The largest activation of an excerpt, in words."""
    largest = max((v for v in excerpt.values if v == v), default=0.0)
    return f"peak {brief(largest)}" if largest > 0 else _SILENT


def crop(excerpt: Excerpt, widest: int = WIDEST) -> tuple[int, int]:
    """Which tokens are shown: all, or `widest` of them around the largest value."""
    length = len(excerpt.tokens)
    if length <= widest:
        return 0, length
    row = excerpt.values if any(v > 0 for v in excerpt.values) else excerpt.simulated
    centre = max(range(min(len(row), length)), key=row.__getitem__, default=0)
    start = min(max(centre - widest // 2, 0), length - widest)
    return start, start + widest


def shaded(excerpt: Excerpt, top: float) -> Markup:
    """The excerpt as HTML: plain text where both values are 0, a `<span>` with its two steps elsewhere."""
    start, stop = crop(excerpt)
    parts = ["…" if start else ""]
    for k in range(start, stop):
        parts.append(_token(excerpt.tokens[k], _at(excerpt.values, k) or 0.0, _at(excerpt.simulated, k), top))
    parts.append("…" if stop < len(excerpt.tokens) else "")
    return Markup("".join(parts))


def _token(text: str, real: float, simulated: float | None, top: float) -> str:
    fires, predicted = level(real, top), level(simulated or 0.0, top)
    shown = characters(text)
    if not fires and not predicted:
        return shown
    said = brief(real) if simulated is None else f"{brief(real)}, simulated {brief(simulated)}"
    steps = " ".join([f"r{fires}"] * bool(fires) + [f"p{predicted}"] * bool(predicted))
    return f'<span class="t {steps}" title="{said}">{shown}<span class="sr"> ({said})</span></span>'


def _at(row: Sequence[float], k: int) -> float | None:
    """The finite value at a place, None where the row ends before it."""
    value = row[k] if k < len(row) else None
    return value if value is None or math.isfinite(value) else 0.0


@lru_cache(maxsize=1 << 14)
def characters(text: str) -> str:
    """A token as HTML in which every character can be seen: spaces as dots over real spaces, breaks as arrows,
    anything invisible or obeyed by a renderer by its code point."""
    return "".join(map(_character, visible(text))) if text else '<i class="n">empty</i>'


def _character(character: str) -> str:
    if character == " ":
        return "<i> </i>"
    if character in _BREAKS:
        return _BREAKS[character]
    if character.isspace():
        return f"[U+{ord(character):04X}]"
    return str(escape(character))


_BREAKS = {"\n": '<i class="n">↵</i>', "\t": '<i class="n">⇥</i>'}
