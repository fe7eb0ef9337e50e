"""Pages of units: what is on them, what they warn of, hostile text that stays text, and the folder they make."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superalign.core.errors import SpecError, UserError
from superalign.core.spec import Number
from superalign.interp.dossier import Dossier, Excerpt, from_json
from superalign.interp.units import Score, Unit, undefined
from superalign.report.text import visible
from superalign.report.units import folder, histogram, scores, single, tokens, unit, write
from tests.report import unit_examples as examples
from tests.report.test_page import Page


@pytest.fixture(scope="module")
def hostile_page() -> str:
    return unit.html(examples.hostile(), "A run")


def body(page: str) -> str:
    return Page("<html><body>" + page.partition("<body>")[2].partition("<script>")[0] + "</body></html>").text


def bare(text: str) -> str:
    """The text of a page below its style sheet, with what only screen readers are told left out."""
    return body(re.sub(r'<span class="sr">[^<]*</span>', "", text))


def test_a_unit_page_has_everything() -> None:
    text = bare(unit.html(examples.dossier(1), "A run", unit.Place("../index.html", ("mlp.0/0", "a.html"))))
    for words in (
        "mlp.0/1", "the words She, and, then", "correlation:random-only 0.870 [0.830, 0.910] +0.450 against the best",
        "shuffled 0.010 [-0.010, 0.030]", "permuted weights 0.420 [0.380, 0.460]", "n=6,144, test split", "0.05",
        "explained-variance no controls", "undefined no window of the split is silent", "2 failed",
        "top-and-random cannot see breadth", "Strongest windows 8", "2 more", "Quantile 3 of 4 2",
        "Windows where it is silent 2", "document 0 , window 1, explain, peak ", "Tokens it promotes",
        "Tokens it suppresses", "fires on 1.000% of 61,440 tokens", "weight norm 1.24", "Non-zero activations",
        "words such as She", "token in {She, and, then}", "by language:scripted", "revises ab12ab12",
        "876 tokens, $0.0004", "saw 8 windows: 1, 8, 15, 22, 29, 36, 43, 50", "← mlp.0/0", "All units",
    ):  # fmt: skip
        assert words in text, words
    assert "mlp.0/2 →" not in text


def test_what_was_planted_what_people_say_and_leaks() -> None:
    text = bare(unit.html(examples.planted(), "A run"))
    assert "planted token in {ball, toy}" in text
    assert "people say things to play with people say toys" in text
    assert "The explainer was shown 1 window of the test split that this page shows (57)" in text
    assert "The explainer was shown" not in bare(unit.html(examples.dossier(1), "A run"))


def test_a_unit_that_never_fires_has_a_page() -> None:
    text = bare(unit.html(examples.dossier(8), "A run"))
    assert "There is no explanation of this unit." in text
    assert "fires on 0.000% of 61,440 tokens" in text
    assert "It never fires on this text." in text
    assert not {"Scores", "Where it fires", "Non-zero"} & set(re.findall(r"Scores|Where it fires|Non-zero", text))


def test_badges_say_what_is_wrong() -> None:
    number, shuffled = Number(value=0.6, low=0.5, high=0.7), {"shuffled": Number(value=0.1)}
    fine = Score("correlation:random-only", number, controls=shuffled)
    words = {
        (): fine,
        ("no controls",): replace(fine, controls={}),
        ("not above its controls",): replace(fine, controls={"shuffled": Number(value=0.55)}),
        ("undefined",): undefined("detection:f1", "no silent window"),
        ("mismatch",): replace(fine, status="mismatch"),
        ("cannot see breadth",): replace(fine, name="detection:balanced-accuracy"),
    }
    assert {tuple(b.word for b in scores.badges(s)): s for s in words.values()} == words
    assert scores.badges(words["undefined",])[0].why == "no silent window"
    assert scores.badges(words["mismatch",])[0].why == "the call ended as mismatch"
    assert scores.gap(fine) == pytest.approx(0.5)
    lost = replace(fine, controls={"shuffled": Number(value=None, reason="one unit has no other")})
    assert [b.word for b in scores.badges(lost)] == ["no controls"]  # a control that failed controls nothing


def test_a_page_leads_with_the_score_on_random_windows() -> None:
    made = examples.dossier(1)
    assert scores.main(made) == made.scores[0]
    rest = replace(made, scores=made.scores[:0:-1])
    assert scores.main(rest) == made.scores[2]  # the first that exists, not `detection:f1`, which is undefined
    assert scores.main(rest, "detection:f1") == made.scores[3]
    assert scores.main(replace(made, scores=())) is None


@given(st.floats(0, 10), st.floats(0.01, 10))
def test_shades_are_equal_steps_of_one_scale(value: float, top: float) -> None:
    step = tokens.level(value, top)
    assert (step == 0) == (value == 0)
    assert 0 <= step <= tokens.LEVELS
    if value <= top:
        assert (step - 1) * top / tokens.LEVELS <= value * (1 + 1e-9)
        assert value <= step * top / tokens.LEVELS * (1 + 1e-9)
    else:
        assert step == tokens.LEVELS


def test_real_and_simulated_share_a_scale_and_their_numbers_are_there() -> None:
    shown = Excerpt(0, "d", "test", "top", ("a", " b", "c", "d"), (0.0, 2.0, 0.0, 1.0), (0.0, 4.0, 1.0, 0.0))
    made = Dossier(Unit("mlp.0", 1), 10, 0.1, 0.1, 2.0, excerpts=(shown,))
    assert tokens.scale(made) == 4.0  # the simulation goes beyond the unit's peak
    assert str(tokens.shaded(shown, 4.0)) == (
        'a<span class="t r5 p9" title="2, simulated 4"><i> </i>b<span class="sr"> (2, simulated 4)</span></span>'
        '<span class="t p3" title="0, simulated 1">c<span class="sr"> (0, simulated 1)</span></span>'
        '<span class="t r3" title="1, simulated 0">d<span class="sr"> (1, simulated 0)</span></span>'
    )


def test_long_excerpts_are_cut_around_their_largest_value() -> None:
    values = tuple(float(k == 100) for k in range(127))
    shown = Excerpt(0, "d", "test", "top", tuple(f"w{k}" for k in range(127)), values)
    assert tokens.crop(shown) == (100 - 37, 127)
    text = str(tokens.shaded(shown, 1.0))
    assert text.startswith("…w63")
    assert text.endswith("w126")
    silent = replace(shown, values=(0.0,) * 127)
    assert tokens.crop(silent) == (0, 64)  # nothing fires and nothing is predicted
    assert tokens.crop(replace(silent, simulated=values)) == (63, 127)
    assert tokens.crop(replace(silent, values=(), tokens=silent.tokens[:64])) == (0, 64)


def test_every_character_of_a_token_can_be_seen() -> None:
    assert tokens.characters(" a\n") == '<i> </i>a<i class="n">↵</i>'
    assert tokens.characters("\t") == '<i class="n">⇥</i>'
    assert tokens.characters("\r\x1b\u202e\u200b\ufeff") == "[U+000D][U+001B][U+202E][U+200B][U+FEFF]"
    assert tokens.characters("\u3000\u00a0\u2028") == "[U+3000][U+00A0][U+2028]"
    assert tokens.characters("") == '<i class="n">empty</i>'
    assert tokens.characters("<b>\"'&") == "&lt;b&gt;&#34;&#39;&amp;"


@given(st.text())
def test_no_token_can_speak_html(text: str) -> None:
    made = tokens.characters(text)
    assert not set(re.sub(r'<i> </i>|<i class="n">[^<]*</i>', "", made)) & set("<>\"'\n\t\u202e\u200b")


def test_values_that_are_no_numbers_are_not_drawn() -> None:
    nan, inf = float("nan"), float("inf")
    shown = Excerpt(0, "d", "test", "top", ("a", "b", "c"), (nan, inf, 1.0), (nan,))
    made = Dossier(Unit("mlp.0", 1), 3, 0.1, 0.1, inf, excerpts=(shown,))
    assert tokens.scale(made) == 1.0
    assert unit.fragment(made).count('class="t r') == 1 + tokens.LEVELS


def test_a_histogram_of_counts() -> None:
    drawn = Page(str(histogram.histogram((0.0, 1.0, 2.0, 3.0), (100, 0, 3))))
    heights = [float(a["height"]) for t, a in drawn.tags if t == "rect"]
    assert len(heights) == 2
    assert heights[0] == histogram.HEIGHT
    assert 0.25 < heights[1] / heights[0] < 0.35  # log(4) / log(101): the tail can be seen
    assert "0 to 1: 100" in drawn.texts
    assert next(a["aria-label"] for t, a in drawn.tags if t == "svg") == (
        "103 non-zero activations from 0 to 3; the fullest of 3 bars holds 100"
    )
    for edges, counts in (
        ((), ()),
        ((0.0, 1.0), (0,)),
        ((1.0, 1.0), (3,)),
        ((0.0, float("inf")), (3,)),
        ((0.0,), (3,)),
    ):
        assert histogram.histogram(edges, counts) == ""


ALLOWED = {
    "html", "head", "meta", "title", "style", "script", "body", "main", "header", "section", "nav", "p", "h1", "h2",
    "h3", "ol", "ul", "li", "b", "i", "bdi", "kbd", "span", "strong", "code", "pre", "details", "summary", "div", "a",
    "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "svg", "rect", "path", "text",
}  # fmt: skip


def test_hostile_text_stays_text(hostile_page: str) -> None:
    seen = Page(hostile_page)  # well-formed: nothing closed a tag that it did not open
    assert {t for t, _ in seen.tags} <= ALLOWED
    assert [t for t, _ in seen.tags].count("script") == 1
    assert not any(n.startswith("on") or n in ("style", "src") for _, a in seen.tags for n in a)
    assert all(re.fullmatch(r"(\.\./)?[\w.-]+\.html", a["href"]) for t, a in seen.tags if t == "a")
    below = hostile_page.partition("<body>")[2]
    assert not set("\u202e\u200b\ufeff\x1b\udc80\u2028") & set(below)
    shown = " ".join(seen.texts)
    for attack in examples.HOSTILE[:6]:
        assert visible(attack) in shown
    assert "7*7" in shown


def test_the_policy_allows_the_page_s_own_style_and_script(hostile_page: str) -> None:
    for page in (hostile_page, single("t", (examples.hostile(),))):
        policy = next(a["content"] for _, a in Page(page).tags if a.get("http-equiv"))
        found = re.findall(r"<(style|script)>(.*?)</\1>", page, re.DOTALL)
        seals = {kind: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for kind, text in found}
        assert policy == (
            f"default-src 'none'; style-src 'sha256-{seals['style']}'; script-src 'sha256-{seals['script']}'; "
            "base-uri 'none'; form-action 'none'"
        )
        assert len(found) == 2
        assert not re.search(r"@import|url\(", page.partition("</style>")[0])
    assert unit.styles() in hostile_page


def test_a_fragment_is_the_inside_of_the_page() -> None:
    made = examples.dossier(2)
    assert unit.fragment(made).strip() in unit.html(made, "A run")
    assert unit.html(made, "A run") == unit.html(made, "A run")


def blocks(page: str) -> dict[str, str]:
    return dict(re.findall(r'<script type="[\w/]+" id="(\w+)">(.*?)</script>', page, re.DOTALL))


def test_a_folder_of_pages(tmp_path: Path) -> None:
    made = (*examples.run(6), examples.hostile())
    heard: list[tuple[str, int, int]] = []
    path = write(examples.record(), made, tmp_path / "out", lambda *step: heard.append(step))
    assert path == tmp_path / "out" / "index.html"
    assert heard == [("unit pages", k + 1, 7) for k in range(7)]
    files = sorted(p.name for p in (tmp_path / "out" / "units").iterdir())
    assert files == sorted(f"{n}.html" for n in folder.file_names(made))
    assert all(re.fullmatch(r"[\w.-]+\.html", name) for name in files)
    lines = (tmp_path / "out" / folder.EXPORT).read_text().splitlines()
    assert tuple(map(from_json, lines)) == made
    links = [Page((tmp_path / "out" / "units" / f"{n}.html").read_text()) for n in folder.file_names(made)]
    ahead = [[a["href"] for t, a in page.tags if a.get("rel") == "next"] for page in links]
    assert [h[0] for h in ahead[:-1]] == [f"{n}.html" for n in folder.file_names(made)[1:]]
    assert ahead[-1] == []
    text = body(path.read_text())
    assert "What do the neurons of a story model respond to?" in text
    assert "record interp-7f3a spec 7f3a7f3a7f3a" in text
    assert "Token sets explain early neurons well" in text


def test_what_the_index_knows() -> None:
    made = (*examples.run(4), examples.dossier(8), examples.hostile())
    page = folder.index("A title", made)
    data = json.loads(blocks(page)["data"])
    assert data == folder.table(made)
    assert data["sites"] == ["<script>alert(5)</script>", "mlp.0", "mlp.1", "resid.1+topk"]
    assert data["scores"][0] == scores.MAIN
    first = data["rows"][1]
    assert first[:5] == ["mlp.0/1", "mlp.0-1", "the words She, and, then", 1, 0.01]
    assert first[6][0] == [0.87, 0.83, 0.91, 0.45, []]
    assert first[6][3][:4] == [None, None, None, None]
    assert [data["warnings"][k] for k in first[6][3][4]] == ["undefined"]
    assert first[6][3][5] == "no window of the split is silent"
    assert data["rows"][4][2:] == ["", 1, 0.0, 0.0, [0] * len(data["scores"])]
    assert "<" not in blocks(page)["data"]
    assert {t for t, _ in Page(page).tags} <= ALLOWED | {"label", "input", "select", "option", "button", "noscript"}


def test_one_file_holds_every_page(hostile_page: str) -> None:
    made = (*examples.run(4), examples.hostile())
    page = single(examples.record(), made)
    packed = blocks(page)
    for k, dossier in enumerate(made):
        assert gzip.decompress(base64.b64decode(packed[f"u{k}"])).decode() == unit.fragment(dossier)
    assert page == single(examples.record(), made)
    assert folder.EXPORT not in page
    assert not re.search(r"(href|src)=\"(?!#)", page)


def test_200_units_stay_below_five_megabytes() -> None:
    made = [examples.dossier(k) for k in range(20)]
    grown = len(single("t", made)) - len(single("t", ()))
    assert grown < 20 * 12_000  # 1.3 MB at 200 units, the page itself included


def test_an_index_of_nothing() -> None:
    assert json.loads(blocks(folder.index("Nothing", ()))["data"])["rows"] == []


def test_names_are_safe_and_apart() -> None:
    units = (
        Unit("mlp.0", 1), Unit("mlp.0", 1, sign=-1), Unit("resid.3+topk", 7), Unit("A", 1), Unit("a", 1), Unit("../x", 2),
        Unit("é", 3), Unit("x" * 200, 3), Unit("", 0),
    )  # fmt: skip
    named = folder.file_names([Dossier(u, 1, 0, 0, 0) for u in units])
    assert named[:3] == ["mlp.0-1", "mlp.0-1-neg", "resid.3-topk-7"]
    assert len({n.casefold() for n in named}) == len(units)
    assert all(re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,90}", n, re.ASCII) for n in named)


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    made = examples.dossier(1)
    with pytest.raises(SpecError, match=r"mlp\.0/1 has 2 dossiers; give one for each unit"):
        write("t", (made, made), tmp_path)
    bad: Any = replace(made, mean=float("nan"))
    with pytest.raises(SpecError, match=r"the dossier of mlp\.0/1 holds NaN or an infinite number; give finite values"):
        write("t", (bad,), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write '.*dossiers\.jsonl': .*; choose another folder for the pages"):
        write("t", (made,), tmp_path / "file")
