"""A drawn chart is safe in a page and follows its theme."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from superalign.report import svg
from tests.report import examples
from tests.report.test_charts import NAMES, all_charts

HARMFUL = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"
 onload="alert(1)"><script>alert(1)</script><style>*{}</style><a xlink:href="javascript:alert(1)"><text>kept</text></a>
<image xlink:href="http://127.0.0.1/a.png"/><foreignObject><b>x</b></foreignObject><use href="#x"/>
<rect fill="url(http://127.0.0.1/)" stroke="url(#g1)" style="fill:red" onclick="x" width="1" height="2" clip-path="url(#c)"/>
<path d="M1.23456,2e-16L9,9" fill="#1878D8" role="graphics-symbol" aria-label="a &lt;b&gt;"/></svg>"""


def test_only_known_elements_and_attributes_are_kept() -> None:
    out = svg.clean(HARMFUL, "p", 'a "title"')
    for bad in ("script", "style", "onload", "onclick", "href", "image", "foreignObject", "http://127", "use"):
        assert bad not in out
    assert "<text>kept</text>" in out
    assert 'stroke="url(#p-g1)"' in out
    assert 'clip-path="url(#p-c)"' in out
    assert '<path d="M1.23,0L9,9" fill="var(--series-1)"><title>a &lt;b&gt;</title></path>' in out
    ElementTree.fromstring(out)


@pytest.mark.parametrize("bad", ["<svg", "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg>&a;</svg>", "<svg><g></svg>"])
def test_broken_svg_is_refused(bad: str) -> None:
    with pytest.raises(svg.ChartError, match=r"not well-formed|declares entities"):
        svg.clean(bad, "p")


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("width", [None, svg.PHONE])
def test_house_charts_are_drawn_in_page_colours_alone(name: str, width: int | None) -> None:
    chart = all_charts()[name]
    root = ElementTree.fromstring(svg.draw(chart, "c", width))
    assert abs(float(root.attrib["width"]) - (width or 760)) <= 1
    assert root.attrib["aria-label"].startswith(str(chart["title"]["text"]))
    painted = {e.get(k) for e in root.iter() for k in ("fill", "stroke")} - {None, "none", "transparent"}
    assert painted
    assert all(str(colour).startswith("var(--") for colour in painted), painted
    assert any(e.tag.endswith("title") for e in root.iter())
    assert chart["title"]["text"] not in "".join(root.itertext())


def test_a_phone_gets_names_above_their_rows() -> None:
    chart = examples.study().charts["accuracy"]
    wide, narrow = svg.draw(chart, "c"), svg.draw(chart, "c", svg.PHONE)
    assert "logconf with a rather long name (alpha<" in wide  # broken into lines
    assert "logconf with a rather long name (alpha 0.75, warm" in narrow  # one line of the whole width
    assert not svg.fits_phone({"hconcat": [], "width": 3})
    assert not svg.fits_phone({"mark": "bar", "width": {"step": 3}})


def test_data_outside_of_the_chart_are_refused() -> None:
    for data in ({"url": "http://127.0.0.1:9/x.json"}, {"url": "file:///etc/hostname"}):
        for chart in ({"data": data, "mark": "bar"}, {"layer": [{"data": data, "mark": "bar"}]}):
            with pytest.raises(svg.ChartError, match="it asks for data that are not inside it"):
                svg.draw(chart, "c")
    lookup = {"lookup": "a", "from": {"data": {"url": "x.csv"}, "key": "a"}}
    with pytest.raises(svg.ChartError, match="not inside it"):
        svg.draw({"data": {"values": []}, "transform": [lookup], "mark": "bar"}, "c")


def test_nonsense_is_a_chart_error() -> None:
    with pytest.raises(svg.ChartError):
        svg.draw({"mark": {"type": "nonsense"}}, "c")
    ElementTree.fromstring(svg.draw({"data": {"values": []}, "mark": "bar"}, "c"))  # nothing to show is no fault


def test_the_nearest_installed_vega_lite_is_used() -> None:
    assert svg._version({"$schema": "https://vega.github.io/schema/vega-lite/v5.20.1.json"}) == "5.20"
    assert svg._version({"$schema": "https://vega.github.io/schema/vega-lite/v5.999.json"}) == "5.21"
    assert svg._version({"$schema": "https://vega.github.io/schema/vega-lite/v99.json"}) is None
    assert svg._version({}) is None
