"""Markdown with the content of the page, the same for the same record."""

from __future__ import annotations

import os
from pathlib import Path

from markdown_it import MarkdownIt

from superalign.report.markdown import markdown
from superalign.report.text import one_line
from tests.report import examples
from tests.report.test_text import flat

GOLDEN = Path(__file__).parent / "study.md"


def test_the_study_reads_as_stored() -> None:
    """Write the file anew with SUPERALIGN_UPDATE=1 and read the difference."""
    text = markdown(examples.study())
    if os.environ.get("SUPERALIGN_UPDATE"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_hostile_text_makes_no_markup() -> None:
    text = markdown(examples.hostile())
    tokens = flat(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text))
    kinds = {t.type for t in tokens}
    assert kinds.isdisjoint(
        {"html_block", "image", "link_open", "em_open", "strong_open", "s_open", "hr", "code_block"}
    )
    assert {t.content for t in tokens if t.type == "html_inline"} == {"<br>"}
    said = " ".join(t.content for t in tokens if t.type == "inline")
    headings = [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open"]
    assert headings[0].startswith("&lt;script&gt;alert")
    assert "<script>" not in said
    assert sum(t.type == "fence" for t in tokens) == 2
    shown = "".join(t.content for t in tokens if t.type in ("text", "text_special", "code_inline"))
    for attack in examples.ATTACKS:
        assert one_line(attack).replace("\u200b", "") in shown.replace("\u200b", "")


def test_long_charts_are_cut_with_a_word() -> None:
    record = examples.study()
    many = [{"step": s, "value": 0.5, "series": "a", "low": 0.4, "high": 0.6} for s in range(60)]
    from superalign.report import charts

    text = markdown(record.model_copy(update={"charts": {"long": charts.curves(many, "Long")}}))
    assert "The first 50 of 60 points; the record has all of them as the chart long." in text
    foreign = markdown(record.model_copy(update={"charts": {"far": {"data": {"url": "x.csv"}, "mark": "bar"}}}))
    assert "(its data are in the record)" in foreign
