"""Activations of a corpus at some sites, block after block, in the order of its rows.

Contexts of like length go through the model together. What they are padded with stands on the right, where a causal
model never looks, so no mask is needed. The forward pass ends at the last site that is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from superalign.core.errors import ModelError
from superalign.interp.sites import expand, reading, sites_of
from superalign.models.hf.batches import collate
from superalign.models.hf.memory import spared

if TYPE_CHECKING:
    from torch import Tensor

    from superalign.core.ports import Ints
    from superalign.interp.corpus import Corpus
    from superalign.interp.subject import Subject

TOKENS = {"cpu": 8192}
"""Tokens of one block, 32,768 on other devices. Two small models read 65,536 tokens in 1.1 and 1.8 s on one thread
whether 1,024 or 8,192 went in at once; larger blocks cost memory alone."""
_WASTE = 0.15
"""The largest share of padding in one forward pass."""


@dataclass(frozen=True, slots=True)
class Block:
    """Activations at `rows` (n,) of the corpus, ascending: `values[site]` (n, width) on the subject's device."""

    rows: Ints
    values: Mapping[str, Tensor]


def activations(
    subject: Subject,
    corpus: Corpus,
    sites: Sequence[str],
    *,
    batch: int | None = None,
    only: Collection[int] | None = None,
    start: int = 0,
) -> Iterator[Block]:
    """Blocks of about `batch` tokens, whole contexts, rows ascending.

    `only` names the documents that are read; `start` is a row where a context begins, to go on from.
    Raises ModelError where the corpus does not fit the subject, and for sites that it does not have or never computes.
    """
    named = _fitting(subject, corpus, sites)
    wanted = corpus.contexts[:-1] >= start
    if only is not None:
        wanted &= np.isin(corpus.document_of[corpus.contexts[:-1]], list(only))
    size = batch or TOKENS.get(subject.device.type, 32768)
    return _blocks(subject, corpus, named, np.flatnonzero(wanted), size)


def _blocks(subject: Subject, corpus: Corpus, sites: Sequence[str], contexts: Ints, size: int) -> Iterator[Block]:
    lengths = np.diff(corpus.contexts)
    while len(contexts):
        count = max(1, int(np.searchsorted(np.cumsum(lengths[contexts]), size, side="right")))
        yield _block(subject, corpus, sites, contexts[:count])
        contexts = contexts[count:]


def _block(subject: Subject, corpus: Corpus, sites: Sequence[str], contexts: Ints) -> Block:
    lengths = np.diff(corpus.contexts)[contexts]
    ends = np.cumsum(lengths)
    widths = sites_of(subject.model)
    values = {site: torch.empty(int(ends[-1]), widths[site], device=subject.device) for site in sites}
    for chosen in _passes(lengths):
        texts = [corpus.tokens[corpus.contexts[c] : corpus.contexts[c + 1]] for c in contexts[chosen]]
        _read(
            subject,
            texts,
            {site: [held[ends[k] - lengths[k] : ends[k]] for k in chosen] for site, held in values.items()},
        )
    first = corpus.contexts[contexts]
    return Block(np.arange(ends[-1]) + np.repeat(first - ends + lengths, lengths), values)


def _passes(lengths: Ints) -> Iterator[Ints]:
    """Positions of contexts that are read together, longest first."""
    order = np.argsort(-lengths, kind="stable")
    while len(order):
        own = lengths[order]
        padding = 1 - np.cumsum(own) / (own[0] * np.arange(1, len(own) + 1))
        count = int(np.argmax(padding > _WASTE)) or len(order)
        yield order[:count]
        order = order[count:]


def _read(subject: Subject, texts: Sequence[Ints], into: Mapping[str, Sequence[Tensor]]) -> None:
    """One forward pass; the activations of each text go to `into[site][k]` (length, width)."""
    first = int(subject.start is not None)
    begun = [np.concatenate([[subject.start], text]) for text in texts] if first else list(texts)
    missing = set(into)

    def keep(site: str, x: Tensor) -> None:
        missing.discard(site)
        for k, held in enumerate(into[site]):
            held.copy_(x[k, first : first + len(held)])

    ids = collate([row.astype(np.int64) for row in begun], subject.device).ids
    with torch.no_grad(), spared(), reading(subject.model, list(into), keep, stop=True):
        subject.model(input_ids=ids, use_cache=False)
    if missing:
        raise ModelError(f"{subject.name} never computes {', '.join(sorted(missing))} in a forward pass; leave it out")


def _fitting(subject: Subject, corpus: Corpus, sites: Sequence[str]) -> tuple[str, ...]:
    """The sites that are meant, where subject and corpus go together."""
    named = expand(sites, sites_of(subject.model))
    if corpus.strings != subject.strings:
        raise ModelError(
            f"the text was cut into tokens of another tokenizer ({len(corpus.strings):,} tokens) than that of"
            f" {subject.name} ({len(subject.strings):,}); make the corpus with this subject"
        )
    longest = int(np.diff(corpus.contexts).max())
    if longest > subject.context:
        raise ModelError(
            f"the text has contexts of {longest} tokens, and {subject.name} takes {subject.context}; cut it with"
            f" --context {subject.context // corpus.width * corpus.width}"
        )
    return named
