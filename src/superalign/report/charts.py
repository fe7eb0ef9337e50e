"""Charts as Vega-Lite: pure functions from tidy rows to a dict with its data inside, for `Record.charts`.

Every chart shows its doubt: whiskers or bands wherever rows carry `low` and `high`, and a line that
says so where they carry none. Keys that start with an underscore are drawing aids and are left out of
the tables that a report makes from a chart's data.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from superalign.core.spec import Number
from superalign.report import numbers
from superalign.report.look import STEP, Row, by_series, finish, names
from superalign.report.palette import DASHES, INK, MUTED, PAPER, SERIES, SHAPES
from superalign.report.text import cell

PGR_WINDOW = (-1.0, 2.0)
"""A PGR beyond this window says "large" and no more; drawn whole, it would flatten the rest of a forest."""


def bars_with_intervals(
    rows: Sequence[Row],
    title: str,
    *,
    x: str = "accuracy",
    references: Sequence[tuple[str, float]] = (),
    note: str = "",
) -> dict[str, Any]:
    """A point and its interval per condition, with vertical rules for what it is compared to.

    `rows`: name, value, low, high; a value of None is listed as undefined, with its `reason` on hover.
    `references`: `(name, value)`, such as the weak model and the ceiling.
    """
    ends = [v for r in rows for v in (_number(r, "value"), _number(r, "low"), _number(r, "high")) if v is not None]
    ends += [value for _, value in references]
    return _intervals(rows, title, x, references, _padded(ends), note)


def forest(rows: Sequence[Row], title: str, *, x: str = "PGR", note: str = "") -> dict[str, Any]:
    """Performance gap recovered per method: 0 is the weak model, 1 the ceiling.

    `rows` as in `bars_with_intervals`. The axis always holds 0 and 1; what lies beyond -1 or 2 is cut and
    ends in an arrow. Undefined ratios are listed in grey with the word.
    """
    low, high = PGR_WINDOW
    ends = [v for r in rows for v in (_number(r, "value"), _number(r, "low"), _number(r, "high")) if v is not None]
    shown = [min(high, max(low, v)) for v in ends]
    return _intervals(rows, title, x, (("0 = weak", 0.0), ("1 = ceiling", 1.0)), _padded([0.0, 1.0, *shown]), note)


def curves(
    rows: Sequence[Row], title: str, *, x: str = "step", y: str = "value", note: str = "", log: bool = False
) -> dict[str, Any]:
    """Lines over training. `rows`: step, value, series, and low and high for a band. `log`: each doubling is as wide."""
    import altair as alt

    data = [_pick(r, ("step", "value", "low", "high"), ("series",)) for r in rows]
    for row in data:
        row["_tip"] = f"{row['series']}, {x} {cell(row['step'])}: {_words(row)}"
    chart = alt.Chart().encode(
        x=alt.X("step:Q", title=x, scale=_scale(alt, log), axis=_ticks(alt, data, log)),
        y=_vertical(alt, y, _value_domain(data)),
    )
    colour, dash = (
        by_series(alt, "Color", SERIES, data, line=True),
        by_series(alt, "StrokeDash", DASHES, data, line=True),
    )
    layers = [
        chart.mark_line(strokeWidth=2, aria=False).encode(color=colour, strokeDash=dash),
        chart.mark_point(filled=True, size=30, opacity=1).encode(color=colour, description="_tip:N"),
    ]
    if _has_bounds(data):
        layers.insert(0, chart.mark_area(fillOpacity=0.16, aria=False).encode(y="low:Q", y2="high:Q", color=colour))
    return finish(alt, layers, data, title, _subtitle(data, note), height=280)


def _scale(alt: Any, log: bool) -> Any:
    return alt.Scale(type="log", base=2, padding=8, nice=False) if log else alt.Scale(padding=8, nice=False, zero=False)


def _ticks(alt: Any, data: Sequence[Row], log: bool) -> Any:
    steps = sorted({row["step"] for row in data})
    return alt.Axis(grid=False, values=steps) if log and len(steps) <= 12 else alt.Axis(grid=False)


def scatter(rows: Sequence[Row], title: str, *, x: str = "x", y: str = "y", note: str = "") -> dict[str, Any]:
    """Points with whiskers. `rows`: x, y, and name, group, x_low, x_high, y_low, y_high where known.

    Up to twelve points of one group carry their names; all show them on hover.
    """
    import altair as alt

    numeric = ("x", "y", "x_low", "x_high", "y_low", "y_high")
    data = [_pick(r, numeric, ("name", "group")) for r in rows]
    for row in data:
        row["series"] = row.pop("group")
        row["_tip"] = f"{row['name'] or row['series']}: {x} {_words(row, 'x')}, {y} {_words(row, 'y')}"
    base = alt.Chart().encode(
        x=alt.X("x:Q", title=x, scale=alt.Scale(domain=list(_value_domain(data, "x")), nice=False, zero=False)),
        y=_vertical(alt, y, _value_domain(data, "y"), "y"),
    )
    colour, shape = by_series(alt, "Color", SERIES, data), by_series(alt, "Shape", SHAPES, data)
    layers = []
    if _has_bounds(data, "x_"):
        layers.append(base.mark_rule(strokeWidth=1.5, aria=False).encode(x="x_low:Q", x2="x_high:Q", color=colour))
    if _has_bounds(data, "y_"):
        layers.append(base.mark_rule(strokeWidth=1.5, aria=False).encode(y="y_low:Q", y2="y_high:Q", color=colour))
    layers.append(
        base.mark_point(filled=True, size=64, opacity=1).encode(color=colour, shape=shape, description="_tip:N")
    )
    if len(data) <= 12 and len(names(data)) == 1:
        layers.append(base.mark_text(align="left", dx=8, dy=-6, color=MUTED, aria=False).encode(text="name:N"))
    bounds = [{**r, "low": r["y_low"], "high": r["y_high"]} for r in data]
    return finish(alt, layers, data, title, _subtitle(bounds, note), height=320)


def deciles(
    rows: Sequence[Row], title: str, *, x: str = "weak confidence, decile", y: str = "rate", note: str = ""
) -> dict[str, Any]:
    """A rate by decile, with whiskers. `rows`: decile, value, and series, low, high where known."""
    import altair as alt

    data = [_pick(r, ("decile", "value", "low", "high"), ("series",)) for r in rows]
    for row in data:
        row["_tip"] = f"{row['series'] or y}, decile {cell(row['decile'])}: {_words(row)}"
    series = names(data)
    base = alt.Chart().encode(
        x=alt.X("decile:O", title=x, axis=alt.Axis(labelAngle=0)), y=_vertical(alt, y, _value_domain(data))
    )
    if len(series) > 1:
        base = base.encode(xOffset=alt.XOffset("series:N", sort=series, scale=alt.Scale(paddingOuter=0.3)))
    colour, shape = by_series(alt, "Color", SERIES, data), by_series(alt, "Shape", SHAPES, data)
    layers = [base.mark_point(filled=True, size=54, opacity=1).encode(color=colour, shape=shape, description="_tip:N")]
    if _has_bounds(data):
        layers.insert(0, base.mark_rule(strokeWidth=2, aria=False).encode(y="low:Q", y2="high:Q", color=colour))
    return finish(alt, layers, data, title, _subtitle(data, note), height=260)


def _intervals(
    rows: Sequence[Row],
    title: str,
    x: str,
    references: Sequence[tuple[str, float]],
    domain: tuple[float, float],
    note: str,
) -> dict[str, Any]:
    import altair as alt

    decimals = numbers.column_digits([_as_number(_pick(r, ("value", "low", "high"), ("reason",))) for r in rows])
    data = [_interval_row(r, domain, decimals) for r in rows]
    order = list(dict.fromkeys(r["name"] for r in data))
    undefined = [r["name"] for r in data if r["value"] is None]
    grey = {"condition": {"test": f"indexof({json.dumps(undefined)}, datum.value) >= 0", "value": MUTED}, "value": INK}
    base = alt.Chart().encode(
        y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelColor=grey, labelExpr=_wrapped(order)))
    )
    across = alt.X(
        "_low:Q", title=x, scale=alt.Scale(domain=list(domain), nice=False, zero=False), axis=alt.Axis(tickCount=6)
    )
    defined, there = base.transform_filter("isValid(datum.value)"), "isValid(datum._{0})"
    layers = [
        *_rules(alt, references, domain),
        defined.mark_rule(strokeWidth=2, color=SERIES[0], aria=False).encode(x=across, x2="_high:Q"),
        defined.transform_filter(there.format("at"))
        .mark_point(filled=True, size=80, opacity=1, color=SERIES[0])
        .encode(x="_at:Q", description="_tip:N"),
        # drawn twice: the outline in the page's colour keeps a label readable on a rule
        defined.mark_text(dy=15, stroke=PAPER, strokeWidth=4, aria=False).encode(x="_label:Q", text="_text:N"),
        defined.mark_text(dy=15, color=INK, aria=False).encode(x="_label:Q", text="_text:N"),
    ]
    if undefined:
        word = base.transform_filter("!isValid(datum.value)").mark_text(
            align="left", dx=8, color=MUTED, fontStyle="italic"
        )
        layers.append(word.encode(x=alt.value(0), text=alt.value("undefined"), description="_tip:N"))
    for side, shape in (("left", "triangle-left"), ("right", "triangle-right")):
        if any(r[f"_{side}"] is not None for r in data):
            arrow = base.transform_filter(there.format(side)).mark_point(
                shape=shape, filled=True, size=60, opacity=1, color=SERIES[0], aria=False
            )
            layers.append(arrow.encode(x=f"_{side}:Q"))
    return finish(alt, layers, data, title, _subtitle([r for r in data if r["value"] is not None], note), STEP)


def _interval_row(row: Row, domain: tuple[float, float], decimals: int | None) -> dict[str, Any]:
    """A row of an interval chart, cut to the domain. `_left` and `_right` say where an arrow shows a cut;
    `_at` is where the point goes, `_label` where its text."""
    low, high = domain
    out = _pick(row, ("value", "low", "high"), ("name", "reason"))
    number = _as_number(out)
    out["reason"] = out.pop("reason")  # the last column of a table
    out["_tip"] = numbers.format_number(number, f"{out['name']}:")
    out["_text"] = numbers.format_value(number, decimals)
    ends = [v for v in (out["value"], out["low"], out["high"]) if v is not None]
    out["_left"] = low if ends and min(ends) < low else None
    out["_right"] = high if ends and max(ends) > high else None
    out["_at"] = out["value"] if out["value"] is not None and low <= out["value"] <= high else None
    for drawn, key in (("_label", "value"), ("_low", "low"), ("_high", "high")):
        value = out[key] if out[key] is not None else out["value"]
        out[drawn] = None if value is None else min(high, max(low, value))
    return out


def _wrapped(names: Sequence[str]) -> str:
    """An expression that breaks long names into lines, so that names which begin alike stay apart."""
    long = {n: textwrap.wrap(n, 38, max_lines=3, placeholder=" …") for n in names if len(n) > 40}
    return f"{json.dumps(long)}[datum.label] || datum.label"


def _rules(alt: Any, references: Sequence[tuple[str, float]], domain: tuple[float, float]) -> list[Any]:
    """Dashed vertical rules with their names above: between the rules where there is room, else outside of them."""
    if not references:
        return []
    least, most = min(v for _, v in references), max(v for _, v in references)
    inside = (most - least) / (domain[1] - domain[0]) > 0.3
    layers = []
    for first in (True, False):
        some = [{"name": n, "at": v} for n, v in references if (v == least) is first]
        if not some:
            continue
        chart = alt.Chart(alt.Data(values=some)).encode(x="at:Q")
        layers.append(chart.mark_rule(strokeDash=[4, 3], color=MUTED, aria=False))
        side = {"align": "left", "dx": 4} if first is inside else {"align": "right", "dx": -4}
        text = chart.mark_text(baseline="bottom", color=MUTED, aria=False, **side)
        layers.append(text.encode(y=alt.value(-4), text="name:N"))
    return layers


def _number(row: Row, key: str) -> float | None:
    """A finite float, or None: JSON has no NaN."""
    value = row.get(key)
    if value is None or not math.isfinite(float(value)):
        return None
    return float(value)


def _pick(row: Row, numeric: Sequence[str], words: Sequence[str]) -> dict[str, Any]:
    return {**{k: str(row.get(k) or "") for k in words}, **{k: _number(row, k) for k in numeric}}


def _has_bounds(data: Sequence[Row], prefix: str = "") -> bool:
    return any(r.get(f"{prefix}low") is not None and r.get(f"{prefix}high") is not None for r in data)


def _subtitle(data: Sequence[Row], note: str) -> str:
    """The note, and the plain statement that intervals are missing where they are."""
    note = note[:1].upper() + note[1:]
    bare = sum(1 for r in data if r.get("low") is None or r.get("high") is None)
    if not bare:
        return note
    doubt = "no intervals were recorded" if bare == len(data) else f"{bare} of {len(data)} points have no interval"
    return f"{note}; {doubt}" if note else doubt[0].upper() + doubt[1:]


def _value_domain(data: Sequence[Row], stem: str = "") -> tuple[float, float]:
    keys = (f"{stem}_low", stem, f"{stem}_high") if stem else ("low", "value", "high")
    return _padded([r[k] for r in data for k in keys if r.get(k) is not None])


def _vertical(alt: Any, title: str, domain: tuple[float, float], field: str = "value") -> Any:
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(domain=list(domain), nice=True, zero=False))


def _padded(values: Sequence[float]) -> tuple[float, float]:
    """A domain around the values with room for labels at its ends."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05 * (abs(high) or 1.0)
    return low - room, high + room


def _as_number(row: Row, stem: str = "") -> Number:
    keys = (stem, f"{stem}_low", f"{stem}_high") if stem else ("value", "low", "high")
    value, low, high = (row.get(k) for k in keys)
    return Number(value=value, low=low, high=high, reason=row.get("reason") or None)


def _words(row: Row, stem: str = "") -> str:
    return numbers.format_number(_as_number(row, stem))


def chart_rows(chart: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows inside a chart, without drawing aids; empty where it holds none.

    Looks at the chart's own data first, then at its layers, then at named datasets.
    """
    for part in (chart, *_parts(chart)):
        data = part.get("data")
        values = data.get("values") if isinstance(data, Mapping) else None
        if isinstance(values, list) and (values or part is chart):
            return [_public(v) for v in values]
    for values in (chart.get("datasets") or {}).values():
        if isinstance(values, list) and values:
            return [_public(v) for v in values]
    return []


def _parts(chart: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    parts = [
        p for key in ("layer", "concat", "hconcat", "vconcat") for p in chart.get(key) or () if isinstance(p, Mapping)
    ]
    yield from sorted(parts, key=lambda p: -len((p.get("data") or {}).get("values") or ()))


def _public(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        return {"value": row}
    return {str(k): v for k, v in row.items() if not str(k).startswith("_")}
