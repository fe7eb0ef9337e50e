"""Runs a spec for a command: plan, progress, table, report; Ctrl-C leaves a run that can go on."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from superalign.core.errors import UserError

if TYPE_CHECKING:
    from superalign.core.ports import Store
    from superalign.core.spec import Record, Spec
    from superalign.core.study import Plan, Prepared

RESUME = "stopped; what was finished is kept. The same command goes on from here."


def execute(
    spec: Spec,
    *,
    store: str | None,
    as_json: bool,
    dry_run: bool,
    report: Path | None = None,
    show: bool = True,
) -> dict[str, Any]:
    """Prepare, plan and run a spec; print its record, or its plan for a dry run. Returns what `--json` prints."""
    from superalign.cli.terminal import print_plan, print_record
    from superalign.core import records
    from superalign.core.registry import find
    from superalign.store import open_store

    check_report(report)
    with open_store(store) as opened:
        try:
            prepared = find("studies", spec.study).prepare(spec, opened)
            plan: Plan = prepared.plan()
            if dry_run:
                if show:
                    print(json.dumps(asdict(plan), indent=2)) if as_json else print_plan(plan)
                return asdict(plan)
            for remark in plan.remarks:
                print(remark, file=sys.stderr)
            record = _run(prepared, spec, opened)
        except KeyboardInterrupt:
            print(f"\n{RESUME}", file=sys.stderr)
            raise typer.Exit(130) from None
        if not leads():
            return record.summary()
        records.save(opened, record)
    if report is not None:
        write_report(record, report)
    if show and as_json:
        print(json.dumps(record.summary(), indent=2))
    elif show:
        print_record(record)
        print(f"report: {report or f'superalign report {record.id}'}")
    return record.summary()


def _run(prepared: Prepared, spec: Spec, store: Store) -> Record:
    """The record of a study, whose progress is seen here and on the page."""
    from superalign.cli.people import to_the_end
    from superalign.cli.terminal import bars
    from superalign.compute.runs import live

    with bars() as progress:
        if not leads():
            return prepared.run(progress)
        with live(store, spec.study, title(spec), spec.model_dump(mode="json", exclude_none=True)) as run:
            record = to_the_end(prepared, store, run, run.progress(progress))
            run.record = record.id
            return record


def title(spec: Spec) -> str:
    """What a run is called before it has a record: its study, and what it is about."""
    values = spec.model_dump(mode="json", exclude_none=True)
    source = values.get("source")
    about = source.get("task") if isinstance(source, dict) else None
    about = about or next((values[k] for k in ("testbed", "world", "model", "file", "data") if values.get(k)), "")
    return f"{spec.study}: {about}" if about else spec.study


def leads() -> bool:
    """Whether this process keeps and prints the record: under a launcher (torchrun, accelerate) the first one does."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return True
    from superalign.models.hf import ranks

    return ranks.leads()


def check_report(path: Path | None) -> None:
    """Refuse a report path that cannot work before anything runs."""
    if path is not None and path.suffix not in (".html", ".md"):
        raise UserError(f"a report is .html or .md, got {str(path)!r}")


def write_report(record: Record, path: Path) -> None:
    """The record as one HTML page or as Markdown, by the path's suffix."""
    from superalign.report.files import write
    from superalign.report.markdown import markdown
    from superalign.report.page import html

    check_report(path)
    write(html(record) if path.suffix == ".html" else markdown(record), path)
