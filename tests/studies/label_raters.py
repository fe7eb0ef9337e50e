"""Raters that are programs, named as a user names them: `tests/studies/label_raters.py:longest`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superalign.core.types import Ask, Reply
from superalign.models.scripted import Scripted


def rater(name: str) -> str:
    """The reference of one of the raters below."""
    return f"{Path(__file__)}:{name}"


def longest(argument: str = "", **given: Any) -> Scripted:
    """Prefers the longer response, and says so in letters."""

    def say(ask: Ask) -> str:
        places = sorted(range(len(ask.choices)), key=lambda k: -len(ask.choices[k]))
        return " > ".join(chr(65 + k) for k in places)

    return Scripted("longest", say)


def first(argument: str = "", **given: Any) -> Scripted:
    """Prefers what is shown first."""
    return Scripted("first", lambda ask: " > ".join(chr(65 + k) for k in range(len(ask.choices))))


def even(argument: str = "", **given: Any) -> Scripted:
    """Prefers nothing."""
    return Scripted("even", lambda ask: " = ".join(chr(65 + k) for k in range(len(ask.choices))))


def words(argument: str = "", **given: Any) -> Scripted:
    """Rates a critique by its length and marks how the answer begins; an explanation by whether its first word fires."""

    def say(ask: Ask) -> str:
        assert ask.item is not None
        info = ask.item.info
        if "critique" in info:
            length = len(info["critique"])
            return f'Rating: {min(7, length // 10)}\nRight: yes\nFlaw (major): "{info["answer"][:4]}" - wrong'
        shown = [pair for e in info["excerpts"] for pair in zip(e["tokens"], e["values"], strict=True)]
        fires = info["explanation"].split()[0] in {token.strip() for token, value in shown if value > 0}
        return "Rating: 6" if fires else "Rating: 2\nBetter: something else"

    return Scripted("words", say)


def wordless(argument: str = "", **given: Any) -> Scripted:
    """Says nothing that can be read."""
    return Scripted("wordless", lambda ask: "both are fine")


def broken(argument: str = "", **given: Any) -> Scripted:
    """Fails."""
    return Scripted("broken", lambda ask: Reply(failure="no connection"))
