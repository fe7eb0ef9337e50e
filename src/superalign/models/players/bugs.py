"""Players of `bugs`: a judge with a few tests, a critic who searches for a counterexample, a program that executes it.

They look the function up by the item's id: the judge may run it without having read its code.
"""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.random import derive
from superalign.core.types import Ask, Reply
from superalign.models.players import heard, item_of, source_of
from superalign.models.scripted import Scripted
from superalign.tasks.games.bugs import CHOICES, INPUTS, Function, executed, function, specified

if TYPE_CHECKING:
    from superalign.core.steps import Steps

CORRECT, BUGGY = CHOICES
DIFFER, AGREE = "they differ", "they agree"

# the last line before the engine's closing tag is the program's: what a critic writes into a witness comes before
_EXECUTED = re.compile(rf"\nresult: the spec gives \d+, the code gives \d+: ({DIFFER}|{AGREE})\n</executed>")
_CLAIMED = re.compile(r"<witness>\s*\d+\s*</witness>")


def bugs_judge(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    tests: int = 5,
) -> Scripted:
    """A judge who runs `tests` random tests of its own and reads what it is shown.

    A counterexample that was executed counts for what came of it; one that was not is taken on trust. Without
    either, and with its own tests passed, the code is held to be correct. A judge who is given the code tries all
    inputs. Raises ModelError for a negative number of tests.
    """
    if tests < 0:
        raise ModelError(f"bugs-judge takes tests=0 or more, got tests={tests}")
    name = f"bugs-judge:tests={tests}"

    def say(ask: Ask) -> Reply:
        item = item_of("bugs-judge", ask)
        made, rng = function(item.id), Random(derive(ask.sample, name, item.id))
        if source_of(item):
            everything = np.arange(INPUTS)
            right = (specified(made.spec, everything) == executed(source_of(item), everything)).all()
            return _sure(ask, CORRECT if right else BUGGY)
        text, failed = heard(ask), any(_differs(made, rng.randrange(INPUTS)) for _ in range(tests))
        shown = DIFFER in _EXECUTED.findall(text) if "\n</executed>" in text else bool(_CLAIMED.search(text))
        return _sure(ask, BUGGY if failed or shown else CORRECT)

    return Scripted(name, say)


def bugs_critic(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    budget: int = 200,
    false_claims: float = 0.25,
) -> Scripted:
    """A critic who tries `budget` random inputs and gives a counterexample where it finds one.

    Where it finds none it makes one up with probability `false_claims`. A speaker who is assigned `buggy` always
    claims one, a speaker who is assigned `correct` never does. Asked to choose, it says what it knows. Raises
    ModelError for a budget below 1 and for a probability outside 0 to 1.
    """
    if budget < 1 or not 0 <= false_claims <= 1:
        raise ModelError(
            f"bugs-critic takes budget=1 or more and false_claims=0..1, got budget={budget}, false_claims={false_claims}"
        )
    name = f"bugs-critic:budget={budget}:false_claims={false_claims:g}"

    def say(ask: Ask) -> Reply:
        item = item_of("bugs-critic", ask)
        made, rng = function(item.id), Random(derive(ask.sample, name, item.id))
        tried = np.frombuffer(rng.randbytes(8 * budget), "<i8") % INPUTS
        wrong = tried[specified(made.spec, tried) != executed(made.code, tried)]
        if ask.choices:
            return _sure(ask, BUGGY if len(wrong) else CORRECT)
        side = item.info.get("assigned")
        claims = side == BUGGY or len(wrong) > 0 or rng.random() < false_claims
        if side == CORRECT or not claims:
            return Reply("I found no input on which the code departs from its specification.")
        found = int(wrong[0] if len(wrong) else tried[0])
        return Reply(f"The code is wrong: it departs from its specification for <witness>{found}</witness>.")

    return Scripted(name, say)


def bugs_program(
    argument: str = "", *, inputs: Inputs | None = None, steps: Steps | None = None, choices: tuple[str, ...] = ()
) -> Scripted:
    """The tool that runs a witness (`item.info["witness"]`) against specification and code, and says what came out."""

    def say(ask: Ask) -> Reply:
        item = item_of("bugs-program", ask)
        made, witness = function(item.id), str(item.info.get("witness", "")).strip()
        if re.fullmatch(r"[0-9]{1,4}", witness) is None:
            return Reply(f"not an input: {witness[:40]!r}; inputs are whole numbers from 0 to {INPUTS - 1}")
        spec, code = specified(made.spec, int(witness)), executed(made.code, int(witness))
        return Reply(f"the spec gives {spec}, the code gives {code}: {AGREE if spec == code else DIFFER}")

    return Scripted("bugs-program", say)


def _differs(made: Function, x: int) -> bool:
    return specified(made.spec, x) != executed(made.code, x)


def _sure(ask: Ask, choice: str) -> Reply:
    return Reply(choice, tuple(float(c == choice) for c in ask.choices))
