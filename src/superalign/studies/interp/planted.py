"""The study of a world with planted truth: what of it explanations recover, and whether scores know.

Four kinds of unit on the same text and space: the planted directions, the latents of a sparse autoencoder trained on the
space, the space's own coordinates, and random directions. A score is worth what its rank correlation with the truth is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from superalign.core import resample
from superalign.core.ports import Progress, silent
from superalign.core.spec import Condition, Number, Table
from superalign.core.steps import Steps
from superalign.interp.controls import along, random_directions
from superalign.interp.dossier import Dossier
from superalign.interp.evidence import Evidence
from superalign.interp.predicates.programs import Programs
from superalign.interp.predicates.search import Predicates
from superalign.interp.scorers.correlation import SimulationScores
from superalign.interp.units import Explanation
from superalign.interp.worlds.recovery import Recovery, evidence_of, recover
from superalign.interp.worlds.superposed import DOCUMENTS, LENGTH, Superposed, superposed
from superalign.studies.interp.dossiers import dossiers
from superalign.studies.interp.group import BOOTSTRAP, MIXED, PRIMARY, Group, examine
from superalign.studies.interp.kept import Kept

RANDOM = 96
"""Random directions, and latents of the autoencoder."""
ACTIVE = 4
STEPS = 1500

KINDS = ("true-directions", "sae-latents", "neurons", "random-directions")


@dataclass(frozen=True)
class Seen:
    """One kind of unit in one seed's world: the examined units and what they recover."""

    group: Group
    recovery: Recovery
    extra: Mapping[str, float | None] = field(default_factory=dict)

    def numbers(self) -> dict[str, float | None]:
        """The row of one seed."""
        main = [n.value for n in self.group.values(PRIMARY)]
        mixed = [n.value for n in self.group.values(MIXED)]
        return {
            "recall": self.recovery.recall,
            "precision": self.recovery.precision,
            "score": self.group.mean(PRIMARY).value,
            "score_truth_correlation": self.recovery.agreement(main),
            "top_and_random": self.group.mean(MIXED).value,
            "top_and_random_truth_correlation": self.recovery.agreement(mixed),
            "shuffled": self.group.mean(PRIMARY, "shuffled").value,
            "explained": self.group.explained / len(self.group),
            "units": float(len(self.group)),
            **self.extra,
        }


def studied(
    seed: int, steps: Steps, *, tokens: int | None = None, progress: Progress = silent
) -> tuple[dict[str, Seen], list[Dossier]]:
    """One seed's world, of at most so many tokens: every kind of unit, and the dossiers of all."""
    world = superposed(seed, DOCUMENTS if tokens is None else tokens // LENGTH)
    key = ["planted", world.corpus.identity, RANDOM, ACTIVE, STEPS]
    latents, lost = trained(world, seed, steps, key, progress)
    units: dict[str, list[Evidence]] = {
        "true-directions": evidence_of(world.corpus, world.acts, "planted", seed=seed),
        "sae-latents": latents,
        "neurons": evidence_of(world.corpus, world.x, "neurons", "neuron", seed=seed),
        "random-directions": along(
            world.x, random_directions(world.x.shape[1], RANDOM, seed), world.corpus, "random", seed
        ),
    }
    found, shown = {}, []
    explainer, simulator = Predicates(), Programs()
    for kind in KINDS:
        scorers = [SimulationScores(simulator, bootstrap=BOOTSTRAP, seed=seed)]
        kept = Kept(steps, [key, seed])
        group = examine(kind, units[kind], explainer, scorers, seed=seed, progress=progress, kept=kept)
        recovery = recover(masks(group), world.labels[world.corpus.pick("test").rows])
        found[kind] = Seen(group, recovery, {"fvu": lost} if kind == "sae-latents" else {})
        truth = [f"{world.programs[k]} (overlap {o:.2f})" for k, o in zip(recovery.best, recovery.overlap, strict=True)]
        shown += dossiers(group, simulator, truth=truth)
    return found, shown


def trained(
    world: Superposed, seed: int, steps: Steps, key: Sequence[Any], progress: Progress
) -> tuple[list[Evidence], float]:
    """Latents of a TopK autoencoder trained on the explain split, with the share of variance that it loses elsewhere."""
    import torch

    from superalign.interp.dictionaries.dictionary import load
    from superalign.interp.dictionaries.quality import quality
    from superalign.interp.dictionaries.training import Training, train

    x = torch.from_numpy(world.x)
    explain = torch.from_numpy(world.corpus.row_split == 0)
    options = Training(kind="topk", latents=RANDOM, k=ACTIVE, lr=3e-3, batch=1024, steps=STEPS)
    learn = partial(train, x[explain], options, seed=seed, progress=progress)
    dictionary = load(steps.run("interp/dictionary", 1, [key, seed], lambda: learn().state()))
    values, index = dictionary.encode(x)
    acts = np.zeros((len(x), RANDOM), np.float32)
    np.put_along_axis(acts, index.numpy().astype(np.int64), values.numpy(), 1)
    alive = [e for e in evidence_of(world.corpus, acts, "space+topk", "latent", seed=seed) if len(e.rows)]
    return alive, quality(dictionary, x[~explain]).fvu


def masks(group: Group) -> np.ndarray:
    """(U, m) where each unit's explanation holds on the test split; nowhere where there is none."""
    test = group.evidence[0].corpus.pick("test")
    found = np.zeros((len(group), len(test.rows)), bool)
    asked = [(k, e) for k, e in enumerate(group.explanations) if isinstance(e, Explanation)]
    for (k, _), simulation in zip(asked, Programs().simulate([(e, test) for _, e in asked]), strict=True):
        found[k] = simulation.values > 0.5
    return found


def conditions(seeds: Sequence[Mapping[str, Seen]]) -> tuple[Condition, ...]:
    """A condition per kind of unit, the means over seeds."""
    found = []
    for kind in seeds[0]:
        rows = [one[kind].numbers() for one in seeds]
        names = [name for name in rows[0] if name != "units" and any(r[name] is not None for r in rows)]
        found.append(Condition(name=kind, numbers={name: _over([r[name] for r in rows], rows) for name in names}))
    return tuple(found)


def _over(values: Sequence[float | None], rows: Sequence[Mapping[str, float | None]]) -> Number:
    known = [v for v in values if v is not None]
    found = resample.mean(np.array(known)[:, None])
    units = int(sum(r["units"] or 0 for r in rows))
    return Number(value=found.value, low=found.low, high=found.high, n=units, seeds=len(known))


def table(seeds: Sequence[Mapping[str, Seen]], numbers: Sequence[int]) -> Table:
    """Every seed's row."""
    columns = (
        "kind",
        "seed",
        "units",
        "recall",
        "precision",
        "score",
        "truth",
        "top and random",
        "its truth",
        "shuffled",
    )
    rows = []
    for seed, one in zip(numbers, seeds, strict=True):
        for kind, each in one.items():
            n = each.numbers()
            rows.append((kind, seed, int(n["units"] or 0), n["recall"], n["precision"], n["score"],
                         n["score_truth_correlation"], n["top_and_random"], n["top_and_random_truth_correlation"],
                         n["shuffled"]))  # fmt: skip
    note = "truth: Spearman's correlation of the score left of it with the overlap with the planted predicate"
    return Table(title="Planted truth, by seed", columns=columns, rows=tuple(rows), note=note)
