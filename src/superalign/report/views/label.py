"""What the forms of labelling show that a template cannot make itself: an answer to be marked, shaded excerpts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from superalign.interp.dossier import Excerpt
from superalign.people.questions import Question
from superalign.report.text import visible
from superalign.report.units import tokens

PREFERENCES = (
    ("clearly A", "A is clearly better", 1, 2),
    ("slightly A", "A is slightly better", 1, 2),
    ("same", "About the same", 1, 1),
    ("slightly B", "B is slightly better", 2, 1),
    ("clearly B", "B is clearly better", 2, 1),
)
"""How two responses compare: what is kept as `survey-preference`, the words, and the ranks of A and B."""

_UNSEEN = re.compile(r"[^\t\n\x20-\x7e]")


def context(question: Question) -> dict[str, Any]:
    """What a labelling form needs beside the question; nothing for the other forms."""
    if question.form == "rank":
        return {"preferences": PREFERENCES, "asked": _asked(question)}
    if question.form == "critique":
        return {"asked": _asked(question), "marked": marked(str(question.parts.get("answer", "")))}
    if question.form == "explanation":
        return {"excerpts": shaded(question.parts.get("excerpts")), "steps": range(tokens.LEVELS + 1)}
    return {}


def marked(text: str) -> Markup:
    """A text in which each place can be found again: all characters as they are, in one text, but for those that
    cannot be seen. These are elements `<i>` that show a code point and count as one character."""
    parts, start = [], 0
    for found in _UNSEEN.finditer(text):
        shown = visible(found[0])
        if shown != found[0]:
            parts += [str(escape(text[start : found.start()])), f"<i>{shown}</i>"]
            start = found.end()
    return Markup("".join([*parts, str(escape(text[start:]))]))


def shaded(excerpts: Any) -> list[Markup]:
    """Excerpts `[{"tokens": [...], "values": [...]}]` as on the page of a unit, on one scale; what is no excerpt is
    left out."""
    found = [e for e in map(_excerpt, excerpts if isinstance(excerpts, list | tuple) else ()) if e is not None]
    top = max((v for e in found for v in e.values), default=0.0)
    return [tokens.shaded(e, top) for e in found]


def _excerpt(row: Any) -> Excerpt | None:
    try:
        row_tokens = tuple(str(t) for t in row["tokens"])
        values = tuple(float(v) for v in row["values"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    kept = tuple(v if abs(v) < float("inf") else 0.0 for v in values)
    return Excerpt(0, "", "", "", row_tokens, kept) if row_tokens else None


def _asked(question: Question) -> str:
    """The prompt; without one, what the user's message says."""
    said: Mapping[str, str] = {m.role: m.content for m in question.messages}
    return question.prompt or said.get("user", "")
