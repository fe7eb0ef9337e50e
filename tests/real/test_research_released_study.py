"""The released results of the automated weak-to-strong researcher, as a record."""

from __future__ import annotations

from superalign.store import open_store
from superalign.studies.research.released import ReleasedResults, prepare
from tests.datafolder import data


def test_released_results_load_as_a_campaign(tmp_path: object) -> None:
    place = data("automated_w2s_results/cache_results.tar.gz")
    with open_store(f"{tmp_path}/s.sqlite") as store:
        record = prepare(ReleasedResults(results=str(place)), store).run()
    assert len(record.conditions) == 9
    math = record.condition("math/zero-shot")
    assert math.labels["verdict"] == "improves"
    assert math.labels["verdict_on_new_items"] == "underpowered"
    assert 0.15 < math.numbers["effect"].value < 0.35
    assert sum(c.labels["verdict"] == "improves" for c in record.conditions) == 1
    assert "0 of 9 differences to vanilla hold" in record.notes[0]
    assert any("5 seeds see differences" in note for note in record.notes)
