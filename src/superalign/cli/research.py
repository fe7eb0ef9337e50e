"""`superalign research`: a campaign that proposes, registers, confirms and judges; and what to do with its ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superalign.cli.execute import check_report, execute
from superalign.cli.options import AsJson, DryRun, ReportPath, StoreUrl
from superalign.core.errors import SpecError, nearest

if TYPE_CHECKING:
    from superalign.core.ports import Store

EPILOG = """\b
Examples:
  superalign research --testbed w2s-micro --budget 4m
  superalign research --testbed w2s-embed --proposer evolve --budget 10m
  superalign research --testbed w2s-micro --proposer language:api:openai:model=NAME --budget 600
  superalign research serve --mcp --testbed w2s-micro --workspace ./work       for any coding agent
  superalign research approve last REGISTRATION --by "A. Person"              lets it confirm
  superalign research report last findings.html    every number linked to its entry of the ledger
  superalign research verify research-1a2b3c4d      walk the ledger: chain, signatures, order
  superalign research log research-1a2b3c4d         watch it, from another terminal
  superalign research released cache_results.tar.gz   results of others, judged again
  superalign research sign research-1a2b3c4d --name "A. Person" --decision "accept"
\b
A budget in seconds is for all of it; a number of evaluations is for the search, and each baseline is tuned with as
many. The same command goes on after a kill. A claim is confirmed once, by a scorer in a process of its own.
"""

Name = Annotated[str, typer.Argument(help="A campaign, or the beginning of its name; `last` for the newest.")]


def add(app: typer.Typer) -> None:
    group = typer.Typer(invoke_without_command=True, epilog=EPILOG, rich_markup_mode=None)
    group.callback()(research)
    for command in (serve, approve, report, verify, log, sign, released):
        group.command(command.__name__)(command)
    app.add_typer(group, name="research")


def research(
    ctx: typer.Context,
    testbed: Annotated[str | None, typer.Option(help="w2s-micro, w2s-embed, oversight-games, digits-control.")] = None,
    proposer: Annotated[
        str, typer.Option(help="search, evolve, halving, random, ablation, language:MODEL.")
    ] = "search",
    budget: Annotated[str, typer.Option(help="40s, 10m, 2h for all of it, or evaluations of the search.")] = "10m",
    question: Annotated[str | None, typer.Option(help="What the campaign asks; frozen with the rest.")] = None,
    alpha: Annotated[float, typer.Option(help="Level of the tests, over all claims.")] = 0.05,
    sesoi: Annotated[float, typer.Option(help="The smallest effect of interest, in PGR.")] = 0.02,
    problems: Annotated[int, typer.Option(min=2, help="The most problems of a claim; power says how many.")] = 60,
    fidelity: Annotated[int, typer.Option(min=3, help="Development problems of a whole evaluation.")] = 12,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds on each problem of a claim.")] = 1,
    pairs: Annotated[int, typer.Option(min=1, help="Comparisons of a method with itself.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    store: StoreUrl = None,
    report_path: ReportPath = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a program propose, run and judge alignment experiments without fooling itself."""
    if ctx.invoked_subcommand is not None:
        return
    if testbed is None:
        from superalign.core.registry import names

        raise SpecError(f"name a testbed: --testbed {', '.join(names('testbeds'))}")
    from superalign.compute.threads import limit as limit_threads

    limit_threads(1)  # the workers are processes, one thread each
    from superalign.core.spec import validate
    from superalign.studies.research import Research

    values = {
        "testbed": testbed, "proposer": proposer, "budget": budget, "question": question, "alpha": alpha,
        "sesoi": sesoi, "problems": problems, "fidelity": fidelity, "seeds": seeds, "pairs": pairs, "seed": seed,
    }  # fmt: skip
    spec = validate(Research, {k: v for k, v in values.items() if v is not None})
    execute(spec, store=store, as_json=as_json, dry_run=dry_run, report=report_path)


def serve(
    testbed: Annotated[str | None, typer.Option(help="Begin a campaign on this testbed.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Or go on with this one.")] = None,
    mcp: Annotated[bool, typer.Option("--mcp", help="Speak the Model Context Protocol over stdin and stdout.")] = False,
    workspace: Annotated[Path | None, typer.Option(help="A folder for files of predictions and snapshots.")] = None,
    sesoi: Annotated[float, typer.Option(help="The smallest effect of interest, in PGR.")] = 0.02,
    auto: Annotated[bool, typer.Option("--auto-approve", help="Confirm without a person's approval.")] = False,
    store: StoreUrl = None,
) -> None:
    """Serve a campaign to a researcher from outside: a coding agent that speaks MCP. Ends with its standard input."""
    if not mcp:
        raise SpecError("the one way to serve a campaign is MCP; type: superalign research serve --mcp --testbed NAME")
    if (testbed is None) == (campaign is None):
        raise SpecError("name a testbed to begin on, or a campaign to go on with: --testbed w2s-micro, --campaign NAME")
    from superalign.compute.threads import cores
    from superalign.compute.threads import limit as limit_threads

    limit_threads(1)
    from superalign.research.mcp.approval import Decision
    from superalign.research.mcp.server import serve as serve_lines
    from superalign.research.mcp.session import session
    from superalign.research.mcp.stdio import protocol_alone
    from superalign.research.running import testbed_named
    from superalign.store import open_store
    from superalign.studies.research import Research, genesis

    with protocol_alone() as (source, sink), open_store(store) as found:
        first: dict[str, object] = {}
        if testbed is not None:
            spec = Research(testbed=testbed, proposer="mcp", sesoi=sesoi)
            first, campaign = genesis(spec, testbed_named(testbed, found)), spec.campaign
        assert campaign is not None
        policy = (lambda _: Decision("approved", "approved beforehand")) if auto else None
        with session(found, campaign, first, workspace=workspace, approve=policy, workers=cores()) as server:
            serve_lines(server, source, sink)


def approve(
    campaign: Name,
    registration: Annotated[
        str, typer.Argument(help="The registration that waits; `superalign research log` shows it.")
    ],
    by: Annotated[str, typer.Option(help="Who decides.")],
    refuse: Annotated[bool, typer.Option("--refuse", help="It may not be confirmed.")] = False,
    why: Annotated[str, typer.Option(help="The reason.")] = "",
    store: StoreUrl = None,
) -> None:
    """Let a researcher from outside confirm a registration, or refuse it."""
    from superalign.research.mcp.approval import decide

    with opened(store, campaign) as (found, name):
        decide(found, name, registration, not refuse, by, why)
    print(f"{registration}: {'refused' if refuse else 'approved'} by {by}")


def report(
    campaign: Name,
    path: Annotated[Path, typer.Argument(help="Where to: .html or .md.")],
    store: StoreUrl = None,
) -> None:
    """Write a campaign's report from its ledger alone; a number without an entry fails it."""
    from superalign.core.errors import PluginError
    from superalign.core.registry import build
    from superalign.report import research as pages
    from superalign.report.files import write
    from superalign.research.ledger import Ledger
    from superalign.research.ledger import verify as check

    check_report(path)
    with opened(store, campaign) as (found, name):
        told = check(found, name, _key(found, name))
        entries = Ledger(found, name).entries()
    try:
        space = build("testbeds", str(entries[0].payload["testbed"])).space
    except PluginError:  # a testbed of somebody else's machine: the report lacks distances alone
        space = None
    made = pages.html if path.suffix == ".html" else pages.markdown
    print(write(made(entries, told, space=space), path))


def _key(store: Store, name: str) -> bytes | None:
    """The scorer's key, where it is at hand."""
    from superalign.research.scorer.secret import key_of
    from superalign.store import beside

    home = beside(store, "research")
    return key_of(home, name) if (home / name / "key").exists() else None


def verify(campaign: Name, store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Walk a campaign's ledger: the chain, the signatures, the order of registration and confirmation."""
    from superalign.research import ledger

    with opened(store, campaign) as (found, name):
        told = ledger.verify(found, name, _key(found, name))
    if as_json:
        print(json.dumps({"campaign": name, "intact": told.intact, "entries": told.entries, "head": told.head,
                          "signatures": told.signatures, "faults": list(told.faults)}, indent=2))  # fmt: skip
    else:
        keyed = (
            f"{told.signatures} signatures checked" if told.signatures else "no signature checked: the key is not here"
        )
        print(f"{name}: {told.entries} entries, {keyed}, head {told.head}")
        for fault in told.faults:
            print(f"fault: {fault}")
        print("intact" if told.intact else "NOT intact")
    if not told.intact:
        raise typer.Exit(1)


def log(
    campaign: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as entries come; Ctrl-C ends it.")] = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print a campaign's ledger, one entry a line."""
    import time

    from superalign.report.text import one_line
    from superalign.research.ledger import Ledger

    with opened(store, campaign) as (found, name):
        ledger, shown = Ledger(found, name), 0
        while True:
            entries = ledger.entries()
            for e in entries[shown:]:
                body = json.dumps(dict(e.payload))
                line = json.dumps({"number": e.number, "time": e.time, "actor": e.actor, "type": e.type,
                                   "payload": dict(e.payload), "hash": e.hash}) if as_json else (
                    f"{e.number:5d} {e.time} {e.actor:10s} {e.type:9s} {one_line(body)[:160]}")  # fmt: skip
                print(line, flush=True)
            shown = len(entries)
            if not follow:
                return
            time.sleep(0.5)


def sign(
    campaign: Name,
    name: Annotated[str, typer.Option(help="Who signs.")],
    decision: Annotated[str, typer.Option(help="What was decided, in a sentence.")],
    store: StoreUrl = None,
) -> None:
    """Close a campaign: a person signs, and the scorer's key is published so that anybody can check."""
    from superalign.research.ledger import Ledger
    from superalign.research.scorer.client import Scorer
    from superalign.store import beside

    with opened(store, campaign) as (found, which):
        if Ledger(found, which).of("sign_off"):
            raise SpecError(f"{which} is closed already; superalign research log {which}")
        with Scorer(found.url, which, beside(found, "research"), {}) as scorer:  # type: ignore[attr-defined]
            entry = scorer.ask("close", name=name, decision=decision)["entry"]
    print(f"{which}: closed by {name} in entry {entry}")


def released(
    results: Annotated[Path, typer.Argument(help="The archive of per-seed results (cache_results.tar.gz).")],
    sesoi: Annotated[float, typer.Option(help="The smallest effect of interest, in PGR.")] = 0.02,
    alpha: Annotated[float, typer.Option(help="Level over all comparisons.")] = 0.05,
    store: StoreUrl = None,
    report_path: ReportPath = None,
    as_json: AsJson = False,
) -> None:
    """Judge the released results of the automated weak-to-strong researcher again: what five seeds can show, and not."""
    from superalign.core.spec import validate
    from superalign.studies.research.released import ReleasedResults

    spec = validate(ReleasedResults, {"results": str(results), "sesoi": sesoi, "alpha": alpha})
    execute(spec, store=store, as_json=as_json, dry_run=False, report=report_path)


@contextmanager
def opened(store: str | None, campaign: str) -> Iterator[tuple[Store, str]]:
    """The store and a campaign in it. Raises SpecError with near names where there is none."""
    from superalign.research.ledger import campaigns
    from superalign.store import open_store

    with open_store(store) as found:
        known = campaigns(found)
        if campaign == "last" and known:
            yield found, known[-1]
            return
        begun = [campaign] if campaign in known else [k for k in known if k.startswith(campaign)]
        if len(begun) != 1:
            raise SpecError(f"no campaign is called {campaign!r}; {nearest(campaign, known)}")
        yield found, begun[0]
