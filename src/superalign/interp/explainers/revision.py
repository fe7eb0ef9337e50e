"""Explanations revised by counterexamples (the idea is that of Bills et al. 2023, section "revising explanations").

An explanation is put to the test: a model writes sentences on which, by the explanation, the unit should fire or stay
silent; the subject model reads them; those that contradict are shown, and the explanation is revised. A revision is
kept only if it simulates better on the split `validate`, on the same windows. No window of the split `test` is ever
shown: prompts hold an explanation and sentences of the model's own, and the ancestor was made from `explain`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.digest import digest
from superalign.core.errors import ModelError
from superalign.core.ports import Model, Progress, silent
from superalign.core.transcript import Transcript
from superalign.core.types import Message, Settings
from superalign.interp.asking import Question, Unreadable, desk
from superalign.interp.evidence import Evidence
from superalign.interp.explainers.language import tagged
from superalign.interp.explainers.validation import validate
from superalign.interp.layout import BRIGHT, bright, escaped, highlighted
from superalign.interp.templates import sheet
from superalign.interp.units import Explainer, Explanation, Failed, Simulator, Unit

if TYPE_CHECKING:
    from superalign.core.ports import Floats

LONGEST = 400
"""Characters of a sentence that are read."""
_LINE = re.compile(r"^[ \t]*(?:\d+[.)][ \t]*)?([+-])[ \t]*(\S.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Trace:
    """What one unit did on one text: the tokens and the activation at each."""

    tokens: tuple[str, ...]
    values: Floats


Subject = Callable[[Sequence[tuple[Unit, str]]], Sequence[Trace]]
"""The model under study: one trace for each (unit, text)."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A sentence of the model's own: whether the explanation says that the unit fires on it, and what it did."""

    text: str
    expected: bool
    fired: bool
    shown: str


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt: the digest of the explanation that was tested, the sentences, what was proposed, both scores on
    `validate`, and whether the proposal was kept. `proposal` is None where nothing contradicted."""

    parent: str
    tried: tuple[Tried, ...]
    proposal: Explanation | Failed | None = None
    before: float | None = None
    after: float | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Lineage:
    """The explanations of a unit that were kept, first attempt first, and every step."""

    kept: tuple[Explanation, ...]
    steps: tuple[Step, ...] = field(default=())


class Revision:
    """An Explainer: what `first` explains, revised `rounds` times.

    `subject` runs the model under study on texts. A unit fires on a text where it reaches `threshold` of its largest
    activation on the split `explain`. `sentences` are asked for at a time.
    """

    def __init__(
        self,
        model: Model,
        subject: Subject,
        simulator: Simulator,
        *,
        first: Explainer,
        transcript: Transcript | None = None,
        rounds: int = 1,
        sentences: int = 10,
        template: str = "",
        progress: Progress = silent,
    ) -> None:
        self.name = f"revision:{model.name}"
        self._desk = desk("explainer", model, transcript, progress)
        self._subject, self._simulator, self._first = subject, simulator, first
        self._rounds, self._count = rounds, sentences
        self._sheet = sheet("revision", template, {
            "task": (), "sentences": ("explanation", "count"), "sentences-again": (),
            "revise": ("explanation", "evidence"), "revise-again": (),
        })  # fmt: skip

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation | Failed]:
        """The last explanation of each lineage; a failure of `first` stays one."""
        begun = self._first.explain(evidence)
        pairs = [(x, e) for x, e in zip(begun, evidence, strict=True) if isinstance(x, Explanation)]
        revised = iter(self.revise(pairs))
        return [next(revised).kept[-1] if isinstance(x, Explanation) else x for x in begun]

    def revise(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[Lineage]:
        """The lineage of each explanation. A unit whose explanation nothing contradicts is not asked about again."""
        lineages = [Lineage((explanation,)) for explanation, _ in pairs]
        open_ = list(range(len(pairs)))
        for _ in range(self._rounds):
            steps = self._round([(lineages[k].kept[-1], pairs[k][1]) for k in open_])
            for k, step in zip(open_, steps, strict=True):
                kept = lineages[k].kept
                if step.kept and isinstance(step.proposal, Explanation):
                    kept = (*kept, step.proposal)
                lineages[k] = Lineage(kept, (*lineages[k].steps, step))
            open_ = [k for k, step in zip(open_, steps, strict=True) if step.kept]
        return lineages

    def _round(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[Step]:
        steps = self._test(pairs)
        against = [[t for t in step.tried if t.expected != t.fired] for step in steps]
        places = [k for k, found in enumerate(against) if found]
        proposals = self._propose([(pairs[k][0], against[k]) for k in places])
        rated = [(k, p) for k, p in zip(places, proposals, strict=True) if isinstance(p, Explanation)]
        both = [(x, pairs[k][1]) for k, proposal in rated for x in (pairs[k][0], proposal)]
        scores = iter(validate(self._simulator, both) if both else ())
        for k, proposal in zip(places, proposals, strict=True):
            steps[k] = replace(steps[k], proposal=proposal)
            if isinstance(proposal, Explanation):
                before, after = next(scores), next(scores)
                better = after is not None and (before is None or after > before)
                steps[k] = replace(steps[k], before=before, after=after, kept=better)
        return steps

    def _test(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[Step]:
        """Sentences for each explanation, and what the subject did on them; none where the model wrote none."""
        asked = [
            self._question(read_sentences, "sentences", 1.0, explanation=x.text, count=str(self._count))
            for x, _ in pairs
        ]
        written: list[list[tuple[bool, str]]] = [a.value if a.failed is None else [] for a in self._desk.write(asked)]
        runs = [(e.unit, text) for (_, e), own in zip(pairs, written, strict=True) for _, text in own]
        traces = self._subject(runs) if runs else ()
        if len(traces) != len(runs):
            raise ModelError(f"the subject gave {len(traces)} traces of {len(runs)} texts; it gives one for each")
        found = iter(traces)
        return [
            Step(digest(x), tuple(_tried(expected, text, next(found), _threshold(e)) for expected, text in own))
            for (x, e), own in zip(pairs, written, strict=True)
        ]

    def _propose(self, against: Sequence[tuple[Explanation, list[Tried]]]) -> list[Explanation | Failed]:
        asked = [
            self._question(tagged, "revise", 0.0, explanation=x.text, evidence="\n".join(_told(t) for t in tried))
            for x, tried in against
        ]
        return [
            answer.failed
            or Explanation(
                answer.value, None, self.name, digest(x), x.evidence,
                digest([[m.role, m.content] for m in question.messages]), answer.cost,
            )
            for (x, _), question, answer in zip(against, asked, self._desk.write(asked), strict=True)
        ]  # fmt: skip

    def _question(self, read: Callable[[str], object], section: str, temperature: float, **fields: str) -> Question:
        messages = (
            Message("system", self._sheet.fill("task")),
            Message("user", self._sheet.fill(section, **fields)),
        )
        return Question(messages, read, self._sheet.fill(f"{section}-again"), Settings(temperature, 600))


def read_sentences(text: str) -> list[tuple[bool, str]]:
    """Lines that begin with + or -, as (expected to fire, sentence), each once. Raises Unreadable without any."""
    found = [(sign == "+", line.strip()[:LONGEST]) for sign, line in _LINE.findall(text)]
    if not found:
        raise Unreadable(f"no line begins with + or - in {text.strip()[:60]!r}")
    return list({line: (expected, line) for expected, line in reversed(found)}.values())[::-1]


def _threshold(evidence: Evidence) -> float:
    windows = evidence.top("explain", 1)
    return BRIGHT * float(evidence.on(windows).max()) if len(windows) else 0.0


def _tried(expected: bool, text: str, trace: Trace, threshold: float) -> Tried:
    values = np.asarray(trace.values)
    peak = float(values.max()) if len(values) else 0.0
    fired = peak > 0 and peak >= threshold
    on = bright(values) if fired else np.zeros(len(values), bool)
    return Tried(text, expected, fired, escaped(highlighted(trace.tokens, on)))


def _told(tried: Tried) -> str:
    said = "should fire, stayed silent" if tried.expected else "should stay silent, fired at what is marked"
    return f"- {said}: {tried.shown}"
