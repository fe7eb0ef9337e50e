"""Programs in English: `describe` says what a program claims, for readers and for models that score explanations."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from superalign.core.errors import SpecError
from superalign.interp.predicates.atoms import And, Inside, Look, Not, Or, Pair, Place, Program, Repeated
from superalign.interp.predicates.tokens import ENDINGS, PIECES, Among, Ends, Is, Like, Starts, Stem, Test

SHOWN = 12
"""The most strings of a set that are shown; the others are counted."""

Weight = Callable[[str, str], float]
"""`weight(where, string)`: which strings of a set to show first, where `where` is that of the look at it."""

_CLASSES = {
    "number": ("is a number", "is no number"),
    "capitalised": ("is capitalised", "is not capitalised"),
    "upper": ("is written in capitals", "is not written in capitals"),
    "letters": ("is made of letters alone", "is not made of letters alone"),
    "punctuation": ("is punctuation", "is no punctuation"),
    "blank": ("is blank", "is not blank"),
    "newline": ("holds a line break", "holds no line break"),
    "start": ("begins with a space", "does not begin with a space"),
    "foreign": ("holds a character outside ASCII", "is plain ASCII"),
}
_RUNS = dict(
    zip(
        PIECES,
        [
            ("a space", "spaces"),
            ("a capital letter", "capital letters"),
            ("a small letter", "small letters"),
            ("a digit", "digits"),
            ("another character", "other characters"),
        ],
        strict=True,
    )
)


def describe(program: Program, weight: Weight = lambda where, string: 0.0) -> str:
    """One sentence. Of a long set the strings of largest weight are shown (ties in order)."""
    return f"Active where {_clause(program, True, weight)}."


def quoted(text: str) -> str:
    """A string in double quotes, where blanks can be seen; what cannot be printed is escaped."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else json.dumps(c)[1:-1] for c in text) + '"'


def _clause(program: Program, true: bool, weight: Weight) -> str:
    match program:
        case Not(part):
            return _clause(part, not true, weight)
        case And(parts) | Or(parts):
            word = "and" if isinstance(program, And) else "or"
            inner = [_part(p, weight) for p in parts]
            return f", {word} ".join(inner) if true else f"it is not so that ({f', {word} '.join(inner)})"
        case Look():
            return _look(program, true, weight)
        case Pair(pairs):
            shown = sorted(pairs, key=lambda pair: -weight("token", pair[1]))
            listed = _listed([f"{quoted(a)} {quoted(b)}" for a, b in shown])
            return f"the previous token and this one are {'' if true else 'not '}{listed}"
        case Place(below):
            first = "the first token" if below == 1 else f"among the first {below} tokens"
            return f"it is {'' if true else 'not '}{first} of the context"
        case Inside(what, depth):
            marks = "quotation marks" if what == "quotes" else "brackets" if depth == 1 else f"{depth} or more brackets"
            return f"it is {'' if true else 'not '}inside {marks}"
        case Repeated():
            return "the token has " + ("already occurred" if true else "not occurred before") + " in the context"
    raise SpecError(f"{program!r} is no program of the language")


def _part(part: Program, weight: Weight) -> str:
    clause = _clause(part, True, weight)
    return f"({clause})" if isinstance(part, And | Or) else clause


def _look(look: Look, true: bool, weight: Weight) -> str:
    one = true or look.where in ("within", "before")  # "none of the last 3 tokens is", but "the token is not"
    last = "the token before" if look.n == 1 else f"the last {look.n} tokens"
    subject = {
        "token": "the token",
        "previous": "the previous token",
        "within": f"one of {last}" if true else f"none of {last}",
        "before": "an earlier token of the context" if true else "no earlier token of the context",
    }[look.where]
    return f"{subject} {_verb(look.test, one, lambda string: weight(look.where, string))}"


def _verb(test: Test, true: bool, weight: Callable[[str], float]) -> str:
    is_, does = ("is", "") if true else ("is not", "does not ")
    s = "s" if true else ""
    match test:
        case Among(strings):
            return f"{is_} {_listed([quoted(t) for t in sorted(strings, key=lambda t: -weight(t))])}"
        case Starts(letters):
            return f"{does}start{s} with {quoted(letters)}"
        case Ends(letters):
            return f"{does}end{s} with {quoted(letters)}"
        case Stem(letters):
            return f"{is_} {quoted(letters)}, alone or with an ending ({', '.join('-' + e for e in ENDINGS if e)})"
        case Is(name):
            return _CLASSES[name][0 if true else 1]
        case Like(pattern):
            return f"{is_} written as {_runs(pattern)}"


def _runs(pattern: str) -> str:
    found: list[str] = []
    while pattern:
        piece = next(p for p in PIECES if pattern.startswith(p))
        pattern = pattern.removeprefix(piece)
        found.append(_RUNS[piece][pattern.startswith("+")])
        pattern = pattern.removeprefix("+")
    return " then ".join(found)


def _listed(items: Sequence[str]) -> str:
    if len(items) > SHOWN + 1:  # "and 1 more" would take as much room as the one
        return ", ".join(items[:SHOWN]) + f" or one of {len(items) - SHOWN} more"
    return " or ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
