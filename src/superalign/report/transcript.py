"""One played game as a page: who said what, which quotes stand in the source, and what the judge held after each round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from markupsafe import Markup

from superalign.core.types import Item
from superalign.protocols.played import Played
from superalign.report import page
from superalign.report.games.beliefs import chart, courses
from superalign.report.games.script import Held, Piece, Script, script
from superalign.report.palette import SERIES
from superalign.report.text import visible

_CSS = Path(__file__).parent / "templates" / "transcript.css"
WIDTH, HEIGHT = 220, 12
"""Pixels of a bar of beliefs."""
HEADING = 240
"""Characters of a question that stand as the heading; what follows is set as text below it."""
SHORT = 24
"""Characters of answers that stand in one line."""
SHARES = 4
"""Of more answers than this, only likely ones are written out."""
PEOPLE = "human"
"""Names of models that are people begin so."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the source: plain, or quoted by `sides`; `anchor` is where a link to it goes."""

    text: str
    sides: tuple[int, ...] = ()
    anchor: str = ""


def html(game: Played, item: Item, record: str = "") -> str:
    """A game of an item as a self-contained HTML page, the same bytes for the same game."""
    css = _CSS.read_text(encoding="utf-8")
    return page.render("transcript.html", css=css, **_context(game, item, record))


def fragment(game: Played, item: Item, record: str = "") -> str:
    """The inside of `html`, for a page that brings its own frame and `styles()`."""
    return page.part("transcript_body.html", **_context(game, item, record))


def styles() -> str:
    """The style sheet of a page that holds a `fragment`."""
    return page.styles() + _CSS.read_text(encoding="utf-8")


def odds(shown: Script, held: Held) -> list[tuple[int, str, float]]:
    """The probabilities of a decision as they are shown: place in the item's order, name, probability."""
    if not held.answers:
        return [(k, held.choices[k], p) for k, p in enumerate(held.probs) if k < len(held.choices)]
    return [(k, shown.letter(k), held.probs[k]) for k in shown.order if held.probs]


def written(shown: Script, held: Held) -> str:
    """The probabilities in words; of many answers those that matter."""
    found = odds(shown, held)
    if len(found) > SHARES:
        found = [each for each in found if each[2] >= 0.01] or found[:1]
    return ", ".join(f"{name} {p:.2f}" for _, name, p in found)


def bar(shown: Script, held: Held) -> Markup:
    """The probabilities of a decision as a small SVG bar; nothing where there are none. Answers have the colours of their
    sides; of other choices the likeliest is dark."""
    parts, x, found = Markup(""), 0.0, odds(shown, held)
    top = max((p for _, _, p in found), default=0.0)
    for k, _, p in found:
        fill = f"series-{k % len(SERIES) + 1}" if held.answers else "series-6" if p == top else "faint"
        rect = Markup('<rect x="{:.1f}" width="{:.1f}" height="{}" fill="var(--{})"/>')
        parts += rect.format(x, WIDTH * p, HEIGHT, fill)
        x += WIDTH * p
    if len(found) == 2:
        parts += Markup('<path d="M{0} 0V{1}" stroke="var(--paper)"/>').format(WIDTH / 2, HEIGHT)
    frame = Markup('<svg class="belief" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return frame.format(WIDTH, HEIGHT, visible(written(shown, held)), parts) if found else Markup("")


def is_person(model: str) -> bool:
    """Whether a model is a person at a form."""
    return model.partition(":")[0].startswith(PEOPLE)


def heading(prompt: str) -> tuple[str, str]:
    """A question as a heading, and what of it is set as text: all below its first line, or all of a long one."""
    first, _, rest = prompt.strip().partition("\n")
    if len(first) > HEADING:
        cut = first[:HEADING].rsplit(" ", 1)[0]
        return f"{cut} …", prompt.strip()
    return first, rest.strip("\n")


def quoted(text: str) -> str:
    """A quote in quotation marks, unless it brings its own."""
    return text if text[:1] in tuple("\"'“‘«") else f"“{text}”"


def segments(source: str, found: Sequence[tuple[int, Piece]]) -> list[Segment]:
    """The source cut where quotes begin and end; `found` are quotes with the side that made them."""
    spans = [(p.start, p.end, side) for side, p in found if p.start >= 0]
    cuts = sorted({0, len(source), *(s for s, _, _ in spans), *(e for _, e, _ in spans)})
    starts = {s for s, _, _ in spans}
    made = []
    for start, end in pairwise(cuts):
        sides = tuple(sorted({side for s, e, side in spans if s <= start and end <= e}))
        made.append(Segment(source[start:end], sides, f"source-{start}" if start in starts else ""))
    return made


def _context(game: Played, item: Item, record: str) -> dict[str, Any]:
    shown = script(game, item)
    quotes = [(-1 if s.side is None else s.side, p) for r in shown.rounds for s in r.said for p in s.pieces if p.status]
    source = item.info.get("source")
    title, further = heading(item.prompt or game.id)
    seated = game.seat.assigned if game.seat.assigned in item.choices else None
    counts = {status: sum(p.status == status for _, p in quotes) for status in ("verified", "near", "unverified")}
    return {
        "game": game,
        "item": item,
        "script": shown,
        "source_title": str(item.info.get("title", "")),
        "title": item.prompt or game.id,
        "heading": title,
        "further": further,
        "short": len(item.choices) > 2 and all(len(c) <= SHORT for c in item.choices),
        "seated": None if seated is None else item.choices.index(seated),
        "record_id": record,
        "source": segments(source, quotes) if isinstance(source, str) and source else [],
        "source_words": len(str(source or "").split()),
        "counts": {k: n for k, n in counts.items() if n},
        "beliefs": [(r.number, h) for r in shown.rounds for h in r.held if h.answers and h.probs],
        "course": chart(shown),
        "whose": " and ".join(f"the {name.lower()}" for name in courses(shown)),
        "people": sorted({t.role for t in game.turns if is_person(t.model)}),
        "reordered": len(shown.order) == len(game.seat.order) and shown.order != game.seat.order,
        "bar": bar,
        "written": written,
        "is_person": is_person,
        "quoted": quoted,
    }
