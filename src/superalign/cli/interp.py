"""`superalign interp`: explain the units of a model, and score the explanations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from superalign.cli.execute import execute
from superalign.cli.options import AsJson, DryRun, ReportPath, StoreUrl, Threads
from superalign.cli.units import write_pages
from superalign.cli.w2s import listed, seeds_of

EPILOG = """\b
Examples:
  superalign interp --world planted
  superalign interp --model ./my-model --text books/ --site mlp --pages units/
  superalign interp --model ./my-model --text sample:600x192 --site mlp.2 --dictionary train:topk:latents=512:k=8
  superalign interp --model ./my-model --text books/ --site resid.3 --dictionary ./sae --units 200
  superalign interp --model ./my-model --text books/ --units 50 --explainer api:NAME --simulator rewriting:api:NAME \\
      --judge api:NAME --scores simulation,detection,fuzzing
\b
Explanations are found without a language model unless --explainer names one. --pages writes a page per unit, an
index that searches, and JSON for other viewers. What was computed is kept: the same command goes on after a kill.
"""

Text = str | None


def add(app: typer.Typer) -> None:
    app.command("interp", epilog=EPILOG, rich_help_panel=None)(interp)


def interp(
    world: Annotated[Text, typer.Option(help="planted or compiled: worlds whose truth is known.")] = None,
    model: Annotated[Text, typer.Option(help="A causal transformer: a folder, or a name on the hub.")] = None,
    text: Annotated[Text, typer.Option(help="A file, a folder, or sample:600x192, the model's own samples.")] = None,
    site: Annotated[str, typer.Option(help="mlp, resid or attn; mlp.0 for one layer.")] = "mlp",
    units: Annotated[str, typer.Option(help="all, a number to draw from each site, or 0-99,120.")] = "all",
    signs: Annotated[bool, typer.Option("--signs", help="Explain the negative side of neurons too.")] = False,
    dictionary: Annotated[Text, typer.Option(help="A folder, or train:topk:latents=512:k=16.")] = None,
    explainer: Annotated[str, typer.Option(help="predicates, or a model that speaks.")] = "predicates",
    simulator: Annotated[
        str, typer.Option(help="programs, or a model: all-at-once:FOLDER, rewriting:api:NAME, api:NAME.")
    ] = "programs",
    revise: Annotated[int, typer.Option(min=0, help="Rounds of revision by counterexamples, by the explainer.")] = 0,
    judge: Annotated[Text, typer.Option(help="A model for detection, fuzzing and intruder.")] = None,
    embedder: Annotated[Text, typer.Option(help="A model for embedding, such as minilm.")] = None,
    scores: Annotated[
        str,
        typer.Option(help="simulation, ablation, detection, fuzzing, intruder, embedding, surprisal, intervention."),
    ] = "simulation",
    controls: Annotated[
        str, typer.Option(help="shuffled, random-directions, random-weights; none for none.")
    ] = "shuffled,random-directions,random-weights",
    tokens: Annotated[int | None, typer.Option(min=1, help="Read at most so many tokens.")] = None,
    window: Annotated[int, typer.Option(min=4, help="Tokens of a window.")] = 32,
    context: Annotated[int, typer.Option(min=8, help="Tokens that the model reads at once.")] = 256,
    seeds: Annotated[
        Text, typer.Option(help="How many seeds, or a list. [default: 3 for a world, 1 for a model]")
    ] = None,
    folder: Annotated[Text, typer.Option(help="Where activations are kept. [default: beside the store]")] = None,
    pages: Annotated[Path | None, typer.Option(help="Write a page per unit and an index into this folder.")] = None,
    store: StoreUrl = None,
    report: ReportPath = None,
    threads: Threads = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Explain units (neurons, directions, latents of a dictionary) and score the explanations on held-out text."""
    from superalign.compute.threads import limit as limit_threads

    limit_threads(threads)
    from superalign.core.spec import validate
    from superalign.studies.interp import Interp

    values = {
        "world": world, "model": model, "text": text, "site": listed(site), "units": units, "signs": signs,
        "dictionary": dictionary, "explainer": explainer, "simulator": simulator, "revise": revise, "judge": judge,
        "embedder": embedder, "scores": listed(scores), "controls": () if controls == "none" else listed(controls),
        "tokens": tokens, "width": window, "context": context, "folder": folder,
        "seeds": seeds_of(seeds) if seeds else (0, 1, 2) if world else (0,),
    }  # fmt: skip
    spec = validate(Interp, {k: v for k, v in values.items() if v is not None})
    execute(spec, store=store, as_json=as_json, dry_run=dry_run, report=report)
    if pages is not None and not dry_run:
        index = write_pages(store, "last", pages)
        if not as_json:
            print(f"pages: {index}")
