"""The values of automated interpretability: units, explanations, simulations, scores.

    A Unit is a direction that a model computes with: a neuron, a latent of a dictionary, a direction of the residual
    stream. An Explainer reads records of when it fires and writes an Explanation; a Simulator predicts from that alone
    where the unit fires on text that the explainer never saw; a Scorer compares the prediction with what happened.

A failed call is never a score of zero: it has a status, and it is counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from typing import Protocol as Interface

from superalign.core.errors import SpecError
from superalign.core.spec import Number
from superalign.core.types import Cost

if TYPE_CHECKING:
    from superalign.core.ports import Floats
    from superalign.interp.corpus import Windows
    from superalign.interp.evidence import Evidence

Status = Literal["ok", "parse_failed", "refused", "mismatch", "undefined"]
Kind = Literal["neuron", "latent", "direction"]

_NAME = re.compile(r"^(?P<site>[A-Za-z_]\w*(?:\.\d+)?(?:\+[\w-]+)?)/(?P<index>\d+)(?P<sign>-?)$")


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """One unit: where it is read (`mlp.0`, `resid.3`), its index there, and which sign of it is meant.

    `kind` says what it is; a latent's site carries the name of its dictionary, `mlp.0+topk`.
    """

    site: str
    index: int
    kind: Kind = "neuron"
    sign: int = 1

    @property
    def name(self) -> str:
        """`mlp.0/17`, or `mlp.0/17-` for the negative side."""
        return f"{self.site}/{self.index}{'-' if self.sign < 0 else ''}"


def unit_named(name: str, kind: Kind = "neuron") -> Unit:
    """The inverse of `Unit.name`. Raises SpecError for what is not a unit's name."""
    match = _NAME.match(name)
    if match is None:
        raise SpecError(f"{name!r} names no unit; write site/index, such as mlp.0/17 (mlp.0/17- for the negative side)")
    return Unit(match["site"], int(match["index"]), kind, -1 if match["sign"] else 1)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is claimed of a unit: a text for readers, and the program in the predicate language where there is one.

    `source` names the explainer (`predicates`, `language:<model>`, `person`, `control:shuffled`); `parent` is the
    digest of the explanation that this one revises; `evidence` are the numbers of all windows that were shown to
    whoever wrote it, or to an ancestor; `prompt` is the digest of what a model was asked.
    """

    text: str
    program: str | None = None
    source: str = ""
    parent: str | None = None
    evidence: tuple[int, ...] = ()
    prompt: str | None = None
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no explanation of a unit."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Simulation:
    """Predicted activations at every position of some windows: `values` (m,), raw and uncalibrated, and which
    positions failed (`failed` (m,) bool, where nothing failed all False). `status` is about the whole."""

    values: Floats
    failed: Any
    status: Status = "ok"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """One score of one explanation of one unit.

    `name` carries the sampling (`correlation:random-only`, `correlation:top-and-random`, `detection:f1`); `n` counts
    the positions or windows behind it, `failed` those that a model could not answer; `base_rate` is the share of
    positives in what was scored; `controls` are the same score of an explanation or answerer that knows nothing.
    """

    name: str
    number: Number
    status: Status = "ok"
    n: int = 0
    failed: int = 0
    split: str = "test"
    base_rate: float | None = None
    controls: Mapping[str, Number] = field(default_factory=dict)


def undefined(name: str, reason: str, *, n: int = 0, failed: int = 0, split: str = "test") -> Score:
    """A score that does not exist, with its reason."""
    return Score(name, Number(value=None, n=n, reason=reason), "undefined", n, failed, split)


class Explainer(Interface):
    """Writes an explanation of each unit from its evidence; reads the splits `explain` and `validate` only."""

    @property
    def name(self) -> str: ...

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation | Failed]: ...


class Simulator(Interface):
    """Predicts activations from the explanation and the text of the windows alone."""

    @property
    def name(self) -> str: ...

    def simulate(self, asked: Sequence[tuple[Explanation, Windows]]) -> list[Simulation]: ...


class Scorer(Interface):
    """Scores explanations on the split `test` (`calibrate` for fitting a calibration)."""

    @property
    def name(self) -> str: ...

    def score(self, pairs: Sequence[tuple[Explanation, Evidence]]) -> list[list[Score]]: ...
