"""A linear head on frozen features, trained with any loss. The student of a frozen strong model.

Class tasks: z = Phi W + b, the intercept not penalised. Choice tasks, where each item has texts of its
own: one scorer for all choices, z_k = w . phi_k, no intercept (McFadden 1974, conditional logit).

What is minimised is scikit-learn's logistic regression objective, C * sum_i loss_i + ||W||^2 / 2. For two
classes there is one weight vector, as there, and z = (-s/2, s/2) with s = Phi w + b; for more there is
one vector per class. Cross-entropy therefore gives scikit-learn's solution at the same C.

The optimiser takes gradients only, all rows at once, for a fixed number of steps, so that losses which
see the whole batch (class balance) or the step (warm-up) are trained as they are written. The curvature
of softmax cross-entropy is at most (I - 11'/K)/2 (x) Phi'Phi (Böhning 1992, section 3; for two classes
Phi'Phi/4), and one eigendecomposition of Phi'Phi makes that bound the identity for every C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from superalign.core.digest import digest
from superalign.core.errors import ModelError
from superalign.core.ports import Objective, Watch
from superalign.core.types import Ask, Item, Reply

if TYPE_CHECKING:
    from superalign.core.ports import Floats

STEPS = 300
"""Steps of a fit. With 300, weights agree with a converged solver to 1e-4 up to C = 1 on every set tried. On
separable points of more classes, or fewer than dimensions, C = 10 is off by 1e-2 and C = 100 is stopped early."""

GRID = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Values of C to choose among, strongest regularisation first: half-decades from a head that moves little
to one that copies its labels. C moved PGR from .75 to .03 where the loss moved it by a few hundredths."""

WIDE_GRID = tuple(100 * c for c in GRID)
"""The same for features whose rows have a length of about 1 (random features, weighed words)."""

Featurise = Callable[[Sequence[Item]], "Floats"]
"""`featurise(items)` -> (n, d), or (n, K, d) where choices are the items' own texts. It must not depend
on which items come together; it is called once per item and may keep its rows in `Steps.rows`."""


@dataclass(frozen=True, slots=True)
class Head:
    """Trained weights: (d, 1) and (1,) for two classes, (d, K) and (K,) for more, (d, 1) and (0,) for choices."""

    weights: Floats
    bias: Floats

    def logits(self, features: Floats) -> Floats:
        """(n, K) float64 from features (n, d), or (n, K, d) for choices."""
        wide = np.asarray(features, np.float64)
        if wide.shape[-1] != (d := len(self.weights)):
            raise ModelError(f"the head has {d} weights per column, and the features have {wide.shape[-1]} numbers")
        if self.bias.size == 0:
            scores: Floats = wide @ self.weights[:, 0]
            return scores
        return columns(wide @ self.weights + self.bias)


@dataclass(frozen=True, slots=True)
class Design:
    """Features in the coordinates in which the curvature bound is diagonal: `rows` = centred features @ `basis`.

    rows (m, r) with m = n, or n * K for choices; basis (d, r) orthonormal; spread (r,) the singular values;
    mean (d,) of the features, zero for choices, whose features are centred within each item instead (which
    no softmax sees). `choices` is K for choices and 0 for classes.
    """

    rows: Floats
    basis: Floats
    spread: Floats
    mean: Floats
    choices: int


def design(features: Floats) -> Design:
    """Prepare features (n, d) or (n, K, d); the decomposition is of the smaller of the two Gram matrices."""
    wide = np.asarray(features, np.float64)
    choices = wide.shape[1] if wide.ndim == 3 else 0
    mean = np.zeros(wide.shape[-1]) if choices else wide.mean(0)
    centred = (wide - wide.mean(1, keepdims=True)).reshape(-1, wide.shape[-1]) if choices else wide - mean
    tall = centred.shape[0] >= centred.shape[1]
    values, vectors = np.linalg.eigh(centred.T @ centred if tall else centred @ centred.T)
    keep = values > max(values[-1], 0.0) * 1e-12  # what is left out is shrunk to nothing by any C in use
    spread, vectors = np.sqrt(values[keep]), vectors[:, keep]
    if tall:
        return Design(centred @ vectors, vectors, spread, mean, choices)
    return Design(vectors * spread, centred.T @ (vectors / spread), spread, mean, choices)


def fit_head(
    features: Floats | Design,
    classes: int,
    objective: Objective,
    C: float,
    steps: int = STEPS,
    watch: Callable[[int, int, Head], None] | None = None,
) -> Head:
    """Train a head on features (n, d) for `classes` classes, or on (n, K, d) with `classes` = 0.

    Nesterov's method in preconditioned coordinates, from zero. Momentum restarts whenever it points uphill
    (O'Donoghue and Candès 2015, section 3.2), and steps shorten where the measured curvature exceeds the bound,
    as it does for weighted, squared and reverse losses. `watch` is called at the halvings of `steps` and at the
    end. Deterministic. Raises ModelError if the loss returns what is not finite.
    """
    made = features if isinstance(features, Design) else design(features)
    total_rows = made.rows.shape[0]
    n = total_rows // (made.choices or 1)
    outputs = 1 if made.choices or classes == 2 else classes
    bound = C * (0.25 if not made.choices and classes == 2 else 0.5)
    stretch = np.sqrt(bound * made.spread**2 + 1)[:, None]
    shift = 0.0 if made.choices else 1 / np.sqrt(bound * n)  # the intercept is one more column, unpenalised
    rows = np.hstack([made.rows / stretch.T, np.full((total_rows, 1), shift)])
    penalty = np.append(stretch[:, 0] ** -2, 0.0)[:, None]
    index = np.arange(n)

    def gradient(at: Floats, step: int) -> Floats:
        scores = rows @ at
        logits = scores.reshape(n, -1) if made.choices else columns(scores)
        pull = np.asarray(objective(logits, index, step, steps)[1], np.float64)
        if not np.isfinite(pull).all():
            raise ModelError(f"at step {step} of {steps} (C={C:g}) the loss has a gradient that is not finite")
        back = pull.reshape(-1, 1) if made.choices else folded(pull)
        slope: Floats = C * (rows.T @ back) + penalty * at
        return slope

    def head(at: Floats) -> Head:
        weights = made.basis @ (at[:-1] / stretch)
        bias = np.zeros(0) if made.choices else at[-1] * shift - made.mean @ weights
        return Head(weights, bias)

    marks = {steps >> k for k in range(8)}
    best = at = np.zeros((rows.shape[1], outputs))
    before: tuple[Floats, Floats] | None = None
    momentum, steepness = 1.0, 1.0
    for step in range(steps):
        slope = gradient(at, step)
        steepness = _steepness(steepness, before, (at, slope))
        before = (at, slope)
        new = at - slope / steepness
        if float((slope * (new - best)).sum()) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        at = new + (momentum - 1) / following * (new - best)
        best, momentum = new, following
        if watch is not None and step + 1 in marks:
            watch(step + 1, steps, head(best))
    return head(best)


def columns(scores: Floats) -> Floats:
    """Logits (B, K) from outputs (B, K), or from (B, 1), the difference of two logits: it is split evenly, so
    that swapping the classes is exact."""
    return np.hstack([-scores / 2, scores / 2]) if scores.shape[1] == 1 else scores


def folded(gradients: Floats) -> Floats:
    """The gradient of the outputs from that of their `columns`."""
    return (gradients[:, 1:] - gradients[:, :1]) / 2 if gradients.shape[1] == 2 else gradients


def _steepness(known: float, before: tuple[Floats, Floats] | None, now: tuple[Floats, Floats]) -> float:
    """Curvature along the last step in units of the bound: at least 1, forgotten by 5 % a step, because a
    hardened target that flips looks like a sudden curvature."""
    if before is None:
        return known
    moved = now[0] - before[0]
    length = float((moved**2).sum())
    if length <= 1e-12 * float((now[0] ** 2).sum()):  # converged: the quotient would be rounding noise
        return known
    seen = float((moved * (now[1] - before[1])).sum()) / length
    return max(1.0, 0.95 * known, min(seen, 4 * known))


def softmax(logits: Floats) -> Floats:
    """Probabilities along the last axis, float64."""
    wide = np.asarray(logits, np.float64)
    powers = np.exp(wide - wide.max(-1, keepdims=True))
    shares: Floats = powers / powers.sum(-1, keepdims=True)
    return shares


def answers(
    name: str, choices: tuple[str, ...], logits: Callable[[Sequence[Item]], Floats], asks: Sequence[Ask]
) -> Iterator[tuple[int, Reply]]:
    """`Model.answer` of a trained model: the probabilities of each ask's choices, in the order asked.

    `choices` names the columns of `logits`; it is empty where they are the item's own choices. An ask may
    show choices in another order. Raises ModelError for an ask without an item or with other choices.
    """
    for ask in asks:
        if ask.item is None:
            raise ModelError(f"{name} answers about items, and the ask for {ask.role!r} carries none;"
                             " cast a model that reads messages (hf:..., scripted)")  # fmt: skip
    if not asks:
        return
    probs = softmax(logits([ask.item for ask in asks if ask.item is not None]))
    for i, ask in enumerate(asks):
        own = choices or (ask.item.choices if ask.item is not None else ())
        shown = ask.choices or own
        if shown != own and sorted(shown) != sorted(own):
            raise ModelError(f"{name} was trained to choose among {own}, and {ask.role!r} was asked for {shown}")
        row = probs[i] if shown == own else probs[i][_order(own, shown)]
        yield i, Reply(text=shown[int(row.argmax())], probs=tuple(float(p) for p in row))


def _order(own: tuple[str, ...], shown: tuple[str, ...]) -> list[int]:
    """Where each shown choice is among the model's own; equal texts are taken in turn."""
    left = list(enumerate(own))
    return [left.pop(next(k for k, (_, text) in enumerate(left) if text == choice))[0] for choice in shown]


class Table:
    """Features by item, computed once, and the designs of the last two sets of items that were fitted.

    Shared by a model, its variants and everything fitted from it. Memory: one row per item seen, and two
    designs of about the size of their features in float64.
    """

    def __init__(self, featurise: Featurise, per_choice: bool) -> None:
        self._featurise, self._per_choice = featurise, per_choice
        self._rows: dict[Any, Floats] = {}
        self._designs: dict[str, Design] = {}

    def rows(self, items: Sequence[Item]) -> Floats:
        """(n, d) or (n, K, d). Raises ModelError where a feature is not finite."""
        keys = [self._key(item) for item in items]
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in self._rows}
        if missing:
            new = np.asarray(self._featurise(list(missing.values())))
            bad = np.flatnonzero(~np.isfinite(new).reshape(len(new), -1).all(1))
            if bad.size:
                raise ModelError(f"the features of item {list(missing.values())[bad[0]].id!r} are not finite")
            self._rows.update(zip(missing, new, strict=True))
        if not keys:
            return np.zeros((0, 0))
        found = [self._rows[key] for key in keys]
        if len({row.shape for row in found}) > 1:
            counts = sorted({row.shape[0] for row in found})
            raise ModelError(f"items have {counts} choices; a batch needs the same number in each item")
        return np.stack(found)

    def design(self, items: Sequence[Item]) -> Design:
        """The design of these items, in this order."""
        key = digest([self._key(item) for item in items])
        if key not in self._designs:
            while len(self._designs) > 1:
                del self._designs[next(iter(self._designs))]
            self._designs[key] = design(self.rows(items))
        return self._designs[key]

    def _key(self, item: Item) -> tuple[str, ...]:
        # an item that is seated has its choices in another order, and then its rows are in that order
        return (item.id, *item.choices) if self._per_choice else (item.id,)


class HeadModel:
    """A Trainable: frozen features with a linear head.

    `identity` names the features (and what they depend on); C, steps and choices are added to it.
    `choices` are the classes, or () where every item has texts of its own. A `grid` makes `variants()` one
    model per value of C; `fit` itself uses `C`. Fits start at zero and see all rows at once, so the seed
    changes nothing. Two models with different weights have different names (`bow#3f0a91c2`), because a
    name is part of the key of a recorded call.
    """

    serial = True

    def __init__(
        self,
        name: str,
        identity: Mapping[str, Any],
        featurise: Featurise | Table,
        choices: tuple[str, ...] = (),
        *,
        C: float = 1.0,
        grid: Sequence[float] = (),
        steps: int = STEPS,
        head: Head | None = None,
    ) -> None:
        if C <= 0 or any(c <= 0 for c in grid):
            raise ModelError(f"{name}: C must be above 0, got C={C:g} and the grid {tuple(grid)}")
        self._name, self._identity, self._choices = name, dict(identity), choices
        self._table = featurise if isinstance(featurise, Table) else Table(featurise, per_choice=not choices)
        self._C, self._grid, self._steps, self._head = C, tuple(grid), steps, head
        self.name = name if head is None else f"{name}#{digest(head.weights, head.bias)[:8]}"
        self.identity: Mapping[str, Any] = {
            **self._identity, "head": 1, "C": C, "grid": list(grid), "steps": steps, "choices": list(choices),
        }  # fmt: skip

    def variants(self) -> list[HeadModel]:
        """One model per C of the grid, strongest regularisation first; itself where C was given."""
        return [self._copy(name=f"{self._name}:C={C:g}", C=C) for C in self._grid] if self._grid else [self]

    def features(self, items: Sequence[Item]) -> Floats:
        """The frozen features, (n, d) or (n, K, d)."""
        return self._table.rows(items)

    def logits(self, items: Sequence[Item]) -> Floats:
        """(n, K) float64. Raises ModelError before the first `fit` or `load`."""
        head = self._trained()
        if not items:
            return np.zeros((0, len(self._choices)))
        return head.logits(self._table.rows(items))

    def fit(self, items: Sequence[Item], objective: Objective, seed: int, watch: Watch | None = None) -> HeadModel:
        """A copy with a head trained on all `items` at once. Raises ModelError for no items."""
        if not items:
            raise ModelError(f"{self._name} was given no items to fit; a filter may have dropped all of them")

        def seen(step: int, total: int, head: Head) -> None:
            if watch is not None:
                watch(step, total, self._copy(head=head))

        made = self._table.design(items)
        return self._copy(head=fit_head(made, len(self._choices), objective, self._C, self._steps, seen))

    def state(self) -> dict[str, NDArray[Any]]:
        """`weights` and `bias`, in the shapes of `Head`."""
        head = self._trained()
        return {"weights": head.weights, "bias": head.bias}

    def load(self, state: Mapping[str, NDArray[Any]]) -> HeadModel:
        """A copy with these weights. Raises ModelError where they are not a head for these choices."""
        outputs = len(self._choices) if len(self._choices) > 2 else 1
        shapes = {key: np.shape(state[key]) for key in ("weights", "bias") if key in state}
        wanted = {"weights": (shapes.get("weights", (0,))[0], outputs), "bias": (outputs if self._choices else 0,)}
        if shapes != wanted:
            raise ModelError(f"{self._name} cannot load {shapes or sorted(state)}: it needs weights (d, {outputs})"
                             f" and bias {wanted['bias']}")  # fmt: skip
        return self._copy(head=Head(np.asarray(state["weights"]), np.asarray(state["bias"])))

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Probabilities over each ask's choices (see `answers`); no sampling, so no temperature."""
        return answers(self.name, self._choices, self.logits, asks)

    def _trained(self) -> Head:
        if self._head is None:
            raise ModelError(f"{self._name} is not trained; call fit or load first and use the model they return")
        return self._head

    def _copy(self, *, name: str = "", C: float = 0.0, head: Head | None = None) -> HeadModel:
        return HeadModel(name or self._name, self._identity, self._table, self._choices, C=C or self._C,
                         grid=() if C else self._grid, steps=self._steps, head=head)  # fmt: skip
