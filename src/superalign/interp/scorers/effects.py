"""What a unit does to the next-token distribution: changing it inside a running model.

A unit is a direction d of a site, and its activation a the amount of it. Changing the activation to b adds (b - a) d to
what flows on; all else stays, the other sign of a neuron and the error of a dictionary included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from superalign.core.errors import ModelError
from superalign.interp.sites import replacing, sites_of
from superalign.models.hf.batches import collate
from superalign.models.hf.memory import spared

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from superalign.core.ports import Ints
    from superalign.interp.corpus import Corpus
    from superalign.interp.subject import Subject
    from superalign.interp.units import Unit

Directions = Mapping[str, tuple[str, "Tensor"]]
"""By the site of latents and directions (`mlp.0+topk`): the site that they are written to, and their rows (F, d)."""

_CELLS = 4_000_000  # logits in float64 at once, 32 MB
_LEAST = 1e-300  # below a probability that is 0: torch's own entropy, which minds it, took twice as long


def written(unit: Unit, subject: Subject, directions: Directions) -> tuple[str, Tensor]:
    """The site where a unit's activation is written, and its direction there, (d,), with the unit's sign.

    Raises ModelError for a unit that the subject does not have, and for a latent whose rows are not in `directions`.
    """
    if unit.kind != "neuron" and unit.site in directions:  # a stream has neurons and directions
        site, rows = directions[unit.site]
        if unit.index >= len(rows):
            raise ModelError(f"{unit.name} does not exist: {unit.site} has {len(rows)} directions")
        return site, unit.sign * rows[unit.index].to(subject.device, torch.float32)
    widths = sites_of(subject.model)
    if unit.kind != "neuron":
        raise ModelError(f"{unit.name} is a {unit.kind}: pass its rows, directions={{{unit.site!r}: (site, rows)}}")
    if unit.index >= widths.get(unit.site, 0):
        had = f"{unit.site} has {widths[unit.site]} neurons" if unit.site in widths else f"there is no {unit.site}"
        raise ModelError(f"{subject.name} has no unit {unit.name}: {had}")
    direction = torch.zeros(widths[unit.site], device=subject.device)
    direction[unit.index] = unit.sign
    return unit.site, direction


def check(subject: Subject, corpus: Corpus) -> None:
    """Raises ModelError for a corpus that was made with another tokenizer or does not fit the model's context."""
    longest = int(np.diff(corpus.contexts).max())
    if corpus.strings != subject.strings or longest > subject.context:
        raise ModelError(
            f"the text does not fit {subject.name}: {len(corpus.strings):,} kinds of token in contexts of {longest}, and "
            f"the model has {len(subject.strings):,} and reads {subject.context}; make the corpus with this subject"
        )


def begun(subject: Subject, rows: Sequence[Ints]) -> Tensor:
    """Token ids (B, L) of rows of tokens, after the start token where the model has one. Padded on the right, where a
    causal model does not look."""
    start = [] if subject.start is None else [subject.start]
    return collate([np.concatenate([start, row]).astype(np.int64) for row in rows], subject.device).ids


def logits(subject: Subject, ids: Tensor, site: str | None = None, added: Tensor | None = None) -> Tensor:
    """The next-token logits (B, L, V) of token ids (B, L), with `added` (B, L, d) added at a site."""
    with torch.no_grad(), spared():
        if site is None or added is None:
            plain: Tensor = subject.model(input_ids=ids, use_cache=False).logits
            return plain
        with replacing(subject.model, site, lambda x: x + added.to(x.dtype)):
            changed: Tensor = subject.model(input_ids=ids, use_cache=False).logits
            return changed


def divergence(p: Tensor, q: Tensor) -> NDArray[np.float64]:
    """Jensen-Shannon divergence of next-token distributions in nats, 0 to log 2, from logits (n, V) each.

    In float64 and a few rows at a time: for a small effect the entropies nearly cancel.
    """
    step = max(1, _CELLS // p.shape[-1])
    parts = [_divergence(a, b) for a, b in zip(torch.split(p, step), torch.split(q, step), strict=True)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _divergence(p: Tensor, q: Tensor) -> NDArray[np.float64]:
    """The entropy of the mean less the mean of the entropies."""
    p, q = p.double().softmax(-1), q.double().softmax(-1)
    own, moved, mixed = ((part * part.clamp(min=_LEAST).log()).sum(-1) for part in (p, q, (p + q) / 2))
    return np.asarray(((own + moved) / 2 - mixed).clamp(min=0).cpu().numpy())
