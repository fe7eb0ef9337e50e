"""One file, no network, no script, and every text of a record only ever text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib
from html.parser import HTMLParser

import pytest

from superalign.core.errors import UserError
from superalign.core.spec import Condition, Number, Record, Table
from superalign.report import page
from superalign.report.text import visible
from tests.report import examples

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Walks a page: every tag closed in order, all tags, attributes, texts and ids collected."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        self.ids = [a["id"] for _, a in self.tags if "id" in a]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module", params=["study", "hostile", "index", "compare"])
def any_page(request: pytest.FixtureRequest, study_page: str, hostile_page: str) -> str:
    records = [examples.study(), examples.hostile()]
    lists = {"index": page.index, "compare": page.compare}
    return {"study": study_page, "hostile": hostile_page}.get(request.param) or lists[request.param](records)


def test_a_page_is_well_formed_and_asks_for_nothing(any_page: str) -> None:
    walked = Page(any_page)
    assert {tag for tag, _ in walked.tags}.isdisjoint(
        {
            "script",
            "img",
            "link",
            "iframe",
            "object",
            "embed",
            "form",
            "input",
            "base",
            "image",
            "use",
            "audio",
            "video",
        }
    )
    assert sum(tag == "style" for tag, _ in walked.tags) == 1
    for tag, attributes in walked.tags:
        assert not any(
            k.startswith("on") or k in ("style", "src", "srcset", "action", "xlink:href") for k in attributes
        ), tag
        if "href" in attributes:
            assert tag == "a"
            assert re.match(r"#|data:application/(json|toml);base64,|[A-Za-z0-9._-]+\.html$", attributes["href"])
    assert len(walked.ids) == len(set(walked.ids))
    targets = {a["href"][1:] for _, a in walked.tags if a.get("href", "").startswith("#")}
    assert targets <= set(walked.ids)


def test_the_policy_allows_our_style_and_nothing_else(any_page: str) -> None:
    policy = next(a["content"] for _, a in Page(any_page).tags if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", any_page, re.DOTALL)
    assert style is not None
    seal = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{seal}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"@import|url\(", style[1])


def test_hostile_text_is_shown_as_it_is(hostile_page: str) -> None:
    shown = Page(hostile_page).text
    for attack in examples.ATTACKS:
        assert " ".join(visible(attack).split()) in shown
    for character in "\u202e\u2066\u200b\x1b\x07\ufeff\U000e0041":
        assert character not in hostile_page
    assert "7*7" in shown
    assert "This chart could not be drawn: it asks for data that are not inside it" in shown


def test_downloads_hold_the_spec_and_the_record(study_page: str, hostile_page: str) -> None:
    for record, text in ((examples.study(), study_page), (examples.hostile(), hostile_page)):
        links = {a["download"]: a["href"] for _, a in Page(text).tags if "download" in a}
        body = {name: base64.b64decode(href.partition("base64,")[2]).decode() for name, href in links.items()}
        whole = next(
            json.loads(text) for text in body.values() if '"spec_hash"' in text[:100_000] and '"audit"' in text
        )
        assert whole["id"] == record.id
        assert whole["charts"] == json.loads(record.model_dump_json())["charts"]
        spec = next(text for name, text in body.items() if name.endswith(".toml"))
        assert tomllib.loads(spec) == {k: v for k, v in record.spec.items() if v is not None}


def test_everything_in_the_record_is_on_the_page(study_page: str) -> None:
    shown = Page(study_page).text
    record = examples.study()
    for phrase in (
        record.title, record.id, record.spec_hash, record.created, *record.notes, examples.GAP,
        "Weak labels elicit about half", "0.731 [0.715, 0.747]", "superalign run w2s-7f3a.toml", "oracle-free",
        "PGR 0.56 [0.43, 0.69], 5 seeds, n=1,000, spec 7f3a", "1 failure", "41.24", "Linux x86_64", "2.3.1",
        "Agreement by confidence", "0.5123 least sure", *record.artifacts.values(), "2 seeds, n=1,000",
        'weak = ["logistic:words=8"]', "Performance gap recovered",
    ):  # fmt: skip
        assert phrase in shown, phrase


def test_every_chart_is_drawn_twice_with_its_rows_and_source(study_page: str) -> None:
    walked = Page(study_page)
    assert sum(tag == "svg" for tag, _ in walked.tags) == 2 * len(examples.study().charts)
    assert study_page.count("vega.github.io/schema/vega-lite") == len(examples.study().charts)
    assert "xent: 0.41 [0.27, 0.55]" in walked.text
    assert all(a["role"] == "img" and a["aria-label"] for tag, a in walked.tags if tag == "svg")


def test_the_same_record_gives_the_same_bytes_and_a_page_stays_small(study_page: str) -> None:
    fragment = page.fragment(examples.study())
    assert fragment.strip() in study_page  # drawn a second time, in the same bytes
    assert "<html" not in fragment
    assert page.styles() in study_page
    assert len(study_page) < 350_000


def bare(**changes: object) -> Record:
    empty = Record(
        id="r", study="s", title="t", spec={}, spec_hash="h", created="c", versions={}, machine={}, conditions=()
    )
    return empty.model_copy(update=changes)


def test_an_empty_record_is_a_page_too() -> None:
    shown = Page(page.html(bare())).text
    assert "This record has no conditions." in shown
    assert "cannot say whether it is oracle-free" in shown


def test_long_and_ragged_tables_and_nested_numbers() -> None:
    number = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3, "seeds": 2, "reason": None}
    table = Table(title="T", columns=("a", "b"), rows=((1,), *[(i, number) for i in range(300)]))
    shown = Page(page.html(bare(tables={"t": table}))).text
    assert f"The first {page.MAX_ROWS} of 301 rows" in shown
    assert "0.50 [0.40, 0.60]" in shown


def test_a_huge_record_is_not_carried_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MAX_INSIDE", 10)
    assert "too large to be carried inside this page" in Page(page.html(bare())).text


def test_many_numbers_are_parted_into_tables_that_fit() -> None:
    known = {f"number_{i}": Number(value=i / 10, low=0.0, high=1.0) for i in range(14)}
    other = Condition(name="other", numbers={"number_0": Number(value=0.5)})
    walked = Page(page.html(bare(conditions=(Condition(name="all", numbers=known), other))))
    tables = [a for tag, a in walked.tags if tag == "table" and "results" in a["class"]]
    assert len(tables) == 3
    assert "Further numbers: number 6, number 7," in walked.text
    assert "number 12, number 13 condition" in walked.text
    assert walked.text.count("other") == 2  # in the first table and among the origins, not beside empty cells
    seven = dict(list(known.items())[:7])
    assert "Further numbers" not in page.html(bare(conditions=(Condition(name="c", numbers=seven),)))


def test_undefined_numbers_stand_out() -> None:
    lost = Condition(name="c", numbers={"PGR": Number(value=None, reason="undefined: the gap is zero")})
    text = page.html(bare(conditions=(lost,)))
    assert '<span class="value">undefined</span> <span class="reason">the gap is zero</span>' in text


def test_the_index_lists_the_newest_first() -> None:
    old, new = bare(id="old/1", title="Old"), bare(id="new", title="New")
    text = page.index([old, new])
    assert text.index("New") < text.index("Old")
    assert 'href="new.html"' in text
    assert 'href="/runs/new"' in page.index([new], href=lambda r: f"/runs/{r.id}")
    assert "superalign demo" in Page(page.index([])).text


def test_a_comparison_needs_two() -> None:
    with pytest.raises(UserError, match=r"takes two records or more; 1 given \(`superalign runs` lists them\)"):
        page.compare([bare()])
