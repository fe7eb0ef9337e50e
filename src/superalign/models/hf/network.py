"""A backbone with a linear output, and the one copy of it in memory that many trained models share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from superalign.core.errors import ModelError
from superalign.models.hf.backbone import Backbone
from superalign.models.hf.batches import Batch, budget_of, by_budget, collate
from superalign.models.hf.memory import spared
from superalign.models.hf.ranks import ranks

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

Weights = Mapping[str, NDArray[np.float32]]


class Network(nn.Module):
    """Scores (B, outputs) of a batch of texts. The output layer has no intercept, as in the sequence
    classifiers of transformers, and starts at zero, so an untrained student is uniform."""

    def __init__(self, backbone: Backbone, outputs: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.width, outputs, bias=False, device=backbone.device)
        nn.init.zeros_(self.head.weight)

    def forward(self, batch: Batch) -> torch.Tensor:
        with torch.autocast(batch.ids.device.type, enabled=False):
            scores: torch.Tensor = self.head(self.backbone(batch))
        return scores


class Bench:
    """One network on one device. Models trained from it are their weights alone, which are put in when one
    of them is used: three students and a ceiling take the device memory of one model.

    Trained are the parameters that require gradients; each stands once under one name, however many
    layers share it. `initial` holds them as they were at first, in float32 on the CPU.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        # named_parameters gives a shared parameter once, so tied weights are kept, saved and loaded once
        self.trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.initial: Weights = self.read()
        self._inside: Weights | None = self.initial

    @property
    def device(self) -> torch.device:
        return self.network.backbone.device

    def read(self) -> Weights:
        """A copy of the trained parameters as they are now."""
        return {name: p.detach().float().cpu().numpy().copy() for name, p in self.trained.items()}

    def hold(self, weights: Weights) -> Network:
        """The network with these weights in it."""
        if self._inside is not weights:
            with torch.no_grad():
                for name, p in self.trained.items():
                    p.copy_(torch.tensor(weights[name]))
            self._inside = weights
        return self.network

    def touch(self) -> None:
        """Say that the parameters are being changed in place."""
        self._inside = None

    def keep(self) -> Weights:
        """A copy of the parameters as they are now, known to be those inside."""
        self._inside = self.read()
        return self._inside

    def fitting(self, weights: Mapping[str, NDArray[np.generic]], who: str) -> Weights:
        """These weights, checked to be a full set for this network. Raises ModelError where they are not."""
        wrong = [n for n, p in self.trained.items() if n not in weights or np.shape(weights[n]) != tuple(p.shape)]
        extra = sorted(set(weights) - set(self.trained))
        if wrong or extra:
            raise ModelError(
                f"{who} cannot load these weights: {len(wrong)} of {len(self.trained)} arrays are missing or have"
                f" another shape ({', '.join(wrong[:3])}), {len(extra)} are unknown ({', '.join(extra[:3])})"
            )
        return {name: np.array(weights[name], np.float32) for name in self.trained}

    def scores(self, weights: Weights, rows: list[Ints]) -> Floats:
        """Scores (n, outputs) of tokenised texts, float32, in batches of similar length; shared among processes."""
        network = self.hold(weights)
        group = ranks(self.device)
        own = group.mine(len(rows))
        lengths = np.fromiter((len(rows[i]) for i in own), np.int64, len(own))
        found = torch.zeros(len(own), network.head.out_features, device=self.device)
        with torch.inference_mode(), spared():
            for chosen in by_budget(lengths, budget_of(self.device)):
                found[torch.from_numpy(chosen)] = network(collate([rows[own[i]] for i in chosen], self.device))
        whole: Floats = group.whole(found, len(rows)).cpu().numpy()
        return whole
