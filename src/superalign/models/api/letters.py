"""Letters for choices: read from a reply, from log-probabilities, and estimated from several replies.

`(A)` stands for the first of the choices of an ask. Everything here is a pure function.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from superalign.models.api.wire import Tops

MOST = 26
"""Choices that letters can name."""

LEAST_MASS = 1e-3
"""Probability on letters below which a reply is not taken as a choice."""

_ALONE = re.compile(r"\W*([A-Za-z])\W*")
_FIRST = re.compile(r"[\s\"'*_]*(?:\(([A-Z])\)|([A-Z])[).:])")
_NAMED = re.compile(
    r"\(([A-Z])\)|\b(?i:answer|choice|verdict)\b(?: is)?[\s:*(]*([A-Z])(?=[).]|[\s,;*]*$)", re.MULTILINE
)
_SPELLING = re.compile(r"[\s▁Ġ\"'(\[*]*([A-Za-z])[\s\"')\].:*]*")
_OPENING = re.compile(r"[\s▁ĠĊ\"'(\[*]*")


def letter(place: int) -> str:
    """`A`, `B`, ... for a place in the choices."""
    return chr(65 + place)


def place_of(text: str, count: int) -> int | None:
    """The place of the one letter that a reply gives, among `count` choices. None where it is none or not clear."""
    alone = _ALONE.fullmatch(text)
    if alone:
        found = {alone[1].upper()}
    else:
        first = _FIRST.match(text)
        found = {m[1] or m[2] for m in (*([first] if first else []), *_NAMED.finditer(text))}
    places = {ord(name) - 65 for name in found}
    return places.pop() if len(places) == 1 and max(places) < count else None


def from_tops(tops: Tops, count: int) -> tuple[float, ...]:
    """Probabilities of `count` letters from the alternatives to the first token that is more than an opening bracket.

    The spellings of a letter (`A`, ` A`, `(A`, `a`) are summed; what goes to other tokens is left out and the rest
    scaled to sum 1. Empty where less than LEAST_MASS is on letters.
    """
    for alternatives in tops:
        mass = [0.0] * count
        for token, logprob in alternatives:
            spelled = _SPELLING.fullmatch(token)
            if spelled and ord(spelled[1].upper()) - 65 < count:
                mass[ord(spelled[1].upper()) - 65] += math.exp(logprob)
        if sum(mass) >= LEAST_MASS:
            return tuple(m / sum(mass) for m in mass)
        if not alternatives or not _OPENING.fullmatch(alternatives[0][0]):
            break
    return ()


def from_draws(texts: Sequence[str], count: int) -> tuple[str, tuple[float, ...]]:
    """An estimate from several replies: one that gives the most frequent letter, and (n_k + 1) / (n + K) for each.

    n counts the replies that give a letter (Laplace's rule of succession). Without any the first reply comes back,
    with no probabilities.
    """
    places = [place_of(text, count) for text in texts]
    counts = Counter(place for place in places if place is not None)
    if not counts:
        return texts[0], ()
    most = max(range(count), key=lambda k: counts[k])
    probs = tuple((counts[k] + 1) / (counts.total() + count) for k in range(count))
    return texts[places.index(most)], probs
