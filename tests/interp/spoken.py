"""A small corpus of words and units whose truth is known, and models that answer about them by rule."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np

from superalign.core.types import Ask, Reply
from superalign.interp.corpus import Corpus, Windows, build
from superalign.interp.evidence import Evidence
from superalign.interp.units import Explanation, Simulation, Unit

WORDS = (" the", " a", " cat", " dog", " bird", " big", " red", " runs", " sits", " sees", " and", ".", ",", "\n",
         " house", " tree", " old", " man", " girl", " said")  # fmt: skip
CAT = WORDS.index(" cat")
RED = WORDS.index(" red")


@cache
def corpus() -> Corpus:
    """300 documents of 64 words; cats come in bursts, so that many windows of 16 have none."""
    rng = np.random.default_rng(0)
    documents = []
    for _ in range(300):
        weights = rng.gamma(0.4, size=len(WORDS)) + 0.02
        documents.append(rng.choice(len(WORDS), 64, p=weights / weights.sum()).tolist())
    return build(documents, WORDS, width=16, context=64)


def evidence(token: int = CAT, *, after: int | None = None, index: int = 0, every: bool = False) -> Evidence:
    """A unit that fires at a word (after another, if given), more or less strongly; with `every`, at every row."""
    text = corpus()
    here = np.ones(len(text), bool) if every else text.tokens == token
    if after is not None:
        before = np.concatenate([[-1], text.tokens[:-1]])
        here &= (before == after) & (text.place > 0)
    rows = np.flatnonzero(here)
    values = np.random.default_rng(index + 1).uniform(0.5, 2.0, len(rows)).astype(np.float32)
    return Evidence(Unit("mlp.0", index), text, rows, values)


class Word:
    """A Simulator: 10 wherever a word of the explanation stands."""

    name = "word"

    def simulate(self, asked: list[tuple[Explanation, Windows]]) -> list[Simulation]:
        found = []
        for explanation, windows in asked:
            said = set(re.findall(r"\w+", explanation.text))
            values = [10.0 * (token.strip() in said) for text in windows.texts() for token in text]
            found.append(Simulation(np.array(values), np.zeros(len(values), bool)))
        return found


def described(ask: Ask) -> tuple[str, str]:
    """The description and the text of a judge's question."""
    content = ask.messages[1].content
    match = re.search(r"Description: (.*)\n\nText: (.*)\n\n(?:Does|Marked)", content, re.DOTALL)
    assert match is not None, content
    return match[1], match[2]


def prompts(calls: list[Ask]) -> str:
    """Everything that was ever said to a model."""
    return "\n".join(m.content for ask in calls for m in ask.messages)


def certain(yes: bool) -> Reply:
    """An answer to a question with the choices yes and no."""
    return Reply("yes" if yes else "no", (0.9, 0.1) if yes else (0.2, 0.8))


def named(scores: list[Any]) -> dict[str, Any]:
    """Scores by name."""
    return {score.name: score for score in scores}
