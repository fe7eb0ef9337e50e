"""A written constitution in place of people's labels: RLAIF, and revisions to fine-tune on before it.

Source: Bai et al. 2022, "Constitutional AI" (arXiv 2212.08073). A judge compares two responses by one principle, drawn
for each pair, in both orders; its probabilities are soft labels for a reward model or for DPO. Before that, a critic
and an author may revise responses, principle by principle. How far the labels agree with people's is part of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from superalign.core.driver import ask
from superalign.core.errors import Degenerate, SpecError
from superalign.core.random import derive
from superalign.core.resample import mean
from superalign.core.spec import Number
from superalign.core.types import Item, Message, Moves, Overseer, Seat, Verdict
from superalign.learners.rl import overseers
from superalign.learners.rl.comparisons import Comparisons, compared
from superalign.protocols.compose import Steps
from superalign.protocols.replies import decide, verdict
from superalign.protocols.room import listed, order_of, public
from superalign.protocols.rules import Rules, Silence
from superalign.protocols.template import template as read

SECTIONS = {
    "judge": ("principle", "prompt", "choices"),
    "critic": ("principle", "prompt", "response"),
    "author": ("principle", "prompt", "response", "critique"),
}


def principles(path: str = "") -> tuple[str, ...]:
    """The principles of a constitution: paragraphs of a text file, lines that begin with # left out. The built-in one
    unless a path is given. Raises SpecError where no principle can be read."""
    where = Path(path) if path else Path(__file__).with_suffix(".txt")
    try:
        lines = where.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"no constitution can be read at {str(where)!r}: {error}") from error
    text = "\n".join(line.strip() for line in lines if not line.lstrip().startswith("#"))
    found = tuple(" ".join(part.split()) for part in text.split("\n\n") if part.strip())
    if not found:
        raise SpecError(f"the constitution {str(where)!r} has no principle; write one per paragraph")
    return found


def constitutional(constitution: Sequence[str], *, seed: int = 0, template: str = "") -> Rules:
    """A protocol of one role, `judge`, who compares an item's choices by one principle.

    The principle is drawn from the hash of the item, the same in whatever order the choices are shown; programs find it
    in `ask.item.info["principle"]`.
    """
    sheet, held = read("constitution", template, SECTIONS), _held(constitution)

    def play(item: Item, seat: Seat) -> Moves:
        order, principle = order_of(item, seat), held[derive(seed, item.prompt, sorted(item.choices)) % len(held)]
        shown = _with(public(item, order), principle)
        text = sheet.fill("judge", principle=principle, prompt=item.prompt, choices=listed(shown.choices))
        choice = yield from decide("judge", [Message("user", text)], shown.choices, item=shown, sample=seat.seed)
        return verdict(choice, order)

    return Rules(play, template=sheet.digest)


def revision(constitution: Sequence[str], *, rounds: int = 1, seed: int = 0, template: str = "") -> Rules:
    """A protocol that revises a finished response: `critic` holds it against a principle, `author` rewrites it, `rounds`
    times with a principle each. The verdict's answer is the last text; a failed or empty call is an abstention."""
    sheet, held = read("constitution", template, SECTIONS), _held(constitution)

    def play(item: Item, seat: Seat) -> Moves:
        response = str(item.info.get("completion", ""))
        for k in range(rounds):
            principle = held[derive(seed, item.prompt, response, k) % len(held)]
            told = {"principle": principle, "prompt": item.prompt, "response": response}
            critique = yield from _said("critic", sheet.fill("critic", **told), _with(item, principle), seat)
            order = sheet.fill("author", **told, critique=critique)
            response = yield from _said("author", order, _with(item, principle), seat)
        return Verdict(response)

    return Rules(play, template=sheet.digest)


def revised(overseer: Overseer, prompts: Sequence[str], responses: Sequence[str]) -> list[str | None]:
    """The revised text of each response, None where the revision abstained."""
    items = [overseers.finished(x, y) for x, y in zip(prompts, responses, strict=True)]
    answers = [j.verdict.answer if j.verdict.abstained is None else None for j in overseers.judged(overseer, items)]
    return [None if answer is None else str(answer) for answer in answers]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Comparisons labelled by a constitution, and how often they prefer what people preferred; None without people."""

    comparisons: Comparisons
    agreement: Number | None


def rlaif(
    judge: Overseer, prompts: Sequence[str], responses: Sequence[Sequence[str]], people: Comparisons | None = None
) -> Labelled:
    """Soft labels for all pairs of each prompt's responses, from a judge cast in `constitutional`, asked in both orders.

    `people` are comparisons of the same prompts and responses, to measure agreement with.
    """
    found = compared(judge, prompts, responses)
    return Labelled(found, None if people is None else agreement(found, people))


def agreement(one: Comparisons, other: Comparisons) -> Number:
    """The share of pairs, decided by both, on which two labellers prefer the same response; resampled by prompt.

    Raises SpecError for comparisons of other responses, Degenerate where no pair is decided by both.
    """
    if (one.prompts, one.responses) != (other.prompts, other.responses):
        raise SpecError("agreement is over the same prompts and responses; label the same ones twice")
    known = {(a, b): s for a, b, s in zip(other.left, other.right, np.sign(other.p - 0.5), strict=True)}
    signs = np.array([known.get((a, b), 0.0) for a, b in zip(one.left, one.right, strict=True)])
    mine = np.sign(one.p - 0.5)
    both = (signs * mine) != 0
    if not both.any():
        raise Degenerate("no pair was decided by both labellers, so their agreement is undefined")
    return mean((signs == mine)[both].astype(float)[None, :], one.owner[one.left][both])


def _held(constitution: Sequence[str]) -> tuple[str, ...]:
    if not constitution:
        raise SpecError("a constitution needs a principle; principles() reads the built-in one")
    return tuple(constitution)


def _with(item: Item, principle: str) -> Item:
    return replace(item, info={**item.info, "principle": principle})


def _said(role: str, prompt: str, item: Item, seat: Seat) -> Steps[str]:
    reply = yield from ask(role, [Message("user", prompt)], item=item, sample=seat.seed)
    if reply.failure is not None or not reply.text.strip():
        raise Silence(role, reply.failure or "an empty reply")
    return reply.text.strip()
