"""Automated interpretability: explain every unit, and know when the explanation is wrong.

`interp(spec, store)` runs a spec and returns its Record; `superalign interp` calls the same function.
"""

from superalign.studies.interp.spec import Interp
from superalign.studies.interp.study import interp, prepare, study

__all__ = ["Interp", "interp", "prepare", "study"]
