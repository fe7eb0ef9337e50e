"""The check of a finished report: no number in it but those that lead to an entry.

It reads what was written, not what was meant: the page is parsed as HTML, the Markdown line by line. A number is a run
that holds a digit of any script. It may stand in a link whose text and address the book gave out, inside a chart (whose
rows are values of the ledger) and in parts that are marked as explanation or appendix; anywhere else it stops the report.
"""

from __future__ import annotations

import re
from collections.abc import Set
from html.parser import HTMLParser

from superalign.report.research.provenance import ReportError
from superalign.report.text import markdown_text

SHOWN = ("title", "aria-label", "alt", "data-label", "placeholder")
"""Attributes that a reader gets to see or hear."""
_FREE = frozenset(("svg", "style"))
_VOID = frozenset(("meta", "br", "hr", "img", "input", "link", "wbr"))
_LINK = re.compile(r"\[(?:\\.|[^\[\]\\])*\]\(#[a-z0-9-]+\)")
EMPTY = "(empty)"
"""What Markdown shows for an empty text, which would make no link."""


Printed = Set[tuple[str, str]]
"""Texts of links with the anchors that they lead to: what the ledger was asked for, and nothing else."""


def check_html(text: str, printed: Printed) -> None:
    """Raises ReportError that names the number and the section."""
    reader = _Reader(printed)
    reader.feed(text)
    reader.close()


def check_markdown(text: str, printed: Printed, free: frozenset[str]) -> None:
    """The same for Markdown; sections with the titles `free` are explanations and appendices."""
    known = {f"[{markdown_text(said) or EMPTY}](#{anchor})" for said, anchor in printed}
    section = "the beginning"
    for line in text.split("\n"):
        if line.startswith("## "):
            section = line[3:]
        if section not in free:
            bare = _LINK.sub(lambda m: "" if m[0] in known else m[0], line)
            _refuse(bare.replace("\\", ""), section)


def _refuse(text: str, section: str) -> None:
    for token in text.split():
        if any(c.isnumeric() for c in token):
            raise ReportError(
                f"the section {section!r} holds {token!r}, a number that comes from no entry; "
                "print it with ref('12.estimate', '.3f') or derived('count', [...])"
            )


class _Reader(HTMLParser):
    """Walks a page's `<main>`; `free` counts the open elements inside which numbers may stand."""

    def __init__(self, printed: Printed) -> None:
        super().__init__(convert_charrefs=True)
        self.printed = printed
        self.open: list[tuple[str, bool]] = []
        self.section, self.inside, self.free, self.link = "the beginning", False, 0, ("", "")
        self.names = {""}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        classes = given.get("class", "").split()
        self.inside = self.inside or tag == "main"
        if tag == "section":
            self.section = given.get("data-title", "without a title")
        link = tag == "a" and not self.free and bool({"ref", "cite"} & set(classes))
        free = tag in _FREE or link or "appendix" in classes
        if tag not in _VOID:
            self.open.append((tag, free))
            self.free += free
        if link:
            self.link = ("", given.get("href", ""))
        if self.inside and not self.free:
            for name in SHOWN:
                if given.get(name, "") not in self.names:
                    _refuse(given[name], self.section)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open:
            name, free = self.open.pop()
            self.free -= free
            if name == "a" and free:
                self._linked()
            if name == tag:
                return

    def _linked(self) -> None:
        said, address = self.link
        if (said, address.removeprefix("#")) not in self.printed:
            _refuse(said, self.section)
        self.names.add(said)  # a column that is named by a value may name its cells on a phone

    def handle_data(self, data: str) -> None:
        if self.free:
            self.link = (self.link[0] + data, self.link[1])
        elif self.inside:
            _refuse(data, self.section)
