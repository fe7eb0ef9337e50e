"""`superalign export`: a trained model in the Hugging Face layout, or played games for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superalign.cli.options import StoreUrl
from superalign.core.errors import UserError

if TYPE_CHECKING:
    from superalign.core.ports import Store
    from superalign.core.spec import Record

EPILOG = """\b
Examples:
  superalign export last xent ./student --seed 0
  superalign export last human-debate games.jsonl
  superalign export last all games.parquet --for-judges
  superalign export last all games.eval                 (for `inspect view`)
"""
ALL = "all"


def add(app: typer.Typer) -> None:
    app.command("export", epilog=EPILOG)(export)


def export(
    record: Annotated[str, typer.Argument(help="A record's id, the beginning of one, or `last`.")],
    condition: Annotated[str, typer.Argument(help="A condition with a trained model or with games, or `all` games.")],
    path: Annotated[Path, typer.Argument(help="A new folder for a model; .jsonl, .parquet or .eval for games.")],
    seed: Annotated[int, typer.Option(help="Which seed's model.")] = 0,
    format: Annotated[
        str | None, typer.Option(help="Of games: jsonl, parquet or inspect. [default: by the path]")
    ] = None,
    for_judges: Annotated[
        bool, typer.Option("--for-judges", help="Games without verdicts, beliefs, grades, names and sources.")
    ] = False,
    store: StoreUrl = None,
) -> None:
    """Write a trained model as a folder that transformers can load, or played games as a file.

    A model's weights are verified first: it must give the predictions that the record holds. Games are written one per
    line (jsonl), one row per turn (parquet), or one sample per game (inspect).
    """
    from superalign.core import records
    from superalign.report.games import FORMATS
    from superalign.store import open_store
    from superalign.studies.w2s.export import export as write_model

    form = format or {suffix: name for name, suffix in FORMATS.items()}.get(path.suffix)
    with open_store(store) as opened:
        found = records.load(opened, record)
        if form is not None:
            _games(found, opened, condition, path, form, for_judges)
        elif for_judges or condition == ALL or f"games/{condition}" in found.artifacts:
            raise UserError(f"games are written to .jsonl, .parquet or .eval, got {str(path)!r}; or give --format")
        else:
            write_model(found, opened, condition, seed, path)
    print(path)


def _games(record: Record, store: Store, condition: str, path: Path, form: str, for_judges: bool) -> None:
    from superalign.report.files import write
    from superalign.report.games import archives, writer
    from superalign.report.games.script import heard

    to_bytes = writer(form)
    games = archives(record, store, "" if condition == ALL else condition)
    write(to_bytes({name: heard(a) for name, a in games.items()} if for_judges else games), path)
