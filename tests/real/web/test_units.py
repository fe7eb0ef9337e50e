"""Units on the page: 10,000 of them searched and sorted as one types, and each with its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from superalign.core import records
from superalign.store import open_store
from superalign.store.sql import SqlStore
from superalign.studies.interp.dossiers import keep
from superalign.web.app import create
from superalign.web.server import serving
from tests.report import unit_examples as examples


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """10,000 units, kept as a study keeps them; and a hostile one beside a planted one."""
    with open_store(tmp_path_factory.mktemp("units") / "s.sqlite") as store:
        saved(store, "units-many", (*examples.run(40), *examples.many(10_060)[100:]))
        saved(store, "units-bad", (examples.hostile(), examples.planted()))
        yield store


@pytest.fixture(scope="module")
def url(held: SqlStore) -> Iterator[str]:
    """One server for all: what was read stays read."""
    with serving(create(held, warm=False)) as server:
        yield f"http://127.0.0.1:{server.port}"


def saved(store: SqlStore, name: str, dossiers: Any) -> None:
    record = examples.record().model_copy(update={"id": name, "artifacts": keep(store, "all", dossiers)})
    records.save(store, record)


def test_a_unit_has_its_page(url: str, session: Any) -> None:
    someone = session(url)
    found = someone.get("/runs/units-many/units.json").json()
    assert found["score"] == "correlation:random-only"
    one = found["units"][0]["file"]
    page = someone.get(f"/runs/units-many/units/{one}")
    assert page.status_code == 200
    assert "Where it fires" in page.text
    assert "1 of 10,000" in page.text
    assert someone.get(f"/runs/units-many/units/{one}.json").json()["unit"]["site"] == "mlp.0"
    labelled = someone.get("/runs/units-bad/units.json?q=toys").json()["units"][0]["file"]
    assert "things to play with" in someone.get(f"/runs/units-bad/units/{labelled}").text


def test_search_and_order(url: str, session: Any) -> None:
    someone = session(url)

    def ask(query: str) -> Any:
        return someone.get(f"/runs/units-many/units.json?{query}").json()

    whole = ask("")
    assert (whole["total"], whole["pages"], len(whole["units"])) == (10_000, 200, 50)
    assert ask("q=LILY+ball")["total"] < ask("q=lily")["total"] < 10_000
    assert ask("q=nothing-like-it")["total"] == 0
    values = [float(u["score"]["value"]) for u in ask("sort=-score")["units"]]
    assert values == sorted(values, reverse=True)
    gaps = [float(u["score"]["gap"]) for u in ask("sort=gap")["units"]]
    assert gaps == sorted(gaps)
    shares = [float(u["density"].rstrip("%")) for u in ask("sort=-density&q=toy")["units"]]
    assert shares == sorted(shares, reverse=True)
    last = ask("sort=-peak&page=200")["units"][-1]
    assert float(last["peak"]) == 0  # one that never fires
    assert (
        ask("sort=explanation")["units"][0]["explanation"] <= ask("sort=explanation&page=2")["units"][0]["explanation"]
    )
    assert {u["name"].partition("/")[0] for u in ask("site=mlp.3")["units"]} == {"mlp.3"}
    assert ask("sort=evil&site=evil&score=evil&page=x")["total"] == 10_000
    other = ask("score=explained-variance&sort=-score")["units"]
    assert other[0]["score"]["name"] == "explained-variance"


def test_a_token_is_found_where_it_makes_a_unit_fire(url: str, session: Any) -> None:
    someone = session(url)
    found = someone.get("/runs/units-bad/units.json?q=THINGS+to+play").json()  # said by a person
    assert [u["name"] for u in found["units"]] == ["space/3"]
    fired = {t.strip() for e in examples.planted().excerpts for t, v in zip(e.tokens, e.values, strict=True) if v > 0}
    word = sorted(fired)[-1]
    assert someone.get(f"/runs/units-bad/units.json?q={word}").json()["total"] >= 1


def test_ten_thousand_units_as_one_types(url: str, visit: Any) -> None:
    page = visit(f"{url}/runs/units-many/units")
    assert "10,000 units" in page.inner_text("#found")
    page.keyboard.press("/")
    page.keyboard.type("lily ball")
    page.wait_for_selector("#found:not(:has-text('10,000 units'))")
    page.select_option("#sort", "-score")
    page.wait_for_selector("th[aria-sort=descending]")
    page.locator("#q").blur()
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("a.to").nth(1).inner_text()
    page.keyboard.press("Enter")
    page.wait_for_selector(f"h1 >> text={second}")
    page.wait_for_load_state()  # keys are heard from then on
    assert "2 of " in page.inner_text("nav.walk")
    page.keyboard.press("j")
    page.wait_for_selector("nav.walk >> text=3 of ")
    page.keyboard.press("u")
    page.wait_for_selector("th[aria-sort=descending]")
    assert page.input_value("#q") == "lily ball"


def test_hostile_units_are_shown_harmlessly(url: str, visit: Any, session: Any) -> None:
    width = 390
    page = visit(f"{url}/runs/units-bad/units", width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("a.to >> nth=0")
    page.wait_for_selector("h1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("main script, main img").count() == 0
    assert not set("\u202e\u200b\ufeff") & set(session(url).get("/runs/units-bad/units").text)


def test_what_is_not_there_says_so(held: SqlStore, url: str, session: Any) -> None:
    someone = session(url)
    assert someone.get("/runs/units-bad/units/zzz.json").json() == {"error": "no unit 'zzz' in units-bad"}
    bare = examples.record().model_copy(update={"id": "units-none"})
    records.save(held, bare)
    assert "holds no units" in someone.get("/runs/units-none/units.json").json()["error"]
    records.save(held, bare.model_copy(update={"id": "units-gone", "artifacts": {"units/x": "interp/units/never"}}))
    assert "are damaged in the store" in someone.get("/runs/units-gone/units.json").json()["error"]
