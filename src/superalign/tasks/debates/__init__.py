"""Debates that people and models have already held, as frozen values that no corpus's file format shows through.

A corpus is one file: a reader that returns a Corpus. Its answers are in a sealed Task; nothing else holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from superalign.core.task import Task

SETTINGS = ("human-debate", "human-consultancy", "gpt4-debate", "gpt4-consultancy")
"""Who argued, and whether both answers had a speaker."""


@dataclass(frozen=True, slots=True)
class Story:
    """A source as readable text, and where each of the corpus's tokens is in it (start and end characters)."""

    title: str
    text: str
    tokens: tuple[tuple[int, int], ...]

    def characters(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the tokens `start` to `end` (half open, in range, not empty)."""
        return self.tokens[start][0], self.tokens[end - 1][1]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a speech. A quote has its tokens in the source, and `raw` as recorded where that was out of range."""

    text: str
    quote: tuple[int, int] | None = None
    raw: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Speech:
    """What one speaker said in one round, for the answer `side`."""

    side: int
    speaker: str
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The speech with its quotes between `<quote>` and `</quote>`."""
        return "".join(f"<quote>{p.text}</quote>" if p.quote else p.text for p in self.parts).strip()

    @property
    def quotes(self) -> tuple[Part, ...]:
        """The parts that quote the source."""
        return tuple(p for p in self.parts if p.quote)


@dataclass(frozen=True, slots=True)
class Belief:
    """A judge's probabilities for the answers, with what the judge said, and whether the judge ended the debate."""

    judge: str
    probs: tuple[float, ...]
    comment: str = ""
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """One round: speeches (at once or in turn), or the live judge's belief and questions."""

    kind: Literal["simultaneous", "sequential", "belief"]
    speeches: tuple[Speech, ...] = ()
    belief: Belief | None = None


@dataclass(frozen=True, slots=True)
class Offline:
    """A judge who read the finished debate: `stepped` round by round, or `timed` as a whole."""

    judge: str
    mode: str
    beliefs: tuple[Belief, ...]


@dataclass(frozen=True, slots=True)
class Debate:
    """A recorded debate or consultancy. `sides` are the answers that had a speaker."""

    id: str
    setting: str
    story: Story
    question: str
    answers: tuple[str, ...]
    sides: tuple[int, ...]
    rounds: tuple[Round, ...]
    offline: tuple[Offline, ...] = ()

    @property
    def final(self) -> Belief | None:
        """The belief with which the live judge ended it; None for a debate that no judge ended."""
        return next((r.belief for r in self.rounds if r.belief is not None and r.belief.ends), None)

    @property
    def speeches(self) -> tuple[Speech, ...]:
        """All speeches, in the order in which they were made."""
        return tuple(s for r in self.rounds for s in r.speeches)


@dataclass(frozen=True)
class Corpus:
    """Debates by id, their sealed answers (one split per setting), and what was done while reading them.

    `counts` say how many of each thing there are; `dropped` are the personal names that were found in fields that
    are not kept, so that exports can be searched for them.
    """

    name: str
    debates: tuple[Debate, ...]
    task: Task = field(repr=False)
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = field(default=(), repr=False)
