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

SIDES = re.compile(r"^(debater|prover)/([a-z])$")
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
    """A speech. `side` is the choice argued for, None where the role argues for none."""

    role: str
    model: str
    side: int | None
    pieces: tuple[Piece, ...]
    thought: str = ""
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A decision: the choices in the item's own order where they are the item's, and their probabilities."""

    role: str
    name: str
    model: str
    choices: tuple[str, ...]
    probs: tuple[float, ...]
    answers: bool
    text: str = ""
    score: float | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """Speeches, then decisions. `number` counts rounds with a speech from 1; 0 is before the first."""

    number: int
    said: tuple[Said, ...]
    held: tuple[Held, ...]


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
        if said.side is None or "/" not in said.role:
            return name_of(said.role)
        return f"{name_of(said.role.partition('/')[0])} {self.letter(said.side)}"

    @property
    def verdict(self) -> str:
        """`B (0.99)`, `no verdict: unparsed: empty`, or the text of a free answer; nothing where it is hidden."""
        held = self.game.verdict
        if held == HIDDEN:
            return ""
        if held.abstained is not None or held.answer is None:
            return f"no verdict: {held.abstained or 'none was given'}"
        if isinstance(held.answer, str):
            return held.answer
        return self.letter(held.answer) + (f" ({held.probs[held.answer]:.2f})" if held.probs else "")

    @property
    def grade(self) -> str:
        """`right`, `wrong`, a share between, or nothing where nobody graded it."""
        right = self.game.right
        return "" if right is None else {1.0: "right", 0.0: "wrong"}.get(right, f"{right:g} right")

    @property
    def paired(self) -> bool:
        """Whether exactly two sides speak, so that they stand side by side."""
        return {s.side for r in self.rounds for s in r.said} == {0, 1}


def script(game: Played, item: Item) -> Script:
    """The game of an item as a script. Quotes are looked up in the item's source; without one, those that are already
    marked keep their marks (see `heard`)."""
    rounds: list[Round] = []
    said: list[Said] = []
    held: list[Held] = []
    drafts = any(t.role == "preference" for t in game.turns)  # then a speaker's turns in a row are one speech's drafts
    for turn in game.turns:
        if turn.choices:
            held.append(_held(turn, item))
            continue
        again = any(s.role == turn.role for s in said) and not (drafts and said[-1].role == turn.role)
        if held or again:
            rounds.append(_round(rounds, said, held))
            said, held = [], []
        said.append(_said(turn, game, item))
    if said or held:
        rounds.append(_round(rounds, said, held))
    return Script(game, item, tuple(rounds), _order(game, item, rounds))


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
    """A role as a name: `debater/a` is `Debater A`, `judge/2` is `Judge 2`."""
    kind, _, part = role.partition("/")
    return f"{kind.replace('-', ' ').capitalize()} {part.upper()}".strip()


def _round(before: Sequence[Round], said: Sequence[Said], held: Sequence[Held]) -> Round:
    return Round(before[-1].number + 1 if before else int(bool(said)), tuple(said), tuple(held))


def _order(game: Played, item: Item, rounds: Sequence[Round]) -> tuple[int, ...]:
    own = tuple(range(len(item.choices)))
    first = next((s.side for r in rounds for s in r.said), None)
    in_turn = len(game.seat.order) == len(own) and first is not None and first == game.seat.order[0]
    return game.seat.order if in_turn else own


def _said(turn: Turn, game: Played, item: Item) -> Said:
    source, text = item.info.get("source"), _aloud(turn.text)
    thought = "" if text == turn.text else _THOUGHT.sub("", turn.text.replace(text, "")).strip()
    text = _marked(text, source)
    pieces = tuple(_pieces(text, str(source or "")))
    return Said(turn.role, turn.model, _side(turn.role, game, item), pieces, thought, turn.failure)


def _side(role: str, game: Played, item: Item) -> int | None:
    named = SIDES.match(role)
    if named:
        side = ord(named[2]) - ord("a")
        return side if side < len(item.choices) else None
    if role.partition("/")[0] == "consultant" and game.seat.assigned in item.choices:
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


def _held(turn: Turn, item: Item) -> Held:
    choices, probs = turn.choices, turn.probs
    answers = sorted(choices) == sorted(item.choices)
    if answers:  # shown in the seat's order, kept in the item's
        by_choice: Mapping[str, float] = dict(zip(choices, probs, strict=False))
        choices = item.choices
        probs = tuple(by_choice[c] for c in choices) if len(by_choice) == len(choices) else ()
    common = (turn.role, name_of(turn.role), turn.model)
    return Held(*common, choices, probs, answers, turn.text.strip(), turn.score, turn.failure)
