"""Scalable oversight and AI control: which protocols make a weak judge right about a strong agent's answers?

`oversee(spec)` runs a spec and returns its Record; `superalign oversee` calls the same function.
"""

from superalign.studies.oversee.spec import Oversee
from superalign.studies.oversee.sweep import oversee, prepare, study

__all__ = ["Oversee", "oversee", "prepare", "study"]
