"""The whole store as a static site: every view that can be reached from the first page, each as a file beside its JSON.

The pages are asked of the application itself, in this process, so whatever can be looked at on the server is published
and looks the same. Links become relative; what needs a server (forms, exports, judging) is left out.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from superalign.core.errors import UserError
from superalign.core.ports import Progress, silent
from superalign.report.files import file_name
from superalign.store.sql import SqlStore
from superalign.web.app import create
from superalign.web.site import Site

LEFT_OUT = re.compile(r"^/(judge|enter|events|live|compare|static)(/|$|\?)|/export$|\.json(\?|$)")
"""Addresses that make no sense without a server."""
_LINK = re.compile(r'(href|src)="(/[^"]*)"')
"""Only our own links match: quotation marks in foreign text are escaped."""


def publish(store: SqlStore, folder: Path, progress: Progress = silent) -> Path:
    """Write the site and return the path of its first page, which comes last, so that a folder without one was
    interrupted. Raises UserError for a folder that holds something else."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / "assets").is_dir())):
        raise UserError(f"{str(folder)!r} holds something else; name a new folder for the site")

    def whole() -> Path:
        with asyncio.Runner() as runner:
            return runner.run(_publish(store, folder, progress))

    with ThreadPoolExecutor(1) as own:  # whoever calls may have a loop running, as notebooks do
        return own.submit(whole).result()


async def _publish(store: SqlStore, folder: Path, progress: Progress) -> Path:
    app = create(store, warm=False, static=True)
    pages: dict[str, str] = {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        todo, seen = ["/"], {"/"}
        while todo:
            address = todo.pop()
            answer = await client.get(address)
            if answer.status_code != 200:
                continue  # a link to what is damaged or gone: its page says so on the server, here it has none
            pages[address] = file_of(address)
            for link in _links(answer.text):
                if link not in seen and not LEFT_OUT.search(link) and _plain(link):
                    seen.add(link)
                    todo.append(link)
            if address != "/":
                await _write(client, folder, address, answer.text)
            progress("pages", len(pages), len(seen))
        _assets(app.state.site, folder)
        first = (await client.get("/")).text
        await _write(client, folder, "/", first)
    return folder / "index.html"


async def _write(client: httpx.AsyncClient, folder: Path, address: str, text: str) -> None:
    place = folder / file_of(address)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(_LINK.sub(lambda m: f'{m[1]}="{_relative(html.unescape(m[2]), address)}"', text), encoding="utf-8")
    path, _, query = address.partition("?")
    twin = await client.get(("/index" if path == "/" else path) + ".json" + (f"?{query}" if query else ""))
    if twin.status_code == 200:
        place.with_suffix(".json").write_bytes(twin.content)


def _assets(site: Site, folder: Path) -> None:
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    for name, data in site.assets.items():
        (folder / "assets" / name).write_bytes(data)


def file_of(address: str) -> str:
    """The file of an address: `/runs/a?page=2` is `runs/a.page-2.html`; parts that no file can be called are named by
    hash."""
    found = urlsplit(address)
    parts = [file_name(unquote(part), "") for part in found.path.strip("/").split("/") if part] or ["index"]
    query = dict(parse_qsl(found.query))
    return "/".join(parts) + (f".page-{query['page']}" if query.get("page") else "") + ".html"


def _relative(link: str, at: str) -> str:
    """A link as it is written in the file of the page `at`; `#` where there is nothing to go to."""
    up = "../" * file_of(at).count("/")
    if link.startswith("/static/"):
        return html.escape(f"{up}assets/{link.rpartition('/')[2]}")
    path, _, anchor = link.partition("#")
    if ".json" in path and LEFT_OUT.search(path):
        return html.escape(Path(file_of(at)).with_suffix(".json").name)
    if LEFT_OUT.search(path) or not _plain(path):
        return "#"
    return html.escape(up + file_of(path) + (f"#{anchor}" if anchor else ""))


def _links(text: str) -> Iterator[str]:
    for match in _LINK.finditer(text):
        yield html.unescape(match[2]).partition("#")[0]


def _plain(link: str) -> bool:
    """Whether an address asks for a page of a list at most: searches and filters need a server."""
    return {k for k, _ in parse_qsl(urlsplit(link).query)} <= {"page"}
