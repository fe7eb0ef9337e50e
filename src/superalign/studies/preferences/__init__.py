"""Preference data under examination, before anything is learnt from it.

`preferences(spec)` runs a spec and returns its Record; `superalign preferences` calls the same function.
"""

from superalign.studies.preferences.spec import Preferences
from superalign.studies.preferences.study import preferences, prepare, study

__all__ = ["Preferences", "preferences", "prepare", "study"]
