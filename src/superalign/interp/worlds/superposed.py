"""Planted predicates in superposition: 40 predicates of a small language, as directions of a space of 24 dimensions.

What each unit responds to is known exactly, so an explanation can be right or wrong, and not only predict well. Words
are drawn by rank^-0.7, and with probability 0.35 are one of three fixed followers of the word before. Where predicate i
is true, unit i is active with a magnitude of lognormal(0, 0.25); the space holds the sum of the active units' unit
directions and noise of 0.02. After the toy models of superposition of Elhage et al. 2022 (arXiv 2209.10652), with text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.random import stream
from superalign.interp.corpus import Corpus, build
from superalign.interp.predicates.atoms import Inside, Look, Place, Program, both
from superalign.interp.predicates.language import render
from superalign.interp.predicates.reading import Reading
from superalign.interp.predicates.tokens import Among, Ends, Is, Stem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from superalign.core.ports import Floats, Ints

STEMS = ("walk", "talk", "jump", "play", "cook", "look", "turn", "help", "work", "call", "land", "paint", "count", "lift", "clean", "plant")  # fmt: skip
ENDINGS = ("", "s", "ed", "ing", "er", "ly")
FUNCTION = ("the", "a", "of", "to", "and", "in", "it", "was")
MARKS = ('"', ".", ",", "!", "?")
STRINGS = (
    *(f" {stem}{ending}" for stem in STEMS for ending in ENDINGS),
    *(f" {each}" for each in FUNCTION),
    *MARKS,
    *(f" {digit}" for digit in range(10)),
)
"""The 119 tokens."""

DOCUMENTS, LENGTH, DIMENSIONS = 1500, 64, 24


@dataclass(frozen=True)
class Superposed:
    """The world: T rows, n units, d dimensions.

    `acts` (T, n) float32 are the units' activations, 0 where silent; `labels` (T, n) bool where each predicate is true;
    `directions` (n, d) of length 1; `x` (T, d) float32 the space; `programs` (n,) the predicates in canonical text.
    """

    corpus: Corpus
    acts: Floats
    labels: NDArray[np.bool_]
    directions: Floats
    x: Floats
    programs: tuple[str, ...]


def superposed(seed: int = 0, documents: int = DOCUMENTS) -> Superposed:
    """The world of a seed. Fewer documents give the same predicates and directions on less text."""
    corpus = build(_text(seed, documents).tolist(), STRINGS, width=32, context=LENGTH)
    programs = _planted(seed)
    reading = Reading(corpus, np.arange(len(corpus)))
    labels = np.stack([program.at(reading) for program in programs], axis=1)
    magnitude = stream(seed, "superposed magnitudes").lognormal(0, 0.25, labels.shape)
    acts = np.where(labels, magnitude, 0).astype(np.float32)
    directions = stream(seed, "superposed directions").standard_normal((len(programs), DIMENSIONS))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    noise = stream(seed, "superposed noise").normal(0, 0.02, (len(corpus), DIMENSIONS))
    x = (acts @ directions + noise).astype(np.float32)
    return Superposed(corpus, acts, labels, directions.astype(np.float32), x, tuple(map(render, programs)))


def _text(seed: int, documents: int) -> Ints:
    """(documents, LENGTH) token ids."""
    rng = stream(seed, "superposed text")
    size = len(STRINGS)
    share = (1 + rng.permutation(size)) ** -0.7
    followers = np.stack([rng.choice(size, 3, replace=False) for _ in range(size)])
    free = rng.choice(size, (documents, LENGTH), p=share / share.sum())
    follows = rng.random((documents, LENGTH)) < 0.35
    which = rng.integers(0, 3, (documents, LENGTH))
    text = free.copy()
    for place in range(1, LENGTH):
        text[:, place] = np.where(follows[:, place], followers[text[:, place - 1], which[:, place]], free[:, place])
    return text


def _planted(seed: int) -> list[Program]:
    """The 40 predicates."""
    rng = stream(seed, "superposed predicates")

    def some(count: int) -> Among:
        return Among(tuple(rng.choice(STRINGS, count, replace=False).tolist()))

    def different(names: Sequence[str], count: int) -> list[str]:
        return [str(name) for name in rng.choice(names, count, replace=False)]

    stem = different(STEMS, 5)
    return [
        *(Look("token", some(int(rng.integers(2, 8)))) for _ in range(14)),
        *(Look("token", Ends(ending)) for ending in different(("s", "ed", "ing", "er", "ly"), 4)),
        *(Look("token", Stem(each)) for each in stem[:4]),
        *(both(Look("token", some(10)), Look("previous", some(20))) for _ in range(8)),
        both(Look("token", Ends("ed")), Inside("quotes")),
        both(Look("token", Stem(stem[4])), Inside("quotes")),
        both(Look("token", Ends("ing")), Look("within", Is("number"), 3)),
        Place(3),
        *(Look("previous", some(12)) for _ in range(6)),
    ]
