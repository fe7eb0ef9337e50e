"""From examined units to dossiers: what a page shows of each, and how it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from superalign.core.digest import digest
from superalign.core.ports import Store
from superalign.interp.calibrate import fit
from superalign.interp.corpus import SPLITS, Windows
from superalign.interp.dossier import Dossier, Excerpt, to_json
from superalign.interp.evidence import Evidence
from superalign.interp.units import Explanation, Failed, Simulator
from superalign.studies.interp.group import Group

TOP, RANDOM, BINS = 5, 5, 3
"""Excerpts shown: the strongest, random ones, and one of each quantile."""
CALIBRATE = 50
"""Windows behind the calibration of what is shown."""
BARS = 24

Effects = Callable[[Evidence], tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]]
"""The tokens that a unit promotes and suppresses."""


def dossiers(
    group: Group,
    simulator: Simulator,
    *,
    truth: Sequence[str] = (),
    effects: Effects | None = None,
    calibrate: int | None = None,
) -> list[Dossier]:
    """A dossier per unit; `truth` says what was planted, where something was. What is shown is calibrated on as many
    windows as scores are: a model that was asked for them is not asked again."""
    shown = [_excerpted(e) for e in group.evidence]
    simulated = _simulated(group, simulator, [windows for windows, _ in shown], calibrate or CALIBRATE)
    return [_dossier(group, k, shown[k], simulated[k], truth[k] if truth else None, effects) for k in range(len(group))]


def keep(store: Store, name: str, shown: Sequence[Dossier]) -> dict[str, str]:
    """Keep dossiers as one artifact, a line of JSON each; what the record calls it, with its key."""
    data = "\n".join(map(to_json, shown)).encode()
    key = f"interp/units/{digest(data)[:32]}"
    store.put(key, data, {"units": len(shown)})
    return {f"units/{name}": key}


def _excerpted(evidence: Evidence) -> tuple[Windows, list[str]]:
    """The windows to show, with why: strongest of explain and test, random ones, one of each quantile."""
    parts = [
        ("top", evidence.top("test", TOP)),
        ("top", evidence.top("explain", TOP)),
        ("random", evidence.random("test", RANDOM, "shown")),
        *((f"quantile {k + 1}/{BINS}", w) for k, w in enumerate(evidence.strata("test", BINS, 1, "shown strata"))),
    ]
    why: dict[int, str] = {}
    for name, windows in parts:
        for number in windows.index.tolist():
            why.setdefault(number, name)
    return Windows(evidence.corpus, np.array(list(why), np.int64)), list(why.values())


def _simulated(group: Group, simulator: Simulator, shown: Sequence[Windows], calibrate: int) -> list[np.ndarray | None]:
    """Calibrated simulations of the windows shown; None where there is no explanation or no calibration."""
    places = [k for k, e in enumerate(group.explanations) if isinstance(e, Explanation)]
    asked = []
    for k in places:
        explanation = group.explanations[k]
        assert isinstance(explanation, Explanation)
        before = group.evidence[k].random("calibrate", calibrate)
        asked += [(explanation, before), (explanation, shown[k])]
    answers = simulator.simulate(asked)
    found: list[np.ndarray | None] = [None] * len(group)
    for at, k in enumerate(places):
        calibration = fit("linear", answers[2 * at], group.evidence[k], asked[2 * at][1])
        if calibration is not None and answers[2 * at + 1].status == "ok":
            found[k] = np.maximum(np.asarray(calibration(np.asarray(answers[2 * at + 1].values))), 0)
    return found


def _dossier(
    group: Group,
    k: int,
    shown: tuple[Windows, list[str]],
    simulated: np.ndarray | None,
    truth: str | None,
    effects: Effects | None,
) -> Dossier:
    evidence, explanation = group.evidence[k], group.explanations[k]
    promoted, suppressed = effects(evidence) if effects is not None else ((), ())
    failed = (f"{explanation.status}: {explanation.reason}",) if isinstance(explanation, Failed) else ()
    return Dossier(
        unit=evidence.unit,
        rows=len(evidence.corpus),
        density=evidence.density,
        mean=float(evidence.values.sum(dtype=np.float64)) / max(len(evidence.corpus), 1),
        peak=evidence.peak,
        histogram=_histogram(evidence),
        promoted=promoted,
        suppressed=suppressed,
        excerpts=tuple(_excerpts(evidence, *shown, simulated)),
        explanations=(explanation,) if isinstance(explanation, Explanation) else (),
        scores=tuple(group.scores[k].values()),
        truth=truth,
        notes=failed,
    )


def _histogram(evidence: Evidence) -> tuple[tuple[float, ...], tuple[int, ...]]:
    if not len(evidence.values):
        return (), ()
    counts, edges = np.histogram(evidence.values, BARS, (0.0, evidence.peak))
    return tuple(round(float(e), 5) for e in edges), tuple(int(c) for c in counts)


def _excerpts(evidence: Evidence, windows: Windows, why: Sequence[str], simulated: np.ndarray | None) -> list[Excerpt]:
    corpus, values = evidence.corpus, evidence.on(windows)
    bounds, texts = windows.bounds.tolist(), windows.texts()
    found = []
    for k, number in enumerate(windows.index.tolist()):
        part = slice(bounds[k], bounds[k + 1])
        document = corpus.document_of[corpus.windows[number]]
        found.append(
            Excerpt(
                window=number,
                document=corpus.names[document],
                split=SPLITS[corpus.split[document]],
                stratum=why[k],
                tokens=tuple(texts[k]),
                values=tuple(round(float(v), 4) for v in values[part]),
                simulated=() if simulated is None else tuple(round(float(v), 4) for v in simulated[part]),
            )
        )
    return found
