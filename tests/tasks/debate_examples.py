"""A small corpus in the form of the NYU debates: two stories, five debates, every kind of round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def tokens(text: str) -> list[str]:
    return text.split(" ")


MOON = tokens(
    "The moon was `` very cold '' -LRB- and quiet -RRB- . \n \n Ann did n't see the red door . It was Bo 's door , "
    "and Bo painted it green in May . He said : never open it !"
)
SHIP = tokens("The ship left at noon . Captain Gray counted nine crates of salt . Nobody else counted them .")


def text(words: str) -> dict[str, Any]:
    return {"Text": {"text": words}}


def quote(tokens: list[str], words: str) -> dict[str, Any]:
    """A quote of these tokens (as written in the corpus)."""
    wanted = words.split(" ")
    start = next(k for k in range(len(tokens)) if tokens[k : k + len(wanted)] == wanted)
    return {"Quote": {"span": [start, start + len(wanted)]}}


def said(*parts: dict[str, Any], speaker: str = "Fizz") -> dict[str, Any]:
    return {"speaker": speaker, "timestamp": 1, "content": list(parts)}


def belief(first: float, *, judge: str = "Juno", words: str = "", ends: bool = False) -> dict[str, Any]:
    content = [text(words)] if words else []
    feedback = {"speaker": judge, "timestamp": 1, "content": content}
    return {"distribution": [first, 1 - first], "feedback": feedback, "endDebate": ends}


def debate(
    tokens: list[str], title: str, key: int, rounds: list[Any], roles: dict[str, str], guess: str = "", **setup: Any
) -> dict[str, Any]:
    survey = {"identity guesses": {"Judge": guess}, "reason for outcome": f"{guess} was kind"} if guess else {}
    return {
        "setup": {
            "rules": {},
            "sourceMaterial": {"QuALITYSourceMaterial": {"articleId": "1", "title": title, "contents": tokens}},
            "question": "What colour was the door in June?\n",
            "answers": ["Red ", "Green"],
            "correctAnswerIndex": key,
            "roles": roles,
            "offlineJudges": {},
            **setup,
        },
        "rounds": rounds,
        "feedback": {"Fizz": {"Debater": {"answers": survey}}} if survey else {},
        "scratchpads": {},
    }


BOTH = {"Debater A": "Fizz", "Debater B": "Opal", "Judge": "Juno"}
GREEN = quote(MOON, "Bo painted it green")


def bodies() -> dict[str, dict[str, Any]]:
    first = said(text("Ann says so: "), quote(MOON, "the red door"), text(" Ask Maria Stone."))
    second = said(text("Later "), GREEN, text(" <verified>it was red</verified>"), speaker="Opal")
    together = {"SimultaneousSpeeches": {"speeches": {"1": second, "0": first}}}
    turns = {"SequentialSpeeches": {"speeches": {"0": said(text("Red.")), "1": said(GREEN, speaker="Opal")}}}
    stepped = [belief(0.5, judge="Kiki"), belief(0.4, judge="Kiki"), belief(0.1, judge="Kiki", ends=True)]
    later = {"Kiki": {"mode": "stepped", "startTimeMillis": 1, "judgments": stepped}}
    later |= {"Lulu": {"mode": "timed", "startTimeMillis": 1, "judgments": [belief(0.6, judge="Lulu", ends=True)]}}
    alone = {"SequentialSpeeches": {"speeches": {"0": said({"Quote": {"span": [14, 99]}}, speaker="GPT-4")}}}
    vote = {"NegotiateEnd": {"votes": {"0": True, "1": True}}}
    machine = {"Debater A": "GPT-4", "Judge": "Lulu"}
    return {
        "moon-0": debate(
            MOON, "Moon", 1,
            [{"JudgeFeedback": belief(0.5)}, together, {"JudgeFeedback": belief(0.4, words="Why, Maria?")}, turns,
             {"JudgeFeedback": belief(0.2, ends=True)}, {"OfflineJudgments": {"judgments": later}}],
            BOTH, guess="Maria Stone",
        ),
        "moon-1": debate(MOON, "Moon", 1, [turns, {"JudgeFeedback": belief(0.5, ends=True)}], BOTH),
        "moon-2": debate(MOON, "Moon", 1, [together, vote], {"Debater A": "Fizz", "Debater B": "Opal"}),
        "ship-0": debate(SHIP, "Ship", 0, [alone, {"JudgeFeedback": belief(1.0, judge="Lulu", ends=True)}], machine),
        "ship-1": debate(SHIP, "Ship", 1, [alone, {"JudgeFeedback": belief(0.9, judge="Lulu", ends=True)}], machine),
    }  # fmt: skip


def corpus(folder: Path) -> Path:
    """Write the corpus and return its folder."""
    place = folder / "nyu" / "official"
    place.mkdir(parents=True)
    for name, body in bodies().items():
        (place / f"{name}.json").write_text(json.dumps(body), encoding="utf-8")
    return place.parent
