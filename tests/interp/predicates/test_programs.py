"""The simulator of programs."""

from __future__ import annotations

import numpy as np

from superalign.interp.corpus import Windows
from superalign.interp.predicates.language import parse
from superalign.interp.predicates.programs import Programs
from superalign.interp.units import Explanation
from tests.interp.predicates.texts import corpus


def test_a_program_is_simulated_at_every_position() -> None:
    text = corpus()
    windows, some = text.pick("test"), Windows(text, np.array([3, 0]))
    programs = ['token ends "ed"', "previous is number", "place < 3"]
    asked = [(Explanation("", p), w) for p in programs for w in (windows, some)]
    for (explanation, where), simulation in zip(asked, Programs().simulate(asked), strict=True):
        assert simulation.status == "ok"
        assert simulation.values.dtype == np.float32
        assert not simulation.failed.any()
        assert np.array_equal(simulation.values, parse(explanation.program or "").on(text, where.rows))


def test_the_text_before_a_window_counts() -> None:
    """The unit saw it: a program that looks back is not cut off where a window begins."""
    text = corpus()
    second = Windows(text, np.array([1]))
    assert text.place[second.rows[0]] == 8
    seen = Programs().simulate([(Explanation("", "not place < 8"), second)])[0]
    assert seen.values.all()


def test_what_cannot_be_simulated_has_a_status_and_no_value_that_counts() -> None:
    windows = corpus().pick("test")
    without, faulty = Programs().simulate(
        [(Explanation("fires on cats"), windows), (Explanation("", "token is cat"), windows)]
    )
    assert (without.status, faulty.status) == ("undefined", "parse_failed")
    assert without.reason == "the explanation 'fires on cats' has no program"
    assert "no class of tokens is called 'cat'" in faulty.reason
    for simulation in (without, faulty):
        assert simulation.failed.all()
        assert len(simulation.values) == len(windows.rows)
    assert Programs().simulate([]) == []
