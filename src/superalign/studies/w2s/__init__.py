"""Weak-to-strong generalization (Burns et al. 2023).

How much of a strong model's ability does weak supervision elicit, and by which method best?
`w2s(spec)` runs a spec and returns its Record; `superalign w2s` calls the same function.
"""

from superalign.studies.w2s.spec import W2S
from superalign.studies.w2s.sweep import prepare, study, w2s

__all__ = ["W2S", "prepare", "study", "w2s"]
