"""Transformers as policies, against plain transformers asked one row at a time."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

from superalign.core.errors import ModelError, PluginError
from superalign.models.hf.llama2c import fast_tokenizer
from superalign.models.hf.policy import HfPolicy, hf_policy
from superalign.models.hf.tokens import Tokens
from superalign.models.policy import Policy, Rows, Sampling
from tests.models import hf_tiny

PROMPTS = ["the meal was", "film", "the walk was good the film"]
KINDS = ["gpt2", "llama", "gpt_neox"]
EOS = hf_tiny.WORDS.index("[SEP]")


@cache
def place(kind: str, bos: bool = False) -> Path:
    """A tiny network whose tokenizer ends texts with [SEP] and, with `bos`, begins them with [CLS]."""
    folder = hf_tiny.folder(kind).with_name(f"policy-{kind}-{bos}-{os.getpid()}")
    hf_tiny.network(kind).save_pretrained(folder)
    made = hf_tiny.tokenizer(eos_token="[SEP]", **({"bos_token": "[CLS]"} if bos else {}))
    if bos:
        from tokenizers import processors

        begin = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
        made.backend_tokenizer.post_processor = begin
    made.save_pretrained(folder)
    return folder


def policy(kind: str = "llama", bos: bool = False, **options: Any) -> HfPolicy:
    return hf_policy(str(place(kind, bos)), **options)


def prompts(made: Policy, texts: list[str], pads: int = 0) -> Rows:
    """Prompts padded on the left to the longest and by `pads` more."""
    ids = made.encode(texts)
    width = max(map(len, ids)) + pads
    tokens = torch.full((len(ids), width), made.pad)
    for row, own in zip(tokens, ids, strict=True):
        row[width - len(own) :] = torch.tensor(own, dtype=torch.long)
    mask = torch.arange(width) >= torch.tensor([[width - len(own)] for own in ids])
    return Rows(tokens, mask, width)


def sampled(made: Policy, texts: list[str] = PROMPTS, pads: int = 0, seed: int = 0, **sampling: Any) -> Rows:
    options = Sampling(**{"tokens": 6, **sampling})
    return made.generate(prompts(made, texts, pads), options, torch.Generator().manual_seed(seed))


def log_probs(made: Policy, rows: Rows) -> torch.Tensor:
    return made.logits(rows).log_softmax(-1).gather(2, rows.response[..., None])[..., 0]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_log_probs_are_those_of_transformers(kind: str, bos: bool) -> None:
    made, network = policy(kind, bos), AutoModelForCausalLM.from_pretrained(place(kind, bos)).eval()
    assert isinstance(made, Policy)
    rows = sampled(made, pads=2)
    found = log_probs(made, rows)
    for k in range(len(PROMPTS)):
        ids = torch.cat([torch.full((int(bos),), 2), rows.tokens[k][rows.mask[k]]])
        count = int(rows.response_mask[k].sum())
        with torch.no_grad():
            logs = network(ids[None]).logits[0].log_softmax(-1)
        own = logs[torch.arange(len(ids) - count - 1, len(ids) - 1), ids[-count:]]
        assert torch.allclose(found[k][rows.response_mask[k]], own, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_left_pads_change_nothing(kind: str) -> None:
    made = policy(kind)
    near, far = sampled(made, temperature=0), sampled(made, pads=5, temperature=0)
    assert torch.equal(near.response, far.response)
    assert torch.equal(near.response_mask, far.response_mask)
    assert torch.allclose(made.logits(near), made.logits(far), atol=1e-5)
    assert torch.allclose(made.hidden(near), made.hidden(far), atol=1e-5)
    alone = [sampled(made, [text], temperature=0).response[0] for text in PROMPTS]
    assert torch.equal(torch.stack(alone), near.response)


def test_the_likeliest_token_is_that_of_the_logits() -> None:
    made = policy()
    rows = sampled(made, temperature=0, tokens=8)
    there = rows.response_mask
    assert torch.equal(made.logits(rows).argmax(-1)[there], rows.response[there])


def test_draws_follow_the_probabilities_and_the_generator_alone() -> None:
    made = policy()
    texts = ["the meal was"] * 3000
    rows = sampled(made, texts, tokens=1, temperature=1.5)
    wanted = (made.logits(sampled(made, texts[:1], tokens=1))[0, 0].detach() / 1.5).softmax(-1)
    counts = torch.bincount(rows.response[:, 0], minlength=made.vocabulary)
    spread = (3000 * wanted * (1 - wanted)).sqrt().clamp(min=1)
    assert float(((counts - 3000 * wanted).abs() / spread).max()) < 4.5
    torch.manual_seed(7)
    assert torch.equal(rows.tokens, sampled(made, texts, tokens=1, temperature=1.5).tokens)
    assert not torch.equal(rows.tokens, sampled(made, texts, seed=1, tokens=1, temperature=1.5).tokens)


def test_a_row_ends_with_eos_which_counts_and_pads_follow() -> None:
    made = policy()
    rows = sampled(made, ["the meal was"] * 400, tokens=8, temperature=2.0)
    ends = rows.response == EOS
    lengths = rows.response_mask.sum(1)
    assert 0 < int(ends.any(1).sum()) < 400
    for response, mask, end, length in zip(rows.response, rows.response_mask, ends, lengths, strict=True):
        assert int(length) == (int(end.long().argmax()) + 1 if end.any() else 8)
        assert mask.tolist() == [True] * int(length) + [False] * (8 - int(length))
        assert set(response[~mask].tolist()) <= {made.pad}
    late = sampled(made, ["the meal was"] * 400, tokens=8, temperature=2.0, least=5)
    assert not (late.response[:, :5] == EOS).any()
    assert (late.response[:, 5:] == EOS).any()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_some_rows_alone_are_sampled_as_among_all(temperature: float) -> None:
    made = policy("gpt2")
    asked, sampling, share = prompts(made, PROMPTS), Sampling(6, temperature), torch.tensor([2, 0])
    whole = made.generate(asked, sampling, torch.Generator().manual_seed(0))
    some = made.generate(asked, sampling, torch.Generator().manual_seed(0), share)
    assert torch.equal(some.tokens, whole.tokens[share])
    assert torch.equal(some.mask, whole.mask[share])


def test_equal_prompts_are_read_once() -> None:
    made, seen = policy(), list[tuple[int, ...]]()
    made.network.register_forward_pre_hook(lambda m, a, k: seen.append(tuple(k["input_ids"].shape)), with_kwargs=True)
    rows = sampled(made, ["film", "the meal was", "film", "film"], tokens=2, least=2)
    assert seen == [(2, 3), (4, 1)]
    texts = made.decode(rows.tokens.tolist())
    assert [t.split()[0] for t in texts] == ["film", "the", "film", "film"]


def test_there_is_no_dropout(tmp_path: Path) -> None:
    network = hf_tiny.network("gpt2")
    network.config.update({"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5})
    network.save_pretrained(tmp_path)
    hf_tiny.tokenizer(eos_token="[SEP]").save_pretrained(tmp_path)
    made = hf_policy(str(tmp_path))
    rows = sampled(made)
    ratio = (log_probs(made, rows) - log_probs(made.copy(), rows).detach()).exp()
    assert torch.equal(ratio, torch.ones_like(ratio))


def test_hidden_states_are_what_the_output_layer_reads() -> None:
    made = policy()
    rows = sampled(made)
    hidden = made.hidden(rows)
    assert hidden.shape == (3, 7, 16)
    assert torch.allclose(made.network.lm_head(hidden[:, :-1]), made.logits(rows), atol=1e-5)


def trained(made: HfPolicy, rows: Rows, steps: int = 3) -> None:
    optimiser = torch.optim.AdamW(made.parameters(), lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        torch.autograd.backward(-log_probs(made, rows).mean())
        optimiser.step()


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_a_copy_stays_behind_and_states_carry_over(tune: str) -> None:
    made = policy(tune=tune)
    rows = sampled(made)
    before, reference, start = log_probs(made, rows).detach(), made.copy(), made.state()
    assert torch.equal(before, log_probs(policy(), rows).detach())  # adapters start as nothing
    trained(made, rows)
    after = log_probs(made, rows).detach()
    assert float((after - before).mean()) > 0.05
    assert torch.equal(log_probs(reference, rows), before)
    reference.load(made.state())
    assert torch.equal(log_probs(reference, rows), after)
    made.load(start)
    assert torch.equal(log_probs(made, rows), before)


def test_copies_of_adapters_share_the_frozen_weights() -> None:
    made = policy(tune="lora", rank=4, targets="all-linear")
    own, other = (dict(p.network.named_parameters()) for p in (made, made.copy()))
    assert own.keys() == other.keys()
    assert all((own[n] is other[n]) == ("lora_" not in n) for n in own)
    assert set(made.state()) == {n for n in own if "lora_" in n}
    assert sum(p.numel() for p in made.parameters()) == sum(v.size for v in made.state().values())
    seeds = [policy(tune="lora", seed=s).state() for s in (0, 0, 1)]
    name = next(n for n in seeds[0] if "lora_A" in n)
    assert np.array_equal(seeds[0][name], seeds[1][name])
    assert not np.array_equal(seeds[0][name], seeds[2][name])


@pytest.mark.parametrize(("kind", "tune"), [("gpt2", "full"), ("gpt2", "lora"), ("llama", "full"), ("llama", "lora")])
def test_a_saved_folder_is_read_by_transformers_alone(kind: str, tune: str, tmp_path: Path) -> None:
    made = policy(kind, tune=tune)
    rows = sampled(made)
    trained(made, rows)
    made.save(tmp_path / "out")
    network, report = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not any("lora" in name for name in network.state_dict())
    ids = torch.tensor(AutoTokenizer.from_pretrained(tmp_path / "out")(PROMPTS[2])["input_ids"])
    with torch.no_grad():
        theirs = network.eval()(ids[None]).logits
    ours = made.logits(Rows(ids[None], torch.ones(1, len(ids), dtype=torch.bool), 1))
    assert torch.allclose(theirs[:, :-1], ours, atol=1e-5)
    assert torch.equal(log_probs(hf_policy(str(tmp_path / "out")), rows), log_probs(made, rows)) or tune == "lora"
    with pytest.raises(ModelError, match=r"out is already there; remove it or choose another name"):
        made.save(tmp_path / "out")


def test_bfloat16_computes_and_float32_learns() -> None:
    made = policy(dtype="bfloat16")
    rows = sampled(made)
    assert made.logits(rows).dtype == made.hidden(rows).dtype == torch.float32
    assert not torch.allclose(log_probs(made, rows), log_probs(policy(), rows), atol=1e-4)
    trained(made, rows, 1)
    assert {v.dtype for v in made.state().values()} == {np.dtype(np.float32)}


class Deaf(GPT2LMHeadModel):  # type: ignore[misc]
    """A network that says it takes position ids and does not."""

    def forward(self, *args: Any, position_ids: Any = None, past_key_values: Any = None, **settings: Any) -> Any:
        return super().forward(*args, past_key_values=past_key_values, **settings)


def test_what_cannot_be_padded_is_refused() -> None:
    from dataclasses import replace

    from superalign.models.hf.options import Options
    from superalign.models.hf.plan import plan, tokenizer_of
    from superalign.models.hf.source import locate

    source = locate(str(place("gpt2")))
    tokenizer = tokenizer_of(source)
    made = plan(source, Options(tune="full"), tokenizer)
    network = Deaf.from_pretrained(source.folder).eval()
    with pytest.raises(ModelError, match=r"gives other logits \(by .*\) where its prompt is padded on the left"):
        HfPolicy(network, tokenizer, replace(made, config=network.config), Options(tune="full"), 0)
    with pytest.raises(ModelError, match=r"Linear takes no position ids or keeps no key-value cache"):
        HfPolicy(torch.nn.Linear(1, 1), tokenizer, made, Options(tune="full"), 0)


def test_wrong_uses_say_what_to_type() -> None:
    made = policy(tokens=8)
    with pytest.raises(ModelError, match=r"rows of 9 tokens exceed the context of 8 of hf:.*; shorten the prompts"):
        sampled(made, ["the meal was"])
    with pytest.raises(ModelError, match=r"an empty prompt was put to hf:.*, which has no start token"):
        sampled(made, ["film", ""], tokens=2)
    with pytest.raises(PluginError, match=r"tune='head': a policy is trained whole \(tune=full\) or by adapters"):
        policy(tune="head")
    with pytest.raises(ModelError, match=r"is an encoder \(bert\), which cannot write; give a decoder"):
        hf_policy(str(hf_tiny.folder("bert")))
    with pytest.raises(ModelError, match=r"nothing ends a text of this model: neither its tokenizer nor"):
        hf_policy(str(hf_tiny.folder("llama")))
    state = {("other" if "norm" in name else name): value for name, value in made.state().items()}
    with pytest.raises(ModelError, match=r"cannot load these weights: 5 of 21 arrays are missing .* 1 are unknown"):
        made.load(state)


def test_a_start_token_belongs_to_the_network() -> None:
    made = policy(bos=True)
    assert made.encode(["the meal"]) == [[4, 5]]
    assert made.encode(["[CLS] the meal"]) == [[4, 5]]  # a chat template writes it itself
    rows = sampled(made, ["", "film"], tokens=3, least=3)
    assert int(rows.mask[0].sum()) == 3
    assert torch.isfinite(made.logits(rows)).all()


def words(*vocabulary: str, **special: str) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=vocabulary[0]))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)


@pytest.mark.parametrize(
    ("special", "extra", "pad"),
    [
        ({"eos_token": "E", "pad_token": "P"}, 0, 1),
        ({"eos_token": "E", "pad_token": "E"}, 2, 6),  # an output that is no token
        ({"eos_token": "E", "unk_token": "a"}, 2, 0),
        ({"eos_token": "E", "bos_token": "P"}, 0, 1),
        ({"eos_token": "E", "unk_token": "E"}, 0, 4),  # the byte 0
    ],
)
def test_padding_is_never_eos(special: dict[str, str], extra: int, pad: int) -> None:
    made = Tokens(words("a", "P", "E", "b", "<0x00>", **special), 5 + extra)
    assert (made.eos, made.pad) == (2, pad)


def test_an_end_from_the_generation_config_and_no_room_for_padding() -> None:
    assert Tokens(words("a", "b", "c", unk_token="a"), 3, [2]).eos == 2
    with pytest.raises(ModelError, match=r"no id of this model can pad: all 3 are tokens of text, or EOS \(2\); give"):
        Tokens(words("a", "b", "E", eos_token="E"), 3)


@cache
def spaced() -> Tokens:
    """A tokenizer that puts a space before every text, as llama2c's does."""
    from transformers import PreTrainedTokenizerFast

    pieces = [(b"<unk>", 0.0), (b"<s>", 0.0), (b"</s>", 0.0), *((f"<0x{b:02X}>".encode(), 0.0) for b in range(256))]
    letters = [(c.encode(), 0.0) for c in " abcdefghijklmnopqrstuvwxyz.,!?\n"]
    made = fast_tokenizer([*pieces, *letters, (b" a", -1.0), (b" th", -2.0), (b"th", -1.5), (b" the", -1.2)])
    made = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>", clean_up_tokenization_spaces=False
    )
    return Tokens(made, 295)


TEXT = st.text("abehnt é", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(TEXT, st.sampled_from([" ", ", ", ".\n", "!"]), TEXT)
def test_a_response_goes_on_from_its_prompt(prompt: str, between: str, more: str) -> None:
    made = spaced()
    assert made.prefix == (1,)
    whole, parts = made.encode(prompt + between + more), [made.encode(prompt), made.encode(between + more)]
    assert made.decode(whole) == " " + prompt + between + more
    assert made.decode([1, *whole]) == prompt + between + more
    assert made.decode(parts[0]) + made.decode(parts[1]) == " " + prompt + between + more
    assert made.decode([*parts[1], made.eos, made.pad, made.pad]) == between + more
    assert made.encode(made.decode(parts[1])) == parts[1]
