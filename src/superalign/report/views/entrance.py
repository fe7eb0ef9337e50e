"""The entrance: where the token is given, and where people say who they are."""

from __future__ import annotations

from superalign.report.view import Link, View, fragment


def entrance(link: Link, csrf: str, locked: bool, person: str = "", fault: str = "", then: str = "/") -> View:
    """The form for the token (where the page is `locked`) and for a name; `then` is where to go afterwards."""
    body = fragment("entrance.html", link=link, csrf=csrf, locked=locked, person=person, fault=fault, then=then)
    return View("Who are you?", body, {"locked": locked, "person": person})
