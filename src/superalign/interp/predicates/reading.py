"""A corpus as predicates read it: for some rows, the token, the one before, the place, open quotes and brackets.

Nothing before the context is seen, as the model saw nothing of it. Everything is worked out once, when asked for, for
all rows of a reading together: the units of one layer are all read against the same few arrays.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from superalign.interp.predicates.tokens import Test, Vocabulary, vocabulary

if TYPE_CHECKING:
    from superalign.core.ports import Ints
    from superalign.interp.corpus import Corpus
    from superalign.interp.predicates.tokens import Mask

_STRAIGHT, _OPENING, _CLOSING = '"', "\u201c\u00ab", "\u201d\u00bb"
_OPEN, _CLOSE = "([{", ")]}"


class Reading:
    """Some rows (m,) of a corpus, and what can be seen from each."""

    def __init__(self, corpus: Corpus, rows: Ints) -> None:
        self.corpus, self.rows = corpus, np.asarray(rows, np.int64)
        self._since: dict[Test, Ints] = {}

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the corpus."""
        return vocabulary(self.corpus.strings)

    @cached_property
    def token(self) -> Ints:
        """(m,) the token at each row."""
        return self.corpus.tokens[self.rows].astype(np.intp)

    @cached_property
    def previous(self) -> Ints:
        """(m,) the token before, V where the context begins."""
        before = self.corpus.tokens[np.maximum(self.rows - 1, 0)].astype(np.intp)
        return np.where(self.place == 0, len(self.corpus.strings), before)

    @cached_property
    def place(self) -> Ints:
        """(m,) the place in the context, from 0."""
        return self.corpus.place[self.rows]

    @cached_property
    def quoted(self) -> Mask:
        """(m,) bool: a quotation is open before the row, and the token is no quotation mark itself."""
        straight = self._counts(_STRAIGHT, "")
        curly = self._counts(_OPENING, _CLOSING)
        marks = self.vocabulary.marks(_STRAIGHT + _OPENING + _CLOSING, "")[self.token] > 0
        found: Mask = ((self._before(straight) % 2 == 1) | (self._open(curly) > 0)) & ~marks
        return found

    @cached_property
    def depth(self) -> Ints:
        """(m,) how many brackets are open before the row; one that closes nothing counts nothing."""
        return self._open(self._counts(_OPEN, _CLOSE))

    @cached_property
    def repeated(self) -> Mask:
        """(m,) bool: a token of the same text stands earlier in the context."""
        key = self._context * len(self.corpus.strings) + self.vocabulary.kind[self.corpus.tokens]
        first = np.zeros(len(self.corpus), np.bool_)
        first[np.unique(key, return_index=True)[1]] = True
        found: Mask = ~first[self.rows]
        return found

    def here(self, test: Test) -> Mask:
        """(m,) bool: the token passes the test."""
        return self.vocabulary.mask(test)[self.token]

    def before(self, test: Test) -> Mask:
        """(m,) bool: the token before passes the test."""
        return self.vocabulary.mask(test)[self.previous]

    def since(self, test: Test) -> Ints:
        """(m,) how many rows ago a token of the context last passed the test; 0 for never."""
        if test not in self._since:
            passed = self.vocabulary.mask(test)[self.corpus.tokens]
            last = np.maximum.accumulate(np.where(passed, np.arange(len(passed)), -1))
            found = last[np.maximum(self.rows - 1, 0)]
            self._since[test] = np.where((self.place > 0) & (found >= self.rows - self.place), self.rows - found, 0)
        return self._since[test]

    @cached_property
    def _context(self) -> Ints:
        """(T,) the context of every row of the corpus."""
        return np.repeat(np.arange(len(self.corpus.contexts) - 1), np.diff(self.corpus.contexts))

    def _counts(self, up: str, down: str) -> Ints:
        """(T,) the marks within the context, up to and with the row."""
        marks = self.vocabulary.marks(up, down)[self.corpus.tokens]
        total = np.cumsum(marks)
        first = self.corpus.contexts[:-1]
        return total - (total[first] - marks[first])[self._context]

    def _before(self, counts: Ints) -> Ints:
        """(m,) a count up to the row before; 0 where the context begins."""
        return np.where(self.place == 0, 0, counts[np.maximum(self.rows - 1, 0)])

    def _open(self, counts: Ints) -> Ints:
        """(m,) how many are open before the row: the count less its lowest point so far."""
        step = (np.ptp(counts) + 1) * self._context  # each context starts below all before it, so the minimum restarts
        lowest = np.minimum.accumulate(counts - step) + step
        return self._before(counts - np.minimum(lowest, 0))
