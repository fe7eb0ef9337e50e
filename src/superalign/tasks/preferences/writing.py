"""Preference data to JSON lines, in the forms that `reading` and TRL read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from superalign.core.errors import TaskError, nearest
from superalign.tasks.preferences import Comparison
from superalign.tasks.preferences.dialogue import as_messages


def write(comparisons: Iterable[Comparison], file: Path, form: str = "pairs") -> int:
    """Write JSON lines and return how many.

    For TRL's trainers, a pair a line, ties and even votes left out: `pairs` (prompt, chosen, rejected), `implicit`
    (the prompt at the start of both), `chat` (messages). With all that is known: `votes` (pairs) and `rankings`.
    Raises TaskError for an unknown form, and where `votes` meets more than two responses.
    """
    if form not in FORMS:
        raise TaskError(f"no form of preference data to write is named {form!r}; {nearest(form, FORMS)}")
    count = 0
    with Path(file).open("w", encoding="utf-8", newline="\n") as stream:
        for comparison in comparisons:
            for row in FORMS[form](comparison):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    return count


def _decided(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    for pair in comparison.pairs():
        best, worst = pair.ranking
        yield pair.prompt, pair.responses[best], pair.responses[worst]


def _pairs(comparison: Comparison) -> Iterator[Mapping[str, Any]]:
    for prompt, chosen, rejected in _decided(comparison):
        yield {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _implicit(comparison: Comparison) -> Iterator[Mapping[str, Any]]:
    for prompt, chosen, rejected in _decided(comparison):
        space = " " if prompt.endswith("\n\nAssistant:") else ""
        yield {"chosen": prompt + space + chosen, "rejected": prompt + space + rejected}


def _chat(comparison: Comparison) -> Iterator[Mapping[str, Any]]:
    for prompt, chosen, rejected in _decided(comparison):
        said = {
            name: [{"role": "assistant", "content": text}]
            for name, text in (("chosen", chosen), ("rejected", rejected))
        }
        yield {"prompt": as_messages(prompt), **said}


def _votes(comparison: Comparison) -> Iterator[Mapping[str, Any]]:
    if len(comparison.responses) != 2:
        raise TaskError(f"a vote is between two responses and this comparison has {len(comparison.responses)}; write its"
                        " pairs(), or form='rankings'")  # fmt: skip
    a, b = comparison.responses
    p = comparison.p
    if p is None:
        p = {0: 1.0, 1: 0.0, None: 0.5}[comparison.preferred]
    yield {"prompt": comparison.prompt, "response_a": a, "response_b": b, "winner": p, **_kept(comparison)}


def _rankings(comparison: Comparison) -> Iterator[Mapping[str, Any]]:
    p = comparison.p
    scores = comparison.scores if p is None else (p, 1 - p)
    yield {
        "prompt": comparison.prompt,
        "responses": list(comparison.responses),
        "scores": list(scores),
        **_kept(comparison),
    }


def _kept(comparison: Comparison) -> dict[str, Any]:
    rater = comparison.info.get("rater")
    return {"group": comparison.group, **({} if rater is None else {"rater": rater})}


FORMS: Mapping[str, Callable[[Comparison], Iterator[Mapping[str, Any]]]] = {
    "pairs": _pairs, "implicit": _implicit, "chat": _chat, "votes": _votes, "rankings": _rankings,
}  # fmt: skip
