"""The direct effect of a unit on the logits: its direction through what is left of the stream, and the unembedding.

(Bills et al. 2023 show the tokens with the largest ones to explainers; nostalgebraist 2020 calls it the logit lens.) Of
a neuron the direction is its row of the MLP's output projection, of a latent its decoder row; layers in between and the
final norm's scale are left out, its gain is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from superalign.interp.evidence import Evidence
from superalign.studies.interp.dossiers import Effects

if TYPE_CHECKING:
    from torch import Tensor

    from superalign.interp.scorers.effects import Directions
    from superalign.interp.subject import Subject

SHOWN = 8
"""Tokens at each end."""

Ends = tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]


def logit_effects(subject: Subject, directions: Directions) -> Effects:
    """A function of evidence that gives the tokens a unit promotes and suppresses; none where it cannot be told."""
    import torch

    from superalign.interp.scorers.effects import written
    from superalign.interp.sites import output_of

    model: Any = subject.model
    unembed = (
        getattr(model.get_output_embeddings(), "weight", None) if hasattr(model, "get_output_embeddings") else None
    )
    cache: dict[str, Tensor | None] = {}

    def effects(evidence: Evidence) -> Ends:
        if unembed is None or (evidence.unit.kind == "direction" and evidence.unit.site not in directions):
            return (), ()
        site, direction = written(evidence.unit, subject, directions)
        if site not in cache:
            cache[site] = output_of(subject.model, site)
        matrix = cache[site]
        with torch.no_grad():
            stream = direction if matrix is None else matrix @ direction
            if stream.shape[0] != unembed.shape[1]:
                return (), ()
            effect = unembed.float() @ stream.float()
            high, low = effect.topk(min(SHOWN, len(effect))), (-effect).topk(min(SHOWN, len(effect)))
        return _named(subject, high.indices, high.values), _named(subject, low.indices, -low.values)

    return effects


def _named(subject: Subject, ids: Tensor, values: Tensor) -> tuple[tuple[str, float], ...]:
    return tuple((subject.strings[k], round(float(v), 4)) for k, v in zip(ids.tolist(), values.tolist(), strict=True))
