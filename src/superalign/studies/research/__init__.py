"""Automated alignment research: a campaign that proposes, registers, confirms and judges.

`research(spec, store)` runs a spec and returns its Record; `superalign research` calls the same function.
"""

from superalign.studies.research.spec import Research
from superalign.studies.research.study import genesis, prepare, research, study

__all__ = ["Research", "genesis", "prepare", "research", "study"]
