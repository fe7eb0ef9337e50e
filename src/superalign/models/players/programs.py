"""Players of `programs`: a judge who can carry out single steps, and a player who knows whole computations."""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.random import derive
from superalign.core.types import Ask, Reply
from superalign.models.players import source_of
from superalign.models.scripted import Scripted
from superalign.tasks.games.programs import MODULUS, after, false_trace, trace

if TYPE_CHECKING:
    from superalign.core.steps import Steps

ASKED = re.compile(r"What is the state after step (\d+)\?")
CHECKED = re.compile(r"From state (\d+) apply step \d+: (.+)\. What is the state after it\?")
STATED = re.compile(r"after step (\d+): (\d+)")


def programs_judge(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    error: float = 0.1,
    checks: int = 6,
) -> Scripted:
    """A judge who evaluates single steps, each wrong with probability `error` (then any other value is as likely).

    Asked for a step, it gives the value. Shown one complete trace, it evaluates `checks` steps at random, accepts
    the final value if all agree, and takes the other choice if one does not. Shown two, it evaluates the first step
    on which they part, half of `checks` against each. Without a complete trace it guesses. A judge who is given the
    source reads the final value there. Raises ModelError for an error outside 0 to 1 and for fewer than one check.
    """
    if not 0 <= error <= 1 or checks < 1:
        raise ModelError(f"programs-judge takes error=0..1 and checks=1 or more, got error={error}, checks={checks}")
    name = f"programs-judge:error={error:g}:checks={checks}"

    def evaluate(rng: Random, step: str, x: int) -> int:
        slip = rng.randrange(1, MODULUS) if rng.random() < error else 0
        return (after(step, x) + slip) % MODULUS

    def say(ask: Ask) -> Reply:
        rng, text = _drawn(name, ask)
        if not ask.choices:
            step = CHECKED.search(text)
            return Reply(str(evaluate(rng, step[2], int(step[1])))) if step else Reply("no step to evaluate")
        if ask.item is None or "program" not in ask.item.info:
            return _guess(ask)
        if source_of(ask.item):
            return _certain(ask, STATED.findall(source_of(ask.item))[-1][1])
        start, program = int(ask.item.info["start"]), ask.item.info["program"]
        traces = [[start, *values] for values in _stated(text, len(program)) if str(values[-1]) in ask.choices]
        if len(traces) == 1:
            at = rng.sample(range(len(program)), min(checks, len(program)))
            agree = all(evaluate(rng, program[k], traces[0][k]) == traces[0][k + 1] for k in at)
            return _certain(ask, str(traces[0][-1]), agree)
        if len(traces) == 2:
            k = next(k for k in range(len(program)) if traces[0][k + 1] != traces[1][k + 1])
            votes = [
                sum(evaluate(rng, program[k], t[k]) == t[k + 1] for _ in range(max(1, checks // 2))) for t in traces
            ]
            return _guess(ask) if votes[0] == votes[1] else _certain(ask, str(traces[votes[1] > votes[0]][-1]))
        return _guess(ask)

    return Scripted(name, say)


def programs_player(
    argument: str = "", *, inputs: Inputs | None = None, steps: Steps | None = None, choices: tuple[str, ...] = ()
) -> Scripted:
    """Prover, debater or consultant with the whole computation in mind: the true one, or the item's false one.

    Asked for a state it names it; otherwise its speech is the full trace, `after step 3: 41`. Raises ModelError for
    an assigned choice that neither computation ends in.
    """
    known: dict[str, dict[str, list[int]]] = {}

    def say(ask: Ask) -> Reply:
        if ask.item is None or "program" not in ask.item.info:
            raise ModelError(f"programs-player plays items of the game programs; the ask for {ask.role!r} has none")
        name, start, program = ask.item.id, int(ask.item.info["start"]), ask.item.info["program"]
        if name not in known:
            known[name] = {str(t[-1]): t for t in (trace(start, program), false_trace(name, start, program))}
        side = ask.item.info.get("assigned") or next(iter(known[name]))
        if side not in known[name]:
            raise ModelError(
                f"programs-player knows computations of {name!r} that end in {list(known[name])}, not {side}"
            )
        values = known[name][side]
        if ask.choices:
            return _certain(ask, side)
        asked = [int(k) for m in ask.messages for k in ASKED.findall(m.content)]
        if asked:
            return Reply(str(values[asked[-1]]))
        return Reply("\n".join(f"after step {k}: {v}" for k, v in enumerate(values[1:], 1)))

    return Scripted("programs-player", say)


def _drawn(name: str, ask: Ask) -> tuple[Random, str]:
    """The randomness of this ask, and what it says last."""
    text = ask.messages[-1].content if ask.messages else ""
    return Random(derive(ask.sample, name, ask.item.id if ask.item is not None else "", text)), text


def _stated(text: str, length: int) -> list[list[int]]:
    """The complete traces in a text, each once: `length` values from step 1 on."""
    traces: list[list[int]] = []
    for step, value in STATED.findall(text):
        if int(step) == 1:
            traces.append([])
        if traces and int(step) == len(traces[-1]) + 1:
            traces[-1].append(int(value))
    complete = [tuple(t) for t in traces if len(t) == length]
    return [list(t) for t in dict.fromkeys(complete)]


def _certain(ask: Ask, choice: str, agree: bool = True) -> Reply:
    """Certain of one of two choices, or of the other."""
    if choice not in ask.choices:
        return _guess(ask)
    probs = tuple(float((c == choice) == agree) for c in ask.choices)
    return Reply(ask.choices[probs.index(1.0)], probs)


def _guess(ask: Ask) -> Reply:
    return Reply(probs=(1 / len(ask.choices),) * len(ask.choices)) if ask.choices else Reply("no answer")
