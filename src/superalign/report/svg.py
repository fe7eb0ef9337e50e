"""A Vega-Lite dict drawn as SVG that is safe to put into a page: static, themed, readable on a phone.

A chart may come from a record that somebody else made, so it gets no network and no files, and of the
SVG only known elements and attributes are kept: no scripts, links, images, styles or foreign content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup, escape

from superalign.report.palette import FONT, VARIABLES
from superalign.report.text import visible, visible_all

PHONE = 358
"""Pixels of a chart on a phone 390 wide, which leaves 16 at each side."""

_TAGS = frozenset((
    "svg", "g", "path", "line", "rect", "circle", "text", "tspan", "defs", "clipPath", "linearGradient",
    "radialGradient", "stop",
))  # fmt: skip
_ATTRIBUTES = frozenset((
    "d", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "dx", "dy", "width", "height",
    "viewBox", "transform", "offset", "points", "fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width",
    "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "opacity",
    "text-anchor", "font-family", "font-size", "font-style", "font-weight", "clip-path", "id", "stop-color",
    "stop-opacity", "gradientUnits", "gradientTransform", "display",
))  # fmt: skip
_DEFAULTS = {"opacity": "1", "stroke-width": "1", "font-weight": "normal", "font-family": FONT, "fill-opacity": "1"}
"""Attributes that say what holds without them; the page sets the font."""
_LOCAL = re.compile(r"^url\(#([\w-]+)\)$")
_LONG = re.compile(r"-?\d+(?:\.\d+)?e[+-]?\d+|-?\d+\.\d+")
_UNSAID = frozenset(("axis", "legend", "title", "header"))  # what a reader already sees as text


class ChartError(ValueError):
    """A chart that cannot be drawn; the page says so in its place."""


def heading(chart: Mapping[str, Any]) -> tuple[str, str]:
    """Title and subtitle of a chart, empty where it has none."""
    title = chart.get("title")
    if isinstance(title, Mapping):
        return _joined(title.get("text")), _joined(title.get("subtitle"))
    return _joined(title), ""


def _joined(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(str(v) for v in value)
    return str(value) if value else ""


def draw(chart: Mapping[str, Any], prefix: str, width: int | None = None) -> Markup:
    """The chart as one `<svg>`, without its title, which the page sets as text.

    `prefix` keeps the ids of several charts of one page apart. `width` makes the form for a narrow page:
    names of rows move above their rows, legends take one column. Raises ChartError.
    """
    import vl_convert

    if _asks_elsewhere(chart):
        raise ChartError("it asks for data that are not inside it")
    spec = visible_all(dict(chart))
    spec.pop("title", None)
    spec["background"] = "transparent"
    if width is not None:
        spec = _narrow(spec, width)
    try:
        # an empty list of allowed addresses: a chart's data must be inside it
        svg = vl_convert.vegalite_to_svg(spec, vl_version=_version(spec), allowed_base_urls=[])
    except (ValueError, TypeError) as error:
        lines = [line for line in str(error).splitlines() if line.strip() and not line.lstrip().startswith("at ")]
        raise ChartError(lines[-1].strip() if lines else "no reason given") from error
    return clean(svg, prefix, visible(" ".join(filter(None, heading(chart)))) or "chart")


def fits_phone(chart: Mapping[str, Any]) -> bool:
    """Whether a narrow form can be drawn: one view with a plain width. Others scroll sideways."""
    return isinstance(chart.get("width"), int | float) and not {"concat", "hconcat", "vconcat", "facet"} & set(chart)


def _asks_elsewhere(part: Any) -> bool:
    """Whether a chart names an address or a file to load its data from."""
    if isinstance(part, Mapping):
        data = part.get("data")
        return (isinstance(data, Mapping) and "url" in data) or any(
            _asks_elsewhere(value) for key, value in part.items() if key not in ("data", "datasets")
        )
    return isinstance(part, list | tuple) and any(map(_asks_elsewhere, part))


def _narrow(spec: dict[str, Any], width: int) -> dict[str, Any]:
    config = dict(spec.get("config") or {})
    above = {"labelAlign": "left", "labelBaseline": "bottom", "labelPadding": 0, "labelOffset": -9}
    config["axisYDiscrete"] = {**(config.get("axisYDiscrete") or {}), **above, "labelLimit": width - 24}
    config["legend"] = {**(config.get("legend") or {}), "columns": 1, "labelLimit": width - 60}
    config["axisXQuantitative"] = {**(config.get("axisXQuantitative") or {}), "tickCount": 4}
    for part in (spec, *(p for p in spec.get("layer") or () if isinstance(p, dict))):
        vertical = (part.get("encoding") or {}).get("y") or {}
        if isinstance(vertical.get("axis"), dict):  # there is room for one line, and it is the whole width
            vertical["axis"].pop("labelExpr", None)
    height = spec.get("height")
    if isinstance(height, dict) and isinstance(height.get("step"), int | float):
        height = {**height, "step": height["step"] + 16}
    return {
        **spec,
        "config": config,
        "width": width,
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
    }


def _version(spec: Mapping[str, Any]) -> str | None:
    """The installed Vega-Lite that is nearest to the one the chart was written for; None is the newest."""
    import vl_convert

    match = re.search(r"/v(\d+)(?:\.(\d+))?", str(spec.get("$schema", "")))
    if not match:
        return None
    major, minor = int(match[1]), int(match[2] or 0)
    known = [tuple(int(p) for p in v.split(".")) for v in vl_convert.get_vegalite_versions()]
    same = sorted(v for v in known if v[0] == major)
    chosen = next((v for v in same if v[1] >= minor), same[-1] if same else None)
    return ".".join(map(str, chosen)) if chosen else None


def clean(svg: str, prefix: str, title: str = "chart") -> Markup:
    """`svg` reduced to known elements and attributes, its colours replaced by the page's variables.

    The description of each mark becomes a `<title>`, which browsers show on hover. Raises ChartError for
    what is not well-formed XML.
    """
    if "<!" in svg:
        raise ChartError("the SVG declares entities or holds comments")
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise ChartError(f"the SVG is not well-formed: {error}") from error
    width, height = (root.get(k, "0").removesuffix("px") for k in ("width", "height"))
    if root.get("viewBox") is None:
        root.set("viewBox", f"0 0 {width} {height}")
    root.attrib = {"viewBox": root.attrib["viewBox"], "width": width, "height": height}
    parts: list[str] = []
    _element(root, prefix, parts, extra=f' xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title)}"')
    return Markup("".join(parts))


def _element(node: ElementTree.Element, prefix: str, parts: list[str], extra: str = "") -> None:
    tag = _local(node.tag)
    if tag == "a":  # a link's content stays, the link goes
        for child in node:
            _element(child, prefix, parts)
        return
    if tag not in _TAGS or _is_blank(tag, node):
        return
    parts.append(f"<{tag}{extra}")
    for name, value in node.attrib.items():
        kept = _attribute(_local(name), value, prefix)
        if kept is not None:
            parts.append(f' {_local(name)}="{escape(kept)}"')
    before = len(parts)
    parts.append(">")
    said = node.get("aria-label")
    if said and node.get("role") == "graphics-symbol" and node.get("aria-roledescription") not in _UNSAID:
        parts.append(f"<title>{escape(said)}</title>")
    if node.text:
        parts.append(str(escape(node.text)))
    for child in node:
        _element(child, prefix, parts)
    if len(parts) == before + 1:
        parts[-1] = "/>"
    else:
        parts.append(f"</{tag}>")


def _is_blank(tag: str, node: ElementTree.Element) -> bool:
    """A path that paints nothing: Vega writes some for every group."""
    frame = node.get("class") in ("background", "foreground") and not (node.get("fill") or node.get("stroke"))
    return tag == "path" and (frame or not node.get("d"))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _attribute(name: str, value: str, prefix: str) -> str | None:
    """The value to keep, or None to drop the attribute."""
    if name not in _ATTRIBUTES or _DEFAULTS.get(name) == value:
        return None
    if name == "id":
        return f"{prefix}-{value}" if re.fullmatch(r"[\w-]+", value) else None
    local = _LOCAL.match(value)
    if local:
        return f"url(#{prefix}-{local[1]})"
    if "url" in value.lower() or "javascript" in value.lower():
        return None
    if name in ("fill", "stroke", "stop-color"):
        return VARIABLES.get(value.lower(), value)
    if name in ("d", "transform"):
        return _LONG.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), value)
    return value
