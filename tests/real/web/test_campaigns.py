"""Campaigns on the page: their state, their reports, their ledgers; what waits for a person, and what goes on now."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from superalign.compute.pool import Pool
from superalign.compute.runs import live
from superalign.compute.usage import Usage
from superalign.research.ledger import INDEX, Ledger
from superalign.research.mcp.approval import decide
from superalign.store import open_store
from superalign.store.sql import SqlStore
from superalign.studies.research import Research, prepare
from superalign.web.app import create
from superalign.web.server import serving
from tests.report import research_examples as examples
from tests.research.test_campaign import TOY

SPEC = Research(
    testbed=TOY, budget="24", fidelity=3, problems=6, pairs=1, sesoi=0.05, proposer="halving:width=6:fidelity=3"
)


def written(store: SqlStore, name: str, hostile: bool = False, **genesis: Any) -> Ledger:
    """A ledger with the entries of the examples that are no result yet."""
    store.append(INDEX, [{"campaign": name}])
    ledger = Ledger(store, name, examples.KEY)
    for entry in examples.campaign(hostile)[0]:
        if entry.type in ("confirm", "verdict", "sign_off", "audit") and genesis:
            continue
        extra = genesis if entry.type == "genesis" else {}
        ledger.write(entry.type, entry.actor, {**entry.payload, **extra})
    return ledger


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """A small real campaign; one of somebody outside that waits; a hostile one; a pool of compute."""
    with open_store(tmp_path_factory.mktemp("campaigns") / "s.sqlite") as store:
        replace(prepare(SPEC, store), workers=1).run()
        written(store, "research-hostile", hostile=True)
        written(store, "research-waits", proposer="mcp")
        pool = Pool(store, "lab")
        pool.capacity(10, "2026-01-01", "gpu-hours")
        pool.promise(0.2, "gpu-hours", "2026-01-01", "2026-01-11", "press, 1 January")
        pool.use("research-waits", Usage(gpu_s=36_000), "2026-01-02")
        yield store


@pytest.fixture(scope="module")
def url(held: SqlStore) -> Iterator[str]:
    """One server for all: what was read stays read."""
    with serving(create(held, warm=False)) as server:
        yield f"http://127.0.0.1:{server.port}"


def test_a_finished_campaign_is_told(url: str, session: Any) -> None:
    someone = session(url)
    listed = someone.get("/campaigns.json").json()
    assert [c["campaign"] for c in listed["campaigns"]] == ["research-waits", "research-hostile", SPEC.campaign]
    assert listed["compute"][0]["promised"] == pytest.approx(480)
    assert listed["compute"][0]["delivered"] == pytest.approx(10)
    mine = someone.get(f"/campaigns/{SPEC.campaign}.json").json()
    assert mine["state"] == "finished"
    assert {w["exploratory"] for w in mine["verdicts"]} == {True, False}
    assert mine["budget"]["cap"] == {"evaluations": 24}
    assert mine["report_at"] == mine["entries"]
    text = someone.get(f"/campaigns/{SPEC.campaign}").text
    for words in ("Claims and verdicts", "Care gap", "What it cost", "Accounts", "Budget of the search"):
        assert words in text, words
    assert f'href="/campaigns/{SPEC.campaign}/ledger#entry-1"' in text
    assert "There is no report" not in text


def test_the_ledger_is_browsed(held: SqlStore, url: str, session: Any) -> None:
    someone = session(url)
    where = f"/campaigns/{SPEC.campaign}/ledger.json"
    whole = someone.get(where).json()
    assert whole["entries"][0]["type"] == "genesis"
    assert whole["head"] == Ledger(held, SPEC.campaign).head
    verdicts = someone.get(f"{where}?type=verdict").json()
    assert {e["type"] for e in verdicts["entries"]} == {"verdict"}
    assert {e["signature_state"] for e in verdicts["entries"]} == {"checked"}
    assert someone.get(f"{where}?type=evil&page=99").json()["total"] == whole["total"]
    second = someone.get("/campaigns/research-hostile/ledger.json?page=2").json()
    assert (second["pages"], second["entries"][0]["number"]) == (2, 101)


def test_what_waits_says_what_to_type(held: SqlStore, url: str, session: Any, visit: Any) -> None:
    from playwright.sync_api import expect

    someone = session(url)
    before = someone.get("/campaigns/research-waits.json").json()
    assert before["state"] == "waiting for approval"
    first, second = before["waiting"]
    assert first["command"] == f'superalign research approve research-waits {first["registration"]} --by "YOUR NAME"'
    page = visit(f"{url}/campaigns/research-waits", width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".waits").count() == 2
    decide(held, "research-waits", first["registration"], True, "Ada")
    expect(page.locator(".waits")).to_have_count(1)
    decide(held, "research-waits", second["registration"], False, "Ada", "too early")
    expect(page.locator(".waits")).to_have_count(0)
    assert someone.get("/campaigns/research-waits.json").json()["state"] == "open"


def test_a_campaign_is_followed_while_it_runs(store: SqlStore, serve: Any, visit: Any, session: Any) -> None:
    from playwright.sync_api import expect

    url = serve(store)
    spec = SPEC.model_copy(update={"seed": 5})
    store.append(INDEX, [{"campaign": spec.campaign}])
    ledger = Ledger(store, spec.campaign, examples.KEY)
    entries = examples.campaign()[0]
    ledger.write("genesis", "scorer", entries[0].payload)
    with live(store, "research", "a search", spec.model_dump(mode="json", exclude_none=True)):
        page = visit(f"{url}/campaigns/{spec.campaign}")
        assert page.inner_text("#now .state") == "running"
        ledger.write("propose", "halving", entries[1].payload)
        page.wait_for_selector("#now >> text=2 entries")
        assert "1 propose" in page.inner_text("#now")
    expect(page.locator("#now .state")).to_have_text("open")
    assert session(url).get(f"/campaigns/{spec.campaign}/now.json").json()["entries"] == 2


def test_an_entry_opens_by_its_link_and_strangers_do_no_harm(url: str, visit: Any) -> None:
    width = 390
    page = visit(f"{url}/campaigns/research-hostile", width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("main script, main img").count() == 0
    page.locator("#verdicts a.ref").first.click()
    page.wait_for_selector("h1 >> text=Ledger")
    assert page.locator("pre:target").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_broken_ledger_says_where(store: SqlStore, serve: Any, session: Any) -> None:
    written(store, "research-broken")
    path = store.file
    assert path is not None
    with sqlite3.connect(path) as raw:
        number = raw.execute("select id from superalign_streams where name = 'research/research-broken'").fetchone()[0]
        raw.execute("update superalign_events set body = replace(body, '0.0661234', '0.9') where stream = ?", (number,))
    someone = session(serve(store))
    told = someone.get("/campaigns/research-broken.json").json()
    assert told["state"] == "broken"
    assert "is broken at position" in told["fault"]
    assert "There is no report" in someone.get("/campaigns/research-broken").text
    assert someone.get("/campaigns/research-broken/ledger").status_code == 200
    assert someone.get("/campaigns/none.json").json() == {"error": "no campaign 'none' in this store"}
