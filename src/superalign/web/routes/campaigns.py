"""`/campaigns`: campaigns of automated research with their state, reports, ledgers and accounts.

A ledger is read on from where it was read before. Checking all of it and writing the report take seconds for 10,000
entries, so both are kept by the ledger's head; while a campaign runs, a report that is a little old is shown as such.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from superalign.compute.budget import Budget
from superalign.compute.pool import PREFIX, Pool
from superalign.compute.replica import Replica
from superalign.core.errors import SuperalignError, UserError
from superalign.core.registry import build, names
from superalign.report.research.part import fragment, signature
from superalign.report.view import View, absolute
from superalign.report.views import campaigns as views
from superalign.report.views.campaigns import PAGE, Account, Accounts, FoundEntries, Now, Told, Waiting
from superalign.research.ledger import Entry, Ledger, Verified, campaigns, verify
from superalign.research.scorer.secret import key_of
from superalign.research.space import Space
from superalign.store import beside
from superalign.store.sql import SqlStore
from superalign.web.page import NotHere, look, number
from superalign.web.routes.live import stream
from superalign.web.site import Site

LATEST = 8
"""Entries that stand on the page of a campaign that runs."""
FRESH = 15.0
"""Seconds for which the report of a campaign that runs is not written again."""
BY_PERSON = "mcp"
"""The proposer whose registrations a person approves."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A ledger as it was verified and reported at a head."""

    head: str
    verified: Verified
    told: Told
    at: float


def routes(site: Site) -> list[BaseRoute]:
    """The routes of campaigns."""
    desk = Desk(site)

    def listed(request: Request) -> View:
        going = desk.going()
        found = [desk.now(name, going) for name in reversed(campaigns(site.store))]
        return views.campaigns(found, desk.pools(), absolute)

    def campaign(request: Request) -> View:
        name = desk.named(request)
        now = desk.now(name)
        return views.campaign(now, desk.checked(name, now.going).told, desk.accounts(name), absolute)

    def standing(request: Request) -> View:
        return views.standing(desk.now(desk.named(request)), absolute)

    def ledger(request: Request) -> View:
        name = desk.named(request)
        return views.ledger(desk.now(name), desk.found(name, request), absolute)

    def follow(request: Request) -> Response:
        name = desk.named(request)
        shown = [(request.query_params.get("shown", ""), True)]  # what came between the page and its stream is a change

        def look_() -> tuple[str, bool]:
            if shown:
                return shown.pop()
            now = desk.now(name)
            return now.tag, now.going

        return stream(look_, lambda said: not said[1])

    return [
        *look("/campaigns", listed),
        *look("/campaigns/{campaign}", campaign),
        *look("/campaigns/{campaign}/now", standing),
        *look("/campaigns/{campaign}/ledger", ledger),
        Route("/events/campaign/{campaign}", follow, methods=["GET"]),
    ]


class Desk:
    """The campaigns of a store, read once and read on. Threads may share it."""

    def __init__(self, site: Site) -> None:
        self._site, self._store = site, site.store
        self._locks: dict[str, threading.Lock] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._checked: dict[str, Checked] = {}
        self._pools: dict[str, Pool] = {}
        self._budgets: dict[str, Replica[Budget]] = {}
        self._lock = threading.Lock()

    def named(self, request: Request) -> str:
        """The campaign of an address. Raises NotHere."""
        name = str(request.path_params["campaign"])
        if name not in campaigns(self._store):
            raise NotHere(f"no campaign {name!r} in this store")
        return name

    def entries(self, name: str) -> tuple[Sequence[Entry], str]:
        """The entries of a ledger as far as its chain holds, and where it breaks."""
        with self._locked(name):
            ledger = self._ledgers.setdefault(name, Ledger(self._store, name))
            try:
                return ledger.entries(), ""
            except UserError as error:
                return list(ledger._entries), str(error)

    def going(self) -> dict[str, str]:
        """The runs that are at a campaign now, by its name."""
        return {name: run.id for run in self._site.library.runs.going() if (name := _campaign_of(run.spec))}

    def now(self, name: str, going: Mapping[str, str] | None = None) -> Now:
        """How a campaign stands; `going` as it was just asked for."""
        entries, fault = self.entries(name)
        first = entries[0].payload if entries else {}
        claims = {str(e.payload.get("registration")): e for e in entries if e.type == "prereg"}
        verdicts = {str(e.payload.get("registration")): e for e in entries if e.type == "verdict"}
        waiting = self._waiting(name, entries, claims)
        run = (self.going() if going is None else going).get(name, "")
        words = [views.word(v, claims.get(which)) for which, v in verdicts.items()]
        counts = dict(Counter(str(e.type) for e in entries).most_common())
        return Now(
            name, _text(first, "question"), _text(first, "testbed"), _text(first, "proposer"),
            entries[0].time if entries else "", _state(entries, run, waiting, fault), run,
            entries[-1].hash if entries else "", len(entries), counts, words, waiting, entries[: -LATEST - 1 : -1], fault,
        )  # fmt: skip

    def checked(self, name: str, going: bool) -> Checked:
        """The ledger verified and reported: at its head, or a little before while the campaign goes on."""
        with self._locked(f"report of {name}"):
            entries, fault = self.entries(name)
            head = entries[-1].hash if entries else ""
            found = self._checked.get(name)
            if (
                found is not None
                and (found.head == head or (going and time.monotonic() - found.at < FRESH))
                and not fault
            ):
                return found
            verified = verify(self._store, name, _key(self._store, name))
            found = Checked(head, verified, _told(name, entries, verified, fault), time.monotonic())
            self._checked[name] = found
            return found

    def found(self, name: str, request: Request) -> FoundEntries:
        """The page of the ledger that a request asks for."""
        entries, fault = self.entries(name)
        types = dict(Counter(str(e.type) for e in entries).most_common())
        asked = request.query_params.get("type", "")
        kept = [e for e in entries if e.type == asked] if asked in types else entries
        pages = max(1, -(-len(kept) // PAGE))
        at = number(request, "page", 1, 1, pages)
        verified = self.checked(name, True).verified
        lines = [views.line(e, signature(e, verified)) for e in kept[(at - 1) * PAGE : at * PAGE]]
        faults = list(dict.fromkeys((*verified.faults, *([fault] if fault else []))))
        return FoundEntries(lines, len(kept), at, pages, asked if asked in types else "", types, faults)

    def accounts(self, name: str) -> Accounts:
        """What a campaign used: as its ledger counted it, and by the account of its budget."""
        entries, _ = self.entries(name)
        rows = [_account(what, parts) for what, parts in _parts(entries).items()]
        account = f"budget/{name}/search"
        with self._lock:
            replica = self._budgets.setdefault(account, Replica(self._store, account, Budget()))
        budget = replica.ask(Budget.summary)
        return Accounts([row for row in rows if row is not None], budget if budget["cap"] else {})

    def pools(self) -> list[dict[str, Any]]:
        """What was promised of each pool of compute in the store and what came of it."""
        found: list[dict[str, Any]] = []
        for key in self._store.streams(PREFIX):
            pool = key.removeprefix(PREFIX)
            try:
                with self._lock:
                    known = self._pools.setdefault(pool, Pool(self._store, pool))
                found.append(known.report())
            except SuperalignError as error:
                found.append({"pool": pool, "fault": str(error)})
        return found

    def _waiting(self, name: str, entries: Sequence[Entry], claims: Mapping[str, Entry]) -> list[Waiting]:
        """Registrations of a researcher from outside that nobody has decided about."""
        if not entries or entries[0].payload.get("proposer") != BY_PERSON:
            return []
        done = {str(e.payload.get("registration")) for e in entries if e.type == "confirm"}
        done |= {str(e.body.get("registration")) for e in self._store.read(f"research/approvals/{name}")}
        return [
            Waiting(which, e.number, _text(e.payload, "claim"),
                    f'superalign research approve {name} {which} --by "YOUR NAME"')
            for which, e in claims.items() if which not in done
        ]  # fmt: skip

    def _locked(self, name: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())


def _state(entries: Sequence[Entry], run: str, waiting: Sequence[Waiting], fault: str) -> str:
    if fault:
        return "broken"
    if any(e.type == "sign_off" for e in entries):
        return "closed"
    if run:
        return "running"
    if waiting:
        return "waiting for approval"
    judged = {e.payload.get("registration") for e in entries if e.type == "verdict"}
    counting = {
        e.payload.get("registration") for e in entries if e.type == "prereg" and not e.payload.get("exploratory")
    }
    return "finished" if counting and counting <= judged else "open"


def _campaign_of(spec: Mapping[str, Any]) -> str:
    """The campaign that a run of such a spec goes on with; empty where it is none of research."""
    if spec.get("study") != "research":
        return ""
    from superalign.studies.research.spec import Research

    try:
        return Research.model_validate(dict(spec)).campaign
    except ValueError:
        return ""


def _told(name: str, entries: Sequence[Entry], verified: Verified, fault: str) -> Told:
    if fault or not entries:
        return Told(fault=fault or "the ledger is empty")

    def address(number_: int) -> str:
        at = views.page_of(number_)
        return absolute("campaigns", name, "ledger", page=at if at > 1 else "") + f"#entry-{number_}"

    last, fault = entries[-1].number, ""
    for space in dict.fromkeys((_space(entries[0]), None)):
        try:
            return Told(fragment(entries, verified, address, space=space), last)
        except UserError as error:  # a testbed whose space has changed since: distances are left out
            fault = str(error)
    return Told(fault=fault, entry=last)


def _space(genesis: Entry) -> Space | None:
    """The space of the campaign's testbed, for distances; of built-in ones alone: no file is run to show a page."""
    which = _text(genesis.payload, "testbed")
    if which not in names("testbeds"):
        return None
    try:
        found: Space = build("testbeds", which).space
    except (SuperalignError, TypeError):  # one that needs a store, or models that are not here
        return None
    return found


def _key(store: SqlStore, name: str) -> bytes | None:
    """The scorer's key, where it is at hand: it is used to check signatures, and shown to nobody."""
    home = beside(store, "research")
    try:
        return key_of(home, name) if (home / name / "key").exists() else None
    except (SuperalignError, OSError, ValueError):
        return None


def _parts(entries: Sequence[Entry]) -> dict[str, list[Mapping[str, Any]]]:
    """What entries say was used, by part of the campaign."""
    timed = [used for e in entries if e.type == "settle" and "seconds" in (used := _used(e, "used"))]
    return {
        "search": [
            *(_used(e, "usage") for e in entries if e.type == "run_end"), *({"wall_s": t["seconds"]} for t in timed),
        ],
        "confirmations": [_used(e, "usage") for e in entries if e.type == "confirm"],
        "proposer": [e.payload for e in entries if e.type == "spend"],
    }  # fmt: skip


def _used(entry: Entry, name: str) -> Mapping[str, Any]:
    found = entry.payload.get(name)
    return found if isinstance(found, Mapping) else {}


def _account(what: str, parts: Sequence[Mapping[str, Any]]) -> Account | None:
    """The sum of what was used; None where nothing was counted."""
    sums: dict[str, float] = {}
    for part in parts:
        for kind in ("cpu_s", "wall_s", "tokens_in", "tokens_out", "usd"):
            value = part.get(kind)
            if isinstance(value, int | float) and not isinstance(value, bool):
                sums[kind] = sums.get(kind, 0) + value
    return Account(what, **sums) if sums else None


def _text(payload: Mapping[str, Any], name: str) -> str:
    found = payload.get(name)
    return found if isinstance(found, str) else ""
