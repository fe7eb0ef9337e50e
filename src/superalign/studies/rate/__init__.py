"""Ratings from votes: a leaderboard that one can trust.

`rate(spec, store)` runs a spec and returns its Record; `superalign rate` calls the same function.
"""

from superalign.studies.rate.spec import Rate
from superalign.studies.rate.study import prepare, rate, study

__all__ = ["Rate", "prepare", "rate", "study"]
