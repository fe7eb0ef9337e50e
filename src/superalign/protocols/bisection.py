"""Bisection: two provers dispute a long computation, and the judge checks one step of it.

The deterministic case of doubly-efficient debate (Brown-Cohen, Irving, Piliouras 2023, arXiv 2311.14125). The
provers name the state in the middle of the part in dispute, until they agree on a state and disagree on the next
one: at most ceil(log2 T) rounds. The judge then carries out that one step, `checks` times against each claim.

An item of this protocol has two choices, the final states that `prover/a` and `prover/b` maintain, and

    info["steps"]    T, the number of steps
    info["start"]    the state before step 1 (text or number)
    info["program"]  the T texts of the steps; the item's prompt shows them to the provers

Step i leads from state i - 1 to state i. What players are asked ends in one of these sentences; their replies are
read by `state_in`. Whoever plays by program reads them with the two patterns of this module.

    ASKED    What is the state after step 8? Reply with the state alone.
    CHECKED  From state 41 apply step 9: multiply by 3. What is the state after it? Reply with the state alone.

A prover sees the program (`ask.item.info`) and the states named so far. The judge sees one step and the state both
sides agree on, never the program, the claims or who made them. A prover who names no state after being asked again
forfeits, or else silence would be the liar's best move; where both do, the verdict abstains.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from superalign.core.errors import ProtocolError, SpecError
from superalign.core.random import derive
from superalign.core.types import Ask, Item, Message, Moves, Reply, Seat, Verdict
from superalign.protocols.compose import Steps, draws, once, together
from superalign.protocols.room import briefed, public
from superalign.protocols.rules import Rules, Silence
from superalign.protocols.template import Template
from superalign.protocols.template import template as read

ASKED = re.compile(r"What is the state after step (\d+)\? Reply with the state alone\.\s*\Z")
CHECKED = re.compile(r"From state (.+?) apply step (\d+): (.+)\. What is the state after it\?")

SECTIONS = {
    "prover": ("prompt", "start", "steps", "claim", "trace", "step"),
    "again": ("step",),
    "judge": ("state", "step", "text"),
}
SIDES = ("prover/a", "prover/b")
TEMPERATURE = 1.0
"""At which a judge is sampled: repeated evaluations at 0 would be one evaluation."""


def bisection(*, checks: int = 3, template: str = "") -> Rules:
    """The protocol. Roles: `prover/a` and `prover/b` (each maintains its choice), `judge`.

    `checks` is how often the judge carries out the disputed step against each claim; a result that equals the
    claim is a vote for it. The verdict's probabilities are the shares of votes; more votes win, and a coin of the
    seat's decides a tie. Prover and judge are asked O(T log T) and O(1) steps of work in the paper's terms.
    Raises ProtocolError for an item that is not a computation with two claims, SpecError for no check.
    """
    if checks < 1:
        raise SpecError(f"the judge checks the disputed step once or more for each claim, got checks={checks}")
    text = read("bisection", template, SECTIONS)

    def play(item: Item, seat: Seat) -> Moves:
        steps, program = computation(item)
        low, high = 0, steps
        agreed, claims = state_in(str(item.info["start"])), tuple(state_in(c) for c in item.choices)
        trace: list[tuple[int, tuple[str, ...]]] = []
        while high - low > 1:
            middle = (low + high) // 2
            asked = [_name_state(text, item, seat, side, middle, trace) for side in range(2)]
            replies = yield from together(asked)
            named = tuple(state_in(reply.text) for reply in replies)
            if not all(named):
                return forfeit(named)
            trace.append((middle, named))
            if named[0] == named[1]:
                low, agreed = middle, named[0]
            else:
                high, claims = middle, named
        results = yield _checks(text, item, seat, checks, (agreed, high, program[high - 1]))
        for reply in results:
            if reply.failure is not None:
                raise Silence("judge", reply.failure)
        return _counted(item, seat, claims, [state_in(reply.text) for reply in results])

    return Rules(play, template=text.digest)


def computation(item: Item) -> tuple[int, Sequence[str]]:
    """The number of steps of an item and their texts. Raises ProtocolError where it is no dispute about one."""
    steps, program = item.info.get("steps"), item.info.get("program", ())
    if not isinstance(steps, int) or steps < 1 or len(program) != steps or "start" not in item.info:
        raise ProtocolError(
            f"bisection needs info['steps'], info['start'] and as many texts in info['program'] as steps; item "
            f"{item.id!r} has steps={steps!r}, {len(program)} texts, info {sorted(item.info)}"
        )
    if len({state_in(c) for c in item.choices} - {""}) != 2 or len(item.choices) != 2:
        raise ProtocolError(f"bisection is between two different final states; item {item.id!r} has {item.choices}")
    return steps, program


_PREFIX = re.compile(r"^(?:the )?state(?: after step \d+)?(?: is|:|=| =)? +", re.IGNORECASE)


def state_in(text: str) -> str:
    """The state that a reply names, in a form that compares: one line of at most 80 characters; else empty.

    Quotes, backticks, a final full stop and `the state after step 8 is` around it are dropped, whole numbers lose
    leading zeros and plus signs, letters their case.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 1 or len(lines[0]) > 80:
        return ""
    said = _PREFIX.sub("", lines[0].strip()).strip(" \t\"'`.").casefold()
    return str(int(said)) if re.fullmatch(r"[+-]?[0-9]+", said) else " ".join(said.split())


def forfeit(named: Sequence[str]) -> Verdict:
    """The verdict where a prover (or both) named no state."""
    if not any(named):
        return Verdict(None, abstained="unparsed: neither prover named a state")
    winner = 0 if named[0] else 1
    return Verdict(winner, (1.0, 0.0) if winner == 0 else (0.0, 1.0))


def _name_state(
    text: Template, item: Item, seat: Seat, side: int, step: int, trace: Sequence[tuple[int, tuple[str, ...]]]
) -> Steps[Reply]:
    """One prover names the state after `step`; it is asked once more where its reply is no state."""
    shown = "".join(f"After step {k} you named {named[side]}, the other {named[1 - side]}.\n" for k, named in trace)
    prompt = text.fill(
        "prover",
        prompt=item.prompt,
        start=str(item.info["start"]),
        steps=str(item.info["steps"]),
        claim=item.choices[side],
        trace=shown,
        step=str(step),
    )
    ask = Ask(SIDES[side], (Message("user", prompt),), item=briefed(item, side), sample=seat.seed)
    reply = yield from once(ask)
    if reply.failure is None and not state_in(reply.text):
        again = (Message("assistant", reply.text), Message("user", text.fill("again", step=str(step))))
        reply = yield from once(replace(ask, messages=(*ask.messages, *again)))
    if reply.failure is not None:
        raise Silence(SIDES[side], reply.failure)
    return reply


def _checks(text: Template, item: Item, seat: Seat, checks: int, step: tuple[str, int, str]) -> list[Ask]:
    """The judge's asks about one step: `checks` against the first claim, then as many against the second."""
    state, number, line = step
    prompt = text.fill("judge", state=state, step=str(number), text=line)
    hidden = {k: v for k, v in public(item).info.items() if k != "program"}
    shown = replace(item, prompt=prompt, choices=(), info=hidden)
    return draws(Ask("judge", (Message("user", prompt),), item=shown, sample=seat.seed), 2 * checks, TEMPERATURE)


def _counted(item: Item, seat: Seat, claims: Sequence[str], results: Sequence[str]) -> Verdict:
    """The verdict of the votes: the first half of the results is held against the first claim, the rest against
    the second."""
    half = len(results) // 2
    votes = (results[:half].count(claims[0]), results[half:].count(claims[1]))
    if not any(results):
        return Verdict(None, abstained="unparsed: the judge named no state")
    probs = (votes[0] / sum(votes), votes[1] / sum(votes)) if any(votes) else (0.5, 0.5)
    if votes[0] == votes[1]:
        return Verdict(derive(seat.seed, "bisection coin", item.id) % 2, probs)
    return Verdict(int(votes[1] > votes[0]), probs)
