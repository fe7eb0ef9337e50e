"""All at once with a small decoder of random weights: the same numbers whatever is batched or kept."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superalign.core.errors import ModelError, SpecError
from superalign.interp.corpus import Windows, build
from superalign.interp.layout import Spelling
from superalign.interp.simulators.all_at_once import AllAtOnce, Layout, all_at_once
from superalign.interp.templates import sheet
from superalign.interp.units import Explanation
from tests.interp.test_layout import byte_level

torch.set_num_threads(1)
STRINGS = (" a", "at", "\n", "\t", " ", "é", "🙂", "猫", "1", "10", "unknown", "\\n", " b", " c", ".", " d")
FIELDS = {"task": ("top", "unknown"), "solved": (), "unit": ("explanation",)}


@cache
def tokenizer(ten: bool = True) -> Any:
    return byte_level() if ten else byte_level_without_ten()


def byte_level_without_ten() -> Any:
    """Numbers digit by digit, as Llama's tokenizer has them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate([*letters, "<s>"])}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken("<s>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")


@cache
def network(kind: str = "llama", positions: int = 4096) -> Any:
    import transformers as t

    torch.manual_seed(0)
    shared = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
              "num_attention_heads": 4, "max_position_embeddings": positions, "initializer_range": 0.25,
              "bos_token_id": None, "eos_token_id": None}  # fmt: skip
    if kind == "llama":
        return t.LlamaForCausalLM(t.LlamaConfig(num_key_value_heads=2, **shared)).eval()
    if kind == "window":
        return t.MistralForCausalLM(t.MistralConfig(num_key_value_heads=2, sliding_window=16, **shared)).eval()
    return t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**shared)).eval()


@cache
def windows(count: int = 10) -> Windows:
    rng = np.random.default_rng(0)
    corpus = build([rng.integers(0, len(STRINGS), 24).tolist() for _ in range(60)], STRINGS, width=12, context=24)
    return Windows(corpus, np.arange(count))


def plain(model: Any, layout: Layout, explanation: str, tokens: list[str]) -> np.ndarray:
    """One text, one forward pass over all of its ids, no cache."""
    row = layout.row(explanation, tokens)
    ids = torch.tensor([[*layout.beginning, *row.ids.tolist()]])
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0]
    p = logits[torch.from_numpy(row.places) + len(layout.beginning)][:, layout.values].double().softmax(-1).numpy()
    return np.asarray(p @ np.arange(layout.top + 1) * 10 / layout.top)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "window"])
def test_one_text_ten_texts_and_no_cache_are_the_same(kind: str) -> None:
    """Public code grows one cache over batches, and repeats it wrongly for the last one."""
    simulator = AllAtOnce(network(kind), tokenizer())
    explanation = Explanation("words that are\n short")
    together = simulator.simulate([(explanation, windows())])[0].values
    again = simulator.simulate([(explanation, windows())])[0].values
    alone = [simulator.simulate([(explanation, Windows(windows().corpus, np.array([k])))])[0].values for k in range(10)]
    exact = [plain(network(kind), simulator.layout, explanation.text, tokens) for tokens in windows().texts()]
    assert np.abs(together - np.concatenate(exact)).max() < 1e-4
    assert np.abs(together - np.concatenate(alone)).max() < 1e-4
    assert (together == again).all()
    assert np.ptp(together) > 0.05


def test_what_was_read_of_the_beginning_is_never_written_to() -> None:
    simulator = AllAtOnce(network(), tokenizer())
    simulator.simulate([(Explanation("a"), windows())])
    begun = simulator._begun
    keys = copy.deepcopy([layer.keys for layer in begun.layers])
    simulator.simulate([(Explanation("something else"), windows(7))])
    assert simulator._begun is begun
    assert begun.get_seq_length() == len(simulator.layout.beginning)
    assert all(torch.equal(a, layer.keys) for a, layer in zip(keys, begun.layers, strict=True))
    assert begun.layers[0].keys.shape[0] == 1
    assert AllAtOnce(network("window"), tokenizer())._begun is None


def test_explanations_of_a_batch_do_not_meet() -> None:
    simulator = AllAtOnce(network(), tokenizer())
    asked = [
        (Explanation(text), windows(n)) for text, n in (("short", 2), ("a much longer explanation of it", 3), ("é", 1))
    ]
    together = simulator.simulate(asked)
    for found, one in zip(together, asked, strict=True):
        assert np.abs(found.values - simulator.simulate([one])[0].values).max() < 1e-4
        assert len(found.values) == len(one[1].rows)


@pytest.mark.parametrize("ten", [True, False])
def test_the_prompt_comes_back_from_its_ids_and_every_value_is_behind_a_tab(ten: bool) -> None:
    spelling = Spelling(tokenizer(ten))
    layout = Layout(spelling, sheet("all_at_once", "", FIELDS))
    assert layout.top == (10 if ten else 9)
    row = layout.row("cats", list(STRINGS))
    lines = [t.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") for t in STRINGS]
    assert spelling.text(row.ids.tolist()) == "Unit that responds to: cats\n" + "".join(
        f"{t}\tunknown\n" for t in lines
    )
    assert len(row.places) == len(STRINGS)
    assert {int(i) for i in row.ids[row.places]} == {spelling.one("\t")}
    said = spelling.text(layout.beginning)
    assert f"to {layout.top} (the strongest)" in said
    assert " in\tunknown\n" in said
    assert f" third\t{9 if ten else 8}\n" in said
    assert f" fifth\t{layout.top}\n" in said
    assert " called\t0\n" in said
    assert said.index("\tunknown") < said.index(f"\t{layout.top}")


def test_a_scale_to_nine_is_stretched_to_ten() -> None:
    class Nine(torch.nn.Module):
        """Always says 9."""

        config = network().config

        def __init__(self, value: int) -> None:
            super().__init__()
            self.value, self.weight = value, torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids: Any, past_key_values: Any = None, use_cache: bool = False) -> Any:
            from types import SimpleNamespace

            logits = torch.full((*input_ids.shape, 300), -50.0)
            logits[..., self.value] = 50.0
            if past_key_values is not None and past_key_values.get_seq_length() == 0:
                for k in range(2):
                    past_key_values.update(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), k)
            return SimpleNamespace(logits=logits)

    nine = Spelling(tokenizer(ten=False)).one("9")
    assert nine is not None
    found = AllAtOnce(Nine(nine), tokenizer(ten=False)).simulate([(Explanation("x"), windows(2))])[0]
    assert found.values == pytest.approx(np.full(24, 10.0))


def test_a_text_that_does_not_fit_is_missing_and_counted() -> None:
    probe = AllAtOnce(network(), tokenizer())
    lengths = [len(probe.layout.row("x", t).ids) for t in windows().texts()]
    room = sorted(lengths)[6]
    tight = AllAtOnce(network(positions=len(probe.layout.beginning) + room), tokenizer())
    found = tight.simulate([(Explanation("x"), windows())])[0]
    long = sum(n > room for n in lengths)
    assert 0 < long < 4
    assert found.failed.sum() == 12 * long
    assert found.reason == f"{long} of 10 windows are longer than the simulator's context"
    assert np.isnan(found.values[found.failed]).all()
    kept = probe.simulate([(Explanation("x"), windows())])[0].values[~found.failed]
    assert np.abs(found.values[~found.failed] - kept).max() < 1e-4
    with pytest.raises(ModelError, match=r"begins with \d+ tokens and model takes 32"):
        AllAtOnce(network(positions=32), tokenizer())


def test_a_broken_template_says_which_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("== task ==\nx {top}\n== solved ==\nnouns\n the\t11\n== unit ==\n{explanation}\n")
    with pytest.raises(SpecError, match=r"' the\\t11' of a solved unit"):
        AllAtOnce(network(), tokenizer(), template=str(path))


def test_it_is_loaded_from_a_folder(tmp_path: Path) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    network().save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    loaded = all_at_once(str(tmp_path), device="cpu")
    here = AllAtOnce(network(), tokenizer())
    one, other = (s.simulate([(Explanation("a"), windows(2))])[0].values for s in (loaded, here))
    assert loaded.name == f"all-at-once:{tmp_path.name}"
    assert one == pytest.approx(other, abs=1e-5)


def test_an_encoder_predicts_no_tokens() -> None:
    from tests.models.hf_tiny import folder

    with pytest.raises(ModelError, match="no output layer of a decoder"):
        all_at_once(str(folder("bert")), device="cpu")
