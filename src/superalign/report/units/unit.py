"""One unit as a page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from superalign.interp.dossier import Dossier
from superalign.interp.units import Explanation
from superalign.report import page
from superalign.report.units import scores, tokens
from superalign.report.units.histogram import histogram

_FOLDER = Path(page.__file__).parent / "templates" / "units"
AT_ONCE = 6
"""Excerpts of a stratum that are open from the start."""
_NUMBERS = 24
"""Window numbers of the evidence that are written out."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unit's page stands: names and addresses of its neighbours, and of the index."""

    index: str = ""
    previous: tuple[str, str] | None = None
    following: tuple[str, str] | None = None


def html(dossier: Dossier, heading: str, place: Place | None = None) -> str:
    """A unit as a self-contained HTML page, the same bytes for the same dossier. Its only script is the keyboard."""
    title = f"{dossier.unit.name} · {heading}"
    return framed(
        "units/unit.html", "unit.js", title=title, heading=heading, place=place or Place(), **_context(dossier)
    )


def fragment(dossier: Dossier) -> str:
    """The inside of `html`, for a page that brings its own frame and `styles()`."""
    return page.part("units/unit_body.html", **_context(dossier))


def styles() -> str:
    """The style sheet of a page that holds a `fragment`."""
    return page.styles() + asset("units.css")


def framed(template: str, script: str, **context: Any) -> str:
    """A whole page with one inline script, the only one that its policy lets run."""
    text = asset(script)
    seal = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return page.render(template, css=asset("units.css"), script=Markup(text), script_hash=seal, **context)


@cache
def asset(name: str) -> str:
    """A style sheet or a script of these pages."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def _context(dossier: Dossier) -> dict[str, Any]:
    lead = scores.main(dossier)
    top = tokens.scale(dossier)
    return {
        "dossier": dossier,
        "explanation": dossier.explanations[-1] if dossier.explanations else None,
        "lead": scores.row(lead) if lead else None,
        "rows": [scores.row(s) for s in dossier.scores],
        "any_controls": any(s.controls for s in dossier.scores),
        "top": top,
        "strata": tokens.strata(dossier),
        "shaded": lambda excerpt: tokens.shaded(excerpt, top),
        "strongest": tokens.strongest,
        "cropped": lambda excerpt: len(excerpt.tokens) - tokens.WIDEST,
        "characters": lambda text: Markup(tokens.characters(text)),
        "brief": tokens.brief,
        "histogram": histogram(*dossier.histogram),
        "steps": range(tokens.LEVELS + 1),
        "facts": statistics(dossier),
        "lineage": [_attempt(e, k) for k, e in enumerate(dossier.explanations, start=1)],
        "leaks": leaks(dossier),
        "at_once": AT_ONCE,
    }


def statistics(dossier: Dossier) -> dict[str, str]:
    """What is known of the unit in numbers, in words."""
    side = "negative side, as relu(-a)" if dossier.unit.sign < 0 else "positive side"
    found = {
        "kind": f"{dossier.unit.kind}, {side}" if dossier.unit.kind == "neuron" else dossier.unit.kind,
        "site": dossier.unit.site,
        "fires on": f"{dossier.density:.3%} of {dossier.rows:,} tokens",
        "mean": tokens.brief(dossier.mean),
        "largest": tokens.brief(dossier.peak),
    }
    return found | {name: tokens.brief(value) for name, value in dossier.facts.items()}


def leaks(dossier: Dossier) -> list[int]:
    """Windows of the test split among the excerpts that whoever wrote the explanation was shown."""
    shown = {number for e in dossier.explanations for number in e.evidence}
    return sorted({e.window for e in dossier.excerpts if e.split == "test"} & shown)


def _attempt(explanation: Explanation, number: int) -> Mapping[str, Any]:
    windows = explanation.evidence
    cost = explanation.cost
    used = [f"{cost.tokens_in + cost.tokens_out:,} tokens"] * bool(cost.tokens_in + cost.tokens_out)
    used += [f"${cost.usd:.4f}"] * bool(cost.usd)
    return {
        "number": number,
        "explanation": explanation,
        "windows": ", ".join(map(str, windows[:_NUMBERS])) + (", …" if len(windows) > _NUMBERS else ""),
        "count": len(windows),
        "used": ", ".join(used),
    }
