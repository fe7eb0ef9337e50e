"""Converting llama2.c files: refusals by their message, an untied output layer, ties in the tokenizer."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superalign.core.errors import ModelError
from superalign.models.hf.llama2c import convert, read_checkpoint, read_tokenizer

HEADER = (8, 12, 2, 4, 2, 300, 16)
WORDS = ["a", "b", "c", " ", "ab", "bc", "abc", " a", "cab", "é"]


def checkpoint(path: Path, header: tuple[int, ...] = HEADER, extra: int = 0) -> Path:
    dim, hidden, layers, heads, kv, vocabulary, length = header
    narrow, head = dim // heads * kv, dim // heads
    floats = abs(vocabulary) * dim * (2 if vocabulary < 0 else 1) + layers * (
        2 * dim + 2 * dim * dim + 2 * narrow * dim + 3 * hidden * dim
    )
    floats += dim + length * head + extra
    values = np.random.default_rng(0).normal(0, 0.3, floats).astype("<f4")
    path.write_bytes(struct.pack("<7i", *header) + values.tobytes())
    return path


def tokenizer(path: Path, count: int = 300) -> Path:
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(f"<0x{i:02X}>".encode() for i in range(256))]
    pieces += [word.encode() for word in WORDS]
    pieces += [f"filler{i}".encode() for i in range(count - len(pieces))]
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces) - 259)]
    scores[259 + WORDS.index("bc")] = scores[259 + WORDS.index("ab")]  # a tie
    body = b"".join(struct.pack("<fi", s, len(p)) + p for s, p in zip(scores, pieces, strict=True))
    path.write_bytes(struct.pack("<i", 10) + body)
    return path


def test_an_untied_checkpoint_is_converted_with_its_own_output_layer(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    header = (*HEADER[:5], -300, 16)
    convert(checkpoint(tmp_path / "c.bin", header), tokenizer(tmp_path / "t.bin"), tmp_path / "out")
    network, report = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    shape, arrays = read_checkpoint(tmp_path / "c.bin")
    assert not shape.tied
    assert torch.equal(network.lm_head.weight, torch.tensor(arrays["output"]))
    assert not torch.equal(network.lm_head.weight, network.model.embed_tokens.weight)
    with pytest.raises(ModelError, match="is already there"):
        convert(tmp_path / "c.bin", tmp_path / "t.bin", tmp_path / "out")


def test_the_leftmost_of_equal_merges_comes_first(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    convert(checkpoint(tmp_path / "c.bin"), tokenizer(tmp_path / "t.bin"), tmp_path / "out")
    made = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert made.tokenize("abc") == [" ", "abc"]
    assert made.tokenize("é") == [" ", "é"]
    assert made.tokenize("ü<s>")[:3] == [" ", "<0xC3>", "<0xBC>"]
    assert 1 not in made("<s>", add_special_tokens=False)["input_ids"]  # text is never a start token
    assert made.decode(made("ab ü", add_special_tokens=False)["input_ids"]) == "ab ü"


def header(**changes: int) -> tuple[int, ...]:
    names = ("dim", "hidden", "layers", "heads", "kv", "vocabulary", "length")
    return tuple({**dict(zip(names, HEADER, strict=True)), **changes}.values())


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"1234", "has 4 bytes, less than the header of a llama2.c checkpoint"),
     (struct.pack("<7i", 0x616B3432, 1, 0, 0, 0, 0, 0), "is a llama2.c export of version 1; export it again"),
     (struct.pack("<7i", *header(heads=3)), "is no llama2.c checkpoint: its header says Shape.dim=8, .*heads=3"),
     (struct.pack("<7i", *header(dim=-8)), "is no llama2.c checkpoint"),
     (struct.pack("<7i", *header(kv=3)), "is no llama2.c checkpoint"),
     (struct.pack("<7i", *HEADER), "has 28 bytes, and its header asks for .*; it is cut off or of another format")],
)  # fmt: skip
def test_checkpoints_that_are_none(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.bin"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message):
        read_checkpoint(path)
    with pytest.raises(ModelError, match=r"cannot read .*nothing.bin: No such file"):
        read_checkpoint(tmp_path / "nothing.bin")


def test_a_checkpoint_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="it is cut off or of another format"):
        read_checkpoint(checkpoint(tmp_path / "c.bin", extra=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda data: data[:-3], r"token 299 says it has 8 bytes; it is cut off"),
     (lambda data: data[:-12], r"ends inside token 299; it is cut off"),
     (lambda data: data[:-16], r"has 299 tokens and the checkpoint 300; they belong to different models"),
     (lambda data: data.replace(b"<0x41>", b"<0xZZ>"), r"has no tokens <0x00> to <0xFF> at ids 3 to 258")],
)  # fmt: skip
def test_tokenizers_that_are_none(change: Any, message: str, tmp_path: Path) -> None:
    path = tokenizer(tmp_path / "t.bin")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelError, match=message):
        read_tokenizer(path, 300)
