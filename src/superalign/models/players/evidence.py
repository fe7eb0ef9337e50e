"""Players of the evidence game: `evidence-judge`, who adds up what is verified, and `evidence-player`, who quotes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.random import stream
from superalign.core.types import Ask, Item, Reply
from superalign.models.players import CLIP, best_of, chance, heard, item_of, quoted, source_of, verified
from superalign.tasks.games.evidence import CHOICES, ENTITIES, Facts, facts_of, margin, move, sentences

if TYPE_CHECKING:
    from superalign.core.steps import Steps

VARIANCE = 30.0
"""Of one fact: the whole numbers from -9 to 9, all as likely."""

_FACT = re.compile(r"fact ([XY][1-9][0-9]*) is (minus )?([0-9])\b")


def facts_in(text: str) -> dict[str, int]:
    """The facts that a text names. A fact has one value: the first one named."""
    found: dict[str, int] = {}
    for name, minus, value in _FACT.findall(text):
        found.setdefault(name, -int(value) if minus else int(value))
    return found


class EvidenceJudge:
    """Takes the entity whose quoted total is larger, by verified quotes alone, and says even where they tie.

    Its probabilities are those of a reader who takes the quoted facts for random ones: the margin of the other m
    facts is about normal with variance 30 m. Where nothing is verified it looks up `facts` random facts for itself;
    where the whole source is put before it, it uses all of it.
    """

    serial = True

    def __init__(self, facts: int) -> None:
        if facts < 1:
            raise ModelError(f"evidence-judge: facts must be at least 1, got {facts}")
        self.name, self._facts = f"evidence-judge:facts={facts}", facts
        self._looks: dict[tuple[str, str, int], Facts] = {}

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Probabilities over each ask's choices: even ones where these are not the entities; else a remark."""
        for i, ask in enumerate(asks):
            if not ask.choices:
                yield i, Reply("I have added up what is verified.")
                continue
            name = item_of(self.name, ask).id
            seen = self._sees(ask, name)
            yield i, Reply(probs=believed(seen, len(facts_of(name)), ask.choices))

    def _sees(self, ask: Ask, name: str) -> Facts:
        text = heard(ask)
        if _source(name) in text:
            return facts_of(name)
        return facts_in("\n".join(verified(text))) or self._looks_itself(name, ask.role, ask.sample)

    def _looks_itself(self, name: str, role: str, sample: int) -> Facts:
        key = (name, role, sample)
        if key not in self._looks:
            facts = facts_of(name)
            drawn = stream(sample, "evidence-judge", name, role).permutation(list(facts))[: self._facts]
            self._looks[key] = {str(fact): facts[str(fact)] for fact in drawn}
        return self._looks[key]


@lru_cache(maxsize=20_000)  # about 0.8 MB a problem of a campaign: without a bound 0.6 GB
def _source(name: str) -> str:
    return sentences(facts_of(name))


def believed(seen: Facts, there: int, choices: Sequence[str]) -> tuple[float, ...]:
    """Probabilities over choices from the facts seen, of `there` in all; none surer than 1e-4."""
    if set(choices) != set(CHOICES):
        return (1 / len(choices),) * len(choices)
    spread = math.sqrt(2 * VARIANCE * max(there - len(seen), 0)) or CLIP
    first = min(max(0.5 + 0.5 * math.erf(margin(seen) / spread), CLIP), 1 - CLIP)
    return tuple(first if choice == CHOICES[0] else 1 - first for choice in choices)


class EvidencePlayer:
    """Speaks for `info["assigned"]` in any chair, or for the truth: each speech quotes the `quotes` facts that favour
    its side most and that nobody has quoted. It sees all facts.

    With `strength` n each is the best of n random ones, with 0 of all. With `fabricate` a player on the wrong side
    first gives each fact the value that would favour it most, and then quotes it as it is: where quotes are checked
    the invention is lost, and where they are trusted the first value counts.
    """

    serial = True

    def __init__(self, quotes: int, fabricate: bool, strength: int) -> None:
        if quotes < 1 or strength < 0:
            raise ModelError(f"evidence-player: quotes must be at least 1 and strength at least 0, got {quotes} and"
                             f" {strength}")  # fmt: skip
        self.name = f"evidence-player:quotes={quotes}:fabricate={fabricate}:strength={strength}"
        self._quotes, self._fabricate, self._strength = quotes, fabricate, strength

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """A speech for each ask without choices; for the others what it knows."""
        for i, ask in enumerate(asks):
            item = item_of(self.name, ask)
            facts = _given(source_of(item))
            if ask.choices:
                yield i, Reply(probs=believed(facts, len(facts), ask.choices))
            else:
                yield i, Reply(self._speech(ask, item, facts))

    def _speech(self, ask: Ask, item: Item, facts: Facts) -> str:
        best = CHOICES[0] if margin(facts) > 0 else CHOICES[1]
        side = str(item.info.get("assigned", best))
        used = facts_in("\n".join(quoted(heard(ask))))
        left = [name for name in _ranked(source_of(item), side) if name not in used]
        if not left:
            return f"There is nothing left to quote for {side}."
        shown = [left.pop(self._place(ask, item, side, left)) for _ in range(min(self._quotes, len(left)))]
        said = [(name, facts[name]) for name in shown]
        if self._fabricate and side != best:
            said = [(name, 9 * _sign(name, side)) for name in shown] + said
        listed = ", ".join(f"<quote>{move(name, value)}</quote>" for name, value in said)
        return f"For {side}: {listed}."

    def _place(self, ask: Ask, item: Item, side: str, left: Sequence[str]) -> int:
        if not self._strength:
            return 0
        return best_of(self._strength, len(left), chance(item.id, side, ask.role, ask.sample, left))


def _sign(name: str, side: str) -> int:
    """Whether a large value of this fact speaks for the side (1) or against it (-1)."""
    return 1 if (name[0] == ENTITIES[0]) == (side == CHOICES[0]) else -1


@lru_cache(maxsize=20_000)  # about 0.8 MB a problem of a campaign: without a bound 0.6 GB
def _given(source: str) -> Facts:
    facts = facts_in(source)
    if not margin(facts):
        raise ModelError(f"evidence-player needs the facts of both entities in info['source'], got {source[:80]!r}")
    return facts


@lru_cache(maxsize=20_000)  # about 0.8 MB a problem of a campaign: without a bound 0.6 GB
def _ranked(source: str, side: str) -> tuple[str, ...]:
    """The facts that favour a side most, first."""
    facts = _given(source)
    return tuple(sorted(facts, key=lambda name: -_sign(name, side) * facts[name]))


def evidence_judge(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    facts: int = 6,
) -> EvidenceJudge:
    """The adding judge; left alone it looks up `facts` facts."""
    return EvidenceJudge(facts)


def evidence_player(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    quotes: int = 3,
    strength: int = 0,
    fabricate: bool = False,
) -> EvidencePlayer:
    """The exact player; `strength` n quotes the best of n random facts at a time, 0 the best of all."""
    return EvidencePlayer(quotes, fabricate, strength)
