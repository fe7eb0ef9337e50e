"""The look that every chart shares: sizes, type, axes, legends, and how series are told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from superalign.report.palette import FAINT, FONT, INK, MUTED

Row = Mapping[str, Any]
WIDTH = 760
STEP = 44
"""Pixels of a row of an interval chart: a whisker, its value below, air."""


def finish(
    alt: Any, layers: Sequence[Any], data: Sequence[Row], title: str, subtitle: str, height: int
) -> dict[str, Any]:
    """The layers over one copy of the rows, as a dict, in the house's look."""
    heading = alt.TitleParams(title, subtitle=subtitle) if subtitle else alt.TitleParams(title)
    size: Any = alt.Step(STEP) if height == STEP else height
    chart = (
        alt.layer(*layers, data=alt.Data(values=[]))
        .properties(
            title=heading, width=WIDTH, height=size, autosize=alt.AutoSizeParams(type="fit-x", contains="padding")
        )
        .configure(**_CONFIG)
    )
    with _inline(alt):
        done: dict[str, Any] = chart.to_dict(validate=False)  # tests validate each kind; it is a third of the time
    done["data"] = {
        "values": [dict(row) for row in data]
    }  # put in last: altair would check row by row, a second per 1,500
    return done


_TEXT = {
    "labelColor": MUTED,
    "titleColor": MUTED,
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
}
_CONFIG: dict[str, Any] = {
    "font": FONT,
    "background": "transparent",
    "padding": {"left": 2, "right": 12, "top": 4, "bottom": 2},
    "view": {"stroke": None},
    "title": {
        "anchor": "start", "frame": "group", "fontSize": 15, "color": INK, "subtitleColor": MUTED,
        "subtitleFontSize": 12, "offset": 18,
    },
    "axis": {"gridColor": FAINT, "domainColor": MUTED, "tickColor": MUTED, "titlePadding": 8, **_TEXT},
    "axisYDiscrete": {
        "domain": False, "ticks": False, "grid": False, "labelLimit": 260, "labelPadding": 10, "labelColor": INK,
    },
    "axisYQuantitative": {
        "domain": False, "ticks": False, "titleAngle": 0, "titleAlign": "left", "titleAnchor": "start",
        "titleBaseline": "bottom", "titleX": 0, "titleY": -8,
    },
    "axisXDiscrete": {"grid": False},
    "axisQuantitative": {"tickCount": 6},
    "legend": {"orient": "top", "columns": 3, "labelLimit": 320, "symbolStrokeWidth": 2, "symbolSize": 70,
               "offset": 36, **_TEXT, "labelColor": INK},
    "text": {"fontSize": 12},
}  # fmt: skip


@contextmanager
def _inline(alt: Any) -> Iterator[None]:
    """References stay inside their layers, whatever the caller's altair settings are."""
    with alt.data_transformers.enable("default"):
        before = alt.data_transformers.consolidate_datasets
        alt.data_transformers.consolidate_datasets = False
        try:
            yield
        finally:
            alt.data_transformers.consolidate_datasets = before


def names(data: Sequence[Row]) -> list[str]:
    """The series of the rows, in order of appearance."""
    return list(dict.fromkeys(r["series"] for r in data))


def by_series(alt: Any, channel: str, look: Sequence[Any], data: Sequence[Row], line: bool = False) -> Any:
    """A channel that tells series apart. Channels with the same domain share one legend; one series needs none."""
    known = names(data)
    scale = alt.Scale(domain=known, range=[look[i % len(look)] for i in range(len(known))])
    symbol = {"symbolType": "stroke", "symbolFillColor": "transparent", "symbolSize": 500} if line else {}
    key = alt.Legend(title=None, **symbol) if len(known) > 1 else None
    return getattr(alt, channel)("series:N", scale=scale, legend=key)
