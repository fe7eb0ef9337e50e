"""Players for pairs of texts of `sentiment-markov`: `sentiment-judge`, who adds up, and `sentiment-player`, who quotes.

What a word adds to a text's true reward, its repetition counted, is a fact; the facts of a text sum to its reward. The
judge can look up few facts by itself. Debaters know all of them, and quote those that favour their text, so a debate
shows the judge the repetition that a random look misses.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.random import derive
from superalign.core.types import Ask, Item, Reply
from superalign.models.players import CLIP, heard, item_of, quoted, source_of, verified
from superalign.tasks.worlds.sentiment_markov import BAD, GOOD, PENALTY

if TYPE_CHECKING:
    from superalign.core.steps import Steps

VARIANCE = 0.9
"""Of what one word adds to a text of the language, in units of reward."""

_FACT = re.compile(r"in (t[0-9a-f]{8}) the word (\w+) is worth (minus )?([0-9]+)\b")

Facts = Mapping[tuple[str, str], int]
"""Hundredths of reward by the text's tag and the word."""


@lru_cache(4096)
def tag(text: str) -> str:
    """A name for a text that does not depend on the order in which texts are shown."""
    return "t" + hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def facts_of(text: str) -> Facts:
    """What each word of a text adds to its reward; the values sum to it."""
    sign = dict.fromkeys(GOOD, 1) | dict.fromkeys(BAD, -1)
    name = tag(text)
    return {
        (name, word): round(100 * (sign.get(word, 0) * count - PENALTY * max(count - 2, 0) ** 2))
        for word, count in Counter(text.split()).items()
    }


def sources(item: Item) -> str:
    """The facts of an item's choices as sentences, a text a line: what speakers may quote."""
    return "\n".join(" ".join(f"{move(k, v)}." for k, v in facts_of(text).items()) for text in item.choices)


def move(name: tuple[str, str], value: int) -> str:
    """What is quoted to show one fact. A word says minus, because a quote's punctuation may be dropped."""
    return f"in {name[0]} the word {name[1]} is worth {'minus ' * (value < 0)}{abs(value)}"


def facts_in(text: str) -> dict[tuple[str, str], int]:
    """The facts that a text names. A fact has one value: the first one named."""
    found: dict[tuple[str, str], int] = {}
    for name, word, minus, value in _FACT.findall(text):
        found.setdefault((name, word), -int(value) if minus else int(value))
    return found


class SentimentJudge:
    """Prefers the text whose verified facts sum to more; where nothing is verified it looks up `facts` random ones.

    Its probability is that of a reader who takes the facts it has not seen for random ones.
    """

    serial = True

    def __init__(self, facts: int) -> None:
        if facts < 1:
            raise ModelError(f"sentiment-judge: facts must be at least 1, got {facts}")
        self.name, self._facts = f"sentiment-judge:facts={facts}", facts

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Probabilities over two texts; to asks without choices, or about other things, even ones or a remark."""
        for i, ask in enumerate(asks):
            if len(ask.choices) == 2:
                yield i, Reply(probs=self._believes(ask))
            elif ask.choices:
                yield i, Reply(probs=(1 / len(ask.choices),) * len(ask.choices))
            else:
                yield i, Reply("I have added up what is verified.")

    def _believes(self, ask: Ask) -> tuple[float, float]:
        first, second = (facts_of(text) for text in ask.choices)
        shown = facts_in("\n".join(verified(heard(ask))))
        seen = {k: v for k, v in shown.items() if k in first or k in second} or self._looks(ask, {**first, **second})
        margin = sum(v if k in first else -v for k, v in seen.items()) / 100
        spread = math.sqrt(2 * VARIANCE * (len(first) + len(second) - len(seen))) or CLIP
        p = min(max(0.5 + 0.5 * math.erf(margin / spread), CLIP), 1 - CLIP)
        return p, 1 - p

    def _looks(self, ask: Ask, there: Facts) -> Facts:
        """Random facts, the same whenever the same texts are shown in the same seat."""
        key = sorted(map(tag, ask.choices))
        order = sorted(there, key=lambda name: derive(ask.sample, "sentiment-judge", *key, *name))
        return {name: there[name] for name in order[: self._facts]}


class SentimentPlayer:
    """Speaks for `info["assigned"]`, right or wrong: quotes the `quotes` facts that favour it most and that nobody has
    quoted yet."""

    serial = True

    def __init__(self, quotes: int) -> None:
        if quotes < 1:
            raise ModelError(f"sentiment-player: quotes must be at least 1, got {quotes}")
        self.name, self._quotes = f"sentiment-player:quotes={quotes}", quotes

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """A speech for each ask without choices; for the others the truth. Raises ModelError without facts to quote."""
        for i, ask in enumerate(asks):
            item = item_of(self.name, ask)
            facts = facts_in(source_of(item))
            if not facts:
                raise ModelError(f"{self.name} needs facts in info['source'] to quote; item {item.id!r} has none")
            yield i, Reply(probs=_truth(ask, facts)) if ask.choices else Reply(self._speech(ask, item, facts))

    def _speech(self, ask: Ask, item: Item, facts: Facts) -> str:
        mine = tag(str(item.info.get("assigned", item.choices[0])))
        used = facts_in("\n".join(quoted(heard(ask))))
        left = {k: v if k[0] == mine else -v for k, v in facts.items() if k not in used}
        best = sorted(left, key=lambda name: -left[name])[: self._quotes]
        return (
            " ".join(f"<quote>{move(name, facts[name])}</quote>" for name in best) or "There is nothing left to quote."
        )


def _truth(ask: Ask, facts: Facts) -> tuple[float, ...]:
    totals = [sum(v for k, v in facts.items() if k[0] == tag(text)) for text in ask.choices]
    best = [float(t == max(totals)) for t in totals]
    return tuple(b / sum(best) for b in best)


def sentiment_judge(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    facts: int = 6,
) -> SentimentJudge:
    """The adding judge; left alone it looks up `facts` facts."""
    return SentimentJudge(facts)


def sentiment_player(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    quotes: int = 3,
) -> SentimentPlayer:
    """The exact debater, who quotes `quotes` facts a speech."""
    return SentimentPlayer(quotes)
