"""A page on a real port, a browser that notices every complaint, and forms sent as a browser sends them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from superalign.store import open_store
from superalign.store.sql import SqlStore
from superalign.web.app import create
from superalign.web.server import serving

Serve = Callable[..., str]
Visit = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """An empty store in a file."""
    with open_store(tmp_path / "store.sqlite") as opened:
        yield opened


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(store, **options of create)` starts the page and gives its address; all are stopped at the end."""
    open_ = []

    def start(store: SqlStore, **options: Any) -> str:
        running = serving(create(store, **{"warm": False, **options}))
        server = running.__enter__()
        open_.append(running)
        return f"http://127.0.0.1:{server.port}"

    yield start
    for running in open_:
        running.__exit__(None, None, None)


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """`visit(url, person="", width=1200, dark=False)`: a new browser context at the address. The test fails where the
    browser complained: a script error, a breach of the content-security policy, a file that is not there."""
    contexts, complaints = [], []

    def go(url: str, person: str = "", width: int = 1200, dark: bool = False) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        page = patient(context.new_page())
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        if person:
            page.goto(re.match(r"https?://[^/]+", url)[0] + "/enter")
            page.fill("#person", person)
            page.click("main form button")
        page.goto(url)
        return page

    yield go
    for context in contexts:
        context.close()
    assert not complaints, complaints


LOOKS = (
    "inner_text",
    "input_value",
    "is_checked",
    "get_attribute",
    "eval_on_selector",
    "eval_on_selector_all",
    "evaluate",
)


def patient(page: Any) -> Any:
    """The page, whose keys are pressed and whose parts are read once its scripts have run."""

    def after_load(do: Callable[..., Any]) -> Callable[..., Any]:
        def done(*arguments: Any, **options: Any) -> Any:
            page.wait_for_load_state()
            return do(*arguments, **options)

        return done

    keyboard = page.keyboard
    keyboard.press = after_load(keyboard.press)
    for name in LOOKS:
        setattr(page, name, after_load(getattr(page, name)))
    return page


class Session:
    """A person's session without a browser: pages are got, forms sent with the session's secret."""

    def __init__(self, url: str, person: str = "") -> None:
        self.client = httpx.Client(base_url=url, follow_redirects=True, timeout=20)
        if person:
            self.send("/enter", person=person)

    def get(self, path: str) -> httpx.Response:
        """The answer to a GET."""
        return self.client.get(path)

    def csrf(self) -> str:
        """The session's secret, as pages carry it."""
        found = re.search(r'data-csrf="([^"]+)"', self.client.get("/enter").text)
        assert found is not None
        return found[1]

    def send(self, path: str, **fields: Any) -> httpx.Response:
        """The answer to a form."""
        return self.client.post(path, data={"csrf": self.csrf(), **fields})


@pytest.fixture
def session() -> Iterator[Callable[..., Session]]:
    """`session(url, person)`: a session, closed at the end."""
    made: list[Session] = []

    def start(url: str, person: str = "") -> Session:
        made.append(Session(url, person))
        return made[-1]

    yield start
    for one in made:
        one.client.close()
