"""The report of a campaign: every number leads to its entry, and no other number gets in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import UserError
from superalign.report import write
from superalign.report.research import ReportError, document, html, markdown
from superalign.report.research.blocks import Block, Figure, Paragraph, Table, heads, say, struck
from superalign.report.research.literals import check_html, check_markdown
from superalign.report.research.provenance import Book, Ref
from superalign.report.research.view import Campaign
from superalign.research.inference import t_interval
from superalign.research.ledger import Entry, Verified
from tests.report import research_examples as examples
from tests.report.test_browser import Visit
from tests.report.test_page import Page

TITLES = (
    "Verdicts", "What was tried", "Care gap", "Audits", "A/A and power", "Cost", "Nearest neighbours", "Released results",
    "Promised compute", "Negative findings", "Limitations", "Discussion", "Ledger and verification", "Sign-off",
)  # fmt: skip


@pytest.fixture(scope="module")
def text() -> str:
    found, verified = examples.campaign()
    return markdown(found, verified, space=examples.SPACE, released=examples.RELEASED, promise=examples.PROMISE)


@pytest.fixture(scope="module")
def hostile() -> str:
    found, verified = examples.campaign(hostile=True)
    return html(found, verified, space=examples.SPACE, released=examples.RELEASED, promise=examples.PROMISE)


def book(hostile: bool = False) -> Book:
    return Book(*examples.campaign(hostile), tables=document._tables(examples.RELEASED, ()))


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def bare(text: str) -> str:
    """Markdown without its links."""
    return re.sub(r"\[((?:\\.|[^\[\]\\])*)\]\(#[a-z0-9-]+\)", r"\1", text)


def with_payload(kind: str, change: dict[str, Any]) -> list[Entry]:
    """The campaign with some fields of all entries of a type changed; a field that becomes None is left out."""
    found, _ = examples.campaign(signed=False)
    return [
        replace(e, payload={k: v for k, v in {**e.payload, **change}.items() if v is not None}) if e.type == kind else e
        for e in found
    ]


def verified_as(found: Sequence[Entry], **given: Any) -> Verified:
    return Verified(**{"entries": len(found), "head": found[-1].hash, "signatures": 0, "faults": (), **given})


# -- what it says


def test_all_sections_are_there_in_order(text: str) -> None:
    places = [text.index(f"\n## {title}\n") for title in TITLES]
    assert places == sorted(places)


def test_verdicts_stand_with_everything_that_belongs_beside_them(text: str) -> None:
    row = next(line for line in bare(section(text, "Verdicts")).split("\n") if line.startswith("| tuned"))
    verdict = examples.campaign()[0][-2].payload
    assert verdict["word"] == "no evidence"
    for said in (
        f"{verdict['estimate']:+.3f} [",
        f"{verdict['p_adjusted']:.3g}",
        f"{verdict['mde']:.3f}",
        "| 18 |",
        "1 of 40 [",
    ):
        assert said in row
    assert "teacher-independent, of 107 and 106: the method gains as much without" in bare(section(text, "Verdicts"))


def test_the_answer_comes_first_and_the_exploratory_claim_behind_it(text: str) -> None:
    top = bare(text.partition("\n## ")[0])
    assert top.index("There is no evidence that the method improves on equally tuned aux-conf") < top.index(
        "Exploratory"
    )
    assert "Alarms raised: 1" in top


def test_negative_findings_have_a_section_of_their_own(text: str) -> None:
    said = bare(section(text, "Negative findings"))
    assert said.count("no evidence: tuned") == 3
    assert "Runs of the search that failed: 4." in said
    assert "An error was found by agent 7, in entry 95" in said


def test_everything_tried_is_listed_with_failures_and_without_scores(text: str, hostile: str) -> None:
    rows = [line for line in section(text, "What was tried").split("\n") if line.startswith("| [")]
    assert sum("memory" in bare(r) for r in rows) == 4 + 2  # each failure, and two rows of counts
    assert len(rows) == 30 + 4
    body = text.partition("\n## Derived numbers")[0]
    assert "0.931" not in body  # development scores
    page = re.sub(r"<svg.*?</svg>", "", hostile.partition('id="derived"')[0])  # a chart shows them, marked
    assert "0.931" not in page.partition("<main>")[2]


def test_the_care_gap_is_measured_on_fresh_problems(text: str) -> None:
    found, _ = examples.campaign()
    published, tuned = (np.mean(e.payload["arms"]["vanilla"]) for e in found if e.type == "confirm")
    row = next(line for line in bare(section(text, "Care gap")).split("\n") if line.startswith("| vanilla"))
    assert f"{tuned - published:+.3f} [" in row
    assert "0.206" not in row  # the score by which the settings were chosen


def test_cost_is_told_for_each_experiment_and_none_for_findings_that_are_not_there(text: str) -> None:
    rows = {
        r.split(" | ")[0]: r.split(" | ")[1:] for r in bare(section(text, "Cost")).split("\n") if r.startswith("| ")
    }
    assert rows["| search, worker seconds"] == ["15.0", "0.5", "none |"]
    assert rows["| USD"] == ["0.45", "0.015", "none |"]
    assert rows["| tokens in"] == ["30,000", "1,000", "none |"]


def test_a_verified_finding_has_its_price() -> None:
    found = with_payload("verdict", {"word": "improves"})
    said = bare(section(markdown(found, verified_as(found)), "Cost"))
    assert "| USD | 0.45 | 0.015 | 0.45 |" in said
    assert "Verified findings: 1." in said


def test_neighbours_are_near_and_say_where_they_differ(text: str) -> None:
    rows = [r.split(" | ") for r in bare(section(text, "Nearest neighbours")).split("\n") if re.match(r"\| \d", r)]
    apart = [float(r[2]) for r in rows]
    assert len(rows) == 5
    assert apart == sorted(apart)
    assert apart[0] > 0
    assert "vanilla, tuned" in {r[1] for r in rows}
    assert rows[0][3].count(" for ") == 1


def test_rows_from_elsewhere_have_links_of_their_own(text: str) -> None:
    assert "[0.586](#released-2)" in section(text, "Released results")
    assert "[visible at 5 seeds](#released-1)" in section(text, "Released results")
    assert "[30](#promise-8)" in section(text, "Promised compute")
    assert "### Released 2" in text
    assert "[5 seeds see a difference of 0.18 in 80 of 100 studies.](#statement-1)" in section(text, "Released results")
    assert bare(section(text, "Released results")).count("none") == 1


def test_the_signature_of_every_entry_is_told(text: str) -> None:
    assert "## Ledger\n" in text
    assert "10](#ledger-and-verification)" in section(text, "Ledger and verification")
    assert "type: verdict" not in text
    assert re.search(r"### Entry 107\n\n\S+, scorer, verdict, hash [0-9a-f]{12}, signature: checked", text)
    assert re.search(r"### Entry 2\n\n\S+, language\S+, propose, hash [0-9a-f]{12}, signature: not signed", text)


# -- where numbers come from


def test_every_link_prints_what_its_entry_holds(text: str) -> None:
    """Read back without the book: a link to an entry with a number in it shows a number that the entry holds."""
    payloads = {str(e.number): e for e in examples.campaign()[0]}
    checked = 0
    for said, number in re.findall(r"\[([+-]?\d+\.\d+)\]\(#entry-(\d+)\)", text.partition("\n## Derived numbers")[0]):
        assert any(
            abs(float(said) - v) <= 0.51 * 10 ** -len(said.partition(".")[2]) for v in numbers(payloads[number].payload)
        )
        checked += 1
    assert checked > 100


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield float(value)


def test_every_link_of_the_page_leads_somewhere(hostile: str) -> None:
    walked = Page(hostile)
    targets = {a["href"][1:] for tag, a in walked.tags if tag == "a" and a["href"].startswith("#")}
    assert len(targets) > 100
    assert targets <= set(walked.ids)
    assert len(walked.ids) == len(set(walked.ids))


def test_a_path_may_lead_through_keys_with_dots() -> None:
    found = book()
    at = next(e.number for e in examples.campaign()[0] if e.type == "verdict")
    ref = found.ref(f"{at}.per_baseline.v1.5 filter.n")
    assert (ref.text, ref.anchor) == ("18", f"entry-{at}")
    assert found.key(f"{at}.per_baseline.v1.5 filter").text == "v1.5 filter"


@pytest.mark.parametrize(
    ("path", "form", "said"),
    [
        ("107.estimat", ".3f", "in the section 'the report': '107.estimat' leads nowhere.*did you mean 'estimate'"),
        ("107.word", ".3f", "'107.word' is 'no evidence', which '.3f' cannot print: no number"),
        ("9999.word", "", "'9999.word' leads nowhere: there are 108 entries, and released, and statement"),
        ("107.word.length", "", "nothing is called 'length'; there is str instead"),
        ("released.7.mean", "", "asks for row '7' of the 2 in 'released'"),
    ],
)
def test_a_reference_that_leads_nowhere_says_so(path: str, form: str, said: str) -> None:
    with pytest.raises(ReportError, match=said):
        book().ref(path, form)


def test_derived_numbers_are_functions_of_references() -> None:
    found = book()
    at = next(e.number for e in examples.campaign()[0] if e.type == "confirm")
    arm = found.ref(f"{at}.arms.method")
    low = found.derived("arm_low", [arm], ".4f")
    assert low.value == pytest.approx(t_interval(np.mean(arm.value, 1))[0])
    assert found.derived("arm_low", [arm], ".1f").anchor == low.anchor == "derived-1"
    both = found.derived("ratio", [low, found.derived("count", [arm, arm])])
    assert both.value == pytest.approx(low.value / 2)
    assert found.derivations[2].inputs[0].origin == "derived 1"
    with pytest.raises(ReportError, match="no function is called 'best'; there is"):
        found.derived("best", [arm])
    with pytest.raises(ReportError, match=r"the ratio of .* cannot be computed: unsupported operand"):
        found.derived("ratio", [arm, arm])


def test_what_is_not_zero_is_never_printed_as_zero() -> None:
    entry = Entry(1, "", "", "genesis", {"a": -0.0004, "b": 0.0, "c": 0.02}, "h")
    found = Book([entry], verified_as([entry]))
    assert [found.ref(f"1.{k}", "+.3f").text for k in "abc"] == ["-0.0004", "0.000", "+0.020"]


# -- numbers that come from nowhere


def built(monkeypatch: pytest.MonkeyPatch, block: Block) -> None:
    monkeypatch.setattr(document, "SECTIONS", (("Verdicts", lambda c: iter([block]), True),))


@pytest.mark.parametrize("write_it", [html, markdown])
@pytest.mark.parametrize(
    ("block", "number"),
    [
        (Paragraph(("It recovers 0.97 of the gap.",)), "0.97"),
        (Paragraph(("About 97%.",)), "97%."),
        (Paragraph(say("{a}{b}", a="PGR ٠٫٩٧", b=" is good")), "٠٫٩٧"),
        (Paragraph(("½ of the gap",)), "½"),
        (Table("t", heads("name", "top 5"), ((("a",), ("b",)),)), "5"),
        (Table("t", heads("name", "n"), ((("a",), ("b", "=1e-7")),)), "b=1e-7"),
        (Paragraph((Ref("0.97", 0.97, "entry-107", "107.estimate"),)), "0.97"),
        (Paragraph(("[0.97](#entry-107)",)), "0.97"),
    ],
)
def test_a_literal_number_stops_the_report(
    monkeypatch: pytest.MonkeyPatch, write_it: Any, block: Block, number: str
) -> None:
    built(monkeypatch, block)
    with pytest.raises(ReportError, match=r"the section 'Verdicts' holds .*" + re.escape(number)) as caught:
        write_it(*examples.campaign())
    assert isinstance(caught.value, UserError)


@given(st.text(max_size=40))
def test_the_check_finds_exactly_the_texts_with_a_digit(said: str) -> None:
    from markupsafe import escape

    page = f'<main><section data-title="S"><p>{escape(said)}</p></section></main>'
    line = said.replace("\n", " ").replace("[", "").replace("#", "")
    for check, shown in (
        (lambda: check_html(page, set()), said),
        (lambda: check_markdown(line, set(), frozenset()), line),
    ):
        if any(c.isnumeric() for c in shown):
            with pytest.raises(ReportError, match="a number that comes from no entry"):
                check()
        else:
            check()


@pytest.mark.parametrize(
    "page",
    [
        '<main><section data-title="S"><p title="0.97">x</p></section></main>',
        '<main><section data-title="S"><td data-label="top 5">x</td></section></main>',
        '<main><section data-title="S"><a class="ref" href="#entry-1">0.97</a></section></main>',
        '<main><section data-title="S"><a href="#entry-1">0.97</a></section></main>',
        '<main><section data-title="S"><svg><text>1</text></svg>0.97</section></main>',
        '<main><section class="appendix"></section><section data-title="S">0&#46;97</section></main>',
        '<main><section data-title="S">&frac12;</section></main>',
    ],
)
def test_the_check_is_not_led_astray(page: str) -> None:
    with pytest.raises(ReportError, match="the section 'S' holds"):
        check_html(page, {("0.98", "entry-1")})


def test_what_may_hold_numbers() -> None:
    check_html(
        '<main><section data-title="S"><a class="ref" href="#entry-1" title="1.x"><bdi>0.98</bdi></a><svg><text>1</text></svg>'
        '</section><section class="appendix">0.5</section></main>',
        {("0.98", "entry-1")},
    )


@given(st.text(max_size=200))
def test_struck_words_hold_no_number(said: str) -> None:
    assert not any(c.isnumeric() for c in struck(said).text)
    assert len(struck(said).text) <= 601


def test_numbers_are_struck_in_every_spelling() -> None:
    assert struck("PGR 0.97 [1e-7, +3.5] by forty percent, twice").text == "PGR █ [█, █] by █ percent, █"
    assert struck("nobody bones often").text == "nobody bones often"  # words with number words inside


def test_strangers_speak_in_the_discussion_alone_and_without_numbers(hostile: str) -> None:
    body = hostile.partition('id="derived"')[0]
    assert "<script" not in hostile.lower()
    assert "<img" not in hostile
    assert "\u202e" not in hostile
    walked = Page(hostile)
    assert {tag for tag, _ in walked.tags}.isdisjoint(
        {"script", "img", "link", "iframe", "object", "form", "input", "base"}
    )
    discussion = body.partition('id="discussion"')[2].partition("<section")[0]
    elsewhere = body.replace(discussion, "")
    assert discussion.count("alert(█)") >= 5
    assert "0.97" not in discussion
    assert elsewhere.count("alert(1)") == 2  # what the scorer's audit and the person who signed say, as they said it


def test_hostile_markdown_stays_text() -> None:
    found, verified = examples.campaign(hostile=True)
    said = markdown(found, verified)
    assert said.count("\n## Verdicts") == 1
    assert "<script" not in said.partition("\n## Ledger\n")[0]
    assert not re.search(r"(?<!\\)\]\(\s*javascript", said.partition("\n## Ledger\n")[0])


# -- ledgers that are not whole


def test_a_ledger_that_is_not_intact_says_so_first() -> None:
    found, _ = examples.campaign()
    faults = ("the signature of entry 107 (verdict) does not fit", "entry 3 begins the ledger a second time")
    said = markdown(found, verified_as(found, signatures=10, faults=faults))
    assert "The ledger is not intact: the signature of entry 107" in bare(said.partition("\n## ")[0])
    assert "nothing in this report can be relied on" in section(said, "Ledger and verification")
    assert re.search(r"### Entry 107\n\n.*signature: does NOT fit", said)


def test_what_was_verified_must_be_what_is_reported() -> None:
    found, verified = examples.campaign()
    with pytest.raises(ReportError, match=r"was verified at .* it has grown, so verify it again"):
        markdown(found[:-1], verified)
    with pytest.raises(ReportError, match="there is no ledger to report on: the chain is broken at 7"):
        markdown([], Verified(0, "", 0, ("the chain is broken at 7",)))
    with pytest.raises(ReportError, match="it does not begin with its genesis"):
        markdown(found[1:], verified)


@pytest.mark.parametrize("until", [1, 20, 97, 98, 103])
def test_a_campaign_under_way_has_a_report(until: int) -> None:
    found = examples.campaign(signed=False)[0][:until]
    said = markdown(found, verified_as(found), space=examples.SPACE)
    assert "The campaign is not finished: it has no verdict yet." in said
    assert "Nobody has signed this campaign." in said
    assert "No signature was checked" in said


def test_a_failed_confirmation_is_a_result_like_any_other() -> None:
    found = [
        e
        for e in with_payload("confirm", {"status": "failed", "arms": {}, "said": "out of memory"})
        if e.type != "verdict"
    ]
    confirmed = next(e for e in reversed(found) if e.type == "confirm")
    failed = {
        "registration": confirmed.payload["registration"], "claim": "c", "word": "underpowered", "qualifiers": [], "deciding": "",
        "estimate": None, "low": None, "high": None, "p_adjusted": 1.0, "per_baseline": {}, "families": {}, "exploratory": False,
    }  # fmt: skip
    found.append(replace(found[-1], number=len(found) + 1, type="verdict", payload=failed, hash="f" * 64))
    said = bare(markdown(found, verified_as(found)))
    assert "The confirmation failed, which counts as underpowered." in said
    assert "underpowered | undefined | none | 1 | none | none |" in section(said, "Verdicts")
    assert "Confirmation 98 failed; it counts in the correction." in section(said, "Negative findings")
    assert "not measured" in section(said, "Care gap")


def test_methods_that_are_files_have_no_distance() -> None:
    code = {"kind": "code", "sha256": "ab" * 32, "function": "method"}
    found = with_payload("prereg", {"method": code})
    said = markdown(found, verified_as(found), space=examples.SPACE)
    assert "The method is a file, which is no point of the space" in said
    assert "file abababababab, function method" in bare(said)


def test_a_foreign_space_is_refused() -> None:
    from tests.research.toy import Toy

    with pytest.raises(ReportError, match=r"is not a method of the space that was given: no axis is called"):
        markdown(*examples.campaign(), space=Toy.space)


def test_entries_that_nobody_of_us_wrote_are_refused() -> None:
    found = with_payload("propose", {"proposer": None})
    with pytest.raises(ReportError, match=r"the section 'What was tried' cannot be written.*KeyError: 'proposer'"):
        markdown(found, verified_as(found))
    found = with_payload("run_end", {"proposal": None})
    with pytest.raises(ReportError, match="does not say of which proposal it is"):
        markdown(found, verified_as(found))


# -- the page


def test_the_same_ledger_gives_the_same_bytes(text: str) -> None:
    found, verified = examples.campaign()
    assert text == markdown(found, verified, space=examples.SPACE, released=examples.RELEASED, promise=examples.PROMISE)


def test_charts_are_drawn_from_values_of_the_ledger() -> None:
    found, verified = examples.campaign()
    report = document.build(Campaign(found, verified, None, {"promise": examples.PROMISE}))
    figures = {b.name: b for s in report.sections for b in s.blocks if isinstance(b, Figure)}
    assert set(figures) == {"estimates", "development", "promise"}
    drawn = figures["estimates"].chart["data"]["values"]
    held = [row for e in found if e.type == "verdict" for row in e.payload["per_baseline"].values()]
    assert {r["value"] for r in drawn} == {r["estimate"] for r in held}
    assert {(r["low"], r["high"]) for r in drawn} == {(r["low"], r["high"]) for r in held}
    assert "never a result" in figures["development"].chart["title"]["text"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, hostile: str) -> Path:
    return write(hostile, tmp_path_factory.mktemp("report") / "report.html")


def test_the_page_opens_silently_fits_and_leads_to_entries(browser: Any, file: Path) -> None:
    seen = Visit(browser, file, width=390)
    page = seen.page
    assert not page.locator("figure .wide svg").first.is_visible()
    assert seen.too_wide() == []  # and is as wide as a desk from here on
    assert seen.complaints == []
    assert seen.asked == [page.url]
    assert page.locator("figure .wide svg").first.is_visible()
    payload = page.locator("#entry-107")
    assert not payload.is_visible()
    page.locator("#verdicts a.ref", has_text="no evidence").first.click()
    assert page.url.endswith("#entry-107")
    payload.wait_for()
    assert '"word": "no evidence"' in payload.inner_text()
    seen.context.close()
