"""The study of a model: every unit of its sites explained from its activations on a text, scored and controlled."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from superalign.core.digest import digest
from superalign.core.errors import SpecError
from superalign.core.ports import Progress, Store, silent
from superalign.core.random import stream
from superalign.core.spec import Number, Record
from superalign.core.steps import Steps
from superalign.core.study import Plan, Planned
from superalign.interp import metrics
from superalign.interp.corpus import Corpus, build
from superalign.interp.dossier import Dossier, from_json
from superalign.interp.evidence import Evidence
from superalign.interp.predicates.tables import Tables
from superalign.interp.units import Kind, Unit
from superalign.store import beside
from superalign.studies.interp.dossiers import dossiers, keep
from superalign.studies.interp.group import Group, examine
from superalign.studies.interp.kept import Kept
from superalign.studies.interp.record import model_record
from superalign.studies.interp.spec import Interp

if TYPE_CHECKING:
    from superalign.interp.cache.reading import Cache
    from superalign.interp.cache.writing import Encoder
    from superalign.interp.dictionaries.dictionary import Dictionary
    from superalign.interp.subject import Subject
    from superalign.studies.interp.voices import Voices

DIRECTIONS = 24
"""Random directions at each site."""


@dataclass(frozen=True)
class Prepared:
    """A model with its text, ready to be explained."""

    spec: Interp
    store: Store
    subject: Subject
    sites: tuple[str, ...]
    steps: Steps = field(repr=False)

    def plan(self) -> Plan:
        """The text and the units of each site; what the store holds of them."""
        spec = self.spec
        known = self.steps.known("interp/text", 1, self._text_key)
        widths = ", ".join(self.sites[:6]) + (", ..." if len(self.sites) > 6 else "")
        remarks = (f"{self.subject.name}: {widths}; units {spec.units}, explained by {spec.explainer}",)
        return Plan((Planned("text", self.steps.key("interp/text", 1, self._text_key), known),), remarks)

    @property
    def _text_key(self) -> Any:
        spec = self.spec
        return [_fingerprint(spec.text or ""), dict(self.subject.identity), spec.tokens, spec.context, spec.seeds[0]]

    @cached_property
    def corpus(self) -> Corpus:
        """The text as tokens; samples are drawn once and kept."""
        from superalign.interp.text import corpus

        spec = self.spec

        def read() -> Mapping[str, Any]:
            found = corpus(spec.text or "", self.subject, width=spec.width, context=spec.context, tokens=spec.tokens,
                           seed=spec.seeds[0])  # fmt: skip
            return {"tokens": found.tokens, "documents": found.documents, "names": list(found.names)}

        held = self.steps.run("interp/text", 1, self._text_key, read)
        rows = [held["tokens"][a:b] for a, b in zip(held["documents"], held["documents"][1:], strict=False)]
        return build(rows, self.subject.strings, names=held["names"], width=spec.width, context=spec.context)

    @cached_property
    def folder(self) -> Path:
        """Where activations are kept."""
        return Path(self.spec.folder) if self.spec.folder else beside(self.store, "activations")

    def run(self, progress: Progress = silent) -> Record:
        from superalign.interp.cache.writing import write_all
        from superalign.studies.interp import coder
        from superalign.studies.interp.voices import voices

        spec = self.spec
        encoders = {site: self.encoder(self.subject, site, progress) for site in self.sites}
        frames = self.frames() if "random-directions" in spec.controls else {}
        speak = voices(spec, self.subject, self.store, encoders, progress)
        write_all(self.folder, self.subject, self.corpus, [*encoders.items(), *frames.items()], progress=progress)
        main: Kind = "neuron" if spec.dictionary is None else "latent"
        title = {"neuron": "neurons" if all(s.startswith("mlp") for s in self.sites) else "coordinates",
                 "latent": "sae-latents"}[main]  # fmt: skip
        groups: dict[str, list[Group]] = {
            title: self.examined(title, self.subject, encoders, speak, progress, shuffle="shuffled" in spec.controls)
        }
        shown = self._dossiers(groups[title], speak, progress)
        if frames:
            kind = "random-directions"
            groups[kind] = self.examined(kind, self.subject, frames, speak, progress, scorers=False)
        if "random-weights" in spec.controls:
            groups["random-weights"] = self.permuted(speak, progress)
        artifacts: dict[str, str] = {}
        for site, of in groupby(shown, key=lambda dossier: dossier.unit.site):
            artifacts |= keep(self.store, site, list(of))
        return model_record(
            spec, f"{len(shown):,} {title} of {self.subject.name}, explained by {spec.explainer}", groups,
            artifacts, self._notes(), coder.table(self.subject, self.corpus, encoders, self.steps, progress),
        )  # fmt: skip

    def frames(self) -> dict[str, Encoder | None]:
        """Random directions of each site's space."""
        from superalign.interp.frame import Frame
        from superalign.interp.sites import sites_of

        widths = sites_of(self.subject.model)
        return {site: Frame(widths[site], DIRECTIONS, self.spec.seeds[0]) for site in self.sites}

    def encoder(self, subject: Subject, site: str, progress: Progress) -> Dictionary | None:
        """The dictionary of a site: read, or trained on the explain split and kept."""
        reference = self.spec.dictionary
        if reference is None:
            return None
        from superalign.studies.interp.coder import loaded, trained

        if reference.startswith("train:"):
            return trained(reference, subject, self.corpus, site, self.steps, self.spec.seeds[0], progress)
        return loaded(reference, site, len(self.sites))

    def examined(
        self,
        kind: str,
        subject: Subject,
        encoders: Mapping[str, Encoder | None],
        speak: Voices,
        progress: Progress,
        *,
        shuffle: bool = False,
        scorers: bool = True,
    ) -> list[Group]:
        """The units of every site, explained and scored."""
        from superalign.interp.cache.writing import write_all

        caches = write_all(self.folder, subject, self.corpus, [(s, encoders[s]) for s in self.sites], progress=progress)
        found = []
        for site, cache in zip(self.sites, caches, strict=True):
            evidence = self.evidence(cache, site, encoders[site])
            kept = self._kept(cache)
            group = examine(f"{kind}/{site}", evidence, speak.explainer, speak.scorers if scorers else speak.scorers[:1],
                            seed=self.spec.seeds[0], shuffle=shuffle, progress=progress,
                            kept=kept if speak.windows is None else None)  # fmt: skip
            tables = kept.numbers("tables", [e.unit for e in evidence], partial(self.tables, evidence))
            found.append(Group(group.name, group.evidence, group.explanations, group.scores, site, tables))
        return found

    def _kept(self, cache: Cache) -> Kept:
        return Kept(self.steps, [cache.identity, self.spec.seeds[0]])

    def evidence(self, cache: Cache, site: str, encoder: Encoder | None) -> list[Evidence]:
        """When the chosen units of a site fire; of random directions all."""
        seed = self.spec.seeds[0]
        kind: Kind = "neuron" if encoder is None else "latent"
        signs: tuple[int, ...] = (1,)
        name, chosen = site, self.spec.units
        if encoder is not None:
            name = f"{site}+{encoder.identity['kind']}"
            if encoder.identity["kind"] == "random":
                kind, chosen = "direction", "all"
        elif self.spec.signs:
            signs = (1, -1)
        indices = selected(chosen, cache.units, seed, site).tolist()
        return [cache.evidence(Unit(name, k, kind, sign), self.corpus, seed) for k in indices for sign in signs]

    def tables(self, evidence: Sequence[Evidence]) -> dict[str, list[Number]]:
        """What the current token, and it and the one before, tell of each unit: bounds, not explanations."""
        test = self.corpus.pick("test")
        tables = self._tables
        clusters = metrics.clusters(test.documents, self.spec.seeds[0], 100)
        found: dict[str, list[Number]] = {"token_table": [], "bigram_table": []}
        for each in evidence:
            truth = each.at(test.rows)
            found["token_table"].append(metrics.correlation(truth, tables.predict(each, "token"), clusters))
            found["bigram_table"].append(metrics.correlation(truth, tables.predict(each, "pair"), clusters))
        return found

    @cached_property
    def _tables(self) -> Tables:
        return Tables(self.corpus, self.corpus.pick("test").rows)

    def permuted(self, speak: Voices, progress: Progress) -> list[Group]:
        """The same units of the model with permuted weights, on the same text."""
        subject = self.subject.permuted(self.spec.seeds[0])
        encoders: dict[str, Encoder | None] = {s: self.encoder(subject, s, progress) for s in self.sites}
        return self.examined("random-weights", subject, encoders, speak, progress, scorers=False)

    def _dossiers(self, groups: Sequence[Group], speak: Voices, progress: Progress) -> list[Dossier]:
        found: list[Dossier] = []
        for done, group in enumerate(groups):
            progress("dossiers", done, len(groups))
            found += dossiers(group, speak.simulator, effects=speak.effects, calibrate=speak.windows)
        progress("dossiers", len(groups), len(groups))
        return found

    def _notes(self) -> list[str]:
        corpus = self.corpus
        stale = int((~corpus.new).sum())
        return [
            f"Text: {len(corpus):,} tokens in {len(corpus.documents) - 1:,} documents, split by document; {stale:,} of "
            f"{len(corpus.windows) - 1:,} windows repeat an earlier one or are short, and are left out."
        ]


def _fingerprint(source: str) -> str:
    """What the text depends on: the bytes of its files, or what is to be sampled."""
    place = Path(source).expanduser()
    if source.startswith("sample") or not place.exists():
        return source
    files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    return digest([[p.name, hashlib.sha256(p.read_bytes()).hexdigest()] for p in files])


def selected(units: str, width: int, seed: int, site: str) -> np.ndarray:
    """The indices that `all`, a number, or a list such as `0-99,120` means. Raises SpecError for what is not there."""
    if units == "all":
        return np.arange(width)
    if re.fullmatch(r"\d+", units):
        count = min(int(units), width)
        return np.sort(stream(seed, "interp/units", site).choice(width, count, replace=False))
    found: list[int] = []
    for part in units.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    beyond = [k for k in found if k >= width]
    if beyond:
        raise SpecError(f"there is no unit {site}/{beyond[0]}: {site} has {width:,} units, 0 to {width - 1}")
    return np.unique(found)


def kept_dossiers(record: Record, store: Store) -> list[Dossier]:
    """The dossiers behind a record. Raises SpecError for a record without units."""
    keys = [key for name, key in record.artifacts.items() if name.startswith("units/")]
    if not keys:
        raise SpecError(f"{record.id} holds no units; `superalign interp` makes records that do")
    found: list[Dossier] = []
    for key in keys:
        artifact = store.get(key)
        if artifact is None:
            raise SpecError(f"the units of {record.id} are damaged in the store; run its spec again to mend it")
        found += [from_json(line) for line in artifact.data.decode().splitlines()]
    return found
