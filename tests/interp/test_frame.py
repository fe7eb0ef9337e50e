"""Random directions as an encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from superalign.interp.cache import write_all
from superalign.interp.collect import activations
from superalign.interp.controls import random_directions
from superalign.interp.frame import Frame
from superalign.interp.units import Unit
from tests.interp import tiny


def test_directions_are_cached_beside_their_site(tmp_path: Path) -> None:
    """Where each fires and how strongly is relu(x @ direction); the site itself is as without them."""
    subject, corpus = tiny.subject(), tiny.corpus()
    frame = Frame(12, 5, seed=3)
    site, beside = write_all(tmp_path, subject, corpus, [("resid.1", None), ("resid.1", frame)])
    x = torch.cat([block.values["resid.1"] for block in activations(subject, corpus, ["resid.1"])]).numpy()
    wanted = np.maximum(x @ random_directions(12, 5, 3).T, 0)
    assert (site.units, beside.units) == (12, 5)
    for k in range(5):
        found = beside.evidence(Unit("resid.1+random", k, "direction"), corpus)
        np.testing.assert_allclose(found.at(np.arange(len(corpus))), wanted[:, k], rtol=2e-3, atol=2e-5)
    assert 0.2 < (wanted > 0).mean() < 0.8


def test_a_frame_is_known_by_its_draw() -> None:
    assert Frame(12, 5).identity == Frame(12, 5).identity
    assert Frame(12, 5).identity != Frame(12, 5, seed=1).identity
    values, index = Frame(4, 3).encode(torch.ones(2, 4))
    assert values.shape == index.shape == (2, 3)
    assert index.tolist() == [[0, 1, 2]] * 2
    assert values[0].tolist() == pytest.approx(np.maximum(random_directions(4, 3).sum(1), 0).tolist(), abs=1e-6)
