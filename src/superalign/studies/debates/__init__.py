"""Recorded debates: how right, how sure and how well calibrated were the people who judged them?

Re-measures a corpus of debates and consultancies that people and models have held (Michael et al. 2023). No model is
asked. `debates(spec)` runs a spec and returns its Record; `superalign debates` calls the same function.
"""

from superalign.studies.debates.record import debates, prepare, study
from superalign.studies.debates.spec import Debates

__all__ = ["Debates", "debates", "prepare", "study"]
