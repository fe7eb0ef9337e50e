"""Text that means harm, in every field of everything that is shown: nothing of it runs, hides or breaks the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from superalign.compute.runs import live
from superalign.core import records
from superalign.core.types import Ask, Item, Message
from superalign.interp.dossier import to_json
from superalign.people.desk import Desk
from superalign.people.questions import question_of
from superalign.protocols.played import Archive, pack
from superalign.store import open_store
from superalign.store.sql import SqlStore
from superalign.web.app import create
from superalign.web.publish import publish
from superalign.web.server import serving
from tests.report import examples, game_examples, unit_examples
from tests.web.conftest import Session

HARM = examples.HARM
EVERYTHING = " ".join(examples.ATTACKS)
LINK = re.compile(r'href="(/[^"]*)"')
SKIPPED = re.compile(
    r"^/(static|events)|export|\?.*(sort|site)=|/charts/(?!rows)"
)  # and no chart but one: they are slow
INVISIBLE = "\u202e\u2066\u200b\ufeff\U000e0041"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqlStore, Path]]:
    """A store in which everything means harm: a record, its games and units, a run, questions of every form."""
    folder = tmp_path_factory.mktemp("hostile")
    with open_store(folder / "store.sqlite") as store:
        game, item = game_examples.hostile()
        store.put("games/hostile", pack(Archive({item.id: item}, (game,))))
        store.put("units/hostile", to_json(unit_examples.hostile()).encode("utf-8", "replace"))
        found = examples.hostile()
        artifacts = {**found.artifacts, f"games/{HARM}": "games/hostile", "units/x": "units/hostile"}
        records.save(store, found.model_copy(update={"artifacts": artifacts}))
        with live(store, HARM, EVERYTHING, {"study": HARM, HARM: EVERYTHING}) as run:
            run.progress()(EVERYTHING, 1, 2)
        Desk(store).post([question_of(f"{k:064x}", ask) for k, ask in enumerate(asks())])
        yield store, folder


def asks() -> list[Ask]:
    """One ask for each form, whose every text is an attack; one of a megabyte."""
    unit = {"tokens": list(examples.ATTACKS), "values": [1.0] * len(examples.ATTACKS)}
    info = {
        "answer": EVERYTHING,
        "critique": EVERYTHING,
        "explanation": EVERYTHING,
        "excerpts": [unit],
        "source": "KEY",
    }
    item = Item(EVERYTHING, EVERYTHING, (HARM, EVERYTHING), info)
    speech = f'<speech by="Debater A" round="1">\n{EVERYTHING}\n<verified>{HARM}</verified></speech>'
    said = (Message("system", HARM), Message("user", f"{EVERYTHING}\n{speech}\n{speech}"))
    long = Item("long", "word " * 200_000, ("a" * 300_000, "b"))
    return [
        Ask("judge", said, item.choices, item),
        Ask("judge", said, (HARM, "end"), item),
        Ask("cross-examiner", said, (), item),
        Ask("labeller", said, item.choices, item),
        Ask("critique-rater", said, (), item),
        Ask("explanation-rater", said, (), item),
        Ask("labeller", (), long.choices, long),
        Ask("judge", (Message("user", "w" * 1_000_000),), ("x", "y"), Item("wide", "", ("x", "y"))),
    ]


@pytest.fixture(scope="module")
def pages(full: tuple[SqlStore, Path]) -> Iterator[tuple[str, dict[str, str]]]:
    """The page of that store, and the text of everything that can be reached on it."""
    with serving(create(full[0], warm=False)) as server:
        someone = Session(server.url, "<b onmouseover=alert(1)>Eve</b>")
        before = lengths(full[0])
        found = dict(everywhere(someone))
        assert lengths(full[0]) == before  # whoever looks changes nothing
        yield server.url, found
        someone.client.close()


def lengths(store: SqlStore) -> dict[str, int]:
    """How many events each stream holds."""
    return {name: sum(1 for _ in store.read(name)) for name in store.streams()}


def everywhere(start: Any) -> Iterator[tuple[str, str]]:
    """Every page that can be reached, with its text."""
    todo = ["/", "/runs", *(f"/judge/people/{k:064x}" for k in range(len(asks())))]
    seen = set(todo)
    while todo:
        path = todo.pop()
        answer = start.get(path)
        yield path, answer.text
        for link in map(unescape, LINK.findall(answer.text)):
            bare = link.partition("#")[0]
            if bare not in seen and not SKIPPED.search(bare):
                seen.add(bare)
                todo.append(bare)


def test_no_page_holds_a_tag_of_others(pages: tuple[str, dict[str, str]]) -> None:
    found = pages[1]
    assert sum(path.startswith("/judge/people/") for path in found) >= len(asks())
    assert len(found) > 20
    for path, text in found.items():
        bare = re.sub(r'"[^"]*"', '""', text)  # tags only: what stands in attributes is quoted
        assert not re.search(r"<script(?![^>]*(src=\"\"|type=\"\"))", bare), path
        assert not re.search(r"<[a-z]+[^>]*\s(on\w+|style)=", bare), path
        assert "<svg onload" not in text, path
        assert "<img" not in text, path
        assert 'href="javascript' not in text, path
        if not path.split("?")[0].endswith(".json"):
            assert not set(INVISIBLE) & set(text), path
        assert "KEY" not in text or not path.startswith("/judge"), path


def test_a_browser_runs_nothing_of_it(pages: tuple[str, dict[str, str]], visit: Any) -> None:
    url, paths = pages[0], [p for p in pages[1] if ".json" not in p]
    kinds = {re.sub(r"[0-9a-f]{8,}|charts/.*", "#", p.partition("?")[0]) + ("+" if "?" in p else ""): p for p in paths}
    page = visit(url, "Ada")
    page.on("dialog", lambda d: pytest.fail(f"a dialog: {d.message}"))
    for path in [*kinds.values(), *(f"/judge/people/{k:064x}" for k in range(len(asks())))]:
        page.goto(url + path)
        assert page.title().endswith("· superalign"), path
        assert page.locator("main").is_visible(), path


def test_the_static_site_is_as_harmless(full: tuple[SqlStore, Path], visit: Any, tmp_path: Path) -> None:
    first = publish(full[0], tmp_path / "site")
    files = sorted(p for p in (tmp_path / "site").rglob("*.html"))
    assert len(files) > 5
    page = visit(first.as_uri())
    for file in files:
        assert "/../" not in str(file)
        page.goto(file.as_uri())
        assert page.locator("main").is_visible()
        for link in page.eval_on_selector_all("a[href]", "found => found.map(a => a.getAttribute('href'))"):
            target = link.partition("#")[0]
            assert not target or target.startswith("data:") or (file.parent / target).exists(), (file, link)
