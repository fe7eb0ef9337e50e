"""A view: what one address shows, as HTML for people and as JSON for programs, and how views link to each other.

Views are functions of values; the local page serves them and the static site writes them to files, so both show the
same. Only the frame around the body differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup

import superalign
from superalign.report import page
from superalign.report.files import file_name

STYLES = (
    "transcript.css",
    "research.css",
    "units/units.css",
    "site/site.css",
    "site/judge.css",
    "site/games.css",
    "site/units.css",
    "site/campaigns.css",
    "site/runs.css",
    "site/label.css",
)
SECTIONS = (("", "Home"), ("runs", "Runs"), ("boards", "Leaderboards"), ("campaigns", "Campaigns"), ("judge", "Judge"))
"""The navigation: first part of the address, and what it is called."""


@dataclass(frozen=True, slots=True)
class View:
    """What an address shows. `section` is its place in the navigation; `data` the JSON twin; `wide` gives the body the
    whole width of the window."""

    title: str
    body: Markup
    data: Any
    section: str = ""
    scripts: tuple[str, ...] = ()
    wide: bool = False


Link = Callable[..., str]
"""`link("runs", record, "games", page=2)`: the address of a view from where the link stands."""


def absolute(*parts: str, **query: object) -> str:
    """Addresses on a server. A part that would be several is named as its file is (`files.file_name`)."""
    path = "/" + "/".join(quote(file_name(p, "") if set(p) & {"/", "\\"} else p, safe="") for p in parts)
    kept = {k: v for k, v in query.items() if v not in (None, "", False)}
    return path + (f"?{urlencode(kept)}" if kept else "")


def framed(view: View, link: Link = absolute, **frame: Any) -> str:
    """The whole page of a view. `frame` may give `styles` and `scripts` (addresses), `person`, `csrf`, `static`."""
    known = {"person": "", "csrf": "", "static": False, "styles": "", "scripts": (), "json": "", "store": ""}
    version = superalign.__version__
    return page.part("site/frame.html", view=view, link=link, sections=SECTIONS, version=version, **known | frame)


def fragment(template: str, **context: Any) -> Markup:
    """A body from a template under `templates/site`."""
    return Markup(page.part(f"site/{template}", **context))


def styles() -> str:
    """The style sheet of all views."""
    folder = Path(page.__file__).parent / "templates"
    return page.styles() + "".join((folder / name).read_text(encoding="utf-8") for name in STYLES)
