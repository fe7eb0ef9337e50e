"""Dossiers of a small run, as this project would make them."""

from __future__ import annotations

from superalign.core.spec import Number
from superalign.interp.dossier import Dossier, Excerpt
from superalign.interp.units import Explanation, Score, Unit, undefined


def dossier(unit: Unit | None = None) -> Dossier:
    """A unit with excerpts of every stratum, two explanations, scores, one of them undefined, and labels."""
    words = (" the", " big", "\n", "</script>", "日")
    silent = (0.0,) * 5
    score = Score(
        "correlation:random-only", Number(value=0.7, low=0.6, high=0.8, n=500), n=500, failed=2, base_rate=0.1,
        controls={"shuffled": Number(value=0.01)},
    )  # fmt: skip
    return Dossier(
        unit or Unit("resid.3+topk", 17, "latent"), 1000, 0.1, 0.05, 2.0,
        histogram=((0.0, 0.5, 1.0, 1.5, 2.0), (60, 20, 15, 5)),
        promoted=((" ball", 1.25), (" toy", 1.0)), suppressed=((" of", -0.75),),
        excerpts=(
            Excerpt(0, "doc 3", "explain", "top", words, (0.0, 2.0, 0.0, 0.0, 1.0)),
            Excerpt(1, "doc 4", "test", "random", words, (0.0, 0.5, 0.0, 0.0, 0.0)),
            Excerpt(2, "doc 5", "test", "quiet", words, silent),
        ),
        explanations=(Explanation("size", source="predicates"), Explanation("size words", source="language:gpt")),
        scores=(score, undefined("detection:f1", "no silent window")), labels=("things that are big",),
    )  # fmt: skip
