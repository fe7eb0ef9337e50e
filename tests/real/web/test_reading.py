"""What is large is read in the background, once: people see that it is being read, programs wait."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from superalign.core import records
from superalign.core.errors import SpecError
from superalign.protocols.played import pack
from superalign.store.sql import SqlStore
from superalign.web.library import OPENED, Library
from superalign.web.page import Reading
from superalign.web.routes import games
from tests.report import examples, game_examples


def test_one_reads_and_others_wait(store: SqlStore) -> None:
    library, gate, read = Library(store), threading.Event(), []

    def slow() -> str:
        gate.wait(10)
        read.append(1)
        return "read"

    for _ in range(3):
        with pytest.raises(Reading, match="the games") as reading:
            library.opened("k", "the games", True, slow)
    gate.set()
    assert reading.value.done.wait(10)
    assert library.opened("k", "the games", True, slow) == "read"
    assert library.opened("small", "small", False, lambda: 7) == 7
    assert read == [1]
    for k in range(OPENED):
        library.opened(k, "others", False, lambda: 0)
    assert library.opened("k", "the games", False, slow) == "read"
    assert read == [1, 1]  # it had to make room


def test_what_cannot_be_read_is_told_once(store: SqlStore) -> None:
    library, tries = Library(store), []

    def broken() -> str:
        tries.append(1)
        raise SpecError("these are gone")

    for _ in range(2):
        with pytest.raises(SpecError, match="these are gone"):
            library.opened("k", "the games", False, broken)
    assert len(tries) == 2


def test_a_page_that_reads_goes_on_by_itself(
    store: SqlStore, serve: Any, session: Any, visit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(games, "LARGE", 0)
    for name, archive in game_examples.archives().items():
        store.put(f"games/{name}", pack(archive))
    records.save(store, examples.study().model_copy(update={"id": "r", "artifacts": {"games/debate": "games/debate"}}))
    url = serve(store)
    page = visit(f"{url}/runs/r/games")
    page.wait_for_selector("text=What colour was the door?")
    cold = session(serve(store))
    assert cold.get("/runs/r/games").headers["refresh"] == "1"
    assert cold.get("/runs/r/games.json").json()["total"] == 4
    fresh = session(serve(store))
    assert "What colour was the door?" in fresh.get("/runs/r/games/d0/export").text
