"""A rehearsal: protocols are played with understudies, so that a plan can count what a run would ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from superalign.core.driver import play
from superalign.core.ports import Model
from superalign.core.transcript import Transcript
from superalign.core.types import Ask, Item, Protocol, Reply, Seat

SPEECH = " ".join(["word"] * 110)
"""What an understudy says: about the length that debaters are asked for (Khan et al. 2024: 100 words)."""

PER_TOKEN = 4
"""Characters per token, where a model does not count its tokens."""


@dataclass(slots=True)
class Tally:
    """What is still to be asked of a model: asks by role, and tokens to read and to write."""

    asks: Counter[str] = field(default_factory=Counter)
    tokens_in: float = 0.0
    tokens_out: float = 0.0

    def add(self, other: Tally) -> None:
        """Count another tally too."""
        self.asks.update(other.asks)
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out


class Understudy:
    """Answers at once and says nothing; known by the name of the model whose chair it takes."""

    serial = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.tally = Tally()

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Even beliefs, or words to fill the time."""
        for i, ask in enumerate(asks):
            count = len(ask.choices)
            reply = Reply(ask.choices[0], (1 / count,) * count) if count else Reply(SPEECH, score=0.5)
            self.tally.asks[ask.role] += 1
            self.tally.tokens_in += sum(len(m.content) for m in ask.messages) / PER_TOKEN
            self.tally.tokens_out += len(reply.text) / PER_TOKEN
            yield i, reply


class Recorded(Transcript):
    """Finds what another transcript holds, and keeps what understudies say to itself; `found` are calls by model."""

    def __init__(self, known: Transcript | None = None) -> None:
        super().__init__()
        self._recorded = known
        self.found: dict[str, set[str]] = {}

    def find(self, model: Model, call: str) -> Reply | None:
        """A recorded reply, or one of this rehearsal."""
        reply = self._recorded.find(model, call) if self._recorded is not None else None
        if reply is not None:
            self.found.setdefault(model.name, set()).add(call)
        return reply or super().find(model, call)


def rehearse(
    protocol: Protocol,
    cast: Mapping[str, Model],
    games: Sequence[tuple[Item, Seat]],
    transcript: Recorded | None = None,
) -> tuple[dict[str, Tally], tuple[str, ...]]:
    """Play games with understudies in all chairs: a tally per model, and the roles that were asked, in order.

    What the transcript finds is not asked again, so conditions rehearsed on one transcript count what they share once.
    """
    chairs = _Understudies(cast)
    judgments = play(protocol, chairs, games, transcript)
    roles = dict.fromkeys(ask.role for judgment in judgments for ask, _ in judgment.calls)
    return {name: one.tally for name, one in chairs.by_name.items()}, tuple(roles)


class _Understudies(Mapping[str, Model]):
    """The same chairs, an understudy in each."""

    def __init__(self, cast: Mapping[str, Model]) -> None:
        self._cast = cast
        self.by_name = {model.name: Understudy(model.name) for model in cast.values()}

    def __getitem__(self, role: str) -> Model:
        return self.by_name[self._cast[role].name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cast)

    def __len__(self) -> int:
        return len(self._cast)
