"""The study of a compiled transformer: the same features as coordinates, as directions, and squeezed together.

In each basis the true directions, the coordinates and random directions are explained alike. Of the true directions the
ablation score is measured too, with the true label and with another feature's: a causal score that knows.
"""

from __future__ import annotations

import numpy as np

from superalign.core.ports import Progress, silent
from superalign.core.steps import Steps
from superalign.interp.controls import along, controlled, mean, random_directions
from superalign.interp.dossier import Dossier
from superalign.interp.evidence import Evidence
from superalign.interp.predicates.programs import Programs
from superalign.interp.predicates.search import Predicates
from superalign.interp.scorers.ablation import Ablation
from superalign.interp.scorers.correlation import SimulationScores
from superalign.interp.units import Explanation
from superalign.interp.worlds.compiled import BASES, FEATURES, LENGTH, TEXTS, Compiled, Oracle, compiled
from superalign.interp.worlds.recovery import evidence_of, recover
from superalign.studies.interp.dossiers import dossiers
from superalign.studies.interp.group import BOOTSTRAP, examine
from superalign.studies.interp.kept import Kept
from superalign.studies.interp.planted import Seen, masks

RANDOM = 42
"""Random directions in each basis."""
DOCUMENTS = 1500


def studied(
    seed: int, steps: Steps, *, tokens: int | None = None, progress: Progress = silent
) -> tuple[dict[str, Seen], list[Dossier]]:
    """One seed's network in every basis, on at most so many tokens: what is recovered, and the dossiers of all units."""
    found: dict[str, Seen] = {}
    shown: list[Dossier] = []
    for basis in BASES:
        world = compiled(seed, basis=basis, documents=DOCUMENTS if tokens is None else tokens // LENGTH)
        truth = world.labels[world.corpus.pick("test").rows]
        for kind, evidence in _units(world, seed).items():
            name = f"{kind}/{basis}"
            scorers = [SimulationScores(Programs(), bootstrap=BOOTSTRAP, seed=seed)]
            kept = Kept(steps, ["compiled", seed, world.corpus.identity])
            group = examine(name, evidence, Predicates(), scorers, seed=seed, progress=progress, kept=kept)
            recovery = recover(masks(group), truth)
            found[name] = Seen(group, recovery, _ablation(world, evidence, seed) if kind == "true-directions" else {})
            planted = [f"{FEATURES[k]} (overlap {o:.2f})" for k, o in zip(recovery.best, recovery.overlap, strict=True)]
            shown += dossiers(group, Programs(), truth=planted)
    return found, shown


def _units(world: Compiled, seed: int) -> dict[str, list[Evidence]]:
    basis = world.basis
    directions = random_directions(world.x.shape[1], RANDOM, seed)
    held = np.maximum(world.x @ world.directions.T, 0).astype(np.float32)
    return {
        "true-directions": evidence_of(world.corpus, np.where(held > 1e-3, held, 0), f"true_{basis}", seed=seed),
        "neurons": evidence_of(
            world.corpus, np.where(world.x > 1e-3, world.x, 0), f"neurons_{basis}", "neuron", seed=seed
        ),
        "random-directions": along(world.x, directions, world.corpus, f"random_{basis}", seed),
    }


def _ablation(world: Compiled, evidence: list[Evidence], seed: int) -> dict[str, float | None]:
    """Mean ablation scores of the features as they are, labelled truly and labelled as another feature."""
    features = range(len(FEATURES))
    oracle = Oracle({TEXTS[k]: world.acts[:, k] for k in features})
    scorer = Ablation(world.subject, oracle, world.written_to(), contexts=200, bootstrap=50, seed=seed)
    pairs = [(Explanation(TEXTS[k]), world.evidence(k, seed)) for k in features]
    rows = [scores[0] for scores in controlled(scorer, pairs, seed)]
    return {
        "ablation": mean([r.number for r in rows]).value,
        "ablation_shuffled": mean([r.controls["shuffled"] for r in rows]).value,
    }
