"""Measures of a dictionary: against sums written out, recounts, and what the model itself says."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from superalign.core.errors import Degenerate, ModelError
from superalign.interp.dictionaries.dictionary import Dictionary, Kind
from superalign.interp.dictionaries.quality import match, quality
from superalign.interp.dictionaries.recovered import loss_recovered, losses
from superalign.interp.subject import Subject
from tests.interp import tiny
from tests.interp.dictionaries.planted import dense, numbers, small


@pytest.mark.parametrize("kind", ["topk", "jumprelu", "standard"])
def test_quality_is_what_its_sums_say(kind: Kind) -> None:
    d, x = small(kind), numbers(10_000, 6) + 50  # two parts; a mean far from 0
    d = replace(d, b_enc=d.b_enc - d.W_enc @ torch.full((6,), 50.0))
    measured, z = quality(d, x), dense(d, x)
    made = z @ d.W_dec + d.b_dec
    error, spread = (x - made).double().square().sum(), (x - x.double().mean(0)).square().sum()
    assert measured.rows == 10_000
    assert measured.fvu == pytest.approx(float(error / spread), rel=1e-5)
    assert measured.explained == 1 - measured.fvu
    assert measured.l0 == pytest.approx(float((z > 0).sum(1).float().mean()))
    assert measured.counts.tolist() == (z > 0).sum(0).tolist()  # a recount from dense activations
    assert measured.densities == pytest.approx(measured.counts / 10_000)
    assert measured.dead == float((measured.counts == 0).mean())


def test_a_latent_that_fires_with_the_value_of_an_index_is_counted_once() -> None:
    """Counts are of indices: a membership test on values counted latent 3 where latent 0 fired with 3.0."""
    eye = torch.eye(4)
    d = Dictionary("standard", W_enc=eye, b_enc=torch.zeros(4), W_dec=eye, b_dec=torch.zeros(4))
    x = torch.tensor([[3.0, 0, 0, 0], [0, 2.0, 0, 0], [1.0, 0, 0, 0]])
    assert quality(d, x).counts.tolist() == [2, 1, 0, 0]
    assert quality(d, x).fvu == pytest.approx(0)
    assert quality(d, x).dead == 0.5


def test_densities_are_drawn_by_the_decade_and_without_the_dead() -> None:
    eye = torch.eye(3)
    d = Dictionary("standard", W_enc=eye, b_enc=torch.zeros(3), W_dec=eye, b_dec=torch.zeros(3))
    x = torch.zeros(1000, 3)
    x[:, 0], x[:9, 1] = 1, 1
    x[0] += 1e-3
    edges, counts = quality(replace(d, b_enc=torch.tensor([0, 0, -9.0])), x).histogram
    assert (len(edges), edges[0], edges[-1]) == (25, -6.0, 0.0)
    assert sum(counts) == 2
    assert counts[-1] == 1
    assert edges[counts.index(1)] <= np.log10(0.009) <= edges[counts.index(1) + 1]


def test_the_mean_explains_nothing_and_a_transcoder_is_measured_on_pairs() -> None:
    x, y = numbers(500, 6), numbers(500, 6, seed=8)
    mean = replace(small("standard"), W_dec=torch.zeros(16, 6), b_dec=x.mean(0))
    assert quality(mean, x).fvu == pytest.approx(1, rel=1e-4)
    d = small(skip=True)
    made = d.reconstruct(x)
    assert quality(d, (x, y)).fvu == pytest.approx(
        float((y - made).square().sum() / (y - y.mean(0)).square().sum()), rel=1e-4
    )
    with pytest.raises(ModelError, match=r"measured on pairs of what is read and given, 6 numbers wide"):
        quality(d, x)
    with pytest.raises(ModelError, match=r"measured on one tensor of rows, 6 numbers wide"):
        quality(mean, (x, y))
    with pytest.raises(Degenerate, match="all 5 rows are equal"):
        quality(mean, torch.ones(5, 6))


def test_matching_finds_a_permutation_and_leaves_the_rest() -> None:
    d, order = small(), torch.from_numpy(np.random.default_rng(0).permutation(16))
    shuffled = replace(d, W_dec=3 * d.W_dec[order])
    partner, cosine = match(d, shuffled)
    assert partner.tolist() == order.argsort().tolist()
    assert cosine == pytest.approx(np.ones(16), abs=1e-5)
    few = Dictionary("standard", W_enc=d.W_enc[:4], b_enc=d.b_enc[:4], W_dec=d.W_dec[:4], b_dec=d.b_dec)
    partner, cosine = match(d, few)
    assert partner.tolist() == [0, 1, 2, 3] + [-1] * 12
    assert cosine[4:].tolist() == [0] * 12
    with pytest.raises(ModelError, match=r"directions of 6 and of 7 numbers cannot be matched"):
        match(d, small(d=7))


class Speaking(nn.Module):
    """The tiny transformer, answering as those of transformers do."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Any:
        return SimpleNamespace(logits=3 * self.body(input_ids, use_cache))


def subject(start: int | None = 0) -> Subject:
    made = tiny.subject(start)
    return replace(made, model=Speaking(made.model))


def exact(width: int) -> Dictionary:
    """Gives back what it reads: each coordinate's positive and negative part."""
    both = torch.cat([torch.eye(width), -torch.eye(width)])
    return Dictionary("standard", W_enc=both, b_enc=torch.zeros(2 * width), W_dec=both, b_dec=torch.zeros(width))


def nothing(width: int) -> Dictionary:
    return replace(exact(width), W_dec=torch.zeros(2 * width, width))


@pytest.mark.parametrize("start", [0, None])
@pytest.mark.parametrize("site", ["resid.0", "mlp_out.1", "attn.0"])
def test_a_perfect_dictionary_recovers_all_of_the_loss_and_an_empty_one_nothing(site: str, start: int | None) -> None:
    found = losses(subject(start), tiny.corpus(), site, exact(12))
    assert found.clean == pytest.approx(found.spliced, abs=1e-4)
    assert np.abs(found.clean - found.ablated).max() > 0.05
    none = losses(subject(start), tiny.corpus(), site, nothing(12))
    assert none.spliced == pytest.approx(none.ablated, abs=1e-5)
    corpus = tiny.corpus()
    tested = np.flatnonzero(corpus.split == 3)
    assert set(found.documents.tolist()) == set(tested.tolist())
    rows = np.diff(corpus.documents)[tested].sum()
    contexts = sum(-(-int(n) // 32) for n in np.diff(corpus.documents)[tested])
    single = sum(int(n) % 32 == 1 for n in np.diff(corpus.documents)[tested])
    assert len(found.clean) == rows - (0 if start is not None else contexts) - (single if start is not None else 0)


def test_the_clean_loss_is_the_models_own_and_the_start_token_is_left_alone() -> None:
    own, corpus = subject(), tiny.corpus()
    found = losses(own, corpus, "resid.0", nothing(12))
    lengths = np.diff(corpus.documents)
    document = int(next(d for d in found.documents if lengths[d] <= 32))  # of one context
    ids = torch.from_numpy(corpus.tokens[corpus.documents[document] : corpus.documents[document + 1]]).long()
    logits = own.model(torch.cat([torch.tensor([own.start]), ids])[None]).logits[0, :-1]
    wanted = nn.functional.cross_entropy(logits, ids, reduction="none")
    assert found.clean[found.documents == document] == pytest.approx(wanted.numpy(), abs=1e-4)
    first = np.flatnonzero(np.diff(found.documents, prepend=-1))
    assert found.ablated[first] == pytest.approx(found.clean[first], abs=1e-5)  # predicted from the start token alone


def test_an_exact_transcoder_takes_the_place_of_the_mlp() -> None:
    own = subject()
    mlp: Any = own.model.get_submodule("body.layers.1.mlp")
    d = Dictionary(
        "standard", W_enc=mlp.up_proj.weight, b_enc=mlp.up_proj.bias, W_dec=mlp.down_proj.weight.T.contiguous(),
        b_dec=mlp.down_proj.bias - 0.1 * mlp.down_proj.weight.sum(1), transcode=True,
    )  # fmt: skip
    found = losses(own, tiny.corpus(), "mlp_in.1", d)
    assert found.spliced == pytest.approx(found.clean, abs=1e-4)
    with pytest.raises(ModelError, match=r"this transcoder reads an MLP's input, and resid.1 is none; give mlp_in.1"):
        losses(own, tiny.corpus(), "resid.1", d)


def test_loss_recovered_has_an_interval_over_documents_and_is_undefined_where_nothing_is_lost() -> None:
    made = replace(exact(12), b_dec=torch.full((12,), 0.2))
    found = losses(subject(), tiny.corpus(120), "resid.1", made, ablation="mean")
    gap = found.ablated - found.clean
    # weights are random, so ablating helps or hurts by chance; here what hurts is scored
    sign = np.sign(gap.mean())
    number = replace(
        found, clean=sign * found.clean, ablated=sign * found.ablated, spliced=sign * found.spliced
    ).recovered
    if number.value is not None:
        assert number.value == pytest.approx((found.ablated - found.spliced).mean() / gap.mean())
        assert number.low is not None
        assert number.high is not None
        assert number.low < number.value < number.high
    flat = replace(found, ablated=found.clean)
    assert flat.recovered.value is None
    assert (
        flat.recovered.reason
        == "undefined: ablating the site changes the loss by 0.0000 nats a token, which may be nothing"
    )


def test_a_dictionary_of_another_site_is_refused() -> None:
    with pytest.raises(ModelError, match=r"the dictionary takes 12 numbers at mlp.0, which in tiny 0 is 24 wide"):
        loss_recovered(subject(), tiny.corpus(), "mlp.0", exact(12))
    with pytest.raises(ModelError, match=r"takes 12 numbers at resid.7, which in tiny 0 is no site of it"):
        loss_recovered(subject(), tiny.corpus(), "resid.7", exact(12))
