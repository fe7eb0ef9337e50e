"""Activations of a corpus beside those of each context alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from superalign.core.errors import ModelError
from superalign.interp.collect import Block, activations
from superalign.interp.corpus import Corpus, build
from superalign.interp.sites import reading
from superalign.interp.subject import Subject, subject
from tests.interp import tiny
from tests.interp.test_sites import model

SITES = ["mlp.0", "resid.0", "attn.1"]


def alone(subject: Subject, corpus: Corpus, site: str) -> torch.Tensor:
    """Each context by itself, the start token first and left out."""
    parts: list[torch.Tensor] = []
    first = int(subject.start is not None)
    for a, b in zip(corpus.contexts[:-1], corpus.contexts[1:], strict=True):
        ids = [*([subject.start] if first else []), *corpus.tokens[a:b].tolist()]
        with reading(subject.model, [site], lambda _, x: parts.append(x[0, first:].clone())):
            subject.model(input_ids=torch.tensor([ids]))
    return torch.cat(parts)


def joined(blocks: list[Block], site: str) -> torch.Tensor:
    return torch.cat([block.values[site] for block in blocks])


@pytest.mark.parametrize("start", [0, None])
@pytest.mark.parametrize("batch", [40, 300, 8192])
def test_blocks_are_what_each_context_gives_alone(start: int | None, batch: int) -> None:
    made, corpus = tiny.subject(start), tiny.corpus()
    blocks = list(activations(made, corpus, SITES, batch=batch))
    assert np.array_equal(np.concatenate([b.rows for b in blocks]), np.arange(len(corpus)))
    assert max(len(b.rows) for b in blocks) <= batch
    for site in SITES:
        torch.testing.assert_close(joined(blocks, site), alone(made, corpus, site))


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "OPT", "Bloom"])
def test_padding_on_the_right_is_never_seen(kind: str) -> None:
    strings = tuple(f"w{k}" for k in range(40))
    rng = np.random.default_rng(0)
    corpus = build([rng.integers(3, 40, n).tolist() for n in rng.integers(8, 31, 60)], strings, width=8, context=16)
    made = Subject(kind, {"model": kind}, model(kind), strings, 2, 24)
    blocks = list(activations(made, corpus, ["mlp.1", "resid.1"]))
    for site in ("mlp.1", "resid.1"):
        torch.testing.assert_close(joined(blocks, site), alone(made, corpus, site), atol=1e-5, rtol=1e-4)


def test_some_documents_or_what_follows_a_row() -> None:
    made, corpus = tiny.subject(), tiny.corpus()
    whole = joined(list(activations(made, corpus, ["resid.1"])), "resid.1")
    some = list(activations(made, corpus, ["resid.1"], only=[3, 17]))
    rows = np.flatnonzero(np.isin(corpus.document_of, [3, 17]))
    assert np.array_equal(np.concatenate([b.rows for b in some]), rows)
    torch.testing.assert_close(joined(some, "resid.1"), whole[rows])
    begin = int(corpus.contexts[9])
    rest = list(activations(made, corpus, ["resid.1"], start=begin))
    assert rest[0].rows[0] == begin
    torch.testing.assert_close(joined(rest, "resid.1"), whole[begin:])
    assert list(activations(made, corpus, ["resid.1"], only=[])) == []


def test_a_kind_is_every_layer_and_gradients_can_be_taken_later() -> None:
    block = next(activations(tiny.subject(), tiny.corpus(), ["mlp"]))
    assert list(block.values) == ["mlp.0", "mlp.1"]
    layer = nn.Linear(24, 2)
    layer(block.values["mlp.0"]).sum().backward()  # tensors of inference mode would refuse
    assert layer.weight.grad is not None


def test_what_does_not_go_together_is_told() -> None:
    made, corpus = tiny.subject(), tiny.corpus()
    with pytest.raises(ModelError, match=r"no site 'mlp.9'"):
        activations(made, corpus, ["mlp.9"])
    with pytest.raises(ModelError, match=r"another tokenizer \(50 tokens\) than that of other \(49\)"):
        activations(replace(made, name="other", strings=made.strings[:-1]), corpus, ["mlp.0"])
    with pytest.raises(ModelError, match=r"contexts of 32 tokens, and tiny 0 takes 20; cut it with --context 16"):
        activations(replace(made, context=20), corpus, ["mlp.0"])


class Shortcut(tiny.Transformer):
    """Never runs its second block."""

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False) -> torch.Tensor:
        out: torch.Tensor = self.layers[0](self.embedding(input_ids))
        return out


def test_a_site_that_is_never_computed_is_told() -> None:
    made = replace(tiny.subject(), model=Shortcut())
    with pytest.raises(ModelError, match=r"tiny 0 never computes mlp.1, resid.1 in a forward pass"):
        next(activations(made, tiny.corpus(), ["mlp.0", "mlp.1", "resid.1"]))


def test_a_loaded_model_fits_its_own_corpus() -> None:
    from tests.models import hf_tiny

    made = subject(str(hf_tiny.folder("gpt_neox")))
    rng = np.random.default_rng(0)
    corpus = build([rng.integers(0, 18, 20).tolist() for _ in range(40)], made.strings, width=4, context=20)
    block = next(activations(made, corpus, ["mlp.1"]))
    torch.testing.assert_close(block.values["mlp.1"], alone(made, corpus, "mlp.1"), atol=1e-5, rtol=1e-4)
