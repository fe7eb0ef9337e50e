"""Campaigns of automated research: which there are, what each found, its ledger, and what it used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from markupsafe import Markup

from superalign.core.digest import digest
from superalign.core.spec import Number
from superalign.report import numbers
from superalign.report.text import one_line, visible_all
from superalign.report.view import Link, View, fragment
from superalign.research.ledger import Entry

PAGE = 100
"""Entries of a ledger on a page."""
LONGEST = 20_000
"""Characters of an entry that a page shows; its JSON twin has all."""
BRIEF = 140


@dataclass(frozen=True, slots=True)
class Word:
    """A verdict: on which claim, the word, and the effect in words."""

    claim: str
    word: str
    effect: str
    exploratory: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """A registration that a person has to approve before it is confirmed; `command` lets it."""

    registration: str
    entry: int
    claim: str
    command: str


@dataclass(frozen=True, slots=True)
class Account:
    """What one part of a campaign used, by kind; empty where nothing was counted."""

    what: str
    cpu_s: float | None = None
    wall_s: float | None = None
    tokens_in: float | None = None
    tokens_out: float | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Now:
    """A campaign as it stands. `state` is `running`, `waiting for approval`, `finished`, `closed`, `open` (no verdict yet,
    and nobody is at it) or `broken`; `run` is the run that is at it; `counts` are entries by type, `latest` the newest."""

    name: str
    question: str = ""
    testbed: str = ""
    proposer: str = ""
    begun: str = ""
    state: str = "open"
    run: str = ""
    head: str = ""
    entries: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    words: Sequence[Word] = ()
    waiting: Sequence[Waiting] = ()
    latest: Sequence[Entry] = ()
    fault: str = ""

    @property
    def going(self) -> bool:
        """Whether more may come at any moment."""
        return self.state in ("running", "waiting for approval", "open")

    @property
    def tag(self) -> str:
        """Another one for everything else that is shown."""
        return digest([self.head, self.state, self.run, [w.registration for w in self.waiting]])[:16]


@dataclass(frozen=True, slots=True)
class Told:
    """A report as it was made at an entry, or why there is none."""

    body: Markup = field(default_factory=Markup)
    entry: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Accounts:
    """What a campaign used, by its parts, and the budget of its search (`compute.budget.Budget.summary`), if it has one."""

    rows: Sequence[Account] = ()
    budget: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """An entry of the ledger as a line; `text` is its payload as JSON, cut where `cut` says so."""

    entry: Entry
    signature: str
    brief: str
    text: str
    cut: bool


@dataclass(frozen=True, slots=True)
class FoundEntries:
    """One page of a ledger; `type` is what was asked for, `types` how many there are of each."""

    lines: Sequence[Line]
    total: int
    page: int = 1
    pages: int = 1
    type: str = ""
    types: Mapping[str, int] = field(default_factory=dict)
    faults: Sequence[str] = ()


def word(verdict: Entry, claim: Entry | None) -> Word:
    """A verdict as it is shown; `claim` is its registration."""
    held = verdict.payload
    said = claim.payload.get("claim", "") if claim is not None else held.get("claim", "")
    ends = [
        v if isinstance(v, int | float) else None for v in (held.get("estimate"), held.get("low"), held.get("high"))
    ]
    effect = Number(value=ends[0], low=ends[1], high=ends[2], reason="the confirmation failed")
    return Word(one_line(str(said)), one_line(str(held.get("word", ""))), numbers.format_number(effect),
                bool(held.get("exploratory")))  # fmt: skip


def line(entry: Entry, signature: str) -> Line:
    """An entry as a line of a ledger."""
    text = json.dumps(visible_all(dict(entry.payload)), ensure_ascii=False, indent=1)
    flat = one_line(json.dumps(dict(entry.payload), ensure_ascii=False)[: 4 * BRIEF])
    brief = flat if len(flat) <= BRIEF else f"{flat[:BRIEF].rstrip()}…"
    return Line(entry, signature, brief, text[:LONGEST], len(text) > LONGEST)


def page_of(entry: int) -> int:
    """The page of a whole ledger on which an entry stands."""
    return (entry - 1) // PAGE + 1


def campaigns(found: Sequence[Now], pools: Sequence[Mapping[str, Any]], link: Link) -> View:
    """All campaigns of a store, newest first, and the compute that was promised to whoever runs them."""
    body = fragment("campaigns.html", found=found, pools=pools, link=link)
    data = {"campaigns": [_data(now) for now in found], "compute": [dict(pool) for pool in pools]}
    return View("Campaigns", body, data, "campaigns")


def campaign(now: Now, told: Told, accounts: Accounts, link: Link) -> View:
    """One campaign: how it stands, its report, its accounts."""
    totals = _totals(accounts.rows)
    body = fragment("campaign.html", now=now, told=told, accounts=accounts, totals=totals, part="", page_of=page_of,
                    link=link)  # fmt: skip
    data = _data(now) | {
        "accounts": [asdict(row) for row in accounts.rows], "budget": dict(accounts.budget), "report_at": told.entry,
    }  # fmt: skip
    return View(now.question or now.name, body, data, "campaigns")


def standing(now: Now, link: Link) -> View:
    """The part of a campaign's page that changes while it goes on."""
    body = fragment("campaign.html", now=now, part="now", page_of=page_of, link=link)
    return View(now.question or now.name, body, _data(now), "campaigns")


def ledger(now: Now, found: FoundEntries, link: Link) -> View:
    """A page of a campaign's ledger."""
    body = fragment("campaign.html", now=now, found=found, part="ledger", page_of=page_of, link=link)
    data = {
        "campaign": now.name, "total": found.total, "page": found.page, "pages": found.pages, "head": now.head,
        "types": dict(found.types), "faults": list(found.faults),
        "entries": [_entry(each.entry) | {"signature_state": each.signature} for each in found.lines],
    }  # fmt: skip
    return View(f"Ledger of {now.name}", body, data, "campaigns")


def _data(now: Now) -> dict[str, Any]:
    return {
        "campaign": now.name, "question": now.question, "testbed": now.testbed, "proposer": now.proposer,
        "begun": now.begun, "state": now.state, "run": now.run, "head": now.head, "entries": now.entries,
        "counts": dict(now.counts), "verdicts": [asdict(w) for w in now.words],
        "waiting": [asdict(w) for w in now.waiting], "latest": [_entry(e) for e in now.latest], "fault": now.fault,
    }  # fmt: skip


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number, "time": entry.time, "actor": entry.actor, "type": entry.type,
        "payload": dict(entry.payload), "hash": entry.hash, "signature": entry.signature,
    }  # fmt: skip


def _totals(rows: Sequence[Account]) -> Account:
    names = ("cpu_s", "wall_s", "tokens_in", "tokens_out", "usd")
    known = {name: [v for row in rows if (v := getattr(row, name)) is not None] for name in names}
    return Account("in all", **{name: sum(values) if values else None for name, values in known.items()})
