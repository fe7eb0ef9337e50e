"""`superalign w2s`: how much of the strong model's ability does weak supervision elicit, and by which method?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from superalign.cli.execute import execute
from superalign.cli.options import AsJson, DryRun, ReportPath, StoreUrl, Threads

EPILOG = """\b
Examples:
  superalign w2s --task reviews --weak bow --strong minilm --seeds 5
  superalign w2s --task train.csv --test test.csv --prompt text --label label --weak bow --strong hf:./my-model
  superalign w2s --task quiz.jsonl --answer correct --distractors wrong1,wrong2 --methods xent,hard+logconf
\b
A method is parts joined by +: one loss, label steps, wrappers (`superalign list` shows them), for example
  confident:tau=.8+logconf:alpha=.75   weak-bag:n=5+xent   xent+iterate:times=2   xent+early
"""

Text = str | None


def add(app: typer.Typer) -> None:
    app.command("w2s", epilog=EPILOG, rich_help_panel=None)(w2s)


def w2s(
    task: Annotated[str, typer.Option(help="A file, hf:NAME, or a built-in world (superalign list).")],
    weak: Annotated[list[str], typer.Option(help="Weak supervisor; repeat for a sweep.")] = ["bow"],  # noqa: B006
    strong: Annotated[list[str], typer.Option(help="Strong student; repeat for a sweep.")] = ["minilm"],  # noqa: B006
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")] = "xent,logconf,confident",
    seeds: Annotated[str, typer.Option(help="How many seeds, or a list of them: 5 or 0,3,7.")] = "5",
    validation: Annotated[Text, typer.Option(help="A file of validation rows.")] = None,
    test: Annotated[Text, typer.Option(help="A file of test rows.")] = None,
    format: Annotated[
        Text, typer.Option(help="csv, tsv, json, jsonl, lines, trec or parquet. [default: by the file]")
    ] = None,
    encoding: Annotated[Text, typer.Option(help="[default: UTF-8, else latin-1]")] = None,
    prompt: Annotated[Text, typer.Option(help="Column(s) of the prompt, or a template with {column}s.")] = None,
    label: Annotated[Text, typer.Option(help="Column of the label.")] = None,
    choices: Annotated[Text, typer.Option(help="The labels that may occur, separated by commas.")] = None,
    answer: Annotated[Text, typer.Option(help="Column of the correct answer (multiple choice).")] = None,
    distractors: Annotated[Text, typer.Option(help="Columns of the wrong answers, separated by commas.")] = None,
    chosen: Annotated[Text, typer.Option(help="Column of the preferred text (pairs).")] = None,
    rejected: Annotated[Text, typer.Option(help="Column of the other text (pairs).")] = None,
    id: Annotated[Text, typer.Option(help="Column of ids. [default: a hash of the content]")] = None,
    group: Annotated[Text, typer.Option(help="Column of groups that stay in one split.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use this many rows, drawn at random.")] = None,
    sizes: Annotated[Text, typer.Option(help="weak_train=1000,transfer=1500,validation=500,test=1500")] = None,
    metric: Annotated[str, typer.Option(help="What PGR compares: accuracy or log.")] = "accuracy",
    controls: Annotated[bool, typer.Option("--controls", help="Add the control rows.")] = False,
    split_seed: Annotated[int, typer.Option(help="Seed of the test split.")] = 0,
    store: StoreUrl = None,
    report: ReportPath = None,
    threads: Threads = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Weak-to-strong generalization: train a strong model on a weak model's labels.

    Prints the weak floor, the ceiling, zero-shot and each method with the performance gap recovered (PGR).
    """
    from superalign.compute.threads import limit as limit_threads

    limit_threads(threads)
    from superalign.core.spec import validate
    from superalign.studies.w2s import W2S

    source = {
        "task": task, "validation": validation, "test": test, "format": format, "encoding": encoding,
        "prompt": prompt, "label": label, "choices": listed(choices), "answer": answer,
        "distractors": listed(distractors), "chosen": chosen, "rejected": rejected, "id": id, "group": group,
        "limit": limit,
    }  # fmt: skip
    values = {
        "source": {k: v for k, v in source.items() if v not in (None, ())},
        "sizes": sizes_of(sizes),
        "weak": weak,
        "strong": strong,
        "methods": listed(methods),
        "seeds": seeds_of(seeds),
        "metric": metric,
        "controls": controls,
        "split_seed": split_seed,
    }
    execute(validate(W2S, values), store=store, as_json=as_json, dry_run=dry_run, report=report)


def listed(text: str | None) -> tuple[str, ...]:
    """Parts of a comma-separated option."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def seeds_of(text: str) -> Any:
    """A count, or a list."""
    try:
        numbers = [int(part) for part in listed(text)]
    except ValueError:
        raise typer.BadParameter(f"--seeds takes a count or a list such as 0,3,7; got {text!r}") from None
    return numbers[0] if len(numbers) == 1 and "," not in text else numbers


def sizes_of(text: str | None) -> dict[str, int]:
    """`part=number` pairs."""
    pairs = {}
    for part in listed(text):
        name, _, number = part.partition("=")
        if not number.isdigit():
            raise typer.BadParameter(f"--sizes takes name=number pairs such as transfer=500, got {part!r}")
        pairs[name.strip().replace("-", "_")] = int(number)
    return pairs
