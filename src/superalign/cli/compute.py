"""`superalign compute`: what was promised of a pool of compute, what was asked for, what was given and what was used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from superalign.cli.options import AsJson, StoreUrl
from superalign.core.errors import SpecError, nearest

if TYPE_CHECKING:
    from superalign.compute.pool import Pool

EPILOG = """\b
Examples:
  superalign compute promise lab --share 0.2 --unit gpu-hours --start 2026-01-01 --end 2030-01-01 --source "press, 1 May"
  superalign compute capacity lab 1000 --at 2026-01-01          a thousand cards from then on
  superalign compute request lab 5000 --purpose "debate, three seeds"
  superalign compute decide lab r1 partial --amount 1000 --reason "launch week"
  superalign compute use lab --experiment debate --gpu-hours 640
  superalign compute use lab --experiment debate --gpus 8 -- python train.py
  superalign compute report lab --as-of 2026-12-31
\b
Pools are counted in gpu-hours, cpu-hours, tokens or usd, and their capacity in that an hour: cards, cores, tokens or
dollars an hour. Nothing is changed or taken back. Times are ISO 8601, in UTC where they do not say.
"""

Name = Annotated[str, typer.Argument(metavar="POOL", help="The name of the pool.")]
At = Annotated[str | None, typer.Option(help="When it was. [default: now]")]


def add(app: typer.Typer) -> None:
    group = typer.Typer(
        epilog=EPILOG, no_args_is_help=True, rich_markup_mode=None,
        help="Keep account of a promise of compute: what was promised, asked for, refused, given and used.",
    )  # fmt: skip
    for command in (promise, capacity, request, decide, use, report):
        group.command(command.__name__)(command)
    app.add_typer(group, name="compute")


def promise(
    pool: Name,
    share: Annotated[float, typer.Option(help="Which share of the pool: 0.2 for a fifth.")],
    unit: Annotated[str, typer.Option(help="gpu-hours, cpu-hours, tokens or usd.")],
    start: Annotated[str, typer.Option(help="From when.")],
    end: Annotated[str, typer.Option(help="Until when.")],
    source: Annotated[str, typer.Option(help="Who promised it, where and when.")],
    schedule: Annotated[list[str] | None, typer.Option(help="TIME=SHARE: it changes then; may be repeated.")] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Record a promise: a share of a pool, from when to when, and where that is written."""
    steps = [_step(step) for step in schedule or ()]
    with opened(store, pool, new=True) as found:
        row = found.promise(share, unit, start, end, source, steps)
        show(row, f"{share:g} of {pool} in {row['unit']}, {row['start']} to {row['end']}", as_json)


def capacity(
    pool: Name,
    amount: Annotated[float, typer.Argument(help="What it has an hour: cards for gpu-hours, cores for cpu-hours.")],
    unit: Annotated[str | None, typer.Option(help="In what the pool is counted; needed before a promise.")] = None,
    at: At = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Record how large the pool is from a time on. Nothing counts as promised while that is not known."""
    with opened(store, pool, new=True) as found:
        row = found.capacity(amount, at, unit)
        show(row, f"{pool} has {amount:g} {row['unit']} an hour from {row['at']}", as_json)


def request(
    pool: Name,
    amount: Annotated[float, typer.Argument(help="How much, in the unit of the pool.")],
    purpose: Annotated[str, typer.Option(help="What for.")],
    by: Annotated[str, typer.Option(help="Who asks.")] = "",
    name: Annotated[str | None, typer.Option("--id", help="A name for the request. [default: r1, r2, ...]")] = None,
    at: At = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Record a request for compute. It waits until it is decided, and is never dropped."""
    with opened(store, pool) as found:
        row = found.request(amount, purpose, by, at, name)
        show(row, f"{row['request']}: {amount:g} {found.unit} asked for on {row['at']}", as_json)


def decide(
    pool: Name,
    request: Annotated[str, typer.Argument(help="The request, such as r1.")],
    decision: Annotated[str, typer.Argument(help="granted, partial, refused or withdrawn.")],
    amount: Annotated[float | None, typer.Option(help="How much, of a part.")] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    at: At = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Record the answer to a request, once."""
    with opened(store, pool) as found:
        row = found.decide(request, decision, amount, reason, at)
        show(row, f"{request}: {decision} on {row['at']}", as_json)


def use(
    pool: Name,
    experiment: Annotated[str, typer.Option(help="What it was used for.")],
    command: Annotated[list[str] | None, typer.Argument(help="A command to run and measure, after --.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="Graphics cards that the command holds.")] = 0.0,
    cpu_hours: Annotated[float, typer.Option(min=0, help="Hours of cores.")] = 0.0,
    gpu_hours: Annotated[float, typer.Option(min=0, help="Hours of graphics cards.")] = 0.0,
    tokens_in: Annotated[int, typer.Option(min=0, help="Tokens read.")] = 0,
    tokens_out: Annotated[int, typer.Option(min=0, help="Tokens written.")] = 0,
    usd: Annotated[float, typer.Option(min=0, help="US dollars.")] = 0.0,
    waited: Annotated[float, typer.Option(min=0, help="Seconds that it waited for its turn.")] = 0.0,
    prices: Annotated[Path | None, typer.Option(help="A price table in TOML, with its date.")] = None,
    at: At = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Record what was used, or run a command and record what it used."""
    from superalign.compute.usage import HOUR, Usage, measure, read_prices

    table = None if prices is None else read_prices(prices)
    used = Usage(cpu_hours * HOUR, gpu_hours * HOUR, 0.0, tokens_in, tokens_out, usd, waited)
    code = 0
    with opened(store, pool) as found:
        if command:
            # what would be refused afterwards is refused before: the command may take days
            would_be = used + Usage(cpu_s=1.0, gpu_s=gpus, wall_s=1.0)
            found.check(experiment, would_be, at, table)
            code, measured = measure(command, gpus)
            used += measured
        row = found.use(experiment, used, at, table)
        spent = Usage(**row["usage"])
        show(row, f"{experiment}: {spent.amount(found.unit):g} {found.unit} of {pool}", as_json)
    if code:
        raise typer.Exit(code if code > 0 else 128 - code)  # as a shell says it of a signal


def report(
    pool: Name,
    as_of: Annotated[str | None, typer.Option(help="As it stood then. [default: now]")] = None,
    patience: Annotated[float, typer.Option(min=0, help="Days after which a request is called unanswered.")] = 14.0,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """What was promised, delivered and missing; what was asked for and refused; how long answers take."""
    from datetime import timedelta

    from superalign.cli.terminal import print_table
    from superalign.report.text import one_line

    with opened(store, pool) as found:
        told = found.report(as_of, timedelta(days=patience))
        curve = found.curve(as_of) if as_json else []
    if as_json:
        print(json.dumps({**told, "curve": curve}, indent=2))
        return
    print_table(("what", told["unit"]), _amounts(told), f"{pool}, {told['from'][:10]} to {told['until'][:10]}")
    print_table(("requests", ""), _answers(told))
    if told["experiments"]:
        print_table(("experiment", told["unit"]), [[one_line(k), _number(v)] for k, v in told["experiments"].items()])
    for source in told["sources"]:
        print(f"promised: {one_line(source)}")
    if told["unanswered"]:
        print(f"unanswered for more than {patience:g} days: {', '.join(told['unanswered'])}")
    if told["hours_without_capacity"]:
        print(f"for {_number(told['hours_without_capacity'])} hours of the promise no capacity is recorded, and nothing "
              f"counts as promised; type: superalign compute capacity {pool} AMOUNT --at {told['from'][:10]}")  # fmt: skip


def _amounts(told: Mapping[str, Any]) -> list[list[str]]:
    rows = [("promised", "promised"), ("delivered", "delivered"), ("deficit", "deficit"), ("requested", "requested"),
            ("granted", "granted_amount"), ("deficit of what was asked for", "demand_limited_deficit")]  # fmt: skip
    shares = [("promised share of the pool", "promised_share"), ("delivered share", "delivered_share"),
              ("deficit, of what was promised, mean over time", "time_weighted_deficit")]  # fmt: skip
    found = [[label, _number(told[key])] for label, key in rows]
    return found + [[label, _percent(told[key])] for label, key in shares]


def _answers(told: Mapping[str, Any]) -> list[list[str]]:
    words = ("requests", "granted", "partial", "refused", "withdrawn", "pending")
    found = [[word, str(told[word])] for word in words]
    found += [["refused, of requests", _percent(told["refusal_rate"])],
              ["refused, of amounts", _percent(told["refusal_rate_by_amount"])]]  # fmt: skip
    for label, key in (("half are answered after", "wait_p50_days"), ("95% are answered after", "wait_p95_days")):
        days = told[key]
        found.append([label, "not reached" if days is None else f"{days:.1f} days"])
    return found


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:,.6g}"


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.1%}"


def show(row: Mapping[str, Any], said: str, as_json: bool) -> None:
    """The row that was written, as JSON or in a sentence."""
    print(json.dumps(dict(row), indent=2) if as_json else said)


def _step(text: str) -> tuple[str, float]:
    time, _, share = text.partition("=")
    try:
        return time, float(share)
    except ValueError as error:
        raise SpecError(f"--schedule {text!r} is no step; write TIME=SHARE, such as 2027-01-01=0.25") from error


@contextmanager
def opened(store: str | None, pool: str, new: bool = False) -> Iterator[Pool]:
    """A pool of the store. Raises SpecError with near names where there is none, unless it may be `new`."""
    from superalign.compute.pool import PREFIX, Pool
    from superalign.store import open_store

    with open_store(store) as found:
        asked = Pool(found, pool)
        if not new:
            known = [name.removeprefix(PREFIX) for name in found.streams(PREFIX)]
            if pool not in known:
                raise SpecError(f"no pool is called {pool!r}; {nearest(pool, known)}")
        yield asked
