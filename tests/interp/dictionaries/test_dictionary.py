"""Running a dictionary: sparse codes against the definition of each kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from superalign.core.errors import ModelError
from superalign.core.steps import decode as unkept
from superalign.core.steps import encode as kept
from superalign.interp.dictionaries.dictionary import Dictionary, Kind, load
from tests.interp.dictionaries.planted import dense, numbers, small

KINDS: tuple[Kind, ...] = ("topk", "batchtopk", "jumprelu", "standard")


def spread(values: Tensor, index: Tensor, width: int) -> Tensor:
    return torch.zeros(len(values), width).scatter_add(1, index, values)


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_those_of_the_definition_and_decode_to_the_reconstruction(kind: Kind) -> None:
    d, x = small(kind), numbers(700, 6)  # more rows than one chunk
    values, index = d.encode(x)
    z = dense(d, x)
    assert bool((values >= 0).all())
    assert index.shape == values.shape
    assert values.shape[1] == (d.per_row or int((z > 0).sum(1).max()))
    torch.testing.assert_close(spread(values, index, d.width), z)
    torch.testing.assert_close(d.decode(values, index), z @ d.W_dec + d.b_dec)
    torch.testing.assert_close(d.reconstruct(x), z @ d.W_dec + d.b_dec)
    torch.testing.assert_close(d.pre(x), x @ d.W_enc.T + d.b_enc)


def test_a_row_is_encoded_alike_alone_and_among_others() -> None:
    for kind in KINDS:
        d, x = small(kind), numbers(40, 6)
        together, alone = (spread(*d.encode(part), d.width) for part in (x, x[7:8]))
        torch.testing.assert_close(together[7:8], alone)


def test_no_rows_and_silent_rows_have_codes() -> None:
    for kind in KINDS:
        d = replace(small(kind), b_enc=torch.full((16,), -99.0))
        assert d.encode(numbers(0, 6))[0].shape[0] == 0
        values, index = d.encode(numbers(5, 6))
        assert not values.any()
        torch.testing.assert_close(d.decode(values, index), d.b_dec.expand(5, -1))


def test_a_skip_is_added_to_what_the_latents_give() -> None:
    d, x = small(skip=True), numbers(30, 6)
    assert d.W_skip is not None
    torch.testing.assert_close(d.reconstruct(x), d.decode(*d.encode(x)) + x @ d.W_skip.T)


def test_identity_is_that_of_what_encoding_depends_on() -> None:
    d = small()
    assert d.identity == small().identity
    assert d.to("cpu").identity == d.identity
    others = [replace(d, k=2), replace(d, b_enc=d.b_enc + 1), small("standard"), replace(d, transcode=True)]
    assert len({str(o.identity) for o in [d, *others]}) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_dictionary_is_kept_as_a_step_of_a_study(kind: Kind) -> None:
    d = small(kind, skip=True)
    again = load(unkept(kept(d.state())))
    assert again.identity == d.identity
    assert again.transcode


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "topq"}, r"no dictionary is of kind 'topq'; did you mean 'topk'"),
        ({"k": 17}, r"needs k from 1 to 16, got 17"),
        ({"k": None}, r"needs k from 1 to 16, got None"),
        ({"threshold": torch.ones(16)}, r"kind 'topk' has a threshold"),
        ({"kind": "jumprelu"}, r"kind 'jumprelu' has no threshold"),
        ({"b_enc": torch.zeros(5)}, r"b_enc has shape \(5,\), and W_enc \(16, 6\) asks for \(16,\)"),
        ({"W_dec": torch.zeros(16)}, r"must be \(latents, width\) each"),
        ({"W_dec": torch.full((16, 6), torch.nan)}, r"W_dec is not all finite float32"),
        ({"W_dec": torch.zeros(16, 7), "b_dec": torch.zeros(7)}, r"this one reads 6 and gives 7 numbers"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        replace(small(), **change)


def test_rows_of_another_width_are_refused() -> None:
    for call in (Dictionary.encode, Dictionary.pre, Dictionary.reconstruct):
        with pytest.raises(
            ModelError, match=r"reads rows of 6 numbers, and got a tensor of \(3, 7\); is it of another"
        ):
            call(small(), numbers(3, 7))
