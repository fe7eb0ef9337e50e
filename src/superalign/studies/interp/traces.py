"""The model under study, run on sentences that somebody wrote: what one unit does on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from superalign.interp.explainers.revision import Trace
from superalign.interp.units import Unit

if TYPE_CHECKING:
    from torch import Tensor

    from superalign.interp.dictionaries.dictionary import Dictionary
    from superalign.interp.subject import Subject


class Traces:
    """A function of (unit, text) pairs, as `Revision` asks for one: the tokens of each text and the activation at each.

    Texts are cut at the model's context; a text is run once for all units that ask for it.
    """

    def __init__(self, subject: Subject, encoders: Mapping[str, Dictionary | None]) -> None:
        self._subject, self._encoders = subject, encoders

    def __call__(self, asked: Sequence[tuple[Unit, str]]) -> list[Trace]:
        """One trace for each pair."""
        sites: dict[str, dict[str, None]] = {}
        for unit, text in asked:
            sites.setdefault(text, {})[_site(unit)] = None
        read = {text: self._run(text, tuple(names)) for text, names in sites.items()}
        return [self._trace(unit, *read[text]) for unit, text in asked]

    def _run(self, text: str, sites: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, Tensor]]:
        """The tokens, and the activations (L, d) of each site."""
        import torch

        from superalign.interp.sites import reading

        subject = self._subject
        ids = subject.encode([text])[0][: subject.context]
        tokens = tuple(subject.strings[k] for k in ids)
        begin = [] if subject.start is None else [subject.start]
        held: dict[str, Tensor] = {}
        if ids:
            with torch.no_grad(), reading(subject.model, sites, lambda site, x: held.__setitem__(site, x[0].float())):
                subject.model(input_ids=torch.tensor([[*begin, *ids]], device=subject.device))
        return tokens, {site: x[len(begin) :].clone() for site, x in held.items()}

    def _trace(self, unit: Unit, tokens: tuple[str, ...], held: Mapping[str, Tensor]) -> Trace:
        site = _site(unit)
        if site not in held:
            return Trace(tokens, np.zeros(len(tokens), np.float32))
        encoder = self._encoders.get(site)
        if encoder is None:
            column = unit.sign * held[site][:, unit.index]
        else:
            values, index = encoder.encode(held[site])
            column = (values * (index == unit.index)).sum(1)
        return Trace(tokens, np.asarray(column.clamp(min=0).cpu().numpy(), np.float32))


def _site(unit: Unit) -> str:
    """Where a unit is read: a latent's site carries the name of its dictionary."""
    return unit.site.partition("+")[0]
