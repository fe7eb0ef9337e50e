"""The June 2024 arena table: our rank rule on its published ratings and intervals."""

from __future__ import annotations

import csv

import numpy as np

from superalign.studies.rate.ranks import interval_ranks
from tests.datafolder import data


def test_the_arena_table_of_june_2024() -> None:
    """Claude 3 Opus is sixth at 1249, by the rule; rounding of published intervals makes other ranks one too low."""
    with (data("arena_leaderboards") / "lmsys_2024-06-19.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    rating = np.asarray([float(r["arena_elo"]) for r in table])
    up, down = (np.asarray([float(r["95_pct_ci"].split("/")[k]) for r in table]) for k in (0, 1))
    best, worst = interval_ranks(rating + down, rating + up)
    published = np.asarray([int(r["rank"]) for r in table])
    assert len(table) == 109
    assert sum(int(r["votes"]) for r in table) == 2_628_460
    opus = next(k for k, r in enumerate(table) if r["model"] == "Claude 3 Opus" or r["model"] == "Claude-3-Opus")
    assert (best[opus], rating[opus], int(table[opus]["votes"])) == (6, 1249, 133_262)
    assert (rating > rating[opus]).sum() == 6  # seventh by the raw score
    assert (best == published).sum() == 97
    assert set((published - best)[best != published]) == {1}
    assert (best[:15] == published[:15]).all()
    assert (worst >= best).all()
