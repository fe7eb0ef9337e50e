"""People and models label existing things: preferences, critiques of answers, explanations of units.

`label(spec, store)` runs a spec and returns its Record; `superalign label` calls the same function.
"""

from superalign.studies.label.spec import Label
from superalign.studies.label.study import label, prepare, study

__all__ = ["Label", "label", "prepare", "study"]
