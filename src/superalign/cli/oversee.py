"""`superalign oversee`: which protocol makes a judge right about an agent's answers?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from superalign.cli.execute import execute
from superalign.cli.options import AsJson, DryRun, ReportPath, StoreUrl, Threads
from superalign.cli.w2s import listed, seeds_of

EPILOG = """\b
Examples:
  superalign oversee --task digits --protocols direct,consultancy,debate --strength 1,4,16,58
  superalign oversee --task evidence --protocols debate,debate:quotes=trusted --flaw noise=1 --flaw budget=60
  superalign oversee --task digits-control --attacks naive,optimised --audits .01,.05
  superalign oversee --task quiz.jsonl --answer correct --distractors wrong --passage story --judge hf:./small --agent hf:./large
  superalign oversee --task evidence --protocols debate:kind=interactive --judge human --items 10
\b
A protocol is a name, its options, and wrappers joined by + (`superalign list protocols`, `superalign list wrapped`):
  debate:rounds=3:kind=sequential+majority:k=5   consultancy+reasoning   critique:refine=true
\b
`human` asks people at the page (`superalign serve`) and goes on when they have answered; human:people=2 asks two people
each question, human:checks=FILE.jsonl:every=10 mixes in questions with known answers.
"""

Text = str | None


def add(app: typer.Typer) -> None:
    app.command("oversee", epilog=EPILOG)(oversee)


def oversee(
    task: Annotated[str, typer.Option(help="A game or world (superalign list games), a file, or hf:NAME.")],
    protocols: Annotated[Text, typer.Option(help="Protocols, separated by commas. [default: the game's]")] = None,
    judge: Annotated[Text, typer.Option(help="Model that judges; human for people. [default: the game's]")] = None,
    agent: Annotated[
        Text, typer.Option(help="Model in every chair that is not the judge's. [default: the game's]")
    ] = None,
    cast: Annotated[list[str] | None, typer.Option(help="A chair's own model, role=MODEL; repeat for more.")] = None,
    strength: Annotated[Text, typer.Option(help="Strengths of the agent, such as 1,4,16: best of n.")] = None,
    rounds: Annotated[Text, typer.Option(help="Numbers of rounds, where a protocol has them.")] = None,
    items: Annotated[int, typer.Option(min=1, help="How many items.")] = 300,
    seeds: Annotated[str, typer.Option(help="How many seeds, or a list of them.")] = "1",
    swap: Annotated[bool, typer.Option("--swap/--no-swap", help="Judge with the choices in both orders.")] = True,
    flaw: Annotated[
        list[str] | None, typer.Option(help="A flawed judge too: noise=1, bias=.5 or budget=200; repeat for more.")
    ] = None,
    unparsed: Annotated[str, typer.Option(help="A game without a verdict: uniform, exclude or wrong.")] = "uniform",
    tournament: Annotated[bool, typer.Option("--tournament", help="Rate every strength against every other.")] = False,
    gaps: Annotated[bool, typer.Option("--gaps", help="Generator, discriminator, critique.")] = False,
    concession: Annotated[Text, typer.Option(help="Model that says whether speakers argued for their side.")] = None,
    attacks: Annotated[Text, typer.Option(help="Attacks of the untrusted model (control games).")] = None,
    audits: Annotated[Text, typer.Option(help="Audit budgets as shares. [default: .01,.02,.05,.1]")] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Stop when calls have cost this much.")] = None,
    prices: Annotated[Text, typer.Option(help="A TOML file with the prices of endpoints.")] = None,
    test: Annotated[Text, typer.Option(help="A file of test rows.")] = None,
    format: Annotated[Text, typer.Option(help="csv, tsv, json, jsonl, lines, trec or parquet.")] = None,
    encoding: Annotated[Text, typer.Option(help="[default: UTF-8, else latin-1]")] = None,
    prompt: Annotated[Text, typer.Option(help="Column(s) of the question, or a template with {column}s.")] = None,
    label: Annotated[Text, typer.Option(help="Column of the label.")] = None,
    choices: Annotated[Text, typer.Option(help="The labels that may occur, separated by commas.")] = None,
    answer: Annotated[Text, typer.Option(help="Column of the correct answer.")] = None,
    distractors: Annotated[Text, typer.Option(help="Columns of the wrong answers, separated by commas.")] = None,
    id: Annotated[Text, typer.Option(help="Column of ids. [default: a hash of the content]")] = None,
    group: Annotated[Text, typer.Option(help="Column of groups that are resampled together (a story).")] = None,
    passage: Annotated[
        Text, typer.Option(help="Column of a text that speakers may read and the judge may not.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use this many rows, drawn at random.")] = None,
    store: StoreUrl = None,
    report: ReportPath = None,
    threads: Threads = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Scalable oversight: compare debate, consultancy, critique and others on one judge and one agent.

    Prints the judge alone, the expert, and each protocol with its accuracy, the share of the gap it recovers (PGR)
    and its calibration. Control games print safety and usefulness. `--dry-run` counts calls, tokens and dollars.
    """
    from superalign.compute.threads import limit as limit_threads

    limit_threads(threads)
    from superalign.core.spec import validate
    from superalign.studies.oversee import Oversee

    source = {
        "task": task, "test": test, "format": format, "encoding": encoding, "prompt": prompt, "label": label,
        "choices": listed(choices), "answer": answer, "distractors": listed(distractors), "id": id, "group": group,
        "passage": passage, "limit": limit,
    }  # fmt: skip
    values: dict[str, Any] = {
        "source": given(source), "protocols": listed(protocols), "judge": judge, "agent": agent,
        "cast": pairs(cast or ()), "strength": whole(strength, "--strength"), "rounds": whole(rounds, "--rounds"),
        "flaws": tuple(flaw or ()), "attacks": listed(attacks), "concession": concession, "max_usd": max_usd,
        "prices": prices,
    }  # fmt: skip
    plain = {"items": items, "seeds": seeds_of(seeds), "swap": swap, "unparsed": unparsed, "tournament": tournament}
    values = given(values) | plain | {"gaps": gaps} | ({"audits": shares(audits)} if audits else {})
    execute(validate(Oversee, values), store=store, as_json=as_json, dry_run=dry_run, report=report)


def given(values: dict[str, Any]) -> dict[str, Any]:
    """What was typed."""
    return {k: v for k, v in values.items() if v not in (None, (), {})}


def whole(text: str | None, option: str) -> tuple[int, ...]:
    """Whole numbers, separated by commas."""
    try:
        return tuple(int(part) for part in listed(text))
    except ValueError:
        raise typer.BadParameter(f"{option} takes whole numbers such as 1,4,16; got {text!r}") from None


def shares(text: str) -> tuple[float, ...]:
    """Shares, separated by commas."""
    try:
        return tuple(float(part) for part in listed(text))
    except ValueError:
        raise typer.BadParameter(f"--audits takes shares such as .01,.05; got {text!r}") from None


def pairs(texts: list[str] | tuple[str, ...]) -> dict[str, str]:
    """`role=MODEL` pairs."""
    found = {}
    for text in texts:
        role, _, model = text.partition("=")
        if not model or ":" in role or role in found:
            raise typer.BadParameter(f"--cast takes role=MODEL, each role once, such as critic=hf:./m; got {text!r}")
        found[role.strip()] = model.strip()
    return found
