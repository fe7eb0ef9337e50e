"""Any overseer as a reward or a judge of pairs: people, a weak model, a debate's judge, a program, a reward model.

An overseer passes judgments on items. A finished response is the item `Item(id, prompt, info={"completion": text})`
and its verdict carries a `score`; a pair is the item whose two choices are the samples and its verdict carries `probs`,
a `ranking` or an `answer`. `by_score` and `against` turn one ability into the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.digest import digest
from superalign.core.errors import ProtocolError
from superalign.core.random import derive
from superalign.core.types import Item, Judgment, Overseer, Seat, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Program = Callable[[Sequence[str], Sequence[str]], Sequence[float | None]]
"""`program(prompts, completions) -> scores`, None where it has no opinion."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """Pairs judged in both orders. `forward` is p(the first shown wins) with a first, `backward` with b first, (n,);
    NaN where the overseer abstained."""

    forward: Floats
    backward: Floats

    @property
    def p(self) -> Floats:
        """p(a is better), (n,): the mean of both orders; NaN where either abstained."""
        mean: Floats = (self.forward + 1 - self.backward) / 2
        return mean

    @property
    def gap(self) -> float:
        """How much likelier an answer wins by being shown first, from -1 to 1; NaN where nothing was judged."""
        shift = self.forward - (1 - self.backward)
        return float(np.nanmean(shift)) if np.isfinite(shift).any() else float("nan")

    @property
    def dropped(self) -> int:
        """Pairs without a preference."""
        return int(np.isnan(self.p).sum())


def finished(prompt: str, completion: str) -> Item:
    """The item of a finished response; its id is the hash of its content."""
    return Item(f"rollout-{digest(prompt, completion)[:24]}", prompt, info={"completion": completion})


def pair(prompt: str, first: str, second: str) -> Item:
    """The item that asks which of two responses is better."""
    return Item(f"pair-{digest(prompt, first, second)[:24]}", prompt, (first, second))


def score(overseer: Overseer, prompts: Sequence[str], completions: Sequence[str]) -> Floats:
    """One score per response, (n,), in order; NaN where the overseer abstained, which callers drop and count.

    Raises ProtocolError where a verdict has no score and does not abstain.
    """
    items = [finished(p, c) for p, c in zip(prompts, completions, strict=True)]
    return np.array([_score(j) for j in judged(overseer, items)], np.float64)


def compare(overseer: Overseer, prompts: Sequence[str], a: Sequence[str], b: Sequence[str]) -> Preferences:
    """Which of two responses is better, each pair asked in both orders, in one batch."""
    rows = list(zip(prompts, a, b, strict=True))
    items = [pair(x, y, z) for x, y, z in rows] + [pair(x, z, y) for x, y, z in rows]
    first = np.array([_first(j) for j in judged(overseer, items)], np.float64)
    return Preferences(first[: len(rows)], first[len(rows) :])


def judged(overseer: Overseer, items: Sequence[Item]) -> list[Judgment]:
    """The overseer's judgments, checked to be one per item in the items' order."""
    found = overseer(items) if items else []
    if [j.item for j in found] != [i.id for i in items]:
        raise ProtocolError(
            f"the overseer returned {len(found)} judgments for {len(items)} items, or in another order; "
            "return one judgment per item, in order"
        )
    return found


def _score(judgment: Judgment) -> float:
    verdict = judgment.verdict
    if verdict.abstained is not None:
        return float("nan")
    if verdict.score is None:
        raise ProtocolError(
            f"the overseer gave {judgment.item} no score: {verdict!r}; set Verdict.score, or wrap an overseer "
            "that compares: against(overseer, reference)"
        )
    return float(verdict.score)


def _first(judgment: Judgment) -> float:
    verdict = judgment.verdict
    if verdict.abstained is not None:
        return float("nan")
    if len(verdict.probs) == 2:
        return float(verdict.probs[0])
    if verdict.ranking:
        return float(verdict.ranking[0] == 0)
    if isinstance(verdict.answer, int):
        return float(verdict.answer == 0)
    raise ProtocolError(
        f"the overseer did not choose on {judgment.item}: {verdict!r}; set Verdict.probs, ranking or answer, "
        "or wrap an overseer that scores: by_score(overseer)"
    )


def program(function: Program, name: str = "program") -> Overseer:
    """An overseer from a plain function of (prompts, completions). None from the function is an abstention."""

    def overseer(items: Sequence[Item]) -> list[Judgment]:
        scores = list(function([i.prompt for i in items], [_completion(i) for i in items]))
        if len(scores) != len(items):
            raise ProtocolError(f"{name} returned {len(scores)} scores for {len(items)} completions; return one each")
        return [Judgment(i.id, Seat(), _scored(s, name)) for i, s in zip(items, scores, strict=True)]

    return overseer


def by_score(overseer: Overseer, tau: float = 1.0) -> Overseer:
    """An overseer that scores, made to compare too: p(a) = sigmoid((s_a - s_b) / tau), a softmax for more choices."""
    if not tau > 0:
        raise ValueError(f"tau is {tau}; it divides differences of scores and must be positive")

    def compares(items: Sequence[Item]) -> list[Judgment]:
        parts = [[finished(i.prompt, c) for c in i.choices] if i.choices else [i] for i in items]
        verdicts = iter(judged(overseer, [item for part in parts for item in part]))
        found = []
        for item, part in zip(items, parts, strict=True):
            these = [next(verdicts) for _ in part]
            verdict = _softmax([_score(j) for j in these], tau) if item.choices else these[0].verdict
            found.append(Judgment(item.id, Seat(), verdict, tuple(c for j in these for c in j.calls)))
        return found

    return compares


def against(overseer: Overseer, reference: Callable[[Sequence[str]], Sequence[str]]) -> Overseer:
    """An overseer that compares, made to score: p(the response beats the reference answer to its prompt)."""

    def scores(items: Sequence[Item]) -> list[Judgment]:
        prompts = [i.prompt for i in items]
        won = compare(overseer, prompts, [_completion(i) for i in items], reference(prompts)).p
        return [Judgment(i.id, Seat(), _scored(p, "comparison")) for i, p in zip(items, won, strict=True)]

    return scores


def cached(overseer: Overseer, kept: dict[str, Judgment] | None = None) -> Overseer:
    """Asks once for each content: repeated items, in one batch or later, are answered from `kept`."""
    memory: dict[str, Judgment] = {} if kept is None else kept

    def remembers(items: Sequence[Item]) -> list[Judgment]:
        new = list({i.id: i for i in items if i.id not in memory}.values())
        memory.update((j.item, j) for j in judged(overseer, new))
        return [memory[i.id] for i in items]

    return remembers


def weighted(parts: Sequence[tuple[Overseer, float]]) -> Overseer:
    """The weighted mean of several overseers' scores or probabilities; abstains where one of them does."""
    total = _total(parts)

    def mean(items: Sequence[Item]) -> list[Judgment]:
        sums = np.zeros(len(items))
        calls: list[tuple[Any, ...]] = [()] * len(items)
        for overseer, weight in parts:
            given = judged(overseer, items)
            sums += (
                weight
                / total
                * np.array([_first(j) if i.choices else _score(j) for i, j in zip(items, given, strict=True)])
            )
            calls = [a + j.calls for a, j in zip(calls, given, strict=True)]
        return [
            Judgment(i.id, Seat(), _preferred(s) if i.choices else _scored(s, "a part"), c)
            for i, s, c in zip(items, sums, calls, strict=True)
        ]

    return mean


def shared(parts: Sequence[tuple[Overseer, float]], seed: int = 0) -> Overseer:
    """Each prompt belongs to one overseer, drawn with these shares from the hash of the prompt."""
    edges = np.cumsum([share for _, share in parts]) / _total(parts)

    def routes(items: Sequence[Item]) -> list[Judgment]:
        draws = [derive(seed, "shared overseers", i.prompt) / 2**63 for i in items]
        owner = np.minimum(np.searchsorted(edges, draws, side="right"), len(parts) - 1)
        found: dict[int, Judgment] = {}
        for k, (overseer, _) in enumerate(parts):
            mine = np.flatnonzero(owner == k).tolist()
            found.update(zip(mine, judged(overseer, [items[n] for n in mine]), strict=True))
        return [found[n] for n in range(len(items))]

    return routes


def as_reward(overseer: Overseer) -> Callable[..., list[float | None]]:
    """A reward function as TRL's GRPO and RLOO trainers take it: `(prompts, completions, **columns) -> rewards`.

    Texts, or conversations whose last message is read. Abstentions are None, which TRL leaves out.
    """

    def text(value: Any) -> str:
        return value if isinstance(value, str) else str(value[-1]["content"])

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        values = score(overseer, [text(p) for p in prompts], [text(c) for c in completions])
        return [None if np.isnan(v) else float(v) for v in values]

    return reward


def _completion(item: Item) -> str:
    text = item.info.get("completion")
    if text is None:
        raise ProtocolError(
            f"{item.id} has {len(item.choices)} choices and no completion to score; "
            "to compare by scores, wrap the overseer: by_score(overseer)"
        )
    return str(text)


def _scored(value: float | None, who: str) -> Verdict:
    if value is None or np.isnan(value):
        return Verdict(None, abstained=f"{who} gave no score")
    return Verdict(None, score=float(value))


def _softmax(scores: Sequence[float], tau: float) -> Verdict:
    if np.isnan(scores).any():
        return Verdict(None, abstained="a choice has no score")
    z = np.exp((np.asarray(scores) - max(scores)) / tau)
    return Verdict(int(z.argmax()), tuple(float(v) for v in z / z.sum()))


def _preferred(p: float) -> Verdict:
    return (
        Verdict(None, abstained="a part abstained") if np.isnan(p) else Verdict(int(p < 0.5), (float(p), 1 - float(p)))
    )


def _total(parts: Sequence[tuple[Overseer, float]]) -> float:
    if not parts or any(not w > 0 for _, w in parts):
        raise ValueError(f"weights {[w for _, w in parts]} must be positive, one for each of one or more overseers")
    return sum(w for _, w in parts)
