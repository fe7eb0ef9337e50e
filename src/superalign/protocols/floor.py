"""The floor of a hearing: speakers argue for answers before a judge. Debate, consultancy and propaganda are held on it.

It keeps what was said, and shows to whoever is asked what that one may see. Speakers know answers by the letters of
`told`: the item's own order where all they hear was said at the same time or by themselves, so that both
presentations of an item share their speeches; else the order of the seat, which is always the judge's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from superalign.core.errors import ProtocolError, SpecError
from superalign.core.types import Ask, Item, Message, Seat
from superalign.protocols.compose import Steps
from superalign.protocols.replies import Choice, decide
from superalign.protocols.room import Speech, briefed, letter, listed, order_of, public, relabelled, source_of
from superalign.protocols.rules import Silence
from superalign.protocols.speech import hear
from superalign.protocols.template import Template

SPEAKER = ("prompt", "choices", "text", "name", "answer", "transcript", "round", "rounds", "words")
JUDGE = ("prompt", "choices", "evidence", "transcript")
HEARING = {"speaker": SPEAKER, "text": ("source",), "judge": JUDGE, "evidence": ()}
INTERACTIVE = {**HEARING, "question": JUDGE, "more": JUDGE}
"""Sections of a template, with their fields. `text` and `evidence` fill the fields of their names where the item has
a source: what speakers are told of it, and what a judge is told of quotes."""

MORE = ("continue", "end")
QUOTES = ("checked", "trusted")
MODERATOR = "Judge"
CHARACTERS = 12
"""Hard limit of a speech, in characters per word of its target length."""

SPEECH = '<speech by="{}" round="{}">\n{}\n</speech>'
SPEECHES = re.compile(r'<speech by="([^"\n]+)" round="(\d+)">\n(.*?)\n</speech>', re.DOTALL)
"""A speech in a transcript: speaker, round, text. The tag is the engine's: whoever types it sees it escaped."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """How a hearing is held: its prompts, who speaks, how often and how long, and whether quotes are looked up.

    `role` is the speakers' role, `title` what they are called. With `least` the judge takes part: it says
    what it believes after every round, may end the hearing from round `least` on, and otherwise asks a question.
    Raises SpecError for an option that does not fit.
    """

    sheet: Template
    role: str
    title: str
    rounds: int
    words: int
    quotes: str
    least: int | None = None

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.words < 1:
            raise SpecError(f"rounds and words start at 1, got rounds={self.rounds}:words={self.words}")
        if self.least is not None and not 1 <= self.least <= self.rounds:
            raise SpecError(f"min_rounds is 1 to rounds={self.rounds}, got min_rounds={self.least}")
        if self.quotes not in QUOTES:
            raise SpecError(f"quotes are {' or '.join(QUOTES)}, got quotes={self.quotes}")

    @property
    def limit(self) -> int:
        """The most characters of a speech."""
        return self.words * CHARACTERS


@dataclass(slots=True)
class Floor:
    """One game of a hearing, as far as it has come; `sides` are the choices that somebody argues for.

    `apart` speakers hear nobody but themselves. Raises ProtocolError for fewer than 2 choices or more than 26.
    """

    hearing: Hearing
    item: Item
    seat: Seat
    sides: Sequence[int]
    apart: bool = False
    in_turn: bool = False
    said: list[Speech] = field(default_factory=list)
    order: tuple[int, ...] = ()
    told: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.item.choices)
        if not 2 <= count <= 26:
            raise ProtocolError(f"item {self.item.id!r} has {count} choices; sides are taken for 2 to 26")
        self.order = order_of(self.item, self.seat)
        self.told = self.order if self.in_turn or self.hearing.least else tuple(range(count))

    def speak(self, sides: Sequence[int], turn: int) -> Steps[None]:
        """These sides speak at the same time, each knowing what was said before. Raises Silence where a call fails."""
        asks = [self._brief(side, turn) for side in sides]
        replies = yield asks
        for side, ask, reply in zip(sides, asks, replies, strict=True):
            if reply.failure is not None:
                raise Silence(ask.role, reply.failure)
            heard = hear(reply.text, source_of(self.item), limit=self.hearing.limit, quotes=self.hearing.quotes)
            self.said.append(Speech(self.hearing.title, side, heard.text, turn))

    def judge(self) -> Steps[Choice]:
        """What the judge believes now."""
        shown = public(self.item, self.order)
        return (yield from decide("judge", self._put("judge"), shown.choices, item=shown, sample=self.seat.seed))

    def hold(self, speak: Callable[[int], Steps[None]]) -> Steps[Choice]:
        """The whole hearing: `speak(turn)` in every round, then the judge decides."""
        for turn in range(1, self.hearing.rounds + 1):
            yield from speak(turn)
            if self.hearing.least and turn < self.hearing.rounds:
                belief = yield from self.judge()
                if belief.fault == "failed" or (turn >= self.hearing.least and (yield from self._enough())):
                    return belief
                yield from self._question(turn)
        return (yield from self.judge())

    def _enough(self) -> Steps[bool]:
        """Whether the judge ends the hearing; a reply that settles neither way goes on."""
        shown = public(self.item, self.order)
        choice = yield from decide("judge", self._put("more"), MORE, item=shown, sample=self.seat.seed)
        return choice.place == MORE.index("end")

    def _question(self, turn: int) -> Steps[None]:
        shown = public(self.item, self.order)
        replies = yield [Ask("cross-examiner", self._put("question"), (), shown, self.seat.seed)]
        if replies[0].failure is not None:
            raise Silence("cross-examiner", replies[0].failure)
        self.said.append(Speech(MODERATOR, None, hear(replies[0].text, "", limit=self.hearing.limit).text, turn))

    def _brief(self, side: int, turn: int) -> Ask:
        """The ask to a speaker."""
        source, sheet = source_of(self.item), self.hearing.sheet
        prompt = sheet.fill(
            "speaker",
            prompt=self.item.prompt,
            choices=listed([self.item.choices[k] for k in self.told]),
            text=sheet.fill("text", source=source) if source else "",
            name=self._name(self.hearing.title, side, self.told),
            answer=f"({letter(self.told.index(side))}) {self.item.choices[side]}",
            transcript=self._transcript(self.told, [s for s in self.said if not self.apart or s.side in (side, None)]),
            round=str(turn),
            rounds=str(self.hearing.rounds),
            words=str(self.hearing.words),
        )
        role = self.hearing.role if len(self.sides) == 1 else f"{self.hearing.role}/{chr(97 + side)}"
        item = briefed(self.item, side)
        item = replace(item, info={**item.info, "limit": self.hearing.limit})
        return Ask(role, (Message("user", prompt),), (), item, self.seat.seed)

    def _put(self, section: str) -> tuple[Message, ...]:
        """What the judge reads: the hearing so far, as the choices are shown to it."""
        fields = {
            "prompt": self.item.prompt,
            "choices": listed([self.item.choices[k] for k in self.order]),
            "evidence": self.hearing.sheet.fill("evidence") if source_of(self.item) else "",
            "transcript": self._transcript(self.order, self.said),
        }
        return (Message("user", self.hearing.sheet.fill(section, **fields)),)

    def _transcript(self, order: Sequence[int], said: Sequence[Speech]) -> str:
        """Speeches round by round (by speaker where they are apart), in the order and the letters of a presentation."""

        def when(speech: Speech) -> tuple[int, int]:
            place = len(order) if speech.side is None else list(order).index(speech.side)
            return (place, speech.turn) if self.apart else (speech.turn, place)

        lines = []
        for speech in sorted(said, key=when):
            name = speech.speaker if speech.side is None else self._name(speech.speaker, speech.side, order)
            text = speech.text if order == self.told else relabelled(speech.text, order)
            lines.append(SPEECH.format(name, speech.turn, text))
        return "\n".join(lines) or "(nothing has been said yet)"

    def _name(self, title: str, side: int, order: Sequence[int]) -> str:
        return title if len(self.sides) == 1 else f"{title} {letter(list(order).index(side))}"
