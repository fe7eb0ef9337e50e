"""What was tried, what it cost, and what in it is nearest to the method of the claim."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from superalign.core.errors import SpecError
from superalign.report import charts
from superalign.report.research.blocks import Block, Figure, Paragraph, Table, Text, heads, joined, say
from superalign.report.research.provenance import Ref, ReportError
from superalign.report.research.view import Campaign, cite, point
from superalign.research.ledger import Entry

NEAREST = 5
"""Proposals that are listed beside the method of the claim."""
OPEN = 24
"""Proposals up to which their table stands open on a page."""


def tried(c: Campaign) -> Iterator[Block]:
    """Every proposal, whatever became of it; development scores are drawn, and never printed as a result."""
    proposals = c.of("propose")
    if not proposals:
        yield Paragraph(("Nothing was proposed.",))
        return
    yield Table("Proposals by how they ended", heads("proposer", "ended", "proposals"), tuple(_counts(c)))
    public = c.of("score")
    if public:
        left = c.book.ref(f"{public[-1].number}.left")
        said = "Submissions to the public problems, which answer in steps ({cite}): {count}, and {left} left."
        yield Paragraph(say(said, count=c.counted(public), cite=cite("Blum and Hardt 2015"), left=left))
    refused = c.of("refuse")
    if refused:
        yield Paragraph(say("Requests that were refused: {count}.", count=c.counted(refused)))
    runs = [e for e in c.of("run_end") if e.payload["scores"]]
    if runs:
        yield Figure("development", _development(c, runs), say("{count} runs", count=c.counted(runs)))
    head = heads("entry", "proposer", "method", "problems", "ended", "run")
    rows = tuple(_proposal(c, e) for e in proposals)
    yield Table("All proposals", head, rows, "All proposals, one by one" if len(rows) > OPEN else "")


def _counts(c: Campaign) -> Iterator[tuple[Text, ...]]:
    """A row per proposer and status, each with a link to its first entry."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in c.of("propose"):
        run = c.ended.get(entry.number)
        groups.setdefault((str(entry.payload["proposer"]), str(run.payload["status"]) if run else ""), []).append(entry)
    for (_, status), entries in sorted(groups.items()):
        ended = c.book.ref(f"{c.ended[entries[0].number].number}.status") if status else "not run"
        yield ((c.book.ref(f"{entries[0].number}.proposer"),), (ended,), (c.counted(entries),))


def _proposal(c: Campaign, entry: Entry) -> tuple[Text, ...]:
    at, run = entry.number, c.ended.get(entry.number)
    ended: Text = (c.book.ref(f"{run.number}.status"),) if run else ("not run",)
    return (
        (c.book.entry(entry),), (c.book.ref(f"{at}.proposer"),), (c.book.ref(f"{at}.method", "method"),),
        (c.book.ref(f"{at}.fidelity"),), ended, (c.book.entry(run),) if run else ("none",),
    )  # fmt: skip


def _development(c: Campaign, runs: list[Entry]) -> dict[str, Any]:
    """Mean development score of each run over the evaluations before it."""
    rows, spent = [], 0
    for entry in runs:
        scores = c.book.ref(f"{entry.number}.scores").value
        spent += len(scores)
        rows.append({"x": spent, "y": sum(scores) / len(scores), "group": f"on {len(scores)} problems"})
    return charts.scatter(
        rows, "Development scores during the search: never a result", x="evaluations", y="dev PGR",
        note="the best of many tries flatters",
    )  # fmt: skip


def cost(c: Campaign) -> Iterator[Block]:
    """What the campaign cost in all, for each experiment, and for each verified finding."""
    runs = c.of("run_end")
    good = [claim.judged for claim in c.claims if claim.judged and not claim.exploratory]
    good = [e for e in good if e.payload["word"] == "improves"]
    verified = c.counted(good) if good else None
    head = heads("resource", "in all", "for each experiment", "for each verified finding")
    rows = [_row(c, name, total, runs, verified) for name, total in _totals(c)]
    yield Table("What it cost", head, tuple(rows))
    found = say("Verified findings: {count}", count=verified) if verified else ("No verified finding",)
    yield Paragraph(say(
        "{found}. Those are claims against tuned baselines whose word is improves. An experiment is a run of the search. "
        "Tuning and audits are in the elapsed time alone.",
        found=found,
    ), "note")  # fmt: skip


def _totals(c: Campaign) -> Iterator[tuple[str, Ref]]:
    runs, spent = c.of("run_end"), c.of("spend")
    fields = (
        ("search, worker seconds", "usage.wall_s", runs, ",.1f"), ("search, CPU seconds", "usage.cpu_s", runs, ",.1f"),
        ("confirmations, CPU seconds", "usage.cpu_s", c.of("confirm"), ",.1f"),
        ("tokens in", "tokens_in", spent, ","), ("tokens out", "tokens_out", spent, ","), ("USD", "usd", spent, ",.2f"),
    )  # fmt: skip
    for name, path, entries, form in fields:
        there = [e for e in entries if _holds(e, path)]
        if there:
            yield name, c.sum(path, there, form)
    ends = [c.book.ref(f"{e.number}.@time") for e in (c.entries[0], c.entries[-1])]
    yield "elapsed seconds, all of it", c.book.derived("elapsed", ends, ",.0f")


def _holds(entry: Entry, path: str) -> bool:
    try:
        return entry.field(path) is not None
    except (KeyError, TypeError):
        return False


def _row(c: Campaign, name: str, total: Ref, runs: list[Entry], verified: Ref | None) -> tuple[Text, ...]:
    each: Text = (c.book.derived("ratio", [total, c.counted(runs)]),) if runs else ("none",)
    found: Text = (c.book.derived("ratio", [total, verified]),) if verified else ("none",)
    return (name,), (total,), each, found


def neighbours(c: Campaign) -> Iterator[Block]:
    """The proposals and tuned baselines nearest to the method of the claim, and where they differ from it."""
    if c.space is None or not c.claims:
        why = "No space was given" if c.space is None else "Nothing was claimed"
        yield Paragraph((f"{why}, so nothing is near to anything.",))
        return
    method = f"{c.claims[0].registered.number}.method"
    mine = c.book.ref(method).value
    if mine.get("kind") == "code":
        yield Paragraph(("The method is a file, which is no point of the space: it has no distance to others.",))
        return
    others = [f"{e.number}.method" for e in c.of("propose")] + [f"{e.number}.tuned" for e in c.of("care")]
    near = sorted((apart, k, path) for k, path in enumerate(others) if (apart := _apart(c, mine, path)) is not None)
    unlike = [row for row in near if row[0] > 0]
    chosen = list({str(point(c.book.ref(p).value)): (a, k, p) for a, k, p in reversed(unlike)}.values())
    rows = tuple(_neighbour(c, method, path) for _, _, path in sorted(chosen)[:NEAREST])
    if not rows:
        yield Paragraph(("No other point of the space was tried.",))
        return
    yield Table("Nearest to the method of the claim", heads("entry", "what", "distance", "differs in"), rows)
    yield Paragraph(say(
        "The distance is that of {cite}, over the axes of the space. Nothing is called new: near ones are shown.",
        cite=cite("Gower 1971"),
    ), "note")  # fmt: skip


def _apart(c: Campaign, mine: Any, path: str) -> float | None:
    """A distance, None to a file. Raises ReportError where the space given is not the campaign's."""
    assert c.space is not None
    theirs = c.book.ref(path).value
    if theirs.get("kind") == "code":
        return None
    try:
        return c.space.distance(c.space.check(point(mine)), c.space.check(point(theirs)))
    except SpecError as error:
        raise ReportError(f"{path!r} is not a method of the space that was given: {error}") from error


def _neighbour(c: Campaign, method: str, path: str) -> tuple[Text, ...]:
    assert c.space is not None
    here, there = (f"{p}.values" if "kind" in c.book.ref(p).value else p for p in (method, path))
    number = int(path.partition(".")[0])
    baseline = path.endswith(".tuned")
    what: Text = say("{name}, tuned", name=c.book.ref(f"{number}.baseline")) if baseline else ("a proposal",)
    apart = c.book.derived("distance", [c.book.ref(method), c.book.ref(path)], ".3f")
    differs = [
        say("{axis} {theirs} for {mine}", axis=c.book.key(f"{there}.{a.name}"), theirs=c.book.ref(f"{there}.{a.name}"),
            mine=c.book.ref(f"{here}.{a.name}"))
        for a in c.space.axes if c.book.ref(f"{there}.{a.name}").value != c.book.ref(f"{here}.{a.name}").value
    ]  # fmt: skip
    return (c.book.entry(number),), what, (apart,), joined(differs)
