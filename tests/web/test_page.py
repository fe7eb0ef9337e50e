"""The page as such: its frame, its keys, and how it behaves without script and on a phone."""

from __future__ import annotations

from typing import Any

import superalign
from superalign.core import records
from superalign.store.sql import SqlStore
from tests.report import examples


def test_pages_and_their_twins(store: SqlStore, serve: Any, session: Any) -> None:
    someone = session(serve(store), "Ada")
    for path, twin in (("/", "/index.json"), ("/runs", "/runs.json"), ("/boards", "/boards.json")):
        assert someone.get(path).status_code == 200
        assert isinstance(someone.get(twin).json(), dict)
    assert someone.get("/runs/none").status_code == 404
    assert someone.get("/runs/none.json").json() == {"error": "no record 'none' in this store"}


def test_the_frame(store: SqlStore, serve: Any, visit: Any) -> None:
    url = serve(store)
    page = visit(f"{url}/runs?q=x", person="Ada <b>")
    assert page.inner_text("nav.site [aria-current]") == "Runs"
    assert page.inner_text("a.person") == "Ada <b>"
    foot = page.inner_text("footer.site")
    assert superalign.__version__ in foot
    assert "store.sqlite" in foot
    assert store.file is not None
    assert str(store.file.parent) not in page.content()
    assert page.get_attribute("footer.site a", "href") == "/runs.json?q=x"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.click("a.person")
    page.wait_for_url("**/enter")
    page.fill("#person", "Grace")
    page.click("main form button")
    page.wait_for_selector("a.person >> text=Grace")


def test_keys_are_listed_and_work(store: SqlStore, serve: Any, visit: Any) -> None:
    records.save(store, examples.study())
    page = visit(f"{serve(store)}/runs")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    assert "Search titles and answers" in page.inner_text("dialog")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("c?")  # letters while something is typed are letters
    assert page.input_value("#q") == "c?"
    assert not page.is_visible("dialog")


def test_a_phone_never_scrolls_sideways(store: SqlStore, serve: Any, visit: Any) -> None:
    record = examples.study()
    records.save(store, record)
    records.save(store, record.model_copy(update={"id": "w2s-b", "title": "x" * 300}))
    url = serve(store)
    page = visit(url, width=390, dark=True)
    for path in ("/", "/runs", "/boards", "/enter", f"/compare?run={record.id}&run=w2s-b", f"/runs/{record.id}"):
        page.goto(url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_without_script(store: SqlStore, serve: Any, browser: Any) -> None:
    record = examples.study()
    records.save(store, record)
    url = serve(store)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/runs")
    page.fill("#q", "weak labels")
    page.click("form.filter button")
    assert "1 record found" in page.inner_text("#found")
    assert not page.is_visible("#show-keys")
    page.goto(f"{url}/runs/{record.id}")
    page.click("#charts a >> nth=0")
    page.wait_for_selector("figure.drawn svg")
    context.close()
