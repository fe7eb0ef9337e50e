"""Which form a file of units has is read off itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superalign.core.errors import TaskError
from superalign.interp.dossier import to_json
from superalign.interp.formats import dashboard, files, neuronpedia
from superalign.interp.units import Unit
from superalign.report.units.folder import EXPORT
from tests.interp.formats.examples import dossier
from tests.interp.formats.test_delphi import results, window

UNITS = [Unit("resid.3+topk", k, "latent") for k in range(3)]


def test_every_form_is_told_by_what_it_holds(tmp_path: Path) -> None:
    made = [dossier(unit) for unit in UNITS]
    neuronpedia.write(made, tmp_path / "records.jsonl.gz", "gpt2-small")
    (tmp_path / "list.json").write_text(json.dumps([neuronpedia.record(d, "gpt2-small") for d in made]))
    (board,) = dashboard.dashboards(made, "gpt2-small")
    dashboard.write(board, tmp_path / "board", batch=2)
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / EXPORT).write_text("".join(f"{to_json(d)}\n" for d in made))
    forms = {
        "records.jsonl.gz": ("gpt2-small", "Neuronpedia", 3), "list.json": ("gpt2-small", "Neuronpedia", 3),
        "board": ("gpt2-small", "SAEDashboard", 3), "board/batch-1.json": ("gpt2-small", "SAEDashboard", 1),
        "pages": ("pages", "superalign", 3), f"pages/{EXPORT}": ("pages", "superalign", 3),
    }  # fmt: skip
    for name, wanted in forms.items():
        found = files.read(tmp_path / name)
        assert (found.model, found.form, len(found.dossiers)) == wanted, name
        assert {d.unit for d in found.dossiers} <= set(UNITS)
    assert files.read(tmp_path / "pages").dossiers == tuple(made)
    assert files.read(results(tmp_path / "delphi", [window(True, 1), window(False, 0)])).form == "Delphi"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"units\.json holds no units; expected a feature record"),
        ("3", r"units\.json holds no units"),
        ("", r"units\.json holds no units"),
        ("{]", r"units\.json, line 1: not JSON"),
        ('{"excerpts": 3}', r"units\.json, line 1: no dossier of a unit"),
        ('{"index": 3}', r"units\.json, record 0: 'layer' is nothing in place of a text"),
    ],
)
def test_what_holds_no_units_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "units.json").write_text(text)
    with pytest.raises(TaskError, match=message):
        files.read(tmp_path / "units.json")


def test_what_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"there is no file or folder '.*none'; give one with batch-0\.json"):
        files.read(tmp_path / "none")
    with pytest.raises(TaskError, match=r"holds no units; expected .* there is: nothing"):
        files.read(tmp_path)
