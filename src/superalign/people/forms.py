"""Forms: what a person's fields mean, checked before anything is kept, and the reply that answers add up to.

A form reads the fields of a web form (each a list of texts) into an answer, a JSON object; several people's answers to
one question become one reply. Ranking with ratings and flags follows Ouyang et al. (2022, arXiv 2203.02155, appendix
B), confidence in a choice Michael et al. (2023, arXiv 2311.08702), critiques Saunders et al. (2022, arXiv 2206.05802).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from superalign.core.errors import UserError
from superalign.core.types import Reply
from superalign.people.files import SURE
from superalign.people.questions import Question

Fields = Mapping[str, Sequence[str]]
Answer = dict[str, Any]

LONGEST = 20_000
"""Characters of a text that a person writes."""

FLAGS = {
    "instruction": "fails to follow the instruction",
    "hallucination": "makes something up",
    "harmful": "encourages harm",
    "bias": "denigrates a group of people",
    "sexual": "sexual content",
    "violent": "violent content",
    "opinion": "gives its own opinion where it should not",
    "moralising": "moralises",
}
"""What a labeller may flag in a response."""

BEST, WORST = 7, 1
"""Ends of the overall rating of a response, a critique or an explanation."""
SEVERITIES = ("minor", "major", "critical")
CLAIMS = ("yes", "partly", "no")


class FormError(UserError):
    """A form that was filled in wrongly; the message stands above the form."""


def read(fields: Fields, question: Question) -> Answer:
    """The answer that the fields give. Raises FormError that says what is missing or does not fit."""
    answer = _READ[question.form](fields, question)
    notes = _text(fields, "notes", LONGEST)
    survey = {k.removeprefix("survey-"): v[-1][:200] for k, v in fields.items() if k.startswith("survey-") and v[-1]}
    return {**answer, **({"notes": notes} if notes else {}), **({"survey": survey} if survey else {})}


def fields_of(answer: Answer) -> dict[str, list[str]]:
    """The inverse of `read`: the fields of a form that is filled in with an answer."""
    names = ("choice", "text", "rating", "claims", "better", "notes")
    found: dict[str, list[str]] = {k: [str(answer[k])] for k in names if k in answer}
    if "probs" in answer:
        found["confidence"] = [f"{100 * answer['probs'][answer['choice']]:.6g}"]
    for name in ("rank", "rating", "flag"):
        for k, value in enumerate(answer.get(f"{name}s", ())):
            found[f"{name}-{k}"] = list(map(str, value)) if isinstance(value, list) else [str(value)]
    if "flaws" in answer:
        found["flaws"] = [json.dumps(answer["flaws"])]
    return found | {f"survey-{k}": [v] for k, v in answer.get("survey", {}).items()}


def check(answer: Answer, question: Question) -> None:
    """Raise FormError for an answer that does not fit the question's form: a run could make nothing of it."""
    try:
        read(fields_of(answer), question)
        reply([answer], question)
        fits = len(answer.get("probs", question.choices)) == len(question.choices)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        fits = False
    if not fits:
        raise FormError(f"the answer does not fit the form {question.form!r} of this question; fill it in again")


def reply(answers: Sequence[Answer], question: Question) -> Reply:
    """What one or several people's answers say as a reply: mean probabilities, mean ranks (and each) and ratings, the
    choice of most (the first of equals), the first of texts."""
    return _REPLY[question.form](answers, question)


def _read_belief(fields: Fields, question: Question) -> Answer:
    answer = _read_choice(fields, question)
    count, sure = len(question.choices), _number(fields, "confidence", "your confidence, in percent", 0, 100) / 100
    if not 1 / count - 0.005 <= sure:
        raise FormError(f"below {math.ceil(100 / count)} percent another answer is likelier; choose that one")
    rest = (1 - sure) / (count - 1) if count > 1 else 0.0
    return {**answer, "probs": [sure if k == answer["choice"] else rest for k in range(count)]}


def _reply_belief(answers: Sequence[Answer], question: Question) -> Reply:
    columns = zip(*(a["probs"] for a in answers), strict=True)
    kept = [min(max(sum(c) / len(answers), 1 - SURE), SURE) for c in columns]
    best = max(range(len(kept)), key=kept.__getitem__)
    if len(answers) == 1:
        best = answers[0]["choice"]
    return Reply(question.choices[best], tuple(p / sum(kept) for p in kept))


def _read_choice(fields: Fields, question: Question) -> Answer:
    return {"choice": int(_number(fields, "choice", "one of the answers", 0, len(question.choices) - 1))}


def _reply_choice(answers: Sequence[Answer], question: Question) -> Reply:
    return Reply(question.choices[Counter(a["choice"] for a in answers).most_common(1)[0][0]])


def _read_text(fields: Fields, question: Question) -> Answer:
    text = _text(fields, "text", LONGEST)
    if not text:
        raise FormError("write something, or skip the question")
    return {"text": text}


def _reply_text(answers: Sequence[Answer], question: Question) -> Reply:
    return Reply(answers[0]["text"])


def _read_rank(fields: Fields, question: Question) -> Answer:
    """Ranks from 1, the best; equal ranks are ties."""
    count = len(question.choices)
    ranks = [int(_number(fields, f"rank-{k}", f"the rank of response {chr(65 + k)}", 1, count)) for k in range(count)]
    answer: Answer = {"ranks": [sorted(set(ranks)).index(r) + 1 for r in ranks]}
    if any(_text(fields, f"rating-{k}", 9) for k in range(count)):
        answer["ratings"] = [
            int(_number(fields, f"rating-{k}", f"the rating of response {chr(65 + k)}", WORST, BEST))
            for k in range(count)
        ]
    flags = [sorted(set(fields.get(f"flag-{k}", ()))) for k in range(count)]
    unknown = {f for found in flags for f in found} - set(FLAGS)
    if unknown:
        raise FormError(f"no flag {min(unknown)!r}; there is: {', '.join(FLAGS)}")
    return {**answer, "flags": flags} if any(flags) else answer


def _reply_rank(answers: Sequence[Answer], question: Question) -> Reply:
    ranks = [sum(column) / len(answers) for column in zip(*(a["ranks"] for a in answers), strict=True)]
    body: Answer = {"ranks": ranks}
    if len(answers) > 1:
        body["each"] = [a["ranks"] for a in answers]
    rated = [a["ratings"] for a in answers if "ratings" in a]
    if rated:
        body["ratings"] = [sum(column) / len(rated) for column in zip(*rated, strict=True)]
    flagged = [a["flags"] for a in answers if "flags" in a]
    if flagged:
        body["flags"] = [sorted(set().union(*column)) for column in zip(*flagged, strict=True)]
    probs: tuple[float, ...] = ()
    if len(ranks) == 2:
        wins = [(a["ranks"][0] < a["ranks"][1]) + (a["ranks"][0] == a["ranks"][1]) / 2 for a in answers]
        first = min(max(sum(wins) / len(wins), 1 - SURE), SURE)
        probs = (first, 1 - first)
    return Reply(json.dumps(body, sort_keys=True), probs)


def _read_critique(fields: Fields, question: Question) -> Answer:
    """`flaws` are spans of the answer, in characters: `[{"start": 3, "end": 9, "severity": "major", "note": "..."}]`."""
    claims = _text(fields, "claims", 20)
    if claims not in CLAIMS:
        raise FormError("say whether the critique is right: yes, partly or no")
    rating = int(_number(fields, "rating", "how helpful the critique is", WORST, BEST))
    return {"rating": rating, "claims": claims, "flaws": _flaws(fields, len(str(question.parts.get("answer", ""))))}


def _flaws(fields: Fields, length: int) -> list[dict[str, Any]]:
    try:
        found = json.loads(_text(fields, "flaws", LONGEST) or "[]")
        flaws: list[dict[str, Any]] = [
            {
                "start": int(f["start"]),
                "end": int(f["end"]),
                "severity": str(f["severity"]),
                "note": str(f["note"])[:2000],
            }
            for f in found
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormError("the marked flaws cannot be read; mark them again") from error
    if not all(0 <= f["start"] < f["end"] <= length and f["severity"] in SEVERITIES for f in flaws):
        raise FormError("a marked flaw is outside of the answer, or neither minor, major nor critical; mark it again")
    return flaws


def _read_explanation(fields: Fields, question: Question) -> Answer:
    rating = int(_number(fields, "rating", "how well the explanation fits", WORST, BEST))
    better = _text(fields, "better", 500)
    return {"rating": rating, **({"better": better} if better else {})}


def _reply_rated(answers: Sequence[Answer], question: Question) -> Reply:
    """The mean rating as the score; all that was said as text, so that nothing of an answer is lost."""
    score = sum(a["rating"] for a in answers) / len(answers)
    return Reply(json.dumps(list(answers), sort_keys=True), score=score)


def _text(fields: Fields, name: str, longest: int) -> str:
    text = next(iter(fields.get(name, ())), "").replace("\r\n", "\n").strip()
    if len(text) > longest:
        raise FormError(f"{name} has {len(text):,} characters; at most {longest:,} are kept, so shorten it")
    return text


def _number(fields: Fields, name: str, what: str, low: float, high: float) -> float:
    try:
        value = float(_text(fields, name, 20))
    except ValueError:
        raise FormError(f"give {what}, {low:g} to {high:g}") from None
    if not low <= value <= high:
        raise FormError(f"give {what}, {low:g} to {high:g}; got {value:g}")
    return value


_READ: Mapping[str, Callable[[Fields, Question], Answer]] = {
    "belief": _read_belief,
    "choice": _read_choice,
    "text": _read_text,
    "rank": _read_rank,
    "critique": _read_critique,
    "explanation": _read_explanation,
}
_REPLY: Mapping[str, Callable[[Sequence[Answer], Question], Reply]] = {
    "belief": _reply_belief,
    "choice": _reply_choice,
    "text": _reply_text,
    "rank": _reply_rank,
    "critique": _reply_rated,
    "explanation": _reply_rated,
}
