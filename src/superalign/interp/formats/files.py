"""Units in files of whichever project wrote them: which form a file or folder has is read off itself.

a folder with batch-0.json, or one batch of it       SAEDashboard
a folder with explanations/ or scores/               Delphi
.json, .jsonl, either gzipped                        records as Neuronpedia exports them
a folder with dossiers.jsonl, or that file           what the pages of a study were made from
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superalign.core.errors import TaskError
from superalign.interp.dossier import Dossier, from_json
from superalign.interp.formats import dashboard, delphi, neuronpedia
from superalign.interp.formats.reading import lines_of, text_of

OWN = "dossiers.jsonl"
FORMS = (
    "batch-0.json (SAEDashboard), explanations/ and scores/ (Delphi), records with modelId, layer and index "
    f"(Neuronpedia, .json or .jsonl, gzipped or not), or {OWN} of unit pages"
)
_EXPECTED = "a feature record (Neuronpedia), a batch of features (SAEDashboard) or a dossier"


@dataclass(frozen=True, slots=True)
class Found:
    """Units of one file or folder: of which model, in which form, and what is known of each."""

    model: str
    form: str
    dossiers: tuple[Dossier, ...]


def read(path: str | Path) -> Found:
    """The units of a file or folder. Raises TaskError that says what was found where no form fits."""
    place = Path(path).expanduser()
    if place.is_dir():
        return _folder(place)
    if not place.exists():
        raise TaskError(f"there is no file or folder {str(path)!r}; give one with {FORMS}")
    first = _first(place)
    if "features" in first:
        return _dashboard(place)
    if "excerpts" in first:
        return _own(place)
    return Found(str(first.get("modelId", place.stem)), "Neuronpedia", tuple(neuronpedia.read(place)))


def _folder(place: Path) -> Found:
    if any(place.glob("batch-*.json")):
        return _dashboard(place)
    if (place / OWN).is_file():
        return _own(place / OWN)
    if (place / "explanations").is_dir() or (place / "scores").is_dir():
        return Found(place.name, "Delphi", tuple(delphi.read(place)))
    there = ", ".join(sorted(p.name for p in place.iterdir())[:12]) or "nothing"
    raise TaskError(f"the folder {str(place)!r} holds no units; expected {FORMS}; there is: {there}")


def _dashboard(place: Path) -> Found:
    found = dashboard.read(place)
    return Found(found.model, "SAEDashboard", found.dossiers)


def _own(place: Path) -> Found:
    dossiers = []
    for number, values in lines_of(place, "a dossier"):
        try:
            dossiers.append(from_json(json.dumps(values)))
        except (KeyError, TypeError, ValueError) as error:
            raise TaskError(f"{place.name}, line {number}: no dossier of a unit ({error})") from error
    return Found(place.parent.name, "superalign", tuple(dossiers))


def _first(place: Path) -> Mapping[str, Any]:
    """The object that a file is, or the first of its records."""
    text = text_of(place)
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = dict(next(lines_of(place, _EXPECTED), (0, {}))[1])
    if isinstance(found, list):
        found = found[0] if found else {}
    if not isinstance(found, dict) or not found:
        raise TaskError(f"{place.name} holds no units; expected {_EXPECTED}")
    return found
