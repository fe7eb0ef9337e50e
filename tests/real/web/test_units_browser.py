"""The pages of units in a real browser, opened from disk: at two widths, light and dark, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superalign.report.units import folder, single, write
from tests.report import unit_examples as examples
from tests.report.test_browser import Visit

PAGES = ("index", "units/mlp.0-1", "units/script-alert-5-script-0-neg", "single", "many")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = (*examples.run(8), examples.planted(), examples.hostile())
    path = tmp_path_factory.mktemp("units")
    write("Units of a model", made, path)
    (path / "single.html").write_text(single("Units in one file", made), encoding="utf-8")
    (path / "many.html").write_text(folder.index("Many units", examples.many(10_000)), encoding="utf-8")
    return path


@pytest.fixture
def visit(browser: Any, root: Path) -> Iterator[Any]:
    visits: list[Visit] = []

    def open_page(name: str, **options: Any) -> Any:
        visits.append(Visit(browser, root / f"{name}.html", **options))
        return visits[-1]

    yield open_page
    for opened in visits:
        opened.context.close()


def names(page: Any) -> list[str]:
    found: list[str] = page.locator("#rows a").all_inner_texts()
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_silently_and_fits(visit: Any, name: str) -> None:
    seen = visit(name)
    assert seen.too_wide() == []
    assert seen.complaints == []
    assert seen.asked == [seen.page.url]
    assert seen.page.evaluate("document.querySelectorAll('img, body script:not([type]):not(:last-child)').length") == 0


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of `rgb(r, g, b)` or `color(srgb r g b)`, each of which Chromium writes."""
    inside = colour.partition("(")[2].rstrip(")").replace("srgb", "").replace(",", " ").split()
    parts = [float(v) / (1 if "srgb" in colour else 255) for v in inside[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_shades_differ_and_text_stays_readable_on_all(visit: Any) -> None:
    page = visit("units/mlp.0-1").page
    style = "es => es.map(e => [getComputedStyle(e).backgroundColor, getComputedStyle(document.body).color])"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours = page.locator(".legend .t").evaluate_all(style)
        shades = [luminance(shade) for shade, _ in colours[1:]]
        ink = luminance(colours[0][1])
        assert shades == sorted(shades, reverse=scheme == "light")  # one hue, ordered by lightness alone
        assert len(set(shades)) == 9
        assert all((max(s, ink) + 0.05) / (min(s, ink) + 0.05) >= 4.5 for s in shades)


def test_numbers_are_there_for_mouse_and_screen_reader(visit: Any) -> None:
    page = visit("units/mlp.0-1").page
    token = page.locator(".excerpts .t[class*=' r'][class*=' p']").first
    assert "simulated 1.05" in token.get_attribute("title")
    assert "simulated 1.05" in token.inner_text()
    assert token.locator(".sr").bounding_box()["width"] <= 1


def test_the_list_searches_filters_and_sorts(visit: Any) -> None:
    page = visit("index").page
    assert page.locator("#found").inner_text() == "10 of 10 units"
    assert names(page)[:2] == ["mlp.0/0", "mlp.0/1"]
    page.locator("#words").fill("THEN she")  # each word somewhere, whatever its case
    assert names(page) == ["mlp.0/1", "resid.1+topk/1"]
    page.locator("#site").select_option("mlp.0")
    assert names(page) == ["mlp.0/1"]
    page.locator("#words").fill("nothing has this")
    assert page.locator("#found").inner_text() == "None of 10 units fits."
    page.locator("#words").fill("")
    page.locator("#least").fill("0.6")
    page.locator("#most").fill("0.8")
    assert names(page) == ["mlp.0/2", "mlp.0/3"]  # 0.74 and 0.61
    page.locator("#site").select_option("")
    for box in ("#least", "#most"):
        page.locator(box).fill("")
    score = page.locator("#heads th[data-key=score]")
    score.get_by_role("button").click()
    assert score.get_attribute("aria-sort") == "descending"
    high = [r.get_attribute("href") for r in page.locator("#rows a").all()]
    assert high[0] == "units/mlp.0-1.html"  # 0.87
    assert high[-1] == "units/script-alert-5-script-0-neg.html"  # undefined comes last
    score.get_by_role("button").click()
    assert score.get_attribute("aria-sort") == "ascending"
    assert names(page)[-1] == "<script>alert(5)</script>/0-"  # and first it never comes
    page.locator("#score").select_option("detection:f1")
    badge = page.locator("#rows .badge").first
    assert (badge.inner_text(), badge.get_attribute("title")) == ("undefined", "no window of the split is silent")


def test_ten_thousand_units_come_in_slices(visit: Any) -> None:
    seen = visit("many")
    assert seen.page.locator("#found").inner_text() == "10,000 of 10,000 units"
    assert seen.page.locator("#rows tr").count() <= 180
    before = seen.page.locator("#rows tr").count()
    seen.page.locator("#more").scroll_into_view_if_needed()
    seen.page.locator("#rows tr").nth(before).wait_for()
    seen.page.locator("#words").fill("mlp.3/1999")
    assert names(seen.page) == ["mlp.3/1999"]
    assert seen.page.locator("#more").is_hidden()


def test_the_keyboard_reaches_everything(visit: Any) -> None:
    page = visit("index").page
    page.keyboard.press("/")
    page.keyboard.type("topk")
    page.keyboard.press("Enter")  # into the list
    page.keyboard.press("j")
    focused = "document.activeElement.textContent"
    assert page.evaluate(focused) == "resid.1+topk/2"
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/units/resid.1-topk-1.html")
    page.keyboard.press("j")
    page.wait_for_url("**/units/resid.1-topk-2.html")
    page.keyboard.press("k")
    page.wait_for_url("**/units/resid.1-topk-1.html")
    page.keyboard.press("u")
    page.wait_for_url("**/index.html")


def test_a_phone_lists_cards_and_sorts(visit: Any) -> None:
    page = visit("index", width=390).page
    assert not page.locator("#heads").is_visible()
    page.locator("#order").select_option("density")
    assert names(page)[:3] == ["<script>alert(5)</script>/0-", "space/3", "mlp.0/3"]  # on 50, 5 and 2 %
    assert page.locator("#rows").get_by_text("0.61").first.is_visible()


def test_one_file_opens_units_without_a_server(visit: Any) -> None:
    seen = visit("single")
    page = seen.page
    page.locator("#words").fill("mlp.0")
    page.locator("#rows a").nth(1).click()
    page.locator("#page h1").get_by_text("mlp.0/1").wait_for()
    assert not page.locator("#list").is_visible()
    assert page.locator("#page .excerpts .t").first.is_visible()
    page.keyboard.press("j")
    page.locator("#page h1").get_by_text("mlp.0/2").wait_for()
    page.keyboard.press("k")
    page.locator("#page h1").get_by_text("mlp.0/1").wait_for()
    page.keyboard.press("Escape")
    page.locator("#list").wait_for()
    assert page.locator("#words").input_value() == "mlp.0"  # where one left off
    page.evaluate("location.hash = '#script-alert-5-script-0-neg'")
    page.locator("#page h1").get_by_text("<script>alert(5)</script>/0-").wait_for()
    assert page.locator("#previous").is_hidden()  # it is not in what was searched for
    page.evaluate("location.hash = '#nobody'")
    page.locator("#list").wait_for()
    assert seen.complaints == []
    assert seen.page.title().startswith("Units in one file")


def test_without_scripts_the_pages_read_and_the_list_says_why_it_is_empty(visit: Any) -> None:
    page = visit("units/mlp.0-1", script=False).page
    assert page.locator(".excerpts .t").first.is_visible()
    page.get_by_role("link", name="mlp.0/2 →").click()
    assert page.locator("h1").inner_text() == "mlp.0/2"
    page = visit("index", script=False).page
    assert "is in the folder units" in page.locator("noscript").inner_text()


def test_a_handler_in_an_unpacked_page_would_not_run(visit: Any) -> None:
    seen = visit("single")
    seen.page.evaluate("document.getElementById('page').innerHTML = '<img src=x onerror=\"document.title=1\">'")
    seen.page.wait_for_timeout(100)
    assert seen.page.title().startswith("Units in one file")
    assert any("Content Security Policy" in line for line in seen.complaints)
