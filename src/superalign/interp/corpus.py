"""Text as rows of tokens: documents, contexts, windows and splits that share nothing.

A row is one token of one document. A document is cut into contexts (what the model reads at once) and a context into
windows (what is shown and scored); neither crosses a document. A document belongs to one split by the hash of its
tokens, so splits are disjoint by construction whatever is sampled later. Two documents may still hold the same
passage: a window whose tokens also stand in an earlier split is no longer new, and `new` leaves it out.
A start token belongs to the model and is no row; it is counted, not scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.digest import digest
from superalign.core.errors import TaskError, nearest

if TYPE_CHECKING:
    from superalign.core.ports import Ints

SPLITS = ("explain", "calibrate", "validate", "test")
SHARES = (0.5, 0.1, 0.1, 0.3)
"""The share of documents in each split."""


@dataclass(frozen=True)
class Corpus:
    """Tokens of many documents, with contexts, windows and splits.

    `tokens` (T,) int32; `documents` (D + 1,), `contexts` (C + 1,) and `windows` (N + 1,) are the rows where each
    begins (the last entry is T); `split` (D,) indexes `SPLITS`; `strings[id]` is the text of token `id`; `names` (D,)
    say where a document came from; `width` is the length of a whole window, `context` that of a whole context.
    """

    tokens: Ints
    documents: Ints
    contexts: Ints
    windows: Ints
    split: Ints
    strings: tuple[str, ...]
    names: tuple[str, ...]
    width: int
    context: int

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def identity(self) -> str:
        """A digest of everything that decides which row is which."""
        return digest(self.tokens, self.documents, self.split, self.width, self.context, list(self.strings))

    @cached_property
    def document_of(self) -> Ints:
        """(T,) the document of each row."""
        return np.repeat(np.arange(len(self.documents) - 1), np.diff(self.documents))

    @cached_property
    def window_of(self) -> Ints:
        """(T,) the window of each row."""
        return np.repeat(np.arange(len(self.windows) - 1), np.diff(self.windows))

    @cached_property
    def place(self) -> Ints:
        """(T,) the place of each row in its context, from 0."""
        return np.arange(len(self)) - np.repeat(self.contexts[:-1], np.diff(self.contexts))

    @cached_property
    def window_split(self) -> Ints:
        """(N,) the split of each window."""
        return self.split[self.document_of[self.windows[:-1]]]

    @cached_property
    def row_split(self) -> Ints:
        """(T,) the split of each row."""
        return self.split[self.document_of]

    @cached_property
    def new(self) -> Ints:
        """(N,) bool: windows whose tokens stand in no window of an earlier split, and are not a second copy in their
        own; and long enough to be shown (half a window)."""
        seen: set[bytes] = set()
        fresh = np.zeros(len(self.windows) - 1, bool)
        edges = self.windows.tolist()
        data = np.ascontiguousarray(self.tokens, np.int32)
        for code in range(len(SPLITS)):
            for k in np.flatnonzero(self.window_split == code).tolist():
                key = hashlib.blake2b(data[edges[k] : edges[k + 1]].tobytes(), digest_size=16).digest()
                fresh[k] = key not in seen and 2 * (edges[k + 1] - edges[k]) >= self.width
                seen.add(key)
        return fresh

    def rows(self, split: str) -> Ints:
        """The rows of all windows of a split that are new, ascending."""
        return np.flatnonzero((self.row_split == code_of(split)) & self.new[self.window_of])

    def pick(self, split: str) -> Windows:
        """All windows of a split that are new."""
        return Windows(self, np.flatnonzero((self.window_split == code_of(split)) & self.new))


@dataclass(frozen=True)
class Windows:
    """Some windows of a corpus, by number; what follows from them is worked out when it is asked for."""

    corpus: Corpus
    index: Ints

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def bounds(self) -> Ints:
        """(n + 1,) where each window begins in `rows`."""
        edges = self.corpus.windows
        return np.concatenate([[0], np.cumsum(edges[self.index + 1] - edges[self.index])]).astype(np.int64)

    @cached_property
    def rows(self) -> Ints:
        """(m,) the rows of all windows, one after the other."""
        start = self.corpus.windows[self.index]
        return np.arange(self.bounds[-1]) + np.repeat(start - self.bounds[:-1], np.diff(self.bounds))

    @cached_property
    def tokens(self) -> Ints:
        """(m,) the tokens at `rows`."""
        return self.corpus.tokens[self.rows]

    @cached_property
    def documents(self) -> Ints:
        """(m,) the document of each row: what is resampled."""
        return self.corpus.document_of[self.rows]

    def texts(self) -> list[list[str]]:
        """The strings of the tokens of each window."""
        strings = self.corpus.strings
        flat = [strings[t] for t in self.tokens.tolist()]
        edges = self.bounds.tolist()
        return [flat[a:b] for a, b in pairwise(edges)]


def code_of(split: str) -> int:
    """The code of a split. Raises TaskError for a name that is none."""
    if split not in SPLITS:
        raise TaskError(f"no split is called {split!r}; {nearest(split, SPLITS)}")
    return SPLITS.index(split)


def build(
    documents: Sequence[Sequence[int]],
    strings: Sequence[str],
    *,
    names: Sequence[str] = (),
    width: int = 32,
    context: int = 256,
    shares: Sequence[float] = SHARES,
) -> Corpus:
    """A corpus from documents that are already token ids; empty documents are left out.

    Raises TaskError for a text shorter than a window and for one with too few documents to be split.
    """
    if context % width:
        raise TaskError(f"a context of {context} tokens does not hold whole windows of {width}")
    kept = [(np.asarray(d, np.int32), k) for k, d in enumerate(documents) if len(d)]
    longest = max((len(d) for d, _ in kept), default=0)
    if longest < width:
        raise TaskError(
            f"the longest document has {longest} tokens, a window needs {width}; give more text, or --window"
        )
    lengths = [len(d) for d, _ in kept]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    split = np.array([_split_of(d, shares) for d, _ in kept], np.int8)
    corpus = Corpus(
        tokens=np.concatenate([d for d, _ in kept]),
        documents=starts,
        contexts=_cut(starts, context),
        windows=_cut(_cut(starts, context), width),
        split=split,
        strings=tuple(strings),
        names=tuple(names[k] if names else f"document {k}" for _, k in kept),
        width=width,
        context=context,
    )
    _check(corpus)
    return corpus


def _split_of(document: Ints, shares: Sequence[float]) -> int:
    """By the hash of the document's tokens: its split does not depend on the other documents or on their order."""
    word = int.from_bytes(hashlib.blake2b(np.ascontiguousarray(document, np.int32).tobytes(), digest_size=8).digest())
    return int(np.searchsorted(np.cumsum(shares), word / 2**64 * sum(shares), side="right"))


def _cut(starts: Ints, length: int) -> Ints:
    """Cut each piece into pieces of `length`; the last of each may be shorter. (n + 1,) starts in, (m + 1,) out."""
    counts = -(-np.diff(starts) // length)
    first = np.repeat(starts[:-1], counts)
    order = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.concatenate([first + order * length, starts[-1:]])


def _check(corpus: Corpus) -> None:
    tokens = int(corpus.tokens.max())
    if tokens >= len(corpus.strings):
        raise TaskError(
            f"the text holds token {tokens}, the vocabulary ends at {len(corpus.strings) - 1}: another tokenizer?"
        )
    for split in SPLITS:
        if not len(corpus.pick(split)):
            raise TaskError(
                f"{len(corpus.documents) - 1} documents leave no new window for the split {split!r}; splits go by "
                "document: give more documents, or cut the text into shorter ones"
            )
