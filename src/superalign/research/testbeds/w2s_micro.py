"""`w2s-micro`: weak-to-strong generalization in 20 ms, with many methods to combine and a known ceiling.

A hidden state z ~ N(0, I_16) gives features H = relu(zA + .3b), 48 of them, and the answer
y = 1[standardised(Hw) + .15 e > 0]. The weak supervisor learns from 250 labelled items, sees a few noisy
coordinates of z, four of the features and a cue that leans towards the answer on a part of the items. The strong
student sees all of H and z, 40 columns of noise and the cue blurred, and has 2,500 items without answers. The world
is drawn afresh for every problem; families differ in how good the cue and the weak supervisor's sight are.

The student is a ridge logistic regression; a method decides on which labels, on which items, how weighted and how
often. After Burns et al. 2023 (arXiv 2312.09390): naive fine-tuning, the auxiliary confidence loss, filtering.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit

from superalign.core.random import stream
from superalign.learners.hardening import harden
from superalign.research.space import Axis, Method, Space
from superalign.research.testbed import Baseline, Key, Problem, Tier, check_problem
from superalign.research.testbeds.ridge import design, fit, probability

if TYPE_CHECKING:
    from superalign.core.ports import Floats

LABELLED, UNLABELLED, TEST = 250, 2500, 3000
HIDDEN, FEATURES, NOISE = 16, 48, 40
WEAK_L2, CEILING_L2 = 1.0, 3.0


@dataclass(frozen=True, slots=True)
class Family:
    """What a family fixes: the `cue` leans by that much on a `share` of the items; the weak supervisor sees `sight`
    coordinates of the hidden state through noise of standard deviation `blur`."""

    cue: float
    share: float
    sight: int
    blur: float


FAMILIES = {
    "0": Family(0.5, 0.80, 5, 0.6),
    "1": Family(0.8, 0.75, 4, 0.4),
    "2": Family(0.3, 0.85, 6, 0.9),
    "3": Family(1.1, 0.70, 4, 0.5),
    "4": Family(0.6, 0.80, 5, 1.2),
}

SPACE = Space(
    (
        Axis("label", ("hard", "soft"), "hard", "label_transform"),
        Axis("temperature", (0.5, 1.0, 2.0), 1.0, "label_transform", ordered=True),
        Axis("l2", (3.0, 10.0, 100.0, 300.0, 1000.0), 3.0, "regulariser", ordered=True),
        Axis("aux", (0.0, 0.25, 0.5, 0.75), 0.0, "loss", ordered=True),
        Axis("rounds", (0, 1, 2, 4), 0, "self_training", ordered=True),
        Axis("keep", (1.0, 0.8, 0.6, 0.4), 1.0, "filter", ordered=True),
        Axis("select", ("confidence", "agreement", "loss"), "confidence", "filter"),
        Axis("weight", (0.0, 0.4, 0.8), 0.0, "reweight", ordered=True),
        Axis("ensemble", (1, 3), 1, "ensemble", ordered=True),
        Axis("components", (0, 24, 48), 0, "representation", ordered=True),
        Axis("smoothing", (0.0, 0.5), 0.0, "label_transform", ordered=True),
    )
)

BASELINES = (
    Baseline(
        "vanilla",
        {"label": "hard", "l2": 3.0},
        ("label", "temperature", "l2"),
        "naive fine-tuning on weak labels, Burns et al. 2023, section 4",
    ),
    Baseline(
        "aux-conf",
        {"label": "soft", "aux": 0.5, "rounds": 2},
        ("label", "l2", "aux", "rounds"),
        "auxiliary confidence loss, Burns et al. 2023, section 4.3.2",
    ),
    Baseline(
        "filter",
        {"keep": 0.6},
        ("label", "l2", "keep", "select"),
        "training on the labels of which the weak supervisor is most confident",
    ),
)

CARD = """\
w2s-micro: a strong student learns a yes/no question from a weak supervisor's labels.
A method sees
  train_x  (2500, 105) float32, standardised: what the student sees of items whose answers nobody gives
  train_p  (2500,) the weak supervisor's P(y = 1) for them; it is right on about 74 in 100
  test_x   (3000, 105) float32, the same columns of the items that are asked about
and returns P(y = 1) or classes, (3000,). Column order: 48 features, 16 hidden coordinates, 40 of noise, 1 blurred cue.
Score: performance gap recovered, 0 for the weak supervisor, 1 for the student taught with the right answers (about
.94); published defaults reach about .07. Without an ensemble a typed method does not depend on the seed.
Typed methods: weak labels (hard or soft; temperature; smoothing towards the mean label), fitted with ridge l2 on the
first `components` principal components (0: all columns); weights |2p - 1|^weight; the best `keep` of the items by
`select` (confidence of the weak supervisor, agreement with the student's P, its loss on the label); then `rounds`
refits on (1 - aux) * label + aux * the student's own hardened answer; `ensemble` students on resampled items.
Families 0 to 2 may be searched on, 3 and 4 are confirmed on alone.
"""


class W2SMicro:
    """The testbed; see the module. Its values are fixed, so that results of different campaigns compare."""

    name = "w2s-micro"
    card = CARD
    space = SPACE
    families: tuple[str, ...] = ("0", "1", "2")
    unseen: tuple[str, ...] = ("3", "4")
    baselines: tuple[Baseline, ...] = BASELINES

    def problem(self, family: str, seed: int, tier: Tier) -> Problem:
        """World, items, weak supervisor and ceiling; about 20 ms. SpecError for an unknown family or tier."""
        check_problem(self, family, tier)
        weak_x, strong_x, y = _draw(FAMILIES[family], stream(seed, "research/w2s-micro", family, tier))
        labelled, items = slice(LABELLED), LABELLED + UNLABELLED
        train, test = slice(LABELLED, items), slice(items, None)
        seen = design(_standard(weak_x, weak_x[labelled]))
        teacher = fit(seen[labelled], y[labelled], WEAK_L2)
        weak_p = probability(seen, teacher)
        student_x = _standard(strong_x, strong_x[train]).astype(np.float32)
        best = fit(design(student_x[train]), y[train], CEILING_L2)
        shortcuts = {
            "majority": np.full(TEST, int(y[labelled].mean() > 0.5)),
            "weak": (weak_p[test] > 0.5).astype(np.int64),
        }
        ceiling = float(((probability(design(student_x[test]), best) > 0.5) == y[test]).mean())
        key = Key(y[test].astype(np.int64), float((shortcuts["weak"] == y[test]).mean()), ceiling, shortcuts)
        public: dict[str, Floats] = {
            "train_x": student_x[train],
            "train_p": weak_p[train].astype(np.float64),
            "test_x": student_x[test],
        }
        for values in public.values():
            values.setflags(write=False)  # many methods share one problem
        return Problem(family, seed, tier, public, key)

    def solve(self, method: Method, public: Mapping[str, Any], seed: int) -> Floats:
        """P(y = 1) of the test items, (3000,), by a typed method. SpecError for a method that is not in the space.

        One core took 5 ms for vanilla, 10 for a method drawn from the space, 56 for the slowest of 150.
        """
        chosen = self.space.check(method)
        train, test = _projected(public["train_x"], public["test_x"], int(chosen["components"]))
        members = int(chosen["ensemble"])
        p = np.clip(np.asarray(public["train_p"], np.float64), 1e-6, 1 - 1e-6)  # a logit of certainty is infinite
        found = np.zeros(len(test))
        for k in range(members):
            rows = np.arange(len(p))
            if members > 1:  # the bootstrap of bagging
                rows = np.sort(stream(seed, "research/w2s-micro/ensemble", k).choice(rows, len(rows)))
            found += probability(test, _student(train[rows], p[rows], chosen))
        return found / members


def w2s_micro() -> W2SMicro:
    """The testbed `w2s-micro`."""
    return W2SMicro()


def _draw(family: Family, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """What the weak supervisor sees (n, sight + 5), what the student sees (n, 105), and the answers (n,)."""
    n = LABELLED + UNLABELLED + TEST
    into = rng.standard_normal((HIDDEN, FEATURES)) / np.sqrt(HIDDEN)
    offset, out = rng.standard_normal((2, FEATURES))
    z = rng.standard_normal((n, HIDDEN))
    H = np.maximum(z @ into + 0.3 * offset, 0)
    margin = H @ out
    y = (margin - margin.mean()) / margin.std() + 0.15 * rng.standard_normal(n) > 0
    cue = (2 * y - 1) * family.cue * (rng.random(n) < family.share) + rng.standard_normal(n)
    blurred = z[:, : family.sight] + family.blur * rng.standard_normal((n, family.sight))
    weak = np.column_stack([blurred, H[:, :4], cue])
    noise = rng.standard_normal((n, NOISE))
    strong = np.column_stack([H, z, noise, cue + 0.8 * rng.standard_normal(n)])
    return weak, strong, y.astype(np.float64)


def _standard(x: Floats, like: Floats) -> Floats:
    """The columns with mean 0 and standard deviation 1 on the rows `like`: those that the model learns from."""
    out: Floats = (x - like.mean(0)) / like.std(0)
    return out


def _projected(train: Floats, test: Floats, components: int) -> tuple[Floats, Floats]:
    """Designs of the first principal components of the training items; of all columns where `components` is 0."""
    if not components:
        return design(train), design(test)
    _, directions = np.linalg.eigh(train.T @ train)
    top = directions[:, -components:]
    return design(train @ top), design(test @ top)


def _student(x: Floats, p: Floats, method: Method) -> Floats:
    """The coefficients of a student taught with the weak P(y = 1) of the rows of a design, `p` (n,)."""
    label = _labels(p, method)
    confidence = np.abs(2 * p - 1)
    weights = confidence ** float(method["weight"])
    kept = round(float(method["keep"]) * len(p))
    by_student = kept < len(p) and method["select"] != "confidence"
    rows = slice(None) if by_student else _best(confidence, kept)
    beta = fit(x[rows], label[rows], float(method["l2"]), weights[rows])
    share, prior = float(method["aux"]), np.array([1 - label.mean(), label.mean()])
    for _ in range(max(int(method["rounds"]), int(by_student))):  # a student that filters needs one refit at least
        z = (x @ beta).astype(np.float64)
        if by_student:
            rows = _best(_merit(str(method["select"]), z, label), kept)
        target = label
        if share:
            target = (1 - share) * label + share * harden(np.column_stack([np.zeros_like(z), z]), prior)[:, 1]
        beta = fit(x[rows], target[rows], float(method["l2"]), weights[rows], beta)
    return beta


def _labels(p: Floats, method: Method) -> Floats:
    """Weak labels after temperature, hardening and smoothing."""
    if method["label"] == "hard":
        label: Floats = (p > 0.5).astype(np.float64)
    else:
        label = expit(logit(p) / float(method["temperature"]))
    smoothing = float(method["smoothing"])
    label = (1 - smoothing) * label + smoothing * label.mean()
    return label


def _merit(select: str, z: Floats, label: Floats) -> Floats:
    """How much a student with logits `z` would keep each label, (n,)."""
    merit: Floats = -np.abs(expit(z) - label) if select == "agreement" else label * z - np.logaddexp(0, z)
    return merit  # the latter is minus the cross-entropy


def _best(merit: Floats, count: int) -> Any:
    """The rows of the `count` largest merits, in order; all rows as a view where none is left out."""
    if count == len(merit):
        return slice(None)
    return np.sort(np.argsort(-merit, kind="stable")[:count])
