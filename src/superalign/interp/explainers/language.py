"""A language model explains a unit from windows in which it fires (Bills et al. 2023; Paulo et al. 2024,
arXiv 2410.13928).

Several explanations may be drawn; the one that simulates best on the split `validate` is kept. A reply that is no
explanation is asked for once more and is then a failure with its reason, never an explanation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice

from superalign.core.digest import digest
from superalign.core.errors import SpecError
from superalign.core.ports import Model, Progress, silent
from superalign.core.transcript import Transcript
from superalign.core.types import Cost, Message, Settings
from superalign.interp.asking import Answer, Question, Unreadable, desk, refuses
from superalign.interp.evidence import Evidence
from superalign.interp.explainers.shown import SPLIT, Sheet, Shown, sections, single_token, unit_sheet
from superalign.interp.explainers.validation import validate
from superalign.interp.layout import escaped
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation, Failed, Simulator, Unit

CLAUSE = "This unit responds to"
TAG = "EXPLANATION:"
MOST = 600
"""Characters of an explanation. A model that goes on has not understood the task."""


class Language:
    """An Explainer. With several `samples` the `simulator` chooses among them.

    `promoted(unit)` gives the tokens whose logits a unit raises, if they shall be shown. With `shortcut` a unit that
    peaks at one token in 90 % of its strongest windows is explained by it, and no model is asked.
    """

    def __init__(
        self,
        model: Model,
        transcript: Transcript | None = None,
        *,
        shown: Shown | None = None,
        samples: int = 1,
        simulator: Simulator | None = None,
        promoted: Callable[[Unit], Sequence[str]] | None = None,
        shortcut: bool = False,
        template: str = "",
        progress: Progress = silent,
    ) -> None:
        if samples > 1 and simulator is None:
            raise SpecError(f"{samples} samples need a simulator that chooses among them; give one, or samples=1")
        self.name = f"language:{model.name}"
        self._desk = desk("explainer", model, transcript, progress)
        self._shown, self._samples, self._simulator = shown or Shown(), samples, simulator
        self._promoted, self._shortcut = promoted, shortcut
        self._sheet = sheet(f"explain_{self._shown.style}", template, sections(self._shown.style))
        self._read = tagged if self._shown.style == "highlights" else finished

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation | Failed]:
        """An explanation of each unit, from windows of the split `explain`."""
        found: list[Explanation | Failed | None] = [self._known(e) for e in evidence]
        places = [k for k, known in enumerate(found) if known is None]
        sheets = [self._unit(evidence[k]) for k in places]
        answers = iter(self._desk.write([q for s in sheets for q in self._questions(s)]))
        drawn = [self._read_all(s, list(islice(answers, self._samples))) for s in sheets]
        chosen = self._chosen([(evidence[k], options) for k, options in zip(places, drawn, strict=True)])
        for k, best in zip(places, chosen, strict=True):
            found[k] = best
        return [f for f in found if f is not None]

    def _known(self, evidence: Evidence) -> Explanation | Failed | None:
        """What needs no model: a unit that never fires, and one that fires at one token."""
        if not len(evidence.active(SPLIT)):
            return Failed("undefined", f"{evidence.unit.name} fires in no window of the {SPLIT} split")
        if not self._shortcut or (single := single_token(evidence)) is None:
            return None
        token, windows = single
        return Explanation(f'the token "{escaped(token)}"', source="single-token", evidence=windows)

    def _unit(self, evidence: Evidence) -> Sheet:
        promoted = self._promoted(evidence.unit) if self._promoted is not None else ()
        return unit_sheet(evidence, self._shown, self._sheet, promoted)

    def _messages(self, unit: Sheet) -> tuple[Message, ...]:
        return Message("system", self._sheet.fill("task")), Message("user", unit.text)

    def _questions(self, unit: Sheet) -> list[Question]:
        limit = 60 if self._shown.style == "tokens" else 200  # the tag may follow some thought
        settings = Settings(temperature=1.0 if self._samples > 1 else 0.0, max_tokens=limit)
        again = self._sheet.fill("again")
        return [Question(self._messages(unit), self._read, again, settings, k) for k in range(self._samples)]

    def _read_all(self, unit: Sheet, answers: Sequence[Answer]) -> list[Explanation | Failed]:
        """Each different explanation once; all failures. What the draws cost together is the cost of each."""
        cost = sum((a.cost for a in answers), Cost())
        prompt = digest([[m.role, m.content] for m in self._messages(unit)])
        texts = dict.fromkeys(a.value for a in answers if a.failed is None)
        made = [Explanation(text, None, self.name, None, unit.windows, prompt, cost) for text in texts]
        return [*made, *(a.failed for a in answers if a.failed is not None)]

    def _chosen(self, drawn: Sequence[tuple[Evidence, list[Explanation | Failed]]]) -> list[Explanation | Failed]:
        """The best of each unit on the split `validate`; the first where none can be told from the others."""
        rivals = [[x for x in options if isinstance(x, Explanation)] for _, options in drawn]
        pairs = [(x, e) for (e, _), own in zip(drawn, rivals, strict=True) if len(own) > 1 for x in own]
        scores = iter(validate(self._simulator, pairs) if self._simulator is not None and pairs else ())
        chosen: list[Explanation | Failed] = []
        for (_, options), own in zip(drawn, rivals, strict=True):
            rated = [(x, next(scores)) for x in own] if len(own) > 1 else []
            chosen.append(max(rated, key=lambda r: -2.0 if r[1] is None else r[1])[0] if rated else options[0])
        return chosen


def finished(text: str) -> str:
    """An explanation that finishes `This unit responds to`. Raises Unreadable."""
    if refuses(text):
        raise Unreadable(text.strip()[:80], "refused")
    lines = text.strip().removeprefix(CLAUSE).strip(" :\n").split("\n")
    return _checked(lines[0])


def tagged(text: str) -> str:
    """The explanation after the last `EXPLANATION:`. Raises Unreadable."""
    found = re.findall(rf"(?i:{TAG})\W{{0,3}}([^\n]+)", text)
    if not found:
        raise Unreadable(f"no {TAG} in {text.strip()[:60]!r}")
    return _checked(found[-1])


def _checked(text: str) -> str:
    bare = text.strip().strip("*").strip()
    if not bare:
        raise Unreadable(f"nothing is explained by {text[:60]!r}")
    if len(bare) > MOST:
        raise Unreadable(f"{len(bare)} characters are no short explanation")
    return bare
