"""Games on the page: found, read, walked through, and harmless whatever they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from superalign.core import records
from superalign.core.ports import Artifact
from superalign.core.spec import Record, validate
from superalign.core.types import Item, Seat
from superalign.protocols.played import Archive, pack
from superalign.store.place import locate
from superalign.store.sql import SqlStore
from superalign.studies.oversee import prepare
from superalign.studies.oversee.spec import Oversee
from tests.report import game_examples as examples


class Counting(SqlStore):
    """A store that counts how often each artifact is read."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.reads: dict[str, int] = {}

    def get(self, key: str) -> Artifact | None:
        self.reads[key] = self.reads.get(key, 0) + 1
        return super().get(key)


def record_of(name: str, games: dict[str, Archive], store: SqlStore) -> Record:
    artifacts = {f"games/{condition}": f"games/{name}-{condition}" for condition in games}
    for condition, archive in games.items():
        store.put(artifacts[f"games/{condition}"], pack(archive))
    empty: dict[str, Any] = {"conditions": (), "versions": {}, "machine": {}, "spec": {}, "spec_hash": "0"}
    record = Record(id=name, study="debates", title=f"Doors of {name}", created="now", artifacts=artifacts, **empty)
    records.save(store, record)
    return record


def walk() -> dict[str, Archive]:
    """120 games of 60 doors; every third is wrong."""
    door = examples.archives()["debate"].items["door"]
    items = {f"door-{k}": Item(f"door-{k}", f"What colour was door {k}?", door.choices, door.info) for k in range(60)}
    games = [
        replace(examples.debate(f"g{k}", right=float(k % 3 > 0)), item=f"door-{k % 60}", seat=Seat(k // 60))
        for k in range(120)
    ]
    return {"debate": Archive(items, tuple(games))}


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Counting, str]]:
    """A small real study, hand-made games, many of them, and hostile ones."""
    with Counting(locate(tmp_path_factory.mktemp("games") / "s.sqlite")) as store:
        spec = validate(
            Oversee, {"source": {"task": "evidence"}, "items": 4, "protocols": ["direct", "debate:rounds=2"]}
        )
        real = prepare(spec, store).run()
        records.save(store, real)
        games = examples.archives()
        person = replace(
            examples.debate("p0"),
            turns=tuple(replace(t, model="human:ada") if t.choices else t for t in examples.debate().turns),
        )
        games["debate"] = replace(games["debate"], games=(*games["debate"].games, person))
        record_of("run-small", games, store)
        record_of("run-many", walk(), store)
        bad, item = examples.hostile()
        record_of("run-bad", {"debate": Archive({item.id: item}, (bad,))}, store)
        record_of("run-none", {}, store)
        yield store, real.id


def test_games_are_found_and_read_once(held: Any, serve: Any, session: Any) -> None:
    store, real = held
    someone = session(serve(store))
    store.reads.clear()
    first = someone.get("/runs/run-many/games.json").json()
    assert (first["total"], first["pages"], len(first["games"]), first["seeds"]) == (120, 3, 50, [0, 1])
    assert someone.get("/runs/run-many/games.json?page=3").json()["games"][-1]["id"] == "g119"
    assert someone.get("/runs/run-many/games.json?wrong=1").json()["total"] == 40
    assert someone.get("/runs/run-many/games.json?q=DOOR%2017%3f&seed=1").json()["games"][0]["id"] == "g77"
    assert someone.get("/runs/run-many/games.json?q=green+ann+nothing").json()["total"] == 0
    assert someone.get("/runs/run-many/games.json?seed=x&page=-1&condition=").json()["page"] == 1
    assert someone.get("/runs/run-many/games/g77.json?wrong=1").json()["id"] == "g77"
    assert store.reads["games/run-many-debate"] == 2  # for its size, and once to be parsed
    conditions = someone.get(f"/runs/{real}/games.json").json()["conditions"]
    assert {"direct", "debate:rounds=2"} <= set(conditions)
    found = someone.get(f"/runs/{real}/games.json?condition=debate:rounds%3D2").json()
    assert {g["condition"] for g in found["games"]} == {"debate:rounds=2"}


def test_what_is_not_there_says_so(held: Any, serve: Any, session: Any) -> None:
    store, _ = held
    someone = session(serve(store))
    assert someone.get("/runs/run-small/games/zzz.json").json() == {"error": "no game 'zzz' in run-small"}
    assert "has no games" in someone.get("/runs/run-none/games.json").json()["error"]
    assert someone.get("/runs/run-none/games").status_code == 404
    damaged = record_of("run-gone", walk(), store)
    gone = {"games/debate": "games/never-written"}
    records.save(store, damaged.model_copy(update={"artifacts": gone}))
    assert "gone or damaged" in someone.get("/runs/run-gone/games").text


def test_a_reader_searches_and_walks(held: Any, serve: Any, visit: Any) -> None:
    store, _ = held
    page = visit(f"{serve(store)}/runs/run-many/games")
    page.keyboard.press("/")
    page.keyboard.type("door 17?")
    page.wait_for_selector("#found >> text=2 games")
    assert "q=door+17" in page.url or "q=door%2017" in page.url
    page.click("table.games a >> nth=0")
    assert page.inner_text("h1") == "What colour was door 17?"
    assert "1 of 2" in page.inner_text("nav.rooms")
    page.keyboard.press("n")
    page.wait_for_selector("nav.rooms >> text=2 of 2")
    page.keyboard.press("u")
    page.wait_for_selector("#found >> text=2 games")


def test_a_quote_opens_the_source(held: Any, serve: Any, visit: Any) -> None:
    store, _ = held
    page = visit(f"{serve(store)}/runs/run-small/games/d0", width=390)
    mark = page.locator("mark", has_text="the red door")
    assert not mark.is_visible()
    page.locator("a.quote", has_text="the red door").first.click()
    assert mark.is_visible()
    assert page.locator("svg.course").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    others = page.locator("section", has_text="The same question elsewhere")
    others.get_by_role("link", name="consultancy").click()
    assert "no verdict: failed: consultant" in page.inner_text("main")


def test_a_person_who_judged_is_marked(held: Any, serve: Any, session: Any) -> None:
    store, _ = held
    someone = session(serve(store))
    lines = {g["id"]: g["person"] for g in someone.get("/runs/run-small/games.json").json()["games"]}
    assert lines["p0"] is True
    assert lines["d0"] is False
    assert "Verdict by a person" in someone.get("/runs/run-small/games/p0").text


def test_hostile_games_are_shown_harmlessly(held: Any, serve: Any, visit: Any, session: Any) -> None:
    store, _ = held
    url, width = serve(store), 390
    page = visit(f"{url}/runs/run-bad/games", width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("table.games a >> nth=0")
    page.wait_for_selector("h1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("main script, main img, main svg[onload]").count() == 0
    text = session(url).get("/runs/run-bad/games").text
    assert not set("\u202e\u200b\ufeff") & set(text)
    for attack in ("%3Cscript%3E", "..%5C..%5Cstore", "%00"):
        assert session(url).get(f"/runs/run-bad/games/{attack}").status_code == 404
