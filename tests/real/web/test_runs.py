"""Records on the page: the list, each record with its rooms, comparisons, samples, leaderboards. Real small studies."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superalign.compute.runs import live
from superalign.core import records
from superalign.core.registry import find
from superalign.core.spec import Record
from superalign.core.study import finish, spec_of
from superalign.store import open_store
from superalign.store.sql import SqlStore
from tests.report import examples
from tests.studies.rlhf.tiny import SETTINGS
from tests.web.conftest import Session

SIZES = {"weak_train": 60, "transfer": 80, "validation": 40, "test": 80}
WEAK = {
    "study": "w2s",
    "source": {"task": "digits"},
    "sizes": SIZES,
    "weak": "linear",
    "strong": "linear",
    "seeds": [0, 1],
}
RLHF = {"study": "rlhf", "algorithms": ["ppo", "grpo"], "rm_prompts": [8], "settings": SETTINGS}


def votes(path: Path) -> Path:
    """Votes between four competitors in two categories."""
    rng = random.Random(3)
    names = ["alder", "birch", "cedar/large", "<b>dogwood</b>"]
    rows = []
    for _ in range(400):
        left, right = rng.sample(names, 2)
        ahead = names.index(left) < names.index(right)
        winner = "left" if ahead == (rng.random() < 0.7) else "right"
        rows.append(f"{left},{right},{winner},{rng.choice(['code', 'prose'])}")
    path.write_text("\n".join(["left,right,winner,category", *rows]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """A store with two weak-to-strong studies, one of RLHF, one of ratings, each kept as its command keeps it."""
    folder = tmp_path_factory.mktemp("full")
    rate = {"study": "rate", "votes": str(votes(folder / "votes.csv")), "columns": {"category": "category"}}
    with open_store(folder / "store.sqlite") as store:
        for values in (WEAK | {"methods": ["xent"]}, WEAK | {"methods": ["hard"]}, RLHF, rate):
            spec = spec_of(dict(values))
            with live(store, spec.study, f"{spec.study}: test", spec.model_dump(mode="json")) as run:
                record = finish(find("studies", spec.study).prepare(spec, store), store, run.progress())
                run.record = record.id
        yield store


def ids(store: SqlStore, study: str) -> list[str]:
    """The records of a study, newest first."""
    return [e.id for e in reversed(records.entries(store)) if e.study == study]


def text(answer: Any) -> str:
    """A page's text, tags left out."""
    return re.sub(r"<[^>]+>", " ", answer.text)


def test_every_page_of_real_records_answers_with_its_twin(full: SqlStore, serve: Any, session: Any) -> None:
    someone: Session = session(serve(full))
    first, second = ids(full, "w2s")
    (rlhf,), (rated,) = ids(full, "rlhf"), ids(full, "rate")
    pages = [
        "/", "/runs", f"/runs/{first}", f"/runs/{rlhf}/samples", "/boards", f"/boards/{rated}",
        f"/compare?run={first}", f"/compare?run={first}&run={second}", f"/compare/ranks?run={first}&run={second}",
        f"/compare?run={first}&run={rlhf}&run={rated}", f"/runs/{first}/charts/pgr",
    ]  # fmt: skip
    for page in pages:
        answer = someone.get(page)
        assert answer.status_code == 200, page
        assert answer.text.count("<h1") == 1, page
        path, _, query = page.partition("?")
        twin = someone.get((path if path != "/" else "/index") + ".json" + (f"?{query}" if query else ""))
        assert isinstance(json.loads(twin.text, parse_constant=pytest.fail), dict)  # called for NaN and Infinity
        shown = re.findall(r'\sid="([^"]+)"', answer.text)
        assert len(shown) == len(set(shown)), page


def test_search_filter_and_paging(store: SqlStore, serve: Any, visit: Any, session: Any) -> None:
    base = examples.study()
    for i in range(120):
        records.save(store, base.model_copy(update={"id": f"w2s-{i:03}", "title": f"Study number {i:03}"}))
    records.save(store, base.model_copy(update={"id": "rlhf-1", "study": "rlhf", "title": "A policy"}))
    url = serve(store, warm=True)
    page = visit(f"{url}/runs")
    assert "121 records" in page.inner_text("#found")
    assert page.locator("article.run").count() == 50
    page.keyboard.press("n")
    page.wait_for_url("**/runs?page=2")
    page.goto(f"{url}/runs")
    page.keyboard.press("/")
    page.keyboard.type("number 07", delay=10)
    page.wait_for_selector("#found >> text=12 records found")  # 070 to 079, 007 and 107
    assert page.locator("article.run").count() == 12
    assert "q=number%2007" in page.url
    page.select_option("#study", "rlhf")
    page.wait_for_selector("text=Nothing was found")
    page.go_back()
    page.wait_for_selector("nav.site")
    someone: Session = session(url)
    found = someone.get("/runs.json?q=policy&study=rlhf").json()
    assert [r["id"] for r in found["records"]] == ["rlhf-1"]
    assert someone.get("/runs.json?page=3").json()["page"] == 3
    assert len(someone.get("/runs.json?page=99").json()["records"]) == 21
    assert someone.get("/runs.json?q=half+of+the+strong").json()["total"] == 121  # the answer is searched too


def break_(store: SqlStore, artifact: str) -> None:
    """Change a kept artifact behind the store's back."""
    with sqlite3.connect(str(store.file)) as raw:
        raw.execute("UPDATE superalign_artifacts SET seal = 'x' WHERE key = ?", (artifact,))


def test_a_damaged_record_is_listed_and_says_how_to_mend_it(store: SqlStore, serve: Any, session: Any) -> None:
    record = examples.study()
    with live(store, "w2s", "w2s: digits", {"study": "w2s", "methods": ["xent"]}) as run:
        run.record = record.id
    records.save(store, record)
    records.save(store, record.model_copy(update={"id": "w2s-other", "title": "Another"}))
    for entry in records.entries(store):
        break_(store, entry.artifact)
    someone: Session = session(serve(store))
    assert text(someone.get("/runs")).count("is damaged in the store; run its spec again to mend it") == 2
    told = someone.get(f"/runs/{record.id}").text
    assert "superalign run again.toml" in told
    assert "methods = [&#34;xent&#34;]" in told
    assert someone.get(f"/runs/{record.id}.json").json()["spec"] == {"study": "w2s", "methods": ["xent"]}
    assert "No run of this store has told its spec" in someone.get("/runs/w2s-other").text
    store.put("record/old", b'{"id": "w2s-old", "study": "w2s"}')
    line = {"id": "w2s-old", "study": "w2s", "title": "Old", "created": "2020-01-01", "artifact": "record/old"}
    store.append(records.INDEX, [line])
    assert "has another form than this version of superalign reads" in someone.get("/runs").text
    assert someone.get(f"/compare?run={record.id}&run=w2s-other").status_code == 404


def test_a_record_its_versions_and_what_made_it(full: SqlStore, serve: Any, session: Any) -> None:
    someone: Session = session(serve(full))
    name = ids(full, "w2s")[0]
    newest = someone.get(f"/runs/{name}").text
    assert re.search(r'Made by <a href="/live/run-[0-9a-f]+"', newest)
    assert f'href="/runs/{name}/export"' in newest
    assert "superalign run" in newest
    record = records.load(full, name)
    records.save(full, record.model_copy(update={"created": "2031-01-01T00:00:00+00:00", "title": "Once more"}))
    assert "Once more" in someone.get(f"/runs/{name}").text
    older = someone.get(f"/runs/{name}?version=1").text
    assert "This is version 1 of 2" in older
    assert "Once more" not in older
    assert someone.get("/runs/nobody").status_code == 404


def test_charts_come_when_they_are_looked_at(full: SqlStore, serve: Any, visit: Any, session: Any) -> None:
    url, name = serve(full), ids(full, "w2s")[0]
    assert "<figure" in session(url).get(f"/runs/{name}").text
    page = visit(f"{url}/runs/{name}")
    assert page.locator("#charts p.later").count() == 4
    page.locator("#charts figure").first.scroll_into_view_if_needed()
    page.wait_for_selector("#charts figure >> nth=0 >> .wide svg")
    assert page.locator("#charts figure >> nth=3 >> p.later").count() == 1
    page.click(".results tbody a >> nth=1")  # leads into a part that is closed
    page.wait_for_selector("#from-2", state="visible")
    assert session(url).get(f"/runs/{name}/charts/pgr.json").json() == records.load(full, name).charts["pgr"]
    assert session(url).get(f"/runs/{name}/charts/none").status_code == 404
    page = visit(f"{url}/runs/{name}")  # drawn before: there at once
    assert page.locator("#charts figure >> nth=0 >> .wide svg").count() == 1


def test_comparing(full: SqlStore, serve: Any, visit: Any, session: Any) -> None:
    url = serve(full)
    first, second = ids(full, "w2s")
    page = visit(f"{url}/runs")
    assert not page.is_visible("text=Compare the ticked records")
    page.check(f"input[value={first}]")
    page.check(f"input[value={second}]")
    page.keyboard.press("c")
    page.wait_for_url("**/compare?run=*")
    assert "2 records side by side" in page.inner_text("h1")
    assert '["xent"]' in page.inner_text("#specs")
    page.wait_for_selector("#ranks #ranked table")
    assert "hard" in page.inner_text("#ranked")
    page.locator("#pictures .wide").first.scroll_into_view_if_needed()
    page.wait_for_selector("#pictures svg")
    someone: Session = session(url)
    assert "So far there is one" in text(someone.get(f"/compare?run={first}"))
    assert f'value="{second}"' in someone.get(f"/compare?run={first}").text
    assert "takes two records or more" in text(someone.get("/compare"))
    assert someone.get("/compare?run=nobody").status_code == 404
    many = "&".join(f"run={i}" for i in range(7))
    assert "at most 6 records are compared at once" in someone.get(f"/compare?{many}").text
    data = someone.get(f"/compare.json?run={first}&run={second}").json()
    floor = next(n for n in data["numbers"] if (n["condition"], n["number"]) == ("weak", "accuracy"))
    assert floor["values"][0] == floor["values"][1]
    assert floor["differences"][1]["value"] == 0.0
    other = ids(full, "rate")[0]
    why = text(someone.get(f"/compare/ranks?run={first}&run={other}"))
    assert "compare takes weak-to-strong records" in why


def test_samples_side_by_side(full: SqlStore, serve: Any, visit: Any, session: Any) -> None:
    url, name = serve(full), ids(full, "rlhf")[0]
    record = records.load(full, name)
    prompt, _, response = record.tables["samples"].rows[0]
    page = visit(f"{url}/runs/{name}/samples", width=390)
    assert page.locator(".prompt-row").count() == 4
    assert page.locator(".prompt-row >> nth=0 >> .policy h3").all_inner_texts()[0].startswith("sft")
    assert response in page.inner_text(".prompt-row >> nth=0")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.fill("#q", prompt)
    page.wait_for_selector("#sheet >> text=/prompts? of 4/")
    data = session(url).get(f"/runs/{name}/samples/1.json").json()
    assert data["policies"] == ["ppo, seed 0", "grpo, seed 0"]
    said = data["rows"][0]["said"]["ppo, seed 0"]
    (stream,) = [key for arm, key in record.artifacts.items() if arm == "ppo/seed 0"]
    told = [e.body for e in full.read(stream) if e.body["kind"] == "iteration"][1]["samples"][0]
    assert [said["prompt"], said["text"], said["score"]] == told
    assert "shows no samples" in session(url).get(f"/runs/{ids(full, 'rate')[0]}/samples").text


def test_leaderboards(full: SqlStore, serve: Any, visit: Any, session: Any) -> None:
    url, name = serve(full, warm=True), ids(full, "rate")[0]
    someone: Session = session(url)
    board = someone.get(f"/boards/{name}.json").json()["boards"]
    assert list(board) == ["all votes", "code", "prose"]
    assert [row["name"] for row in board["all votes"]][:2] == ["alder", "birch"]
    assert {row["name"] for row in board["code"]} == {row["name"] for row in board["all votes"]}
    page = visit(f"{url}/boards/{name}")
    assert page.locator("table.board tbody tr").count() == 4
    assert page.locator("table.board circle").count() == 4
    page.click("text=prose")
    page.wait_for_url("**/prose")
    assert page.inner_text("nav.tabs [aria-current]") == "prose"
    page.fill("#q", "DOGWOOD")
    page.wait_for_selector("table.board tbody tr:only-child")
    assert page.inner_text("table.board tbody th") == "<b>dogwood</b>"
    assert "/prose?q=DOGWOOD" in page.url
    assert "cedar/large" in someone.get("/boards?q=cedar").text
    assert "No competitor has these words" in someone.get("/boards?q=oak").text
    assert someone.get(f"/boards/{name}/sports").status_code == 404
    weak = ids(full, "w2s")[0]
    assert f"superalign rate {weak}" in text(someone.get(f"/boards/{weak}"))


def test_an_empty_store_says_what_to_type(store: SqlStore, serve: Any, session: Any) -> None:
    someone: Session = session(serve(store))
    assert "superalign demo" in someone.get("/").text
    assert "superalign demo" in someone.get("/runs").text
    assert "superalign rate votes.csv" in someone.get("/boards").text


def test_hostile_records(store: SqlStore, serve: Any, visit: Any) -> None:
    hostile = examples.hostile()
    records.save(store, hostile)
    records.save(store, hostile.model_copy(update={"id": "twin"}))
    samples = {"samples": _samples(hostile)}
    records.save(store, hostile.model_copy(update={"id": "rlhf", "study": "rlhf", "tables": samples}))
    url = serve(store)
    dialogs: list[str] = []
    page = visit(url)
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    first = records.entries(store)[0].id
    for path in ("/", "/runs", f"/compare?run={first}&run=twin", "/runs/twin", "/runs/rlhf/samples"):
        page.goto(url + path)
        assert page.locator("main script, main img, main iframe, main [onload], main [onerror]").count() == 0
        assert "\u202e" not in page.content()
    assert not dialogs


def _samples(record: Record) -> Any:
    rows = tuple((attack, "ppo", attack) for attack in examples.ATTACKS)
    return next(iter(record.tables.values())).model_copy(
        update={"columns": ("prompt", "arm", "response"), "rows": rows}
    )
