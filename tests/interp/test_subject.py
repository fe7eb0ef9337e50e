"""Subjects: what their tokens look like, how texts become tokens, and the control with permuted weights."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from superalign.core.errors import ModelError
from superalign.interp.subject import Subject, subject, token_strings
from tests.interp import tiny
from tests.models import hf_tiny

TEXT = "the cat\n\tsat — on “é”."


@cache
def byte_tokenizer() -> Any:
    """BPE over bytes as GPT-2's, with few merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=270, initial_alphabet=alphabet, special_tokens=["<s>"], show_progress=False
    )
    made.train_from_iterator(["the cat sat on the mat", "the cat — the mat —"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", model_max_length=32)


@cache
def piece_tokenizer() -> Any:
    """Pieces with spaces before words, and single bytes for the rest, as Llama's."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    singles = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = ["<unk>", "<s>", *singles, *"▁aehtc", "th", "▁th", "▁the"]
    merges = [("t", "h"), ("▁", "th"), ("▁th", "e")]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])  # fmt: skip
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="<unk>", model_max_length=32)


def folder(at: Path, tokenizer: Any, vocabulary: int, **settings: Any) -> str:
    """A GPT-2 of so many embeddings with this tokenizer."""
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = transformers.GPT2Config(vocab_size=vocabulary, n_positions=32, n_embd=8, n_layer=1, n_head=2,
                                     bos_token_id=None, eos_token_id=None, **settings)  # fmt: skip
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(config).save_pretrained(at)
    tokenizer.save_pretrained(at)
    return str(at)


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from("the catson\n\t.,'é—😀"), min_size=1))
def test_strings_of_byte_tokens_put_together_are_the_text(text: str) -> None:
    tokenizer = byte_tokenizer()
    strings = token_strings(tokenizer, len(tokenizer))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    shown = "".join(strings[i] for i in ids)
    if all(strings[i].isprintable() or strings[i].isspace() for i in ids) and "<0x" not in shown:
        assert shown == text
    whole = shown.encode()
    for byte in range(0x80, 0x100):  # lone bytes are written out, each by its number
        whole = whole.replace(f"<0x{byte:02X}>".encode(), bytes([byte]))
    assert whole.decode() == text


def test_strings_are_what_a_reader_sees() -> None:
    strings = token_strings(byte_tokenizer(), len(byte_tokenizer()))
    assert {" ", "\n", " the", "<0xE2>", "<s>"} <= set(strings)
    assert len(set(strings)) == len(strings)
    pieces = token_strings(piece_tokenizer(), len(piece_tokenizer()) + 2)
    assert pieces[-5:] == ("th", " th", " the", f"<id {len(pieces) - 2}>", f"<id {len(pieces) - 1}>")
    assert (pieces[2 + 10], pieces[2 + 0xE2], pieces[1]) == ("\n", "<0xE2>", "<s>")
    words = token_strings(hf_tiny.tokenizer(), len(hf_tiny.WORDS))
    assert words[4:6] == (" the", " meal")


def test_a_start_token_is_fed_and_is_no_token_of_a_text(tmp_path: Path) -> None:
    made = subject(folder(tmp_path / "m", piece_tokenizer(), len(piece_tokenizer())))
    assert (made.start, made.context, made.name) == (1, 31, "m")
    (ids,) = made.encode(["the cat"])
    assert 1 not in ids
    assert "".join(made.strings[i] for i in ids) == " the cat"
    assert made.encode([]) == []
    assert not made.model.training
    assert not any(p.requires_grad for p in made.model.parameters())
    assert subject(str(hf_tiny.folder("gpt2"))).start is None


def test_the_identity_is_of_the_files_not_of_their_place(tmp_path: Path) -> None:
    one = subject(str(hf_tiny.folder("gpt2")))
    shutil.copytree(hf_tiny.folder("gpt2"), tmp_path / "moved")
    assert subject(str(tmp_path / "moved")).identity == one.identity
    assert subject(str(hf_tiny.folder("llama"))).identity != one.identity


@pytest.mark.parametrize("keep", [True, False])
def test_permuted_weights_are_the_same_numbers_elsewhere(keep: bool) -> None:
    made = subject(str(hf_tiny.folder("llama")))
    before = {name: p.clone() for name, p in made.model.named_parameters()}
    control, again = made.permuted(3, keep), made.permuted(3, keep)
    assert control.identity != made.identity
    assert control.identity != made.permuted(3, not keep).identity
    for name, p in control.model.named_parameters():
        assert torch.equal(p.flatten().sort().values, before[name].flatten().sort().values), name
        assert torch.equal(p, dict(again.model.named_parameters())[name])
        still = p.dim() < 2 or (keep and ("embed" in name or "lm_head" in name))
        assert torch.equal(p, before[name]) == still, name
    assert all(torch.equal(p, before[name]) for name, p in made.model.named_parameters())


def test_a_tokenizer_of_another_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the tokenizer has 270 tokens and the model 100 embeddings"):
        subject(folder(tmp_path / "small", byte_tokenizer(), 100))
    made = subject(folder(tmp_path / "close", byte_tokenizer(), 260))
    assert len(made.encode(["xyz"])[0]) == 3
    with pytest.raises(
        ModelError, match=r"gives token 26\d, and the model has 260 embeddings: the tokenizer is another"
    ):
        made.encode(["the cat"])


def test_what_cannot_be_studied_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is an encoder \(bert\); units are read in decoders"):
        subject(str(hf_tiny.folder("bert")))
    with pytest.raises(ModelError, match=r"there is no folder ./nowhere"):
        subject("./nowhere")
    for name in ("tokenizer.bin", "a.bin", "b.bin"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match=r"has tokenizer.bin of llama2.c and 2 checkpoints"):
        subject(str(tmp_path))
    made: Subject = tiny.subject()
    with pytest.raises(ModelError, match="tiny 0 has no tokenizer"):
        made.encode(["text"])
