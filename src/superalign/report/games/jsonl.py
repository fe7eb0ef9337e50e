"""Games as JSON Lines: one game per line, with its item and source, so that a line needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from superalign.core.errors import UserError
from superalign.core.types import Item
from superalign.protocols.played import Archive, Played, game_of


def bytes_of(archives: Mapping[str, Archive]) -> bytes:
    """The games of all archives, UTF-8."""
    lines = [json.dumps(body(g, a.items[g.item]), ensure_ascii=False) for a in archives.values() for g in a.games]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def body(game: Played, item: Item) -> dict[str, Any]:
    """One game as JSON values: the fields of `Played`, with the item in place of its id."""
    info = dict(item.info)
    shown = {"id": item.id, "question": item.prompt, "answers": list(item.choices), "info": info}
    return {**asdict(game), "item": shown}


def read(data: bytes) -> dict[str, Archive]:
    """The archives that were written, by condition. Raises UserError for a line that is no game."""
    items: dict[str, dict[str, Item]] = {}
    games: dict[str, list[Played]] = {}
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line:
            continue
        try:
            found = json.loads(line)
            shown = found["item"]
            item = Item(shown["id"], shown["question"], tuple(shown["answers"]), shown["info"])
            game = game_of({**found, "item": item.id})
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"line {number} is not a game of superalign: {type(error).__name__}: {error}") from error
        items.setdefault(game.condition, {})[item.id] = item
        games.setdefault(game.condition, []).append(game)
    return {name: Archive(items[name], tuple(found_)) for name, found_ in games.items()}
