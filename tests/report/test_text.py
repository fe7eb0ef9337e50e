"""What cannot be seen is made visible, what is obeyed is escaped."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from superalign.report.text import cell, column_cells, markdown_code, markdown_text, one_line, visible, visible_all


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("safe \u202egnp.exe", "safe [U+202E]gnp.exe"),
        ("\x1b[31mred\x07", "[U+001B][31mred[U+0007]"),
        ("a\u200bb\ufeffc\u2066d", "a[U+200B]b[U+FEFF]c[U+2066]d"),
        ("tag \U000e0041", "tag [U+E0041]"),
        ("half \ud800", "half [U+D800]"),
        ("line\u2028break", "line[U+2028]break"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("שלום 你好 👩\u200d🔬 Ünïcödé", "שלום 你好 👩\u200d🔬 Ünïcödé"),
    ],
)
def test_invisible_characters_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible_all({text: [text, 1, None]}) == {shown: [shown, 1, None]}


@given(st.text())
def test_visible_text_hides_nothing(text: str) -> None:
    shown = visible(text)
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or c in "\t\n\u200c\u200d" for c in shown)
    assert "\n" not in one_line(text)
    shown.encode()


def flat(tokens: list[Token]) -> list[Token]:
    return [t for token in tokens for t in (token, *flat(token.children or []))]


@given(st.text(alphabet=st.sampled_from("ab1 .-+#=>*_`[]()!|<&;~\\\n\t:/$")) | st.text())
def test_escaped_markdown_is_one_plain_paragraph(text: str) -> None:
    tokens = flat(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown_text(text)))
    assert {t.type for t in tokens} <= {
        "paragraph_open", "paragraph_close", "inline", "text", "text_special", "hardbreak", "softbreak",
    }  # fmt: skip
    said = "".join(t.content for t in tokens if t.type in ("text", "text_special"))
    assert said == one_line(text).strip()


def test_numbers_stay_legible_in_the_source() -> None:
    assert markdown_text("0.41 (-0.2) 50 %") == "0.41 (-0.2) 50 %"
    assert markdown_text("-0.5") == "-0.5"
    assert markdown_text("1. one") == "1\\. one"
    assert markdown_text("# one") == "\\# one"


@given(st.text(alphabet="`~ab\n"))
def test_a_code_block_cannot_be_closed_from_inside(text: str) -> None:
    tokens = MarkdownIt().parse(markdown_code(text, "toml") + "\n\nafter")
    assert [t.type for t in tokens][:2] == ["fence", "paragraph_open"]
    assert tokens[0].content.rstrip("\n") == text.rstrip()


def test_cells() -> None:
    assert [cell(v) for v in (None, True, 12345, 0.123456, 2.0, 12345.678)] == [
        "", "yes", "12,345", "0.1235", "2", "12,346",
    ]  # fmt: skip
    assert cell({"torch": 1, "blas": [1, 2.5]}) == "torch: 1, blas: 1, 2.5"
    assert cell(float("nan")) == "nan"
    assert column_cells([0.5, 0.25, None, 1.0]) == ["0.50", "0.25", "", "1.00"]
    assert column_cells([0.108597, -0.004525, 1.0]) == ["0.109", "-0.005", "1.000"]
    assert column_cells([1, 2000, None]) == ["1", "2,000", ""]
    assert column_cells([0.5, "a"]) == ["0.5", "a"]
    assert column_cells([1e-9, 0.5]) == ["1e-09", "0.5"]
