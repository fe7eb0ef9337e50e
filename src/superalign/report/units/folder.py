"""All units of a run: an index that sorts and searches, with a page for each, as a folder or as one file."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from superalign.core.digest import digest
from superalign.core.errors import SpecError, UserError
from superalign.core.ports import Progress, silent
from superalign.core.spec import Record
from superalign.interp.dossier import Dossier, to_json
from superalign.interp.units import Score
from superalign.report import files, numbers
from superalign.report.text import one_line
from superalign.report.units import scores
from superalign.report.units.unit import Place, fragment, framed, html

EXPORT = "dossiers.jsonl"
"""Everything the pages were made from: one dossier a line."""


def write(of: Record | str, dossiers: Sequence[Dossier], folder: str | Path, progress: Progress = silent) -> Path:
    """Write `index.html`, `units/NAME.html` and the dossiers as JSON Lines; return the path of the index.

    `of` is the record that the units belong to, or a title. The index comes last, so that a folder without one was
    interrupted. Raises SpecError for two dossiers of one unit and for values that are no numbers,
    UserError where the folder cannot be written.
    """
    root, heading, names = Path(folder), _heading(of), file_names(dossiers)
    _page(root / EXPORT, "".join(map(_line, dossiers)))
    for k, (name, place) in enumerate(zip(names, _places(dossiers, names), strict=True)):
        _page(root / "units" / f"{name}.html", html(dossiers[k], heading, place))
        progress("unit pages", k + 1, len(dossiers))
    return files.write(index(of, dossiers), root / "index.html")


def single(of: Record | str, dossiers: Sequence[Dossier]) -> str:
    """The index and all unit pages as one self-contained HTML file, the same bytes for the same dossiers.

    Each unit's page is packed (gzip, base64) and unpacked by the browser when it is opened.
    """
    packed = [
        base64.b64encode(gzip.compress(fragment(d).encode("utf-8", "replace"), mtime=0)).decode() for d in dossiers
    ]
    return _index(of, dossiers, inside=packed)


def index(of: Record | str, dossiers: Sequence[Dossier]) -> str:
    """The page that lists all units, with links to `units/NAME.html`."""
    return _index(of, dossiers, inside=[])


def file_names(dossiers: Sequence[Dossier]) -> list[str]:
    """A file name for each unit, without suffix: `mlp.0-17`, `mlp.0-17-neg`; safe on every system, where capital
    letters do not count either. Raises SpecError for two dossiers of one unit."""
    units = Counter(d.unit.name for d in dossiers)
    twice = [name for name, count in units.items() if count > 1]
    if twice:
        raise SpecError(f"{twice[0]} has {units[twice[0]]} dossiers; give one for each unit")
    plain = [re.sub(r"[^A-Za-z0-9._-]+", "-", re.sub(r"-$", "-neg", d.unit.name)).strip("-.")[:80] for d in dossiers]
    taken = Counter(name.casefold() for name in plain)
    return [
        name if name and taken[name.casefold()] == 1 else f"{name or 'unit'}-{digest(d.unit.name)[:8]}"
        for name, d in zip(plain, dossiers, strict=True)
    ]


def _line(dossier: Dossier) -> str:
    try:
        return f"{to_json(dossier)}\n"
    except ValueError as error:
        raise SpecError(
            f"the dossier of {dossier.unit.name} holds NaN or an infinite number; give finite values, and None with "
            "a reason for a score that does not exist"
        ) from error


def _heading(of: Record | str) -> str:
    return of if isinstance(of, str) else of.title


def _places(dossiers: Sequence[Dossier], names: Sequence[str]) -> Iterator[Place]:
    links = [(d.unit.name, f"{name}.html") for d, name in zip(dossiers, names, strict=True)]
    for k in range(len(links)):
        yield Place("../index.html", links[k - 1] if k else None, links[k + 1] if k + 1 < len(links) else None)


def _page(path: Path, text: str) -> None:
    """Without the sync to disk of `files.write`, which takes longer than making the page; the index tells that all
    are there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write {str(path)!r}: {why}; choose another folder for the pages") from error


def _index(of: Record | str, dossiers: Sequence[Dossier], inside: Sequence[str]) -> str:
    record = of if isinstance(of, Record) else None
    return framed(
        "units/index.html",
        "index.js",
        title=_heading(of),
        heading=_heading(of),
        record=record,
        answer_text=numbers.answer(record) if record else "",
        export=None if inside else EXPORT,
        data=data_block(table(dossiers)),
        sites=sorted({d.unit.site for d in dossiers}),
        score_names=_names(dossiers),
        count=len(dossiers),
        inside=[Markup(text) for text in inside],
    )


def table(dossiers: Sequence[Dossier]) -> dict[str, Any]:
    """What the index knows of each unit, as compact JSON: `rows` of name, file, explanation, place of its site in
    `sites`, density, largest activation, scores in the order of `scores`.

    A score is [value, low, high, control gap, warnings], or 0 where the unit has none of that name; `warnings` are the
    places of its badges in `warnings`.
    """
    sites, names = sorted({d.unit.site for d in dossiers}), _names(dossiers)
    place = {site: k for k, site in enumerate(sites)}
    warnings: dict[str, int] = {}
    rows = []
    for d, name in zip(dossiers, file_names(dossiers), strict=True):
        found = {s.name: _score(s, warnings) for s in d.scores}
        said = one_line(d.explanations[-1].text) if d.explanations else ""
        row = [one_line(d.unit.name), name, said, place[d.unit.site], _number(d.density), _number(d.peak)]
        rows.append([*row, [found.get(n, 0) for n in names]])
    return {
        "sites": [one_line(s) for s in sites],
        "scores": [one_line(n) for n in names],
        "warnings": list(warnings),
        "rows": rows,
    }


def data_block(value: Any) -> Markup:
    """JSON that no HTML parser takes for the end of the block that holds it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _names(dossiers: Sequence[Dossier]) -> list[str]:
    """The names of all scores; the one that pages lead with first."""
    found = dict.fromkeys(s.name for d in dossiers for s in d.scores)
    return sorted(found, key=lambda name: name != scores.MAIN)


def _score(score: Score, warnings: dict[str, int]) -> list[Any]:
    marks = [warnings.setdefault(badge.word, len(warnings)) for badge in scores.badges(score)]
    if not scores.is_defined(score):
        return [None, None, None, None, marks, one_line(scores.why(score))]
    ends = [_number(v) for v in (score.number.value, score.number.low, score.number.high, scores.gap(score))]
    return [*ends, marks]


def _number(value: float | None) -> float | None:
    return float(f"{value:.4g}") if value is not None and math.isfinite(value) else None
