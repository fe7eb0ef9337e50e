"""Where a unit sits, in the words of others: a layer and the name of a dictionary (`0` and `res-jb`).

Our sites name the place first: `resid.0+res-jb`. The name of a dictionary mostly tells the place too; where it does
not, it is put before the name when units are written, and taken off again when they are read.
"""

from __future__ import annotations

import re

from superalign.core.errors import TaskError
from superalign.interp.units import Kind, Unit

_PLACES = {
    "res": "resid", "resid": "resid", "residual": "resid", "att": "attn", "attn": "attn", "attention": "attn",
    "mlp": "mlp_out", "mlp_out": "mlp_out", "mlp_in": "mlp_in", "tc": "mlp_in", "transcoder": "mlp_in",
}  # fmt: skip
_OURS = ("mlp_in", "mlp_out", "resid", "attn", "mlp", "embed")
_NAMELESS: dict[str, Kind] = {"neurons": "neuron", "directions": "direction", "latents": "latent"}
_NEGATIVE = "-negative"
_SITE = re.compile(r"^(?P<place>[A-Za-z_]\w*)(?:\.(?P<layer>\d+))?(?:\+(?P<name>[\w-]+))?$")


def unit_at(layer: str, dictionary: str, index: int) -> Unit:
    """The unit that others call `index` of `dictionary` in `layer`; an empty layer is allowed."""
    negative = dictionary.endswith(_NEGATIVE)
    name = re.sub(r"[^\w-]+", "-", dictionary.removesuffix(_NEGATIVE)).strip("-")
    place, rest = _place(name)
    at = f"{place}.{layer}" if layer.isdecimal() else place
    site = at if rest in ("", *_NAMELESS) else f"{at}+{rest}"
    return Unit(site, index, _NAMELESS.get(rest, "latent"), -1 if negative else 1)


def _place(name: str) -> tuple[str, str]:
    """The place that a dictionary reads, and what is left of its name."""
    for ours in _OURS:
        if name.startswith(f"{ours}-"):
            return ours, name[len(ours) + 1 :]
    told = next((_PLACES[word] for word in re.split(r"[-_]", name.lower()) if word in _PLACES), None)
    if told:
        return told, name
    return ("site", name) if name else ("resid", "")


def layer_and_dictionary(unit: Unit) -> tuple[str, str]:
    """The inverse of `unit_at`. Raises TaskError for a site that is none of ours."""
    match = _SITE.match(unit.site)
    if match is None:
        raise TaskError(f"{unit.site!r} is no site; expected one such as mlp.0 or resid.3+topk")
    nameless = next(word for word, kind in _NAMELESS.items() if kind == unit.kind)
    layer, name = match["layer"] or "", match["name"] or nameless
    for written in (name, f"{match['place']}-{name}"):
        suffixed = written + _NEGATIVE * (unit.sign < 0)
        if unit_at(layer, suffixed, unit.index) == unit:
            return layer, suffixed
    raise TaskError(
        f"the units of {unit.site!r} cannot be written in this form; the place must be one of {', '.join(_OURS)}"
    )
