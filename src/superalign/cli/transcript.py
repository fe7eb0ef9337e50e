"""`superalign transcript`: read a played game, or list the games of a record."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superalign.cli.options import AsJson, StoreUrl
from superalign.core.errors import StoreError, UserError, nearest

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from superalign.core.ports import Store
    from superalign.core.spec import Record
    from superalign.protocols.played import Archive, Played
    from superalign.report.games.script import Held, Said, Script

EPILOG = """\b
Examples:
  superalign transcript last                      (the games of the newest record)
  superalign transcript last --wrong --limit 5
  superalign transcript 3f9a                      (a game by its id, or the beginning of one)
  superalign transcript 3f9a --html game.html
  superalign transcript 3f9a --for-judges         (without verdict, beliefs, grade, names and source)
"""
COLOURS = ("blue", "red", "green", "magenta", "yellow", "cyan")
STYLES = {"": "", "verified": "green", "near": "yellow", "unverified": "red"}
MARKS = {"": "", "verified": "", "near": " [near]", "unverified": " [not in the source]"}
GLYPHS = "█░▓▒"
BAR = 24
"""Cells of a bar of beliefs."""


def add(app: typer.Typer) -> None:
    app.command("transcript", epilog=EPILOG)(transcript)


def transcript(
    name: Annotated[str, typer.Argument(metavar="ID", help="A game's id or its beginning, a record's id, or `last`.")],
    condition: Annotated[str, typer.Option(help="List this condition's games alone.")] = "",
    wrong: Annotated[bool, typer.Option("--wrong", help="List the games whose verdict is wrong.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="List so many games.")] = 20,
    for_judges: Annotated[
        bool, typer.Option("--for-judges", help="Hide verdict, beliefs, grade, names and source.")
    ] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write the game as a page (.html).")] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Read who said what in a game, which quotes are real and what the judge believed; or list a record's games."""
    from superalign.report.games import archives
    from superalign.store import open_store

    if html is not None and html.suffix != ".html":
        raise UserError(f"a transcript is written as .html, got {str(html)!r}")
    with open_store(store) as opened:
        listed = _record(opened, name)
        if listed is not None:
            games = archives(listed, opened, condition)
        else:
            record, archive, game = _find(opened, name)
    if listed is None:
        _show(record, archive, game, for_judges, html, as_json)
    elif html is not None or for_judges:
        raise UserError(f"{listed.id} is a record; name one of its games (`superalign transcript {listed.id}`)")
    else:
        _list(games, wrong, limit, as_json)


def _record(store: Store, name: str) -> Record | None:
    """The record that `name` names in full."""
    from superalign.core import records

    if name == "last" or name in {e.id for e in records.entries(store)}:
        return records.load(store, name)
    return None


def _find(store: Store, name: str) -> tuple[Record, Archive, Played]:
    """The game that `name` begins, in the newest record that has one. Raises StoreError with near ids."""
    from superalign.core import records
    from superalign.report.games import archives, select

    known: list[str] = []
    for entry in reversed(records.entries(store)):
        try:
            record = records.load(store, entry.id)
            held = archives(record, store)
        except UserError:  # a study without games, or damaged ones
            continue
        found = select(held, name)
        if len(found) == 1:
            return record, *found[0]
        if found:
            some = ", ".join(g.id for _, g in found[:5]) + (", ..." if len(found) > 5 else "")
            raise StoreError(f"{len(found)} games of {record.id} start with {name!r}: {some}; type more of one")
        known += [record.id, *(g.id for a in held.values() for g in a.games)]
    if not known:
        raise StoreError("this store holds no games; studies of debates keep theirs (superalign debates --help)")
    near = nearest(name, known) if len(known) < 20 or "did you mean" in nearest(name, known) else ""
    raise StoreError(f"no game and no record is called {name!r}; {near or '`superalign transcript last` lists games'}")


def _list(games: Mapping[str, Archive], wrong: bool, limit: int, as_json: bool) -> None:
    from superalign.cli.terminal import print_table
    from superalign.report.games.script import script
    from superalign.report.text import one_line

    kept = [(a, g) for a in games.values() for g in a.games if not wrong or (g.right is not None and g.right < 1)]
    rows = []
    for archive, game in kept[:limit]:
        shown = script(game, archive.items[game.item])
        cells = (game.id, shown.item.prompt[:60], game.condition, shown.verdict, shown.grade)
        rows.append([one_line(cell) for cell in cells])
    columns = ("id", "item", "condition", "verdict", "right")
    if as_json:
        print(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
        return
    print_table(columns, rows)
    if len(kept) > limit:
        print(f"{limit} of {len(kept)} games; --limit {len(kept)} lists all")


def _show(record: Record, archive: Archive, game: Played, for_judges: bool, html: Path | None, as_json: bool) -> None:
    from superalign.report.games.script import heard, script

    if for_judges:
        from superalign.protocols.played import Archive

        archive = heard(Archive(archive.items, (game,)))
        (game,) = archive.games
    item = archive.items[game.item]
    if html is not None:
        from superalign.report.files import write
        from superalign.report.transcript import html as page

        print(write(page(game, item, record.id), html))
    elif as_json:
        from superalign.report.games.jsonl import body

        print(json.dumps(body(game, item), indent=2))
    else:
        _print(script(game, item))


def _print(shown: Script) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False, soft_wrap=False)
    for text in _lines(shown, console):
        console.print(text)


def _lines(shown: Script, console: Console) -> Iterator[Text]:
    from rich.text import Text

    from superalign.report.text import visible

    game, item = shown.game, shown.item
    yield Text(visible(item.prompt), style="bold")
    for side in shown.order:
        yield Text.assemble((f"  {shown.letter(side)} ", _colour(side)), visible(item.choices[side]))
    facts = [game.condition if shown.verdict else "", f"game {game.id}", str(item.info.get("title", ""))]
    yield Text(visible(", ".join(filter(None, facts))), "dim")
    for spoken in shown.rounds:
        yield Text()
        yield Text(f"Round {spoken.number}" if spoken.number else "Before the first round", style="bold underline")
        for said in spoken.said:
            yield from _speech(shown, said)
        for held in spoken.held:
            yield from _decision(shown, held)
    if shown.verdict:
        yield Text()
        grade = (f", {shown.grade}", "green" if shown.grade == "right" else "red") if shown.grade else ""
        yield Text.assemble((visible(f"Verdict: {shown.verdict}"), "bold"), grade)


def _speech(shown: Script, said: Said) -> Iterator[Text]:
    from rich.text import Text

    from superalign.report.text import visible
    from superalign.report.transcript import quoted

    side = "" if said.side is None or "/" in said.role else f" for {shown.letter(said.side)}"
    name = (visible(shown.name(said)) + side, f"bold {_colour(said.side)}".strip())
    yield Text.assemble(name, (f" ({visible(said.model)})" if said.model else "", "dim"))
    if said.thought:
        yield Text(f"[thinks] {visible(said.thought)}", style="dim italic")
    text = Text()
    for piece in said.pieces:
        words = visible(piece.text)
        text.append(quoted(words) if piece.status else words, STYLES[piece.status])
        text.append(MARKS[piece.status], "dim")
    yield text
    if said.failure:
        yield Text(f"the call failed: {visible(said.failure)}", style="red")


def _decision(shown: Script, held: Held) -> Iterator[Text]:
    from rich.text import Text

    from superalign.report.text import visible
    from superalign.report.transcript import odds

    found = odds(shown, held)
    line = Text.assemble((visible(held.name), "bold"), (f" ({visible(held.model)})" if held.model else "", "dim"), " ")
    for k, _, p in found:
        line.append(GLYPHS[k % len(GLYPHS)] * round(BAR * p), _colour(k))
    line.append(" " + ", ".join(f"{visible(name)} {p:.2f}" for _, name, p in found))
    yield line
    if held.text:
        yield Text(visible(held.text), style="italic")
    if held.failure:
        yield Text(f"the call failed: {visible(held.failure)}", style="red")


def _colour(side: int | None) -> str:
    return "" if side is None else COLOURS[side % len(COLOURS)]
