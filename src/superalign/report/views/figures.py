"""Charts of a record on the page. Drawing one takes some 0.3 s, so a page goes out without those that were not drawn
before, and each of them follows when it is scrolled to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from superalign.core.digest import digest
from superalign.core.spec import Record
from superalign.report import page, svg
from superalign.report.numbers import label
from superalign.report.view import Link, View, fragment


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart as SVG for a wide and for a narrow window, or why it could not be drawn."""

    wide: Markup | None = None
    narrow: Markup | None = None
    fault: str | None = None


Known = Callable[[str], Drawn | None]
"""`known(key)`: the drawing of a record's chart, None where it is to be fetched later."""


def draw(of: Record, key: str) -> Drawn:
    """The drawing of a record's chart."""
    chart, prefix = of.charts[key], f"c{digest(of.id, key)[:10]}"  # several records may share a page
    try:
        narrow = svg.draw(chart, f"{prefix}n", svg.PHONE) if svg.fits_phone(chart) else None
        return Drawn(svg.draw(chart, prefix), narrow)
    except svg.ChartError as error:
        return Drawn(fault=str(error))


def heading(of: Record, key: str) -> str:
    """What a chart is called."""
    return svg.heading(of.charts[key])[0] or label(key)


def body(of: Record, link: Link, known: Known) -> Markup:
    """The report of a record, as `page.fragment` makes it."""
    context = page.context(of.model_copy(update={"charts": {}}))
    context["figures"] = [_figure(of, key, chart, link, known(key)) for key, chart in of.charts.items()]
    inside = of.model_dump_json()
    context["inside"] = inside if len(inside) <= page.MAX_INSIDE else None
    return Markup(page.part("record_body.html", **context))


def _figure(of: Record, key: str, chart: Mapping[str, Any], link: Link, drawn: Drawn | None) -> dict[str, Any]:
    found = drawn or Drawn(later(link, of, key))
    told = {"key": key, "title": heading(of, key), "subtitle": svg.heading(chart)[1], "chart": chart}
    return told | {"wide": found.wide, "narrow": found.narrow, "fault": found.fault, "table": page.chart_table(chart)}


def later(link: Link, of: Record, key: str) -> Markup:
    """The place of a chart that is yet to be drawn: a link to it, which the script follows by itself."""
    return fragment("later.html", address=link("runs", of.id, "charts", key), title=heading(of, key))


def chart(of: Record, key: str, drawn: Drawn, link: Link) -> View:
    """One chart of a record; its JSON is Vega-Lite."""
    found = _figure(of, key, of.charts[key], link, drawn)
    source = json.dumps(of.charts[key], ensure_ascii=False)
    return View(
        found["title"],
        fragment("chart.html", figure=found, record=of, source=source, link=link),
        of.charts[key],
        "runs",
    )
