"""Dictionaries of a small language model's own activations, and what they cost the model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from superalign.interp.collect import activations
from superalign.interp.dictionaries.quality import quality
from superalign.interp.dictionaries.recovered import losses
from superalign.interp.dictionaries.training import Trained, Training, train
from superalign.interp.subject import subject
from superalign.interp.text import corpus
from tests.datafolder import data


def test_dictionaries_of_tinystories_keep_most_of_the_loss_on_text_they_never_saw() -> None:
    """512 latents, 16 a row, after 150 steps on the explain split; scored on the test split."""
    torch.set_num_threads(1)
    own = subject(str(data("stories260k/tinystories_260k")))
    text = corpus("sample:60x96", own, width=32, context=96)

    def stream(split: int, *sites: str) -> Iterator[Tensor | tuple[Tensor, Tensor]]:
        for block in activations(own, text, sites, only=np.flatnonzero(text.split == split).tolist()):
            yield (block.values[sites[0]], block.values[sites[1]]) if len(sites) == 2 else block.values[sites[0]]

    def trained(*sites: str, kind: Trained) -> tuple[float, float]:
        """Fraction of variance unexplained, and loss recovered over the mean activation."""
        d = train(lambda: stream(0, *sites), Training(latents=512, k=16, kind=kind, steps=150, batch=256))
        measured = quality(d, lambda: stream(3, *sites))
        assert abs(measured.l0 - 16) < 4
        found = losses(own, text, sites[0], d, ablation="mean")
        assert found.clean.mean() < found.spliced.mean() < found.ablated.mean()
        number = found.recovered
        assert number.value is not None
        assert number.low is not None
        assert number.high is not None
        assert number.low < number.value < number.high < 1
        return measured.fvu, number.value

    for kind in ("topk", "jumprelu"):
        unexplained, recovered = trained("resid.2", kind=kind)
        assert unexplained < 0.25
        assert recovered > 0.75
    unexplained, recovered = trained("mlp_in.2", "mlp_out.2", kind="topk")
    assert unexplained < 0.6
    assert recovered > 0.3
