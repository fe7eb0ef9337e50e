"""Charts carry their rows, their doubt, and nothing that a reader could not tell apart."""

from __future__ import annotations

import itertools
import json
import math
from functools import cache
from typing import Any

import pytest

from superalign.report import charts, palette

ROWS = [
    {"name": "xent", "value": 0.45, "low": 0.2, "high": 0.7},
    {"name": "wild", "value": -2.4, "low": -7.0, "high": 3.0},
    {"name": 'say "when" \\', "value": None, "reason": "no gap"},
    {"name": "broken", "value": math.nan},
]

NAMES = ("bars", "forest", "curves", "scatter", "deciles")


def marks(chart: dict[str, Any]) -> list[str]:
    return [layer["mark"]["type"] for layer in chart["layer"]]


@cache
def all_charts() -> dict[str, dict[str, Any]]:
    series = [{"step": s, "value": s / 4, "series": n, "low": 0.0, "high": 1.0} for n in "ab" for s in range(3)]
    points = [
        {"x": i, "y": i, "name": f"p{i}", "y_low": i - 1, "y_high": i + 1, "x_low": 0, "x_high": 9} for i in range(4)
    ]
    made = (
        charts.bars_with_intervals(ROWS, "Bars", references=[("weak", 0.1), ("ceiling", 0.9)]),
        charts.forest(ROWS, "Forest"),
        charts.curves(series, "Curves"),
        charts.scatter(points, "Scatter"),
        charts.deciles([{"decile": r["step"], **r} for r in series], "Deciles"),
    )
    return dict(zip(NAMES, made, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_is_plain_json_with_one_copy_of_its_rows(name: str) -> None:
    chart = all_charts()[name]
    assert json.loads(json.dumps(chart, allow_nan=False)) == chart
    assert "rule" in marks(chart) or "area" in marks(chart)  # doubt is always drawn
    assert len(chart["data"]["values"]) == len(charts.chart_rows(chart)) > 0
    assert not any(key.startswith("_") for row in charts.chart_rows(chart) for key in row)
    assert not any("data" in layer and len(layer["data"]["values"]) > 2 for layer in chart["layer"])


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_is_what_vega_lite_takes(name: str) -> None:
    import altair
    from jsonschema import ValidationError

    altair.LayerChart.from_dict(all_charts()[name], validate=True)
    broken = all_charts()[name] | {"layer": [{"mark": "no such mark"}]}
    with pytest.raises(ValidationError, match="was expected"):
        altair.LayerChart.from_dict(broken, validate=True)


def test_the_same_rows_give_the_same_chart() -> None:
    assert json.dumps(charts.forest(ROWS, "Forest")) == json.dumps(all_charts()["forest"])


def test_a_forest_holds_zero_and_one_and_cuts_what_is_far() -> None:
    chart = charts.forest(ROWS, "PGR")
    wild = next(r for r in chart["data"]["values"] if r["name"] == "wild")
    x = next(layer["encoding"]["x"] for layer in chart["layer"] if "scale" in layer["encoding"].get("x", {}))
    low, high = x["scale"]["domain"]
    assert low < 0 < 1 < high
    assert (wild["_low"], wild["_high"], wild["_at"]) == (low, high, None)
    assert (wild["_left"], wild["_right"]) == (low, high)
    assert {layer["mark"].get("shape") for layer in chart["layer"]} >= {"triangle-left", "triangle-right"}
    assert wild["value"] == -2.4  # the data say what the drawing cuts
    references = [r["name"] for layer in chart["layer"] for r in layer.get("data", {}).get("values", ())]
    assert set(references) == {"0 = weak", "1 = ceiling"}


def test_references_are_named_between_their_rules_where_there_is_room() -> None:
    def sides(weak: float) -> list[str]:
        chart = charts.bars_with_intervals(ROWS[:1], "t", references=[("weak", weak), ("ceiling", 0.9)])
        return [layer["mark"]["align"] for layer in chart["layer"] if layer["mark"].get("align")]

    assert sides(0.1) == ["left", "right"]
    assert sides(0.88) == ["right", "left"]


def test_undefined_rows_are_listed_with_the_word() -> None:
    chart = charts.forest(ROWS, "PGR")
    lost = [r for r in chart["data"]["values"] if r["value"] is None]
    assert [r["_tip"] for r in lost] == [
        'say "when" \\: undefined: no gap',
        "broken: undefined: no reason was recorded",
    ]
    words = [layer["encoding"]["text"] for layer in chart["layer"] if layer["mark"]["type"] == "text"]
    assert {"value": "undefined"} in words
    defined = charts.bars_with_intervals(ROWS[:1], "One")
    assert {"value": "undefined"} not in [layer["encoding"].get("text") for layer in defined["layer"]]


def test_missing_intervals_are_admitted() -> None:
    bare = [{"step": s, "value": 0.5, "series": "a"} for s in range(4)]
    assert charts.curves(bare, "t")["title"]["subtitle"] == "No intervals were recorded"
    assert charts.curves(bare, "t", note="of means")["title"]["subtitle"] == "Of means; no intervals were recorded"
    half = [*bare, {"step": 5, "value": 0.5, "series": "a", "low": 0.4, "high": 0.6}]
    assert charts.curves(half, "t")["title"]["subtitle"] == "4 of 5 points have no interval"
    assert "subtitle" not in charts.forest(ROWS[:2], "t")["title"]


def test_many_rows_and_no_rows() -> None:
    many = [{"step": s, "value": 0.5, "series": "a"} for s in range(6000)]
    assert len(charts.curves(many, "t")["data"]["values"]) == 6000
    for empty in (charts.forest([], "t"), charts.curves([], "t"), charts.scatter([], "t"), charts.deciles([], "t")):
        assert charts.chart_rows(empty) == []


def test_chart_rows_of_foreign_charts() -> None:
    layered = {"layer": [{"data": {"values": [{"a": 1}]}}, {"data": {"values": [{"b": 1}, {"b": 2}]}}]}
    assert charts.chart_rows(layered) == [{"b": 1}, {"b": 2}]
    assert charts.chart_rows({"datasets": {"d": [1, 2]}}) == [{"value": 1}, {"value": 2}]
    assert charts.chart_rows({"data": {"url": "x.csv"}}) == []


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    """WCAG 2.2 contrast ratio."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_read_on_both_themes() -> None:
    """WCAG 2.2 asks for 3:1 of graphics and 4.5:1 of text."""
    assert min(contrast(colour, palette.PAPER) for colour in palette.SERIES) >= 3.5
    assert min(contrast(colour, palette.PAPER_DARK) for colour in palette.SERIES_DARK) >= 5
    for text in (palette.MUTED, palette.ACCENT):
        assert contrast(text, palette.PAPER) >= 4.5
    for text in (palette.MUTED_DARK, palette.ACCENT_DARK):
        assert contrast(text, palette.PAPER_DARK) >= 4.5
    assert contrast(palette.INK, palette.PAPER) > 12 < contrast(palette.INK_DARK, palette.PAPER_DARK)


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
DEFICIENCIES = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


def oklab(colour: str, matrix: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    r, g, b = [min(1.0, max(0.0, sum(m * c for m, c in zip(row, linear, strict=True)))) for row in matrix]
    cone = [
        (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3),
        (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3),
        (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3),
    ]
    mix = ((0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
           (0.0259040371, 0.7827717662, -0.8086757660))  # fmt: skip
    return tuple(sum(m * c for m, c in zip(row, cone, strict=True)) for row in mix)


@pytest.mark.parametrize("kind", sorted(DEFICIENCIES))
@pytest.mark.parametrize("colours", [palette.SERIES, palette.SERIES_DARK], ids=["light", "dark"])
def test_colours_keep_apart_for_colour_blind_readers(kind: str, colours: tuple[str, ...]) -> None:
    """Distances in OKLab, where .02 can just be seen side by side."""
    seen = [oklab(c, DEFICIENCIES[kind]) for c in colours]
    assert min(math.dist(a, b) for a, b in itertools.combinations(seen[:4], 2)) > 0.1
    assert min(math.dist(a, b) for a, b in itertools.combinations(seen, 2)) > 0.045
