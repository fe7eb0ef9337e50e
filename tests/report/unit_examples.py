"""Dossiers for the tests: units that fire as real ones do, dead and dense ones, and one that means harm."""

from __future__ import annotations

from functools import cache

import numpy as np

from superalign.core.random import stream
from superalign.core.spec import Number, Record
from superalign.core.types import Cost
from superalign.interp.dossier import Dossier, Excerpt
from superalign.interp.units import Explanation, Kind, Score, Unit, undefined

STORY = (
    "Once upon a time there was little girl named Lily She loved to play with her big red ball in the park One day "
    "saw dog and it ran away from him They were very happy but then he said I want my toy back"
)
WORDS = tuple(STORY.split())
HOSTILE = (
    "<script>alert(1)</script>", "</script><img src=x onerror=alert(2)>", '" onmouseover="alert(3)', "\u202egnp.exe",
    "a\u200bb", "\x1b[31m", "\n", "\t", " ", "  ", "\u3000", "\ufeff", "", "\udc80", "עברית", "日本", "👩‍👧", "<!--", "&amp;",
    "javascript:alert(4)", "{{7*7}}", "\u2028",
)  # fmt: skip


def tokens(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """Words of a story with the spaces before them, stops and line breaks."""
    chosen = [WORDS[k] for k in rng.integers(0, len(WORDS), count)]
    ends = rng.random(count)
    return tuple("." if e < 0.06 else "\n" if e < 0.09 else f" {w}" for w, e in zip(chosen, ends, strict=True))


def excerpt(rng: np.random.Generator, number: int, stratum: str, words: frozenset[str], simulated: bool) -> Excerpt:
    found = tokens(rng, 32)
    strength = rng.lognormal(0, 0.5, 32)
    fires = np.array([t.strip() in words for t in found]) & (stratum != "quiet")
    values = np.where(fires, strength, 0.0) + np.where(rng.random(32) < 0.06, 0.2 * strength, 0.0) * (
        stratum != "quiet"
    )
    guess = tuple(np.where(fires, 1.05, 0.0).round(3).tolist()) if simulated else ()
    split = "explain" if stratum == "top" else "test"
    return Excerpt(number, f"document {number // 6}", split, stratum, found, tuple(values.round(4).tolist()), guess)


def number(value: float, half: float = 0.04, n: int = 6144) -> Number:
    return Number(value=value, low=value - half, high=value + half, n=n)


def scores(quality: float) -> tuple[Score, ...]:
    controls = {
        "shuffled": number(0.01, 0.02),
        "random directions": number(0.31, 0.03),
        "permuted weights": number(0.42),
    }
    return (
        Score("correlation:random-only", number(quality), n=6144, base_rate=0.05, controls=controls),
        Score("correlation:top-and-random", number(min(quality + 0.1, 0.99)), n=320, base_rate=0.2, controls=controls),
        Score("explained-variance", number(quality**2, 0.06), n=6144),
        undefined("detection:f1", "no window of the split is silent", n=0, failed=2),
    )


@cache
def dossier(index: int, site: str = "mlp.0", kind: Kind = "neuron", sign: int = 1) -> Dossier:
    """A unit that fires on a few words; every ninth never fires, every seventh has no explanation."""
    rng = stream(0, "dossier", site, index, sign)
    words = frozenset(WORDS[(index * 7 + k) % len(WORDS)] for k in (3, 19, 30))
    unit = Unit(site, index, kind, sign)
    if index % 9 == 8:
        return Dossier(unit, 61440, 0.0, 0.0, 0.0, notes=("It never fires on this text.",))
    kinds = ["top"] * 8 + [f"quantile {q}/4" for q in (1, 2, 3, 4) for _ in range(2)] + ["random"] * 4 + ["quiet"] * 2
    shown = tuple(excerpt(rng, 7 * k + index, name, words, True) for k, name in enumerate(kinds))
    seen = tuple(e.window for e in shown if e.split == "explain")
    listed = ", ".join(sorted(words))
    first = Explanation(f"words such as {sorted(words)[0]}", source="predicates", evidence=seen[:4])
    last = Explanation(
        f"the words {listed}", f"token in {{{listed}}}", "language:scripted", "ab12" * 16, seen,
        "cd34" * 16, Cost(812, 64, 0.0004),
    )  # fmt: skip
    quality = 0.5 + index * 37 % 50 / 100
    heights = tuple(int(v) for v in 900 * np.exp(-np.arange(24) / 4) + rng.integers(0, 3, 24))
    effects = tuple((t, float(e)) for t, e in zip(tokens(rng, 10), np.sort(rng.gamma(2, 0.5, 10))[::-1], strict=True))
    return Dossier(
        unit, 61440, 0.005 * (1 + index % 8), 0.031, max(max(e.values) for e in shown),
        histogram=(tuple(np.linspace(0, 4.2, 25).round(4).tolist()), heights),
        promoted=effects, suppressed=tuple((t, -e) for t, e in effects[::-1]), excerpts=shown,
        explanations=() if index % 7 == 6 else (first, last), scores=() if index % 7 == 6 else scores(quality),
        facts={"weight norm": 1.24, "bias": -0.3},
    )  # fmt: skip


def run(count: int = 12) -> tuple[Dossier, ...]:
    """Units of two sites and both signs."""
    half = count // 2
    return tuple(dossier(k) for k in range(half)) + tuple(
        dossier(k, "resid.1+topk", "latent") if k % 3 else dossier(k, "mlp.1", "neuron", -1)
        for k in range(count - half)
    )


def planted() -> Dossier:
    """A unit with a planted truth and labels by people, whose explainer saw a window that is shown as a test."""
    made = dossier(1)
    seen = next(e.window for e in made.excerpts if e.split == "test")
    leaky = Explanation("the words big and ball", source="predicates", evidence=(seen, 3))
    return Dossier(
        Unit("space", 3, "direction"), 61440, 0.05, 0.04, made.peak, excerpts=made.excerpts, explanations=(leaky,),
        scores=made.scores[:1], labels=("things to play with", "toys"), truth="token in {ball, toy}",
    )  # fmt: skip


def hostile() -> Dossier:
    """Every text of it is an attack."""
    bad = " ".join(HOSTILE)
    row = tuple(float(k % 4) for k in range(len(HOSTILE)))
    shown = Excerpt(3, bad, bad, bad, HOSTILE, row[:-3], row)
    score = Score(bad, Number(value=None, reason=bad), "parse_failed", controls={bad: Number(value=0.1)})
    return Dossier(
        Unit("<script>alert(5)</script>", 0, "latent", -1), 10, 0.5, 1.0, 3.0, promoted=tuple((t, 1.0) for t in HOSTILE),
        suppressed=tuple((t, -1.0) for t in HOSTILE), excerpts=(shown, Excerpt(4, "", "", "", (), (), ())),
        explanations=(Explanation(bad, bad, bad, bad, (1,), bad), Explanation(bad, source=bad)), scores=(score,),
        labels=(bad,), truth=bad, notes=(bad,), facts={bad: 1.0},
    )  # fmt: skip


def many(count: int) -> tuple[Dossier, ...]:
    """As many small dossiers as asked for, with an explanation and two scores each."""
    rng = stream(0, "many", count)
    found = []
    for k, quality in enumerate(rng.beta(4, 2, count)):
        listed = ", ".join(WORDS[j] for j in rng.integers(0, len(WORDS), 4))
        found.append(
            Dossier(
                Unit(f"mlp.{k % 5}", k // 5),
                100_000,
                float(rng.beta(1, 20)),
                0.01,
                float(rng.gamma(3)),
                explanations=(Explanation(f"the words {listed}"),),
                scores=scores(float(quality))[:2],
            )
        )
    return tuple(found)


def record() -> Record:
    """The study that the units could belong to."""
    return Record(
        id="interp-7f3a", study="interp", title="What do the neurons of a story model respond to?", spec={"study": "interp"},
        spec_hash="7f3a" * 16, created="2026-01-02T03:04:05Z", versions={}, machine={}, conditions=(),
        notes=("Token sets explain early neurons well: correlation 0.59 [0.57, 0.61] in layer 0.",),
    )  # fmt: skip
