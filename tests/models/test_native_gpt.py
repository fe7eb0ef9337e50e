"""The native transformer: padding changes nothing, samples follow the logits, what is saved loads elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from superalign.core.errors import ModelError
from superalign.models.native.gpt import GPT, Shape, draw
from superalign.models.policy import Policy, Rows, Sampling

WORDS = ("<pad>", "<eos>", *(f"w{k}" for k in range(10)))
PAD, EOS = 0, 1


def gpt(context: int = 24, spread: float = 8.0) -> GPT:
    """Weights `spread` times those of the start, so that the next word depends on what came before."""
    policy = GPT(Shape(len(WORDS), layers=2, width=16, heads=2, context=context), WORDS, seed=3)
    with torch.no_grad():
        for weight in policy.parameters():
            if weight.dim() == 2:
                weight.mul_(spread)
    return policy


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], left: int = 0, right: int = 0) -> Rows:
    """Padded rows, with `left` and `right` pads more than are needed."""
    p, r = max(map(len, prompts)) + left, max(map(len, responses), default=0) + right
    made = [[PAD] * (p - len(a)) + [*a, *b] + [PAD] * (r - len(b)) for a, b in zip(prompts, responses, strict=True)]
    real = [
        [False] * (p - len(a)) + [True] * (len(a) + len(b)) + [False] * (r - len(b))
        for a, b in zip(prompts, responses, strict=True)
    ]
    return Rows(torch.tensor(made), torch.tensor(real), p)


PROMPTS, RESPONSES = [[2, 3, 4], [5], [6, 7]], [[8, 9, 2, EOS], [3, 4, 5, 6], [7, EOS]]


def test_it_is_a_policy() -> None:
    assert isinstance(gpt(), Policy)


@pytest.mark.parametrize(("left", "right"), [(5, 0), (0, 5), (5, 3)])
def test_padding_changes_no_output(left: int, right: int) -> None:
    policy, bare, padded = gpt(), rows(PROMPTS, RESPONSES), rows(PROMPTS, RESPONSES, left, right)
    width = bare.response.shape[1]
    shown = bare.response_mask
    torch.testing.assert_close(policy.logits(padded)[:, :width][shown], policy.logits(bare)[shown], atol=1e-5, rtol=0)
    read = torch.cat([torch.ones(3, 1, dtype=torch.bool), shown], 1)
    torch.testing.assert_close(
        policy.hidden(padded)[:, : width + 1][read], policy.hidden(bare)[read], atol=1e-5, rtol=0
    )
    assert policy.hidden(bare).shape == (3, width + 1, 16)


@pytest.mark.parametrize("left", [0, 5])
def test_each_row_is_what_it_is_alone(left: int) -> None:
    policy, together = gpt(), rows(PROMPTS, RESPONSES, left)
    for k, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        alone = policy.logits(rows([prompt], [response]))[0]
        torch.testing.assert_close(policy.logits(together)[k, : len(response)], alone, atol=1e-5, rtol=0)


def test_padding_changes_no_greedy_response() -> None:
    policy, greedy = gpt(), Sampling(12, temperature=0.0, least=12)
    made = [policy.generate(rows(PROMPTS, [[], [], []], left), greedy, generator()) for left in (0, 5)]
    assert torch.equal(made[0].response, made[1].response)
    assert len(made[0].response.unique()) > 2  # else anything would pass


def test_the_cache_agrees_with_the_whole_pass() -> None:
    policy = gpt()
    made = policy.generate(rows(PROMPTS, [[], [], []], 2), Sampling(12, temperature=0.0, least=12), generator())
    logits = policy.logits(made).index_fill(2, torch.tensor([EOS]), -torch.inf)
    assert torch.equal(logits.argmax(-1), made.response)


@given(seed=st.integers(0, 10**6), least=st.integers(0, 9), temperature=st.sampled_from([0.7, 1.0, 5.0]))
@settings(max_examples=15, deadline=None)
def test_a_response_ends_with_its_first_end_and_never_too_early(seed: int, least: int, temperature: float) -> None:
    made = gpt(spread=1.0).generate(rows(PROMPTS, [[], [], []]), Sampling(9, temperature, least), generator(seed))
    for tokens, mask in zip(made.response.tolist(), made.response_mask.tolist(), strict=True):
        end = tokens.index(EOS) + 1 if EOS in tokens else 9
        assert end >= min(least + 1, 9)
        assert mask == [k < end for k in range(9)]
        assert set(tokens[end:]) <= {PAD}
    assert torch.equal(made.tokens[:, : made.start], rows(PROMPTS, [[], [], []]).tokens)


def test_samples_follow_the_logits_and_their_generator_alone() -> None:
    def levels() -> torch.Tensor:
        return torch.rand(40_000, 1, generator=generator(1), dtype=torch.float64)

    logits = torch.tensor([2.0, 0.0, -1.0, -torch.inf]).expand(40_000, 4)
    torch.manual_seed(0)
    first = draw(logits, Sampling(temperature=0.5), 0, EOS, levels())
    torch.manual_seed(99)
    assert torch.equal(first, draw(logits, Sampling(temperature=0.5), 0, EOS, levels()))
    share = torch.bincount(first, minlength=4) / len(first)
    expected = torch.softmax(logits[0] / 0.5, 0)
    assert (share - expected).abs().max() < 5 * (0.25 / 40_000) ** 0.5
    assert share[3] == 0
    banned = draw(logits, Sampling(least=1), 0, 0, levels())
    assert not (banned == 0).any()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_some_rows_alone_are_sampled_as_among_all(temperature: float) -> None:
    asked, sampling = rows(PROMPTS, [[], [], []]), Sampling(9, temperature)
    policy, share = gpt(spread=1.0), torch.tensor([2, 0])
    made = policy.generate(asked, sampling, generator())
    some = policy.generate(asked, sampling, generator(), share)
    assert torch.equal(some.tokens, made.tokens[share])
    assert torch.equal(some.mask, made.mask[share])


def test_equal_prompts_are_read_once() -> None:
    """And the responses are those of each row alone."""
    policy, seen = gpt(spread=1.0), []
    policy.network.wte.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    asked = rows([PROMPTS[k % 2] for k in range(6)], [[]] * 6)
    made = policy.generate(asked, Sampling(9, 1.0, 9), generator())
    assert seen[0] == 2
    assert set(seen[1:]) == {6}
    logits = policy.logits(made)
    assert len({tuple(row) for row in made.response.tolist()}) > 2
    levels = torch.stack([torch.rand(6, 1, generator=g, dtype=torch.float64) for g in [generator()] for _ in range(9)])
    for step in range(9):
        assert torch.equal(draw(logits[:, step], Sampling(9, 1.0, 9), step, EOS, levels[step]), made.response[:, step])


def test_texts_and_tokens() -> None:
    policy = gpt()
    assert policy.encode(["w0 w3", ""]) == [[2, 5], []]
    assert policy.decode([[2, 5, EOS, PAD], []]) == ["w0 w3", ""]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: GPT(Shape(12), WORDS, pad=1, eos=1), "pad and EOS are both 1; they must differ"),
        (lambda: GPT(Shape(13), WORDS), "12 words for a vocabulary of 13"),
        (lambda: gpt().encode(["w0 what"]), "'what' is not one of the 12 words"),
        (lambda: gpt(5).hidden(rows([[2] * 4], [[3] * 3])), "rows of 7 tokens exceed the context of 5; shorten"),
        (
            lambda: gpt(6).generate(rows([[2] * 4], [[]]), Sampling(3), generator()),
            "4 tokens of prompt and 3 to sample exceed the context of 6",
        ),
    ],
)
def test_what_is_refused(act: Callable[[], object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        act()


def test_the_last_token_predicts_nothing_and_needs_no_place() -> None:
    assert gpt(6).logits(rows([[2] * 4], [[3] * 3])).shape == (1, 3, len(WORDS))


def test_a_copy_and_a_loaded_state_are_independent() -> None:
    policy, data = gpt(), rows(PROMPTS, RESPONSES)
    before, twin, other = policy.logits(data).detach(), policy.copy(), GPT(gpt().network.shape, WORDS, seed=9)
    other.load(policy.state())
    with torch.no_grad():
        for weight in policy.parameters():
            weight.zero_()
    for model in (twin, other):
        assert torch.equal(model.logits(data), before)


def test_it_learns() -> None:
    policy, data = gpt(spread=1.0), rows(PROMPTS, RESPONSES)
    weights = list(policy.parameters())

    def loss() -> Tensor:
        logp = torch.log_softmax(policy.logits(data), -1).gather(2, data.response[..., None])[..., 0]
        return -logp[data.response_mask].mean()

    start = float(loss().detach())
    for _ in range(60):
        slopes = torch.autograd.grad(loss(), weights)
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight -= 0.5 * slope
    assert float(loss().detach()) < start / 3


def test_what_is_saved_loads_in_transformers(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    policy, data = gpt(), rows(PROMPTS, RESPONSES, 2)
    policy.save(tmp_path)
    network = AutoModelForCausalLM.from_pretrained(tmp_path)
    places = (data.mask.long().cumsum(1) - 1).clamp(min=0)
    theirs = network(data.tokens, attention_mask=data.mask.long(), position_ids=places).logits[:, data.start - 1 : -1]
    shown = data.response_mask
    torch.testing.assert_close(policy.logits(data)[shown], theirs[shown], atol=1e-4, rtol=1e-4)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("w0 w3")["input_ids"] == [2, 5]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (PAD, EOS)
    assert np.array_equal(policy.state()["wte.weight"], network.transformer.wte.weight.detach().numpy())
