"""`superalign export`: a trained model in the Hugging Face layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superalign.cli.options import StoreUrl

EPILOG = "Example: superalign export last xent ./student --seed 0"


def add(app: typer.Typer) -> None:
    app.command("export", epilog=EPILOG)(export)


def export(
    record: Annotated[str, typer.Argument(help="A record's id, the beginning of one, or `last`.")],
    condition: Annotated[str, typer.Argument(help="A condition with a trained model: ceiling, xent, ...")],
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    seed: Annotated[int, typer.Option(help="Which seed's model.")] = 0,
    store: StoreUrl = None,
) -> None:
    """Write a trained model as a folder that transformers can load.

    The weights are verified first: the model must give the predictions that the record holds.
    """
    from superalign.core import records
    from superalign.store import open_store
    from superalign.studies.w2s.export import export as write

    with open_store(store) as opened:
        write(records.load(opened, record), opened, condition, seed, folder)
    print(folder)
