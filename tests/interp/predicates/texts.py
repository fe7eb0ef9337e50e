"""Small corpora of a few words, quotes, brackets and numbers, and strategies that draw programs."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from superalign.interp.corpus import Corpus, build
from superalign.interp.predicates.atoms import (
    Inside,
    Look,
    Pair,
    Place,
    Program,
    Repeated,
    both,
    either,
    negation,
)
from superalign.interp.predicates.tokens import CLASSES, Among, Ends, Is, Like, Starts, Stem, pattern_of

STRINGS = (" walk", " walked", " walks", " Talk", " talking", "ing", '"', "(", ")", " 7", "42", ".", "\n", "\u201c", "\u201d", "[(", " cat", " cat", "\u00e9t\u00e9")  # fmt: skip
"""Two ids have the text " cat"."""


def corpus(seed: int = 0, documents: int = 40, length: int = 23) -> Corpus:
    """Uniform tokens; contexts of 16 in documents of 23, so that some contexts and windows are short."""
    rng = np.random.default_rng(seed)
    return build(rng.integers(0, len(STRINGS), (documents, length)).tolist(), STRINGS, width=8, context=16)


texts = st.sampled_from(STRINGS) | st.text(max_size=8)
letters = st.sampled_from(["walk", "ed", "ing", "t", "\u00e9"])
tests = st.one_of(
    st.lists(texts, min_size=1, max_size=4).map(lambda found: Among(tuple(found))),
    letters.map(Starts),
    letters.map(Ends),
    letters.map(Stem),
    st.sampled_from(sorted(CLASSES)).map(Is),
    st.sampled_from([pattern_of(text) for text in STRINGS]).map(Like),
)
atoms: st.SearchStrategy[Program] = st.one_of(
    st.builds(Look, st.sampled_from(["token", "previous", "before"]), tests),
    st.builds(Look, st.just("within"), tests, st.integers(1, 20)),
    st.lists(st.tuples(texts, texts), min_size=1, max_size=3).map(lambda pairs: Pair(tuple(pairs))),
    st.builds(Place, st.integers(1, 20)),
    st.just(Inside("quotes")),
    st.builds(Inside, st.just("brackets"), st.integers(1, 3)),
    st.just(Repeated()),
)
programs: st.SearchStrategy[Program] = st.recursive(
    atoms,
    lambda inner: st.one_of(
        inner.map(negation),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: both(*parts)),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: either(*parts)),
    ),
    max_leaves=6,
)
