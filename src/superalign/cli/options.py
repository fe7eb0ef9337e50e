"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StoreUrl = Annotated[
    str | None,
    typer.Option("--store", help="Where results live: a file, a folder, or postgresql://... [default: ./.superalign]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run, what the store holds, and what it costs.")]
ReportPath = Annotated[
    Path | None,
    typer.Option("--report", help="Write the report here (.html or .md)."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads for numpy and torch. [default: all cores]"),
]
