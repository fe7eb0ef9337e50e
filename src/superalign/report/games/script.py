"""A played game as it is read: rounds of speeches with their quotes checked, and what the judges held after each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from superalign.core.types import Item
from superalign.protocols.played import HIDDEN, Archive, Played, Turn
from superalign.protocols.quotes import check
from superalign.protocols.room import letter
from superalign.protocols.speech import aloud, hear
from superalign.report.games.about import abouts

SIDES = re.compile(r"^(debater|prover|consultant)/([a-z])$")
HEARD = ("debater", "consultant")
"""Who speaks at a hearing, where whoever decides may ask aloud, and where a turn of all of them is a round."""
_THOUGHT = re.compile(r"</?thinking>", re.IGNORECASE)
_MARKED = re.compile(r"<(verified|near|unverified)>(.*?)</\1>", re.DOTALL)
_WHOLE = 10_000_000  # a transcript shows all of a speech; what was cut for the judge is in `Turn.saw`


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a speech. A quote has a `status` (`verified`, `near`, `unverified`), and its place in the source in
    characters, -1 where it is not there."""

    text: str
    status: str = ""
    start: int = -1
    end: int = -1


@dataclass(frozen=True, slots=True)
class Said:
    """A speech. `side` is the choice argued for, None where the role argues for none; `about` says what it was asked."""

    role: str
    model: str
    side: int | None
    pieces: tuple[Piece, ...]
    thought: str = ""
    failure: str | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A decision, or a word of whoever decides: the choices in the item's own order where they are the item's, and their
    probabilities. `saw` is what was shown for it."""

    role: str
    name: str
    model: str
    choices: tuple[str, ...]
    probs: tuple[float, ...]
    answers: bool
    text: str = ""
    score: float | None = None
    failure: str | None = None
    about: str = ""
    saw: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """Speeches, then decisions. `number` counts rounds with a speech from 1; 0 is before the first."""

    number: int
    said: tuple[Said, ...]
    held: tuple[Held, ...]

    @property
    def decisions(self) -> list[list[Held]]:
        """The decisions, those about the same thing together."""
        found: dict[object, list[Held]] = {}
        for k, held in enumerate(self.held):
            found.setdefault(held.about or k, []).append(held)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Script:
    """A game ready to be shown. `order` names the answers: the first of it is A.

    Speeches made in turn call the answers as the judge was shown them; others use the item's own order.
    """

    game: Played
    item: Item
    rounds: tuple[Round, ...]
    order: tuple[int, ...]

    def letter(self, side: int) -> str:
        """What an answer is called in this game."""
        return letter(self.order.index(side))

    def name(self, said: Said) -> str:
        """A speaker's name; the letter of a debater or prover is that of its answer."""
        if said.side is None or not SIDES.match(said.role):
            return name_of(said.role)
        return f"{name_of(said.role.partition('/')[0])} {self.letter(said.side)}"

    @property
    def verdict(self) -> str:
        """`B (0.99)`, `no verdict: unparsed: empty`, or the text of a free answer; nothing where it is hidden."""
        return verdict_of(self.game, self.order)

    @property
    def grade(self) -> str:
        """`right`, `wrong`, a share between, or nothing where nobody graded it."""
        return grade_of(self.game)

    @property
    def paired(self) -> bool:
        """Whether exactly two sides speak, so that they stand side by side."""
        return {s.side for r in self.rounds for s in r.said} - {None} == {0, 1}

    @property
    def rounds_are(self) -> str:
        """What a round is called: `Round` where people are heard, `Step` in other games."""
        heard = any(s.role.partition("/")[0] in HEARD for r in self.rounds for s in r.said)
        return "Round" if heard else "Step"


def verdict_of(game: Played, order: Sequence[int]) -> str:
    """The verdict of a game in words; `order` names the answers."""
    held = game.verdict
    if held == HIDDEN:
        return ""
    if held.abstained is not None or held.answer is None:
        return f"no verdict: {held.abstained or 'none was given'}"
    if isinstance(held.answer, str):
        return held.answer
    return letter(tuple(order).index(held.answer)) + (f" ({held.probs[held.answer]:.2f})" if held.probs else "")


def grade_of(game: Played) -> str:
    """The grade of a game in a word or two."""
    return "" if game.right is None else {1.0: "right", 0.0: "wrong"}.get(game.right, f"{game.right:g} right")


def script(game: Played, item: Item) -> Script:
    """The game of an item as a script. Quotes are looked up in the item's source; without one, those that are already
    marked keep their marks (see `heard`)."""
    rounds: list[Round] = []
    said: list[Said] = []
    held: list[Held] = []
    drafts = any(t.role == "preference" for t in game.turns)  # then a speaker's turns in a row are one speech's drafts
    hearing = any(t.role.partition("/")[0] in HEARD for t in game.turns)
    for turn, about in zip(game.turns, abouts(game.turns, item), strict=True):
        if turn.choices or not (turn.is_speech or hearing):
            held.append(_held(turn, item, about))
            continue
        again = any(s.role == turn.role for s in said) and not (drafts and said[-1].role == turn.role)
        if held or again:
            rounds.append(_round(rounds, said, held))
            said, held = [], []
        said.append(_said(turn, game, item, about))
    if said or held:
        rounds.append(_round(rounds, said, held))
    if len(rounds) == 1 and not rounds[0].said:
        rounds = _recorded(rounds[0].held, item) or rounds
    return Script(game, item, tuple(rounds), order_of(game, item))


def order_of(game: Played, item: Item) -> tuple[int, ...]:
    """In which order the answers of a game are named: the judge's where speeches were made in turn, else the item's."""
    own = tuple(range(len(item.choices)))
    spoken = next((t.role for t in game.turns if not t.choices), "")
    first = _side(spoken, game, item) if spoken.startswith("debater/") or spoken == "consultant" else None
    in_turn = len(game.seat.order) == len(own) and first is not None and first == game.seat.order[0]
    return game.seat.order if in_turn else own


def heard(archive: Archive) -> Archive:
    """The archive for people who are to judge: speeches as a judge hears them, without hidden reasoning, their quotes
    marked; then no verdicts, decisions, grades, sources and names of players."""
    games = []
    for game in archive.games:
        source = archive.items[game.item].info.get("source")
        turns = [t if t.choices else replace(t, text=_marked(_aloud(t.text), source)) for t in game.turns]
        games.append(replace(game, turns=tuple(turns)))
    return replace(archive, games=tuple(games)).for_judges()


def name_of(role: str) -> str:
    """A role as a name: `debater/a` is `Debater A`, `judge/2` is `Judge 2`, `prover/sneaky` is `Sneaky prover`."""
    kind, _, part = role.partition("/")
    words = f"{part} {kind}" if len(part) > 1 and part.isalpha() else kind
    return f"{words.replace('-', ' ').capitalize()} {part.upper() if words == kind else ''}".strip()


def _round(before: Sequence[Round], said: Sequence[Said], held: Sequence[Held]) -> Round:
    return Round(before[-1].number + 1 if before else int(bool(said)), tuple(said), tuple(held))


def _recorded(held: Sequence[Held], item: Item) -> list[Round]:
    """The rounds of a game about what was said before, which stands in the item: a recorded debate, with the decisions
    between its rounds; or the one speech that a referee was shown."""
    speeches = item.info.get("speeches")
    source = str(item.info.get("source") or "")
    if isinstance(item.info.get("speech"), str) and held[0].role == "referee":
        speaker = str(item.info.get("speaker", "speaker"))
        said = Said(speaker, "", None, tuple(_pieces(item.info["speech"], source)), about=_told(item))
        return [Round(1, (said,), tuple(held))]
    if not isinstance(speeches, list | tuple) or not speeches:
        return []
    numbers = sorted({int(s["round"]) for s in speeches})
    stepped = len(held) == len(numbers) + 1
    rounds = [Round(0, (), (held[0],))] if stepped else []
    for place, number in enumerate(numbers, start=1):
        those = [s for s in speeches if int(s["round"]) == number]
        spoken = [
            _speech(f"debater/{chr(97 + int(s['side']))}", "", int(s["side"]), str(s["text"]), item) for s in those
        ]
        after = (held[place],) if stepped else tuple(held) if number == numbers[-1] else ()
        rounds.append(Round(place, tuple(spoken), after))
    return rounds


def _told(item: Item) -> str:
    return f"told to argue for {item.info['assigned']}" if item.info.get("assigned") else ""


def _said(turn: Turn, game: Played, item: Item, about: str) -> Said:
    made = _speech(turn.role, turn.model, _side(turn.role, game, item), turn.text, item)
    return replace(made, failure=turn.failure, about=about)


def _speech(role: str, model: str, side: int | None, said: str, item: Item) -> Said:
    source, text = item.info.get("source"), _aloud(said)
    thought = "" if text == said else _THOUGHT.sub("", said.replace(text, "")).strip()
    return Said(role, model, side, tuple(_pieces(_marked(text, source), str(source or ""))), thought)


def _side(role: str, game: Played, item: Item) -> int | None:
    named = SIDES.match(role)
    if named:
        side = ord(named[2]) - ord("a")
        return side if side < len(item.choices) else None
    if role.partition("/")[0] in ("consultant", "prover") and game.seat.assigned in item.choices:
        return item.choices.index(game.seat.assigned)
    return None


def _aloud(text: str) -> str:
    """A speech without its hidden reasoning."""
    return (aloud(text) or "") if _THOUGHT.search(text) else text


def _marked(text: str, source: object) -> str:
    return hear(text, str(source), limit=_WHOLE).text if source is not None else text


def _pieces(text: str, source: str) -> Iterator[Piece]:
    place = 0
    for match in _MARKED.finditer(text):
        if match.start() > place:
            yield Piece(text[place : match.start()])
        found = check(match[2], source) if source and match[1] != "unverified" else None
        yield Piece(match[2], match[1], *((found.start, found.end) if found else (-1, -1)))
        place = match.end()
    if place < len(text):
        yield Piece(text[place:])


def _held(turn: Turn, item: Item, about: str) -> Held:
    choices, probs, text = turn.choices, turn.probs, turn.text.strip()
    answers = bool(choices) and sorted(choices) == sorted(item.choices)
    if answers:  # shown in the seat's order, kept in the item's
        by_choice: Mapping[str, float] = dict(zip(choices, probs, strict=False))
        choices = item.choices
        probs = tuple(by_choice[c] for c in choices) if len(by_choice) == len(choices) else ()
    if probs and text in choices:
        text = ""  # the same once more, as models without words say it
    common = (turn.role, name_of(turn.role), turn.model)
    return Held(*common, choices, probs, answers, text, turn.score, turn.failure, about, turn.saw)
