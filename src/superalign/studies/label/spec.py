"""The spec of a labelling study."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from superalign.core.errors import nearest
from superalign.core.spec import Spec, distinct
from superalign.tasks.preferences.reading import FORMS


class Label(Spec):
    """What is labelled, and by whom.

    `data` is a file of preferences in the form `form`, or of critiques (prompt, answer, critique), or a record that holds
    critiques or explanations of units (its id, `last`, or a unique beginning). `raters` are models by reference; people
    are `human`. `items` of them are drawn by hash with `seed`: a larger number adds to the smaller. `responses` draws so
    many of the responses to a prompt. `swap` shows models the responses in both orders. `template` is a file in place
    of the built-in prompts. `max_usd` stops a run that would cost more, `prices` is the file with the prices of endpoints.
    """

    study: Literal["label"] = "label"
    data: str = Field(min_length=1)
    what: Literal["preferences", "critiques", "explanations"] = "preferences"
    form: str = "pairs"
    raters: tuple[str, ...] = Field(min_length=1)
    items: int | None = Field(default=None, ge=1)
    responses: int | None = Field(default=None, ge=2)
    swap: bool = False
    seed: int = 0
    template: str = ""
    max_usd: float | None = Field(default=None, gt=0)
    prices: str | None = None

    @field_validator("raters", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("raters")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return distinct(value)

    @field_validator("form")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in FORMS:
            raise ValueError(f"no form of preference data is named {value!r}; {nearest(value, FORMS)}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, given in (("responses", self.responses is not None), ("swap", self.swap)):
            if given and self.what != "preferences":
                raise ValueError(f"{name} is for preferences; leave it out for {self.what}")
        return self
