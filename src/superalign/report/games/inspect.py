"""Games as an Inspect log (`.eval`), to be read with `inspect view` and everything else that reads such logs.

One sample per game: the question is its input, every turn a message with its role, place and decision as metadata,
the verdict its score, whose metadata has the judge's probabilities. Needs `inspect_ai` (the extra `inspect`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from superalign.core.digest import digest
from superalign.core.types import Item
from superalign.protocols.played import Archive, Played, Turn
from superalign.protocols.room import letter, listed

CREATED = "1970-01-01T00:00:00+00:00"
"""Logs must have a time; games have none, and the same games make the same samples."""


def bytes_of(archives: Mapping[str, Archive]) -> bytes:
    """The games of all archives as one log; a sample's id is its game's."""
    from inspect_ai.log import write_eval_log

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "games.eval"
        write_eval_log(_log(archives), path)
        return path.read_bytes()


def _log(archives: Mapping[str, Archive]) -> Any:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec

    samples = [_sample(g, a.items[g.item]) for a in archives.values() for g in a.games]
    task = "superalign/" + ",".join(archives)
    spec = EvalSpec(
        eval_id=digest(task)[:22],
        run_id=digest(task, [s.id for s in samples])[:22],
        task_id=digest("task", task)[:22],
        created=CREATED,
        task=task,
        dataset=EvalDataset(name="games", samples=len(samples), sample_ids=[s.id for s in samples]),
        model="superalign/games",
        config=EvalConfig(),
        metadata={"conditions": list(archives)},
    )
    results = EvalResults(total_samples=len(samples), completed_samples=len(samples))
    return EvalLog(status="success", eval=spec, results=results, samples=samples)


def _sample(game: Played, item: Item) -> Any:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatMessageUser

    question = item.prompt + ("\n\n" + listed(item.choices) if item.choices else "")
    return EvalSample(
        id=game.id,
        epoch=1,
        input=question,
        choices=list(item.choices) or None,
        target="" if game.honest is None else letter(game.honest),
        messages=[ChatMessageUser(id=f"{game.id}-q", content=question), *_messages(game)],
        scores=_scores(game),
        metadata={
            "condition": game.condition,
            "item": item.id,
            "info": dict(item.info),
            "seed": game.seat.seed,
            "order": list(game.seat.order),
            "assigned": game.seat.assigned,
        },
        uuid=digest(game.id, game.condition)[:22],
    )


def _messages(game: Played) -> Iterator[Any]:
    from inspect_ai.model import ChatMessageAssistant

    for k, turn in enumerate(game.turns):
        text = turn.text or (_decision(turn) if turn.choices else "")
        facts = {"role": turn.role, "turn": k, "choices": list(turn.choices), "probs": list(turn.probs)}
        facts |= {"score": turn.score, "failure": turn.failure}
        yield ChatMessageAssistant(id=f"{game.id}-{k}", content=text, model=turn.model or None, metadata=facts)


def _decision(turn: Turn) -> str:
    return ", ".join(f"{c}: {p:.3f}" for c, p in zip(turn.choices, turn.probs, strict=False))


def _scores(game: Played) -> Any:
    """The verdict as a score: `C`, `I` or a share where it was graded, `N` where it abstained; none before that."""
    from inspect_ai.scorer import Score

    verdict = game.verdict
    if game.right is None and verdict.answer is None and not verdict.probs:
        return None
    grade: str | float = {1.0: "C", 0.0: "I"}.get(game.right, game.right) if game.right is not None else "N"
    answer = letter(verdict.answer) if isinstance(verdict.answer, int) else verdict.answer
    facts = {"probs": list(verdict.probs), "ranking": list(verdict.ranking), "right": game.right}
    facts |= {"honest": game.honest, "abstained": verdict.abstained, "score": verdict.score}
    return {"judge": Score(value=grade, answer=answer, explanation=verdict.abstained, metadata=facts)}
