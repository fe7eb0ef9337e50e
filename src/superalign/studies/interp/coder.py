"""Dictionaries as a spec names them: a folder, or how one is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np

from superalign.core.errors import SpecError, nearest
from superalign.core.ports import Progress
from superalign.core.registry import parse
from superalign.core.spec import Table
from superalign.core.steps import Steps
from superalign.interp.collect import activations
from superalign.interp.corpus import Corpus, code_of
from superalign.interp.dictionaries.dictionary import Dictionary, load
from superalign.interp.dictionaries.training import Training, train

if TYPE_CHECKING:
    from torch import Tensor

    from superalign.interp.subject import Subject

ROWS = 1 << 18
"""Rows of the explain split that are held for training, at most: 64 MiB at 64 numbers a row."""


def options(reference: str) -> Training:
    """`train:topk:latents=512:k=16` as options. Raises SpecError with near names for an option that is none."""
    found = parse(reference)
    given: dict[str, Any] = dict(found.options)
    hints = {name: hint for name, hint in get_type_hints(Training).items() if name != "kind"}
    for name, value in given.items():
        if name not in hints:
            raise SpecError(f"a dictionary has no option {name!r}; {nearest(name, hints)}")
        _check(name, value, hints[name])
    for name in ("latents", "k"):
        if name not in given:
            raise SpecError(f"{reference!r} lacks {name}=; write train:topk:latents=512:k=16")
    return Training(**{"kind": found.argument or "topk", **given})


def _check(name: str, value: Any, hint: Any) -> None:
    kinds = [kind for kind in (bool, float, int) if kind in (hint, *get_args(hint))]
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (isinstance(value, bool) if bool in kinds else whole or (float in kinds and isinstance(value, float))):
        what = {bool: "true or false", float: "a number", int: "a whole number"}[kinds[0]]
        raise SpecError(f"{name} is {value!r} in place of {what}")


def trained(
    reference: str, subject: Subject, corpus: Corpus, site: str, steps: Steps, seed: int, progress: Progress
) -> Dictionary:
    """A dictionary of a site, trained on the explain split; kept, so that the next run finds it."""
    wanted = options(reference)
    into = site.replace("mlp_in", "mlp_out") if site.startswith("mlp_in") else None

    def compute() -> Mapping[str, Any]:
        source = rows(subject, corpus, site, into)
        return train(source, wanted, seed=seed, progress=progress).state()

    key = [dict(subject.identity), corpus.identity, site, reference, seed]
    return load(steps.run("interp/dictionary", 1, key, compute))


def rows(subject: Subject, corpus: Corpus, site: str, into: str | None, split: str = "explain") -> Any:
    """Activations of a site on a split, one tensor; for a transcoder those of its input and output."""
    import torch

    documents = np.flatnonzero(corpus.split == code_of(split))
    held: list[Tensor] = []
    targets: list[Tensor] = []
    count = 0
    for block in activations(subject, corpus, [site, *([into] if into else [])], only=set(documents.tolist())):
        held.append(block.values[site].float().cpu())
        if into:
            targets.append(block.values[into].float().cpu())
        count += len(block.rows)
        if count >= ROWS:
            break
    x = torch.cat(held)[:ROWS]
    if not into:
        return x
    return x, torch.cat(targets)[:ROWS]


def loaded(reference: str, site: str, sites: int) -> Dictionary:
    """A dictionary from a folder, or from the site's folder in it. Raises SpecError for one dictionary and many sites."""
    from superalign.interp.dictionaries.reading import read

    folder = Path(reference).expanduser()
    inside = next((p for p in (folder / site, folder / site.replace(".", "/")) if p.is_dir()), None)
    if inside is None and sites > 1:
        raise SpecError(
            f"{reference!r} is one dictionary, and {sites} sites were named; give one site, or folders {site}/ ..."
        )
    return read(inside or folder)


def table(
    subject: Subject, corpus: Corpus, encoders: Mapping[str, Dictionary | None], steps: Steps, progress: Progress
) -> Table | None:
    """What each dictionary keeps of its site, on the test split; None where there is no dictionary."""
    from superalign.interp.dictionaries.quality import quality
    from superalign.interp.dictionaries.recovered import loss_recovered

    found = []
    for site, dictionary in encoders.items():
        if dictionary is None:
            continue

        def measured(site: str = site, dictionary: Dictionary = dictionary) -> Mapping[str, Any]:
            into = site.replace("mlp_in", "mlp_out") if dictionary.transcode else None
            kept = quality(dictionary, rows(subject, corpus, site, into, "test"))
            loss = loss_recovered(subject, corpus, site, dictionary, progress=progress)
            return {"row": [kept.fvu, kept.explained, kept.l0, kept.dead, loss.value, loss.low, loss.high]}

        key = [dict(subject.identity), subject.start, corpus.identity, site, dict(dictionary.identity)]
        held = steps.run("interp/dictionary-quality", 1, key, measured)
        found.append((site, dictionary.kind, dictionary.width, *held["row"]))
    columns = ("site", "kind", "latents", "fvu", "explained variance", "l0", "dead", "loss recovered", "low", "high")
    note = "On the test split. Loss recovered: 1 keeps the model's loss, 0 is as bad as the site set to zero."
    return Table(title="Dictionaries", columns=columns, rows=tuple(found), note=note) if found else None
