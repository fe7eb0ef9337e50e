"""Revision by counterexamples in a study: the model under study is run on sentences that the explainer wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from superalign.core.errors import SpecError
from superalign.interp.units import Unit
from superalign.store import open_store
from superalign.studies.interp import prepare
from superalign.studies.interp.model import Prepared, kept_dossiers
from superalign.studies.interp.traces import Traces
from tests.studies.interp_small import SPEAKER, run, spec

REVISER = SPEAKER.replace(
    '        if ask.role == "explainer":\n',
    '        if ask.role == "explainer" and "Write " in text:\n'
    '            word = re.search(r"responds to (?:the word )?(\\S+)", text)[1]\n'
    '            return Reply(f"+ {word} {word}\\n- mat sat\\n+ cat dog\\n- {word}")\n'
    '        if ask.role == "explainer" and "did something else" in text:\n'
    '            return Reply("EXPLANATION: the word nothing")\n'
    '        if ask.role == "explainer":\n',
)


def test_traces_are_the_units_activations(tmp_path: Path) -> None:
    """On the text of the corpus itself they are what the study collected."""
    with open_store(tmp_path / "s.sqlite") as store:
        ready = prepare(spec(tmp_path), store)
        assert isinstance(ready, Prepared)
        record = ready.run()
        dossiers = kept_dossiers(record, store)
        texts = ["the cat sat on the mat", "dog"]
        traces = Traces(ready.subject, dict.fromkeys(ready.sites))
        unit = dossiers[0].unit
        found = traces(
            [(unit, texts[0]), (Unit(unit.site, unit.index, "neuron", -1), texts[0]), (unit, texts[1]), (unit, "")]
        )
    assert len(found[0].tokens) == len(found[0].values)
    assert (found[0].values >= 0).all()
    assert not ((found[0].values > 0) & (found[1].values > 0)).any()
    assert ((found[0].values > 0) | (found[1].values > 0)).all()
    assert found[3].tokens == ()
    again = traces([(unit, texts[0])])[0]
    assert np.array_equal(again.values, found[0].values)


def test_a_revision_that_does_not_help_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "voice.py").write_text(REVISER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    speaker = "./voice.py:speaker"
    given = {"explainer": speaker, "simulator": speaker, "units": "0-1", "controls": ("shuffled",)}
    plain, revised = run(tmp_path, **given), run(tmp_path, **given, revise=1)
    with open_store(tmp_path / "s.sqlite") as store:
        texts = [[d.explanations[-1].text for d in kept_dossiers(r, store)] for r in (plain, revised)]
    assert texts[0] == texts[1]
    assert all("nothing" not in text for text in texts[1])


def test_predicates_are_not_revised(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="predicates are not revised by counterexamples; name a model"):
        run(tmp_path, revise=1)
