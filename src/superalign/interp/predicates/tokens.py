"""What can be said of one token by its text alone, and a vocabulary that knows where it holds.

The word of a token is its text without the blanks around it, in small letters: " Walked" and "walked" both end in
"ed". A pattern is a regular expression over the whole text, made of five classes of characters that share none, each
once or repeated, and what repeats never before its own class: matching is one pass and cannot backtrack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import SpecError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from superalign.core.ports import Ints

    Mask = NDArray[np.bool_]

ENDINGS = ("", "s", "es", "d", "ed", "ing", "er", "ly")
"""What may follow a stem."""


def word(text: str) -> str:
    """The text without the blanks around it, in small letters."""
    return text.strip().lower()


CLASSES: Mapping[str, Callable[[str], bool]] = {
    "number": lambda text: text.strip().isdecimal(),
    "capitalised": lambda text: text.strip()[:1].isupper(),
    "upper": lambda text: len(text.strip()) > 1 and text.strip().isupper(),
    "letters": lambda text: text.strip().isalpha(),
    "punctuation": lambda text: bool(text.strip()) and not any(c.isalnum() for c in text),
    "blank": lambda text: bool(text) and not text.strip(),
    "newline": lambda text: "\n" in text,
    "start": lambda text: text[:1].isspace() and bool(text.strip()),
    "foreign": lambda text: not text.isascii(),
}
"""Classes of tokens by their characters; `start` is a token that begins with a blank, so begins a word."""

PIECES = (" ", "[A-Z]", "[a-z]", "[0-9]", "[^ A-Za-z0-9]")
_PIECE = re.compile("(" + "|".join(re.escape(piece) for piece in PIECES) + r")(\+?)")
LONGEST = 12
"""The most pieces of a pattern."""


@dataclass(frozen=True, slots=True)
class Among:
    """The token is one of these strings (kept sorted, each once)."""

    strings: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.strings:
            raise SpecError('a token set needs at least one string, such as in {"cat"}')
        object.__setattr__(self, "strings", tuple(sorted(set(self.strings))))

    def holds(self, text: str) -> bool:
        """Whether it is true of a token's text."""
        return text in self.strings


@dataclass(frozen=True, slots=True)
class Starts:
    """The word starts with these letters."""

    letters: str

    def __post_init__(self) -> None:
        _checked("starts", self.letters)

    def holds(self, text: str) -> bool:
        """Whether it is true of a token's text."""
        return self.spells(word(text))

    def spells(self, word: str) -> bool:
        """Whether it is true of a word."""
        return word.startswith(self.letters)


@dataclass(frozen=True, slots=True)
class Ends:
    """The word ends with these letters."""

    letters: str

    def __post_init__(self) -> None:
        _checked("ends", self.letters)

    def holds(self, text: str) -> bool:
        """Whether it is true of a token's text."""
        return self.spells(word(text))

    def spells(self, word: str) -> bool:
        """Whether it is true of a word."""
        return word.endswith(self.letters)


@dataclass(frozen=True, slots=True)
class Stem:
    """The word is this stem with one of `ENDINGS`."""

    letters: str

    def __post_init__(self) -> None:
        _checked("stem", self.letters)

    def holds(self, text: str) -> bool:
        """Whether it is true of a token's text."""
        return self.spells(word(text))

    def spells(self, word: str) -> bool:
        """Whether it is true of a word."""
        return word.startswith(self.letters) and word[len(self.letters) :] in ENDINGS


@dataclass(frozen=True, slots=True)
class Is:
    """The token belongs to one of `CLASSES`."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in CLASSES:
            raise SpecError(f"no class of tokens is called {self.name!r}; {nearest(self.name, CLASSES)}")

    def holds(self, text: str) -> bool:
        """Whether it is true of a token's text."""
        return CLASSES[self.name](text)


@dataclass(frozen=True, slots=True)
class Like:
    """The whole text of the token matches a pattern of `PIECES`, such as ` [A-Z][a-z]+`."""

    pattern: str

    def __post_init__(self) -> None:
        found = _PIECE.findall(self.pattern)
        if "".join(a + b for a, b in found) != self.pattern or not 0 < len(found) <= LONGEST:
            raise SpecError(
                f"{self.pattern!r} is no pattern; write 1 to {LONGEST} of the pieces {', '.join(map(repr, PIECES))}, "
                "each with or without +"
            )
        if any(a[0] == b[0] and a[1] for a, b in pairwise(found)):
            raise SpecError(f"{self.pattern!r} repeats what already repeats; write a piece after + only if it differs")

    def holds(self, text: str) -> bool:
        """Whether it is true of a token's text."""
        return re.fullmatch(self.pattern, text) is not None


Test = Among | Starts | Ends | Stem | Is | Like


def pattern_of(text: str) -> str:
    """The pattern of a text: runs of one class of characters, a run of several as a repetition."""
    runs: list[list[str]] = []
    for character in text:
        piece = next(p for p in PIECES if re.fullmatch(p, character))
        if runs and runs[-1][0] == piece:
            runs[-1][1] = "+"
        else:
            runs.append([piece, ""])
    return "".join(piece + more for piece, more in runs)


def _checked(name: str, letters: str) -> None:
    if not letters or letters != word(letters):
        raise SpecError(f'{name} {letters!r}: give small letters without blanks around them, such as {name} "ing"')


class Vocabulary:
    """The strings of a tokenizer; knows for which token ids a test holds."""

    def __init__(self, strings: tuple[str, ...]) -> None:
        self.strings = strings
        self._known: dict[Test, Mask] = {}
        self._marks: dict[tuple[str, str], Ints] = {}
        self._ids: dict[str, list[int]] = {}
        for index, text in enumerate(strings):
            self._ids.setdefault(text, []).append(index)

    @cached_property
    def words(self) -> list[str]:
        """The word of each string."""
        return [word(text) for text in self.strings]

    @cached_property
    def kind(self) -> Ints:
        """(V + 1,) the first id with the same text: several ids may share one. The last entry, no token, is V."""
        return np.array([*(self._ids[text][0] for text in self.strings), len(self.strings)], np.intp)

    def kind_of(self, text: str) -> int:
        """The first id with this text, -1 where there is none."""
        return self._ids.get(text, [-1])[0]

    def mask(self, test: Test) -> Mask:
        """(V + 1,) bool: the ids whose text passes; the last entry stands for no token and is False."""
        if isinstance(test, Among):  # not kept: thousands of units have thousands of sets, each V bytes
            found = np.zeros(len(self.strings) + 1, np.bool_)
            found[[k for text in test.strings for k in self._ids.get(text, ())]] = True
            return found
        if test not in self._known:
            if isinstance(test, Starts | Ends | Stem):
                passed = map(test.spells, self.words)  # words are made once: 50,000 of them take 10 ms
            else:
                passed = map(test.holds, self.strings)
            self._known[test] = np.array([*passed, False], np.bool_)
        return self._known[test]

    def marks(self, up: str, down: str) -> Ints:
        """(V,) how many characters of `up`, less those of `down`, each token has."""
        if (up, down) not in self._marks:
            self._marks[up, down] = np.array([sum((c in up) - (c in down) for c in text) for text in self.strings])
        return self._marks[up, down]


@lru_cache(maxsize=4)
def vocabulary(strings: tuple[str, ...]) -> Vocabulary:
    """The vocabulary of these strings; a handful are kept, since every reading of a corpus needs its own."""
    return Vocabulary(strings)
