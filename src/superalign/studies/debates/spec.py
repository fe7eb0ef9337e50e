"""The spec of a study of recorded debates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from superalign.core.errors import nearest
from superalign.core.spec import Spec
from superalign.tasks.debates import SETTINGS


class Debates(Spec):
    """Which corpus is read from which folder, and which of its settings are measured.

    `offline` adds the judges who read finished debates, as conditions of their own.
    """

    study: Literal["debates"] = "debates"
    folder: str = Field(min_length=1)
    format: Literal["nyu"] = "nyu"
    settings: tuple[str, ...] = SETTINGS
    offline: bool = True

    @field_validator("settings")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for setting in value:
            if setting not in SETTINGS:
                raise ValueError(f"no setting {setting!r}; {nearest(setting, SETTINGS)}")
        if not value or len(set(value)) < len(value):
            raise ValueError("name at least one setting, each once")
        return tuple(s for s in SETTINGS if s in value)
