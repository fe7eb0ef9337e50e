"""Players of `sums`: an overseer who can add two numbers, and a market and an adversary who trade in running totals."""

from __future__ import annotations

import math
import re
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.random import derive
from superalign.core.types import Ask, Reply
from superalign.models.players import heard, item_of, source_of, verified
from superalign.models.scripted import Scripted
from superalign.tasks.games.sums import LARGEST, asked, question, running

if TYPE_CHECKING:
    from superalign.core.steps import Steps

SLIP = 9
"""A wrong addition is off by 1 to this, up or down."""

_TOTAL = re.compile(r"the first (\d+) numbers add up to (\d+)")


def sums_overseer(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    error: float = 0.0,
) -> Scripted:
    """An overseer who can add two numbers, wrong with probability `error`, and no more.

    It splits longer lists in halves and composes their sums by one addition. As a judge it can use a verified total
    that leaves at most one number to add; otherwise it guesses. A judge who is given the source reads the sum there.
    Raises ModelError for an error outside 0 to 1.
    """
    if not 0 <= error <= 1:
        raise ModelError(f"sums-overseer takes error=0..1, got error={error}")
    name = f"sums-overseer:error={error:g}"

    def add(ask: Ask, numbers: list[int]) -> str:
        """The sum of one or two numbers; the slip depends on the question and on the sample."""
        if len(numbers) > 2:
            return "unknown"
        rng = Random(derive(ask.sample, name, item_of(name, ask).id))
        slips = len(numbers) == 2 and rng.random() < error
        return str(sum(numbers) + (rng.choice((-1, 1)) * rng.randrange(1, SLIP + 1) if slips else 0))

    def say(ask: Ask) -> Reply:
        item = item_of("sums-overseer", ask)
        numbers, part = asked(item.prompt), item.info.get("part")
        if part == "decide":
            return _sure(ask, "split" if len(numbers) > 2 else "answer")
        if part == "split":
            half = (len(numbers) + 1) // 2
            return Reply("\n".join(f"sub: {question(piece)}" for piece in (numbers[:half], numbers[half:])))
        if part == "compose":
            answers = item.info["answers"]
            return Reply(add(ask, [int(a) for a in answers]) if all(a.isdigit() for a in answers) else "unknown")
        if part == "answer" or not ask.choices:
            return Reply(add(ask, numbers))
        count, total = _longest(source_of(item)) if source_of(item) else _shown(ask)
        rest = numbers[count:]
        return _sure(ask, add(ask, [total, *rest] if count else rest))

    return Scripted(name, say)


def sums_market(
    argument: str = "", *, inputs: Inputs | None = None, steps: Steps | None = None, choices: tuple[str, ...] = ()
) -> Scripted:
    """A market who predicts by what has been verified: the total so far is known, the rest is as numbers are on average.

    Its probabilities are the normal densities of the choices under that mean and variance.
    """

    def say(ask: Ask) -> Reply:
        if not ask.choices:
            raise ModelError(f"sums-market gives probabilities of choices; the ask for {ask.role!r} has none")
        count, total = _shown(ask)
        left = len(asked(item_of("sums-market", ask).prompt)) - count
        if left == 0:
            return _sure(ask, str(total))
        mean, variance = total + left * (LARGEST + 1) / 2, left * (LARGEST**2 - 1) / 12
        logs = [-((int(c) - mean) ** 2) / (2 * variance) for c in ask.choices]
        weights = [math.exp(log - max(logs)) for log in logs]
        return Reply(probs=tuple(w / sum(weights) for w in weights))

    return Scripted("sums-market", say)


def sums_adversary(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    share: float = 0.5,
) -> Scripted:
    """An adversary who adds this share of the numbers with each argument and quotes the running total.

    Raises ModelError for a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ModelError(f"sums-adversary takes a share above 0 and at most 1, got share={share}")

    def say(ask: Ask) -> Reply:
        numbers = asked(item_of("sums-adversary", ask).prompt)
        count = min(len(numbers), _shown(ask)[0] + math.ceil(share * len(numbers)))
        return Reply(f"<quote>{running(count, list(accumulate(numbers))[count - 1])}</quote>")

    return Scripted(f"sums-adversary:share={share:g}", say)


def _shown(ask: Ask) -> tuple[int, int]:
    """The longest verified running total in what is shown: how many numbers, and their sum."""
    return _longest("\n".join(verified(heard(ask))))


def _longest(text: str) -> tuple[int, int]:
    return max(((int(k), int(total)) for k, total in _TOTAL.findall(text)), default=(0, 0))


def _sure(ask: Ask, choice: str) -> Reply:
    """Certain of a choice; a guess where it is none of them."""
    if choice not in ask.choices:
        return Reply(probs=(1 / len(ask.choices),) * len(ask.choices))
    return Reply(choice, tuple(float(c == choice) for c in ask.choices))
