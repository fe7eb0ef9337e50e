"""Answers as codes: on what two people can agree, and whether the response shown first was chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from superalign.people.forms import CLAIMS, Answer


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to agree on: `codes` are an answer's values in it, one for each unit, none where it says nothing."""

    name: str
    metric: str
    codes: Callable[[Answer], Sequence[int]]


def _choice(answer: Answer) -> Sequence[int]:
    return (answer["choice"],)


def _preferences(answer: Answer) -> Sequence[int]:
    return [(a > b) - (a < b) for a, b in combinations(answer["ranks"], 2)]


def _rating(answer: Answer) -> Sequence[int]:
    return (answer["rating"],)


MEASURES: Mapping[str, tuple[Measure, ...]] = {
    "belief": (Measure("the answer", "nominal", _choice),),
    "choice": (Measure("the answer", "nominal", _choice),),
    "text": (),
    "rank": (
        Measure("preference between two", "nominal", _preferences),
        Measure("rating of a response", "ordinal", lambda answer: answer.get("ratings", ())),
    ),
    "critique": (
        Measure("rating of the critique", "ordinal", _rating),
        Measure("whether it is right", "ordinal", lambda answer: (CLAIMS.index(answer["claims"]),)),
        Measure("whether the answer has a flaw", "nominal", lambda answer: (int(bool(answer["flaws"])),)),
    ),
    "explanation": (Measure("rating of the explanation", "ordinal", _rating),),
}


def chose_first(form: str, answer: Answer) -> tuple[bool, int] | None:
    """Whether the response that was shown first was taken for the best, and of how many; None for a tie, and where
    order means nothing."""
    if form == "belief":
        return answer["choice"] == 0, len(answer["probs"])
    if form == "rank" and answer["ranks"].count(1) == 1:
        return answer["ranks"][0] == 1, len(answer["ranks"])
    return None
