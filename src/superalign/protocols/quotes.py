"""Quotes, checked against their source: who cites a text that the judge cannot read must cite it word for word.

A quote and its source are compared as sequences of words. Case, quotation marks, dashes, line breaks, soft hyphens
and other punctuation do not count, compatibility forms of a character are one (Unicode NFKC), Penn Treebank
brackets and split contractions are undone; signs and decimal points of numbers do count. A quote matches on word
boundaries only. What is not word for word is never verified: a similar passage is reported as `near`.

Verified quotes: Khan et al. (2024), arXiv 2402.06782; spans and their union: Michael et al. (2023), arXiv 2311.08702.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import cache, cached_property, lru_cache
from typing import Literal, NamedTuple

Status = Literal["verified", "near", "unverified"]
Span = tuple[int, int]
"""Half-open range of characters of a source."""

SHORT = 3
"""A quote of fewer words is `short`; a fragment between ellipses needs as many."""

FABRICATED = 7
"""A quote of more words, no three of which stand together in the source, is `fabricated`."""

NEAR = 0.6
"""Share of words in place from which an unverified quote is called near."""

_SLACK = 2  # words inserted or left out between words that still count as in place

QUOTED = re.compile(r"<(quote|verified|near|unverified)>((?:(?!</?\1>).)*)</\1>", re.DOTALL)
"""A quote in a speech: as a speaker marks it, or as it stands in a transcript."""


class Checked(NamedTuple):
    """What became of a quote.

    `start` and `end` are its place in the source in characters (-1 where it has none), `similarity` is the share of
    its words that stand in place there, `kind` is `short`, `fabricated` or empty. `parts` are the spans of a
    verified quote, one per fragment.
    """

    status: Status
    start: int = -1
    end: int = -1
    similarity: float = 0.0
    kind: str = ""
    parts: tuple[Span, ...] = ()


def check(quote: str, source: str) -> Checked:
    """Look a quote up in its source. An ellipsis stands for words left out between fragments, in order."""
    where = _read(source)
    words = words_of(quote)[0]
    kind = "short" if len(words) < SHORT else ""
    if not words:
        return Checked("unverified", kind="short")
    found = where.find(words, 0)
    if found is not None:
        span = where.span(found, len(words))
        return Checked("verified", *span, 1.0, kind, (span,))
    parts = _fragments(quote, where)
    if parts:
        return Checked("verified", parts[0][0], parts[-1][1], 1.0, kind, parts)
    share, first, last = where.nearest(words)
    if share >= NEAR and len(words) >= SHORT:
        return Checked("near", where.begins[first], where.ends[last], share, kind)
    if len(words) > FABRICATED and not where.shares_three(words):
        kind = "fabricated"
    return Checked("unverified", similarity=share, kind=kind)


def spans(speech: str, source: str) -> tuple[Span, ...]:
    """Where the source is quoted word for word in a speech (raw, or as heard): one span per fragment, in order."""
    return tuple(span for _, quote in QUOTED.findall(speech) for span in check(quote, source).parts)


def union(found: Iterable[Span]) -> tuple[Span, ...]:
    """Spans merged where they touch or overlap."""
    merged: list[Span] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def size(found: Iterable[Span]) -> int:
    """Characters covered by spans, each counted once."""
    return sum(end - start for start, end in union(found))


def coverage(speeches: Iterable[str], source: str) -> float:
    """Share of the source's characters that speeches quote word for word; repetition counts once."""
    return size(span for speech in speeches for span in spans(speech, source)) / max(len(source), 1)


def overlap(first: Iterable[str], second: Iterable[str], source: str) -> float:
    """Of the characters that either side quotes, the share that both do (Jaccard); 0 where nobody quotes."""
    ours = [span for speech in first for span in spans(speech, source)]
    theirs = [span for speech in second for span in spans(speech, source)]
    either = size([*ours, *theirs])
    return (size(ours) + size(theirs) - either) / either if either else 0.0


def tally(speech: str, source: str) -> Counter[str]:
    """Counts of quotes by status (`verified`, `near`, `unverified`) and by kind (`short`, `fabricated`)."""
    checked = [check(quote, source) for _, quote in QUOTED.findall(speech)]
    return Counter([c.status for c in checked] + [c.kind for c in checked if c.kind])


_ELLIPSIS = re.compile(r"[\[(]?(?:\.(?: ?\.){2,}|…)[\])]?")


def _fragments(quote: str, where: _Source) -> tuple[Span, ...]:
    """The spans of a quote's fragments, in order; none where one is too short or not there."""
    pieces = [words for piece in _ELLIPSIS.split(quote) if (words := words_of(piece)[0])]
    if len(pieces) < 2 or any(len(words) < SHORT for words in pieces):
        return ()
    parts, place = [], 0
    for words in pieces:
        found = where.find(words, place)
        if found is None:
            return ()
        parts.append(where.span(found, len(words)))
        place = found + len(words)
    return tuple(parts)


_WORD = re.compile(
    r"-[lr][rsc]b-"  # a Penn Treebank bracket, skipped
    r"|(?:(?<![^\s(\[\x22'])-)?(?:\d{1,3}(?:,\d{3})+(?!,?\d)(?:\.\d+)?|\d+(?:\.\d+)+|\d+(?=[^a-z0-9\x80-\U0010ffff]|$))"
    r"|[a-z0-9\x80-\U0010ffff]+(?: ?n't\b| ?'(?:s|re|ll|ve|d|m)\b|'[a-z]+)*"
    r"|[%$+=<>]"
)
_INNER = str.maketrans("", "", " ',")


def _plain(word: str) -> str:
    """A word without what only joins it: `do n't` and `don't`, `1,000` and `1000` are the same."""
    return word if word.isalnum() else word.translate(_INNER)


def words_of(text: str) -> tuple[list[str], list[int], list[int]]:
    """The words of a text as they are compared, with their starts and their ends in it."""
    if text.isascii():
        matches = [m for m in _WORD.finditer(text.lower()) if m[0][0] != "-" or m[0][1] not in "lr"]
        return [_plain(m[0]) for m in matches], [m.start() for m in matches], [m.end() for m in matches]
    folded: list[str] = []
    origin: list[int] = []
    for place, char in enumerate(text):
        plain = _folded(char)
        folded.append(plain)
        origin.extend([place] * len(plain))
    matches = [m for m in _WORD.finditer("".join(folded)) if m[0][0] != "-" or m[0][1] not in "lr"]
    words = [unicodedata.normalize("NFKD", _plain(m[0])) for m in matches]
    return words, [origin[m.start()] for m in matches], [origin[m.end() - 1] + 1 for m in matches]


@cache
def _folded(char: str) -> str:
    """A character as it is compared: decomposed (which keeps places, and tells apart what NFKC tells apart),
    casefolded; dashes, apostrophes and separators as ASCII; marks that cannot be seen dropped."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    return "".join(map(_as_ascii, plain))


def _as_ascii(char: str) -> str:
    kind = unicodedata.category(char)
    if char in "‘’‛ʼ′":
        return "'"
    if char.isascii():
        return char
    if kind == "Pd" or char == "−":
        return "-"
    if kind == "Cf":
        return ""
    if kind[0] in "PZC" or kind in ("So", "Sk"):
        return " "
    if "\u0e00" <= char <= "\u0eff" or "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff":
        return f" {char} "  # scripts without spaces: every character is a word
    return char


class _Source:
    """A text as its words, for many look-ups."""

    def __init__(self, text: str) -> None:
        words, begins, ends = words_of(text)
        self.begins, self.ends = array("l", begins), array("l", ends)
        self.joined = f" {' '.join(words)} "
        self.starts = array("l")  # of each word in `joined`, its blank included
        place = 0
        for word in words:
            self.starts.append(place)
            place += len(word) + 1

    def find(self, words: list[str], after: int) -> int | None:
        """The first place at or after word `after` where `words` stand together."""
        if after >= len(self.starts):
            return None
        at = self.joined.find(f" {' '.join(words)} ", self.starts[after])
        return None if at < 0 else bisect_left(self.starts, at)

    def span(self, first: int, count: int) -> Span:
        """Characters of the source from word `first` on."""
        return self.begins[first], self.ends[first + count - 1]

    def shares_three(self, words: list[str]) -> bool:
        """Whether any three words in a row stand together in the source."""
        return any(f" {' '.join(words[k : k + 3])} " in self.joined for k in range(len(words) - 2))

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Where each word stands."""
        found: dict[str, list[int]] = {}
        for place, word in enumerate(self.joined.split()):
            found.setdefault(word, []).append(place)
        return found

    def nearest(self, words: list[str]) -> tuple[float, int, int]:
        """The passage most like `words`: share of the words in place there, its first and its last word."""
        shifts: dict[int, list[int]] = {}
        for k, word in enumerate(words):
            for place in self.places.get(word, ()):
                shifts.setdefault(place - k, []).append(k)
        if not shifts:
            return 0.0, 0, 0
        best = max(shifts, key=lambda s: (len(shifts[s]), -s))
        band = {k: k + best for k in shifts[best]}
        for shift in sorted(range(best - _SLACK, best + _SLACK + 1), key=lambda s: abs(s - best)):
            for k in shifts.get(shift, ()):
                band.setdefault(k, k + shift)
        return len(band) / len(words), min(band.values()), max(band.values())


@lru_cache(maxsize=8192)
def _read(source: str) -> _Source:
    return _Source(source)
