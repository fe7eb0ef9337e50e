"""Preference data from files, by the name of its form.

    pairs        prompt, chosen, rejected as TRL reads them: with the prompt or without, as text or as messages
    votes        prompt, response_a, response_b, winner (a, b, tie or a probability of a), and perhaps rater
    rankings     prompt, responses, and ranks (1 is best, equal ones tie) or scores
    hh           hh-rlhf: two transcripts that part in the last turn of the assistant
    llmbar       input, output_1, output_2, label (1 or 2)
    alpaca-eval  a judge's annotations: instruction, output_1, output_2, preference (1 to 2; 0 and 1.5 are ties)
    best-of-n    one row per sample: prompt, output, gold_preference or reward; a prompt's samples are one comparison

Every fault is a TaskError that names file and line.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from superalign.core.errors import TaskError, nearest
from superalign.tasks.fetch import fetch
from superalign.tasks.preferences import Comparison, Preferences
from superalign.tasks.preferences.dialogue import as_text, divided, shared
from superalign.tasks.read import Row, Table, read

_WINNERS = {"a": 1.0, "left": 1.0, "model_a": 1.0, "1": 1.0, "b": 0.0, "right": 0.0, "model_b": 0.0, "0": 0.0,
            "tie": 0.5, "draw": 0.5, "equal": 0.5}  # fmt: skip

Made = Comparison | str
"""A comparison, or why a row cannot be one."""


def load(place: str, form: str = "pairs") -> Preferences:
    """All comparisons of a file (`data.jsonl.gz`, `set.parquet`, `archive.zip!member`).

    Rows on which nobody decided are left out and counted in the notes. Raises TaskError for an unknown form, a missing
    column, a malformed row, and a file that holds no comparison.
    """
    if form not in FORMS:
        raise TaskError(f"no form of preference data is named {form!r}; {nearest(form, FORMS)}")
    table = read(fetch(place))
    found, left = [], Counter[str]()
    for made in FORMS[form](table):
        if isinstance(made, str):
            left[made] += 1
        else:
            found.append(made)
    notes = (*table.notes, *(f"{table.name}: {n} rows left out because {why}" for why, n in left.items()))
    if not found:
        raise TaskError(f"{table.name!r} holds no comparison; {'; '.join(notes)}")
    return Preferences(table.name, tuple(found), notes)


def _pairs(table: Table) -> Iterator[Made]:
    _need(table, "chosen", "rejected")
    for where, row in _rows(table):
        chosen, rejected, prompt = row.get("chosen"), row.get("rejected"), row.get("prompt")
        if isinstance(chosen, list) or isinstance(rejected, list):
            yield _chat(chosen, rejected, prompt, where)
        elif prompt is not None:
            asked = as_text(prompt, where) if isinstance(prompt, list) else _text(row, "prompt", where)
            yield _chosen(asked, _text(row, "chosen", where), _text(row, "rejected", where))
        else:
            yield _implicit(_text(row, "chosen", where), _text(row, "rejected", where), where)


def _chat(chosen: Any, rejected: Any, prompt: Any, where: str) -> Comparison:
    """Messages; without a prompt it is what both conversations share."""
    if not (isinstance(chosen, list) and isinstance(rejected, list) and isinstance(prompt, list | None)):
        raise TaskError(f"{where}: prompt, chosen and rejected are partly messages and partly text; write all as one")
    before = list(prompt or [])
    if prompt is None:
        same = next((k for k, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), len(chosen))
        before, chosen, rejected = chosen[:same], chosen[same:], rejected[same:]
    for side, name in ((chosen, "chosen"), (rejected, "rejected")):
        if len(side) != 1 or not isinstance(side[0], Mapping) or side[0].get("role") != "assistant":
            raise TaskError(
                f"{where}: {name} holds {len(side)} messages after the prompt; it must be one of the assistant"
            )
    one, other = (_text(side[0], "content", where) for side in (chosen, rejected))
    return _chosen(as_text(before, where), one, other)


def _implicit(chosen: str, rejected: str, where: str) -> Comparison:
    """Two whole texts: by their turns where they are transcripts, else parted before the first word that differs."""
    begin = shared(chosen, rejected)
    if "\n\nAssistant:" in begin:
        return _chosen(*divided(chosen, rejected, where))
    after = chosen[len(begin) :][:1] + rejected[len(begin) :][:1]
    if begin[-1:].strip() and after.strip():  # they part inside a word
        begin = begin[: max((k for k, c in enumerate(begin) if c.isspace()), default=0)]
    cut = len(begin.rstrip())
    return _chosen(chosen[:cut], chosen[cut:], rejected[cut:])


def _hh(table: Table) -> Iterator[Made]:
    _need(table, "chosen", "rejected")
    for where, row in _rows(table):
        yield _chosen(*divided(_text(row, "chosen", where), _text(row, "rejected", where), where))


def _llmbar(table: Table) -> Iterator[Made]:
    _need(table, "input", "output_1", "output_2", "label")
    for where, row in _rows(table):
        label = str(row.get("label")).strip()
        if label not in ("1", "2"):
            raise TaskError(f"{where}: the label {label!r} is neither 1 nor 2, the better output")
        two = (_text(row, "output_1", where), _text(row, "output_2", where))
        yield Comparison(_text(row, "input", where), two, (float(label == "1"), float(label == "2")))


def _alpaca_eval(table: Table) -> Iterator[Made]:
    _need(table, "instruction", "output_1", "output_2", "preference")
    for where, row in _rows(table):
        value = _number(row, "preference", where)
        if value is None:
            yield "the judge gave no preference"
            continue
        if value != 0 and not 1 <= value <= 2:
            raise TaskError(
                f"{where}: the preference {value:g} is not 0 (a tie) or between 1 (the first) and 2 (the second)"
            )
        info = {k: row[k] for k in ("generator_1", "generator_2", "annotator", "dataset") if k in row}
        two = (_text(row, "output_1", where), _text(row, "output_2", where))
        yield Comparison(_text(row, "instruction", where), two, p=0.5 if value == 0 else 2 - value, info=info)


def _votes(table: Table) -> Iterator[Made]:
    _need(table, "prompt", "response_a", "response_b", "winner")
    for where, row in _rows(table):
        said = str("" if row.get("winner") is None else row["winner"]).strip().lower()
        if said in ("", "skip", "none"):
            yield "nobody voted"
            continue
        p = _WINNERS.get(said, _float(said))
        if p is None or not 0 <= p <= 1:
            raise TaskError(f"{where}: the winner {said!r} is not a, b, tie or a probability of a")
        info = {} if row.get("rater") is None else {"rater": str(row["rater"])}
        two = (_text(row, "response_a", where), _text(row, "response_b", where))
        yield Comparison(_text(row, "prompt", where), two, p=p, group=str(row.get("group") or ""), info=info)


def _rankings(table: Table) -> Iterator[Made]:
    _need(table, "prompt", "responses")
    for where, row in _rows(table):
        responses, given = row.get("responses"), row.get("scores", row.get("ranks"))
        if not isinstance(responses, list) or not all(isinstance(r, str) for r in responses):
            raise TaskError(f"{where}: responses must be a list of texts")
        if not isinstance(given, list) or not all(isinstance(g, int | float) for g in given):
            raise TaskError(f"{where}: give ranks (1 is best) or scores, a list of one number for each response")
        scores = tuple(float(g) if "scores" in row else -float(g) for g in given)
        info = {} if row.get("rater") is None else {"rater": str(row["rater"])}
        group = str(row.get("group") or "")
        yield _located(where, _text(row, "prompt", where), tuple(responses), scores, group, info)


def _best_of_n(table: Table) -> Iterator[Made]:
    gold = next((name for name in ("gold_preference", "reward", "score") if name in table.columns), None)
    if gold is None:
        raise TaskError(
            f"{table.name!r} has no column gold_preference, reward or score; columns: {', '.join(table.columns)}"
        )
    asked = "instruction" if "instruction" in table.columns else "prompt"
    _need(table, asked, "output")
    samples: dict[str, dict[str, float]] = {}
    first: dict[str, str] = {}
    for where, row in _rows(table):
        prompt, output, value = _text(row, asked, where), _text(row, "output", where), _number(row, gold, where)
        first.setdefault(prompt, where)
        if value is None:
            yield f"the sample has no {gold}"
        elif samples.setdefault(prompt, {}).setdefault(output, value) != value:
            yield "the same sample had another score before"
    for prompt, scored in samples.items():
        if len(scored) < 2:
            yield "their prompt has one scored sample"
        else:
            yield _located(first[prompt], prompt, tuple(scored), tuple(scored.values()), "", {})


FORMS: Mapping[str, Callable[[Table], Iterator[Made]]] = {
    "pairs": _pairs, "votes": _votes, "rankings": _rankings, "hh": _hh, "llmbar": _llmbar,
    "alpaca-eval": _alpaca_eval, "best-of-n": _best_of_n,
}  # fmt: skip


def _chosen(prompt: str, chosen: str, rejected: str) -> Comparison:
    return Comparison(prompt, (chosen, rejected), (1.0, 0.0))


def _located(
    where: str, prompt: str, responses: tuple[str, ...], scores: tuple[float, ...], group: str, info: Mapping[str, Any]
) -> Comparison:
    try:
        return Comparison(prompt, responses, scores, None, group, info)
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error


def _rows(table: Table) -> Iterator[tuple[str, Mapping[str, Any]]]:
    row: Row
    for row in table.rows:
        yield f"{table.name}, {row.where}", row.cells


def _need(table: Table, *columns: str) -> None:
    for column in columns:
        if column not in table.columns:
            raise TaskError(f"{table.name!r} has no column {column!r}; columns: {', '.join(table.columns)}")


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise TaskError(f"{where}: {column} holds {type(value).__name__}, not text")
    # a lone surrogate from a JSON escape cannot be written anywhere as UTF-8
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _number(row: Mapping[str, Any], column: str, where: str) -> float | None:
    """The number of a cell; None where it is empty."""
    value = row.get(column)
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    found = _float(value)
    if found is None:
        raise TaskError(f"{where}: {column} holds {value!r}, not a number")
    return found


def _float(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
