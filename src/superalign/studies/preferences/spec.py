"""The spec of an examination of preference data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from superalign.core.errors import nearest
from superalign.core.spec import Spec
from superalign.tasks.preferences.reading import FORMS


class Preferences(Spec):
    """Which preferences are examined: a file (`data.jsonl.gz`, `archive.zip!member`) and the form it is written in
    (`tasks/preferences/reading.py` lists them)."""

    study: Literal["preferences"] = "preferences"
    data: str = Field(min_length=1)
    form: str = "pairs"

    @field_validator("form")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in FORMS:
            raise ValueError(f"no form of preference data is named {value!r}; {nearest(value, FORMS)}")
        return value
