"""Neurons of the 260k TinyStories llama, explained by predicates: what programs and tables tell of them, by layer.

Figures beside the bounds are those of all 860 neurons on 600 samples of 192 tokens; here it is every tenth neuron and a
quarter of the text.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superalign.interp.collect import activations
from superalign.interp.evidence import Evidence
from superalign.interp.predicates.language import parse
from superalign.interp.predicates.programs import Programs
from superalign.interp.predicates.search import Predicates
from superalign.interp.predicates.tables import Tables
from superalign.interp.subject import Subject, subject
from superalign.interp.text import corpus
from superalign.interp.units import Explanation
from superalign.interp.worlds.recovery import evidence_of
from tests.datafolder import data

SITES = tuple(f"mlp.{layer}" for layer in range(5))


@pytest.fixture(scope="module")
def llama() -> Subject:
    torch.set_num_threads(1)
    return subject(str(data("stories260k/tinystories_260k/checkpoint_legacy.bin").parent), device="cpu")


@pytest.fixture(scope="module")
def neurons(llama: Subject) -> dict[str, list[list[Evidence]]]:
    """Every tenth neuron of each layer, trained and with permuted weights, on the same text."""
    text = corpus("sample:150x192", llama, context=192)
    found: dict[str, list[list[Evidence]]] = {}
    for name, model in (("trained", llama), ("permuted", llama.permuted(0))):
        blocks = list(activations(model, text, SITES))
        columns = {site: np.concatenate([b.values[site][:, ::10].numpy() for b in blocks]) for site in SITES}
        found[name] = [evidence_of(text, columns[site], site, "neuron") for site in SITES]
    return found


def rho(a: np.ndarray, s: np.ndarray) -> float:  # type: ignore[type-arg]
    return float(np.corrcoef(a, s)[0, 1])


def test_every_neuron_is_explained_and_shuffled_explanations_say_nothing(
    neurons: dict[str, list[list[Evidence]]],
) -> None:
    """Programs of two atoms: .73 .63 .55 .52 .51 by layer. Shuffled within a layer: about 0."""
    means, shuffled = [], []
    for units in neurons["trained"]:
        windows = units[0].corpus.pick("test")
        made = Predicates().explain(units)
        assert all(isinstance(each, Explanation) for each in made)
        said = [s.values for s in Programs().simulate([(e, windows) for e in made])]  # type: ignore[misc]
        acts = [unit.on(windows) for unit in units]
        means.append(np.mean([rho(a, s) for a, s in zip(acts, said, strict=True)]))
        shuffled += [rho(a, said[k - 5]) for k, a in enumerate(acts)]
        assert all(parse(e.program or "").on(windows.corpus, windows.rows).any() for e in made)  # type: ignore[union-attr]
    assert means[0] > 0.6
    assert means[0] > means[1] > means[4] > 0.3
    assert abs(np.mean(shuffled)) < 0.03


def test_the_pair_table_tells_training_from_permuted_weights(neurons: dict[str, list[list[Evidence]]]) -> None:
    """Trained .955 .919 .869 .816 .779, permuted .823 .691 .567 .471 .358; a token alone .851 .669 .610 .555 .543."""
    windows = neurons["trained"][0][0].corpus.pick("test")
    tables = Tables(windows.corpus, windows.rows)
    mean = {
        (name, by): [np.mean([rho(u.on(windows), tables.predict(u, by)) for u in units]) for units in layers]
        for name, layers in neurons.items()
        for by in ("token", "pair")
    }  # fmt: skip
    assert mean["trained", "pair"] == pytest.approx([0.955, 0.919, 0.869, 0.816, 0.779], abs=0.07)
    assert mean["trained", "token"] == pytest.approx([0.851, 0.669, 0.61, 0.555, 0.543], abs=0.07)
    gaps = np.subtract(mean["trained", "pair"], mean["permuted", "pair"])
    assert gaps.min() > 0.07
    assert gaps[4] > 0.3
