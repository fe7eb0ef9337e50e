"""The page as such: every first page answers, has its JSON twin, and looks at home in a browser."""

from __future__ import annotations

from typing import Any

from superalign.compute.runs import live
from superalign.store.sql import SqlStore


def test_pages_and_their_twins(store: SqlStore, serve: Any, session: Any) -> None:
    someone = session(serve(store), "Ada")
    for path, twin in (("/", "/index.json"), ("/runs", "/runs.json")):
        assert someone.get(path).status_code == 200
        assert isinstance(someone.get(twin).json(), dict)
    assert someone.get("/runs/none").status_code == 404
    assert someone.get("/runs/none.json").json() == {"error": "no record 'none' in this store"}


def test_a_run_is_watched_to_its_end(store: SqlStore, serve: Any, visit: Any) -> None:
    url = serve(store)
    with live(store, "w2s", "w2s: digits", {"study": "w2s"}) as run:
        progress = run.progress()
        progress("games", 1, 4)
        page = visit(f"{url}/live/{run.id}")
        assert "1 of 4" in page.inner_text(".steps")
        progress("games", 4, 4)
        page.wait_for_selector(".steps >> text=4 of 4")
    page.wait_for_selector(".state.finished")
