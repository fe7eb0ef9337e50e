"""Played games as a record keeps them: who said what, what the judge saw and believed, the verdict.

An archive is the artifact `games/<condition>` of a record: transcripts can be read, shown and exported from it
without any model.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from superalign.core.digest import digest
from superalign.core.errors import StoreError
from superalign.core.types import Ask, Cost, Item, Judgment, Seat, Verdict

FORM = "superalign-games-1"
DECIDING = frozenset(("judge", "verifier", "overseer", "preference", "referee", "trusted", "estimator", "market"))
"""Roles that decide. What they say, if anything, is about their decision. A cross-examiner asks aloud."""
HIDDEN = Verdict(None, abstained="hidden")
"""In place of the verdict of a game that is shown to people who are to judge it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One call of a game. `choices` and `probs` where a decision was asked for; `saw` is then what was shown."""

    role: str
    model: str
    text: str = ""
    choices: tuple[str, ...] = ()
    probs: tuple[float, ...] = ()
    score: float | None = None
    failure: str | None = None
    saw: str = ""
    cost: Cost = field(default_factory=Cost)

    @property
    def is_speech(self) -> bool:
        """Whether this was said to others: not a decision, and not a word of somebody who decides."""
        return not self.choices and self.role.partition("/")[0] not in DECIDING


@dataclass(frozen=True, slots=True)
class Played:
    """A game that was played. `right` is the accuracy of its verdict, None where nobody graded it.

    `honest` names the side that argued for the truth, known only after grading.
    """

    id: str
    condition: str
    item: str
    seat: Seat
    turns: tuple[Turn, ...]
    verdict: Verdict
    right: float | None = None
    honest: int | None = None


@dataclass(frozen=True, slots=True)
class Archive:
    """Games with the items that they are about, by id (with their sources)."""

    items: Mapping[str, Item]
    games: tuple[Played, ...]

    def for_judges(self) -> Archive:
        """What may be shown to people who are to judge: no verdict, no decision and no word of those who judged, no
        grade, no source, no players' names."""
        items = {k: replace(i, info={n: v for n, v in i.info.items() if n != "source"}) for k, i in self.items.items()}
        bare = [
            replace(
                g,
                turns=tuple(replace(t, model="", score=None, saw="") for t in g.turns if t.is_speech),
                verdict=HIDDEN,
                right=None,
                honest=None,
            )
            for g in self.games
        ]
        return Archive(items, tuple(bare))


def played(
    condition: str, item: Item, judgment: Judgment, models: Mapping[str, str], right: float | None, honest: int | None
) -> Played:
    """A judgment as a played game; `models` names who sat in each role."""
    turns = tuple(
        Turn(
            ask.role,
            models.get(ask.role) or models.get(ask.role.partition("/")[0], ""),
            reply.text,
            ask.choices,
            reply.probs,
            reply.score,
            reply.failure,
            _shown(ask) if ask.choices else "",
            reply.cost,
        )
        for ask, reply in judgment.calls
    )
    name = digest(condition, item.id, judgment.seat)[:12]
    return Played(name, condition, item.id, judgment.seat, turns, judgment.verdict, right, honest)


def _shown(ask: Ask) -> str:
    """The first message of a user: the question and the transcript. What follows are corrections."""
    return next((m.content for m in ask.messages if m.role == "user"), "")


def pack(archive: Archive) -> bytes:
    """An archive as bytes: JSON, compressed. A source that several items share is kept once."""
    sources: dict[str, int] = {}
    items = []
    for item in archive.items.values():
        info = dict(item.info)
        place = sources.setdefault(info.pop("source"), len(sources)) if isinstance(info.get("source"), str) else None
        items.append({"id": item.id, "prompt": item.prompt, "choices": item.choices, "info": info, "source": place})
    body = {"form": FORM, "sources": list(sources), "items": items, "games": list(archive.games)}
    # an encoder's hook instead of `asdict`, which copies every value: half the time of packing
    return zlib.compress(json.dumps(body, default=_fields).encode(), 1)


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def unpack(data: bytes) -> Archive:
    """An archive from bytes. Raises StoreError for anything else."""
    try:
        body = json.loads(zlib.decompress(data))
        if body["form"] != FORM:
            raise StoreError(f"these games are in the form {body['form']!r}; this version reads {FORM}")
        items = [_item(i, body["sources"]) for i in body["items"]]
        return Archive({i.id: i for i in items}, tuple(game_of(g) for g in body["games"]))
    except (zlib.error, ValueError, KeyError, IndexError, TypeError) as error:
        raise StoreError(f"these are not recorded games: {type(error).__name__}: {error}") from error


def _item(body: Mapping[str, Any], sources: Sequence[str]) -> Item:
    source = {} if body["source"] is None else {"source": sources[body["source"]]}
    return Item(body["id"], body["prompt"], tuple(body["choices"]), {**body["info"], **source})


def game_of(body: Mapping[str, Any]) -> Played:
    """A game from JSON values (`asdict` of one)."""
    turns = [
        Turn(**{**t, "choices": tuple(t["choices"]), "probs": tuple(t["probs"]), "cost": Cost(**t["cost"])})
        for t in body["turns"]
    ]
    seat = Seat(body["seat"]["seed"], tuple(body["seat"]["order"]), body["seat"]["assigned"])
    verdict = Verdict(
        **{**body["verdict"], "probs": tuple(body["verdict"]["probs"]), "ranking": tuple(body["verdict"]["ranking"])}
    )
    return Played(**{**body, "turns": tuple(turns), "seat": seat, "verdict": verdict})
