"""The values that every programme of superalign shares.

    An Overseer is a Protocol with Models cast in its roles; it passes Judgments on the Items
    of a Task. A Learner turns judgments into a new Model, which may be cast next.

Every value is frozen; this module imports the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a task, without its answer.

    `choices` are the answers to choose from: the labels of a class task (the same for every
    item), or texts of this item alone (multiple choice, a preference between two samples).
    `info` may hold `group` (items of one group stay in one split and are resampled together).
    """

    id: str
    prompt: str
    choices: tuple[str, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seat:
    """Which game of an item is played: the order in which choices are shown, and the assigned side."""

    seed: int = 0
    order: tuple[int, ...] = ()
    assigned: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How a reply is sampled. `max_tokens` of None leaves the model's own default."""

    temperature: float = 0.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to the model cast as `role`; its digest is the key of the call.

    Prompted models read `messages`. Trained models read `item`, the item under discussion.
    `sample` tells apart several draws for the same request.
    """

    role: str
    messages: tuple[Message, ...]
    choices: tuple[str, ...] = ()
    item: Item | None = None
    sample: int = 0
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Cost:
    """What calls used: tokens read and written, US dollars, seconds of compute."""

    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.usd + other.usd,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said: text, or probabilities over `Ask.choices`, or a score, or a failure."""

    text: str = ""
    probs: tuple[float, ...] = ()
    score: float | None = None
    failure: str | None = None
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True)
class Pending:
    """A reply that is not there yet (a person has not answered); `reason` says whom it waits for."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a game. `answer` indexes `Item.choices` in the item's own order (or is free
    text); `probs` are in that order too; `ranking` lists choices best first; `abstained` says why
    there is no answer."""

    answer: int | str | None
    probs: tuple[float, ...] = ()
    ranking: tuple[int, ...] = ()
    score: float | None = None
    abstained: str | None = None


@dataclass(frozen=True, slots=True)
class Judgment:
    """A verdict on one item, with the calls that led to it. Soft labels are `verdict.probs`."""

    item: str
    seat: Seat
    verdict: Verdict
    calls: tuple[tuple[Ask, Reply], ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """What a learner may see: items only. Labels come from its overseer."""

    train: tuple[Item, ...]
    valid: tuple[Item, ...] = ()
    unlabelled: tuple[Item, ...] = ()


Moves = Generator[Sequence[Ask], Sequence[Reply], Verdict]
"""A game in progress: yields the asks of one turn, is sent their replies, returns a verdict."""

Protocol = Callable[[Item, Seat], Moves]
Overseer = Callable[[Sequence[Item]], list[Judgment]]
