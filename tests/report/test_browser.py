"""The pages in a real browser: from a file, at two widths, light and dark, on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superalign.report import page, write
from tests.browser import missing
from tests.report import examples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, study_page: str, hostile_page: str) -> Path:
    path = tmp_path_factory.mktemp("pages")
    write(study_page, path / "study.html")
    write(hostile_page, path / "hostile.html")
    write(page.index([examples.study(), examples.hostile()]), path / "index.html")
    write(page.compare([examples.study(), examples.hostile()]), path / "compare.html")
    return path


class Visit:
    """A page that was opened from its file, and all that it complained about or asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, scheme: str = "light", script: bool = True) -> None:
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def too_wide(self) -> list[int]:
        """The widths, of a phone and of a desk, that the page does not fit in."""
        found = []
        for width in (390, 1280):
            self.page.set_viewport_size({"width": width, "height": 900})
            if self.page.evaluate("document.documentElement.scrollWidth") > width:
                found.append(width)
        return found


@pytest.fixture
def visit(browser: Any, folder: Path) -> Iterator[Any]:
    visits: list[Visit] = []

    def open_page(name: str, **options: Any) -> Visit:
        visits.append(Visit(browser, folder / f"{name}.html", **options))
        return visits[-1]

    yield open_page
    for opened in visits:
        opened.context.close()


@pytest.mark.parametrize("name", ["study", "hostile", "index", "compare"])
def test_a_page_opens_silently_and_fits(visit: Any, name: str) -> None:
    seen = visit(name)
    assert seen.too_wide() == []
    assert seen.complaints == []
    assert [url for url in seen.asked if not url.startswith("data:")] == [seen.page.url]
    assert seen.page.evaluate("document.querySelectorAll('script, img').length") == 0


def brightness(page_: Any, property_: str) -> float:
    colour = page_.evaluate(f"getComputedStyle(document.body).{property_}")
    return sum(int(v) for v in colour[4:-1].split(",")[:3]) / 3


def test_both_themes_follow_the_reader_and_charts_with_them(visit: Any) -> None:
    inks = []
    seen = visit("study")
    for scheme in ("light", "dark"):
        seen.page.emulate_media(color_scheme=scheme)
        back, front = brightness(seen.page, "backgroundColor"), brightness(seen.page, "color")
        assert (back > 200 > 60 > front) if scheme == "light" else (back < 60 < 200 < front)
        inks.append(seen.page.evaluate("getComputedStyle(document.querySelector('figure .wide svg text')).fill"))
        assert seen.complaints == []
    assert inks[0] != inks[1]


def test_a_phone_shows_cards_and_narrow_charts(visit: Any) -> None:
    page = visit("study").page
    for width, shown, hidden in ((1280, ".wide", ".narrow"), (390, ".narrow", ".wide")):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.locator("table.results thead").is_visible() == (width == 1280)
        assert page.locator(f"figure {shown} svg").first.is_visible()
        assert not page.locator(f"figure {hidden} svg").first.is_visible()
    assert page.locator("table.results").get_by_text("0.731").first.is_visible()
    size = page.evaluate("parseFloat(getComputedStyle(document.querySelector('.narrow svg text')).fontSize)")
    scale = page.evaluate(
        "(s => s.getBoundingClientRect().width / s.viewBox.baseVal.width)(document.querySelector('.narrow svg'))"
    )
    assert size * scale >= 11.5  # readable without zooming


def test_nothing_needs_scripts(visit: Any) -> None:
    seen = visit("study", script=False)
    assert seen.page.locator("table.results").is_visible()
    assert seen.page.locator("figure .wide svg").first.is_visible()
    seen.page.locator("figure details summary").first.click()
    assert seen.page.locator("figure details pre").first.is_visible()


def test_a_condition_leads_to_the_origin_of_its_numbers(visit: Any) -> None:
    seen = visit("study")
    origin = seen.page.get_by_text("PGR 0.56 [0.43, 0.69], 5 seeds, n=1,000, spec 7f3a")
    assert not origin.is_visible()
    seen.page.locator("table.results").get_by_role("link", name="logconf", exact=True).click()
    assert origin.is_visible()


def test_downloads_work_from_a_file(visit: Any) -> None:
    seen = visit("study")
    with seen.page.expect_download() as waiting:
        seen.page.get_by_role("link", name="w2s-7f3a.toml").click()
    assert waiting.value.suggested_filename == "w2s-7f3a.toml"
    assert 'study = "w2s"' in Path(waiting.value.path()).read_text()


def test_a_missing_browser_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPERALIGN_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser here"):
        missing("no browser here")
    monkeypatch.setenv("SUPERALIGN_REQUIRE", "postgres,browser")
    with pytest.raises(pytest.fail.Exception, match="asks for a browser: no browser here"):
        missing("no browser here")


def test_a_page_prints(visit: Any) -> None:
    seen = visit("study", scheme="dark")
    seen.page.emulate_media(media="print")
    assert brightness(seen.page, "backgroundColor") > 200  # ink on white, whatever the screen shows
    assert not seen.page.locator("nav").is_visible()
    assert seen.page.pdf()[:5] == b"%PDF-"


def test_without_colour_and_style_the_policy_still_holds(visit: Any) -> None:
    """An inline handler that somebody adds to a page does not run."""
    seen = visit("study")
    seen.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
    seen.page.wait_for_timeout(100)
    assert seen.page.title().startswith("How much of a strong model")
    assert any("Content Security Policy" in line for line in seen.complaints)
