"""llama2.c checkpoints (legacy float32 format) as folders that transformers reads.

The layout of `karpathy/llama2.c`: seven little-endian int32 (dim, hidden, layers, heads, key/value heads,
vocabulary, sequence length; a negative vocabulary says that the output layer is its own), then float32
arrays, each stacked over layers. `tokenizer.bin`: an int32 (longest token), then for each id a float32 score,
an int32 length and the bytes.

Rotary positions turn neighbouring pairs of a head there and its two halves in transformers, so the rows of
the query and key projections change places. The tokenizer merges, of all neighbours whose joined text is a
token, the pair with the best score; here those pairs become the merges of a BPE, best first.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superalign.core.errors import ModelError
from superalign.models.hf.folder import whole

Single = NDArray[np.float32]
_MAGIC = 0x616B3432
_RESERVED = 3
"""Ids of unknown, start and end, before the 256 tokens of single bytes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The header of a checkpoint."""

    dim: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    length: int
    tied: bool

    @property
    def head(self) -> int:
        """Width of a head."""
        return self.dim // self.heads


def convert(checkpoint: Path, tokenizer: Path, folder: Path) -> None:
    """Write `folder` (new) as a LlamaForCausalLM with its tokenizer. Raises ModelError for malformed files."""
    from safetensors.numpy import save_file

    shape, arrays = read_checkpoint(Path(checkpoint))
    pieces = read_tokenizer(Path(tokenizer), shape.vocabulary)

    def write(into: Path) -> None:
        save_file(_named(shape, arrays), into / "model.safetensors", {"format": "pt"})
        (into / "config.json").write_text(json.dumps(_config(shape), indent=1) + "\n", encoding="utf-8")
        fast_tokenizer(pieces).save(str(into / "tokenizer.json"))
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>",
            "model_max_length": shape.length, "split_special_tokens": True, "clean_up_tokenization_spaces": False,
        }  # fmt: skip
        (into / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    whole(Path(folder), write)


def read_checkpoint(path: Path) -> tuple[Shape, dict[str, Single]]:
    """The header and the arrays by llama2.c's names, stacked over layers: `wq` is (layers, dim, dim).

    Raises ModelError where the file is too short or long for its header, or the header makes no sense.
    """
    data = _bytes(path)
    if len(data) < 28:
        raise ModelError(f"{path} has {len(data)} bytes, less than the header of a llama2.c checkpoint")
    dim, hidden, layers, heads, kv_heads, vocabulary, length = struct.unpack("<7i", data[:28])
    if dim == _MAGIC:
        raise ModelError(f"{path} is a llama2.c export of version {hidden}; export it again with --version 0 (legacy)")
    shape = Shape(dim, hidden, layers, heads, kv_heads, abs(vocabulary), length, vocabulary > 0)
    sizes = (dim, hidden, layers, heads, kv_heads, abs(vocabulary), length)
    if min(sizes) < 1 or dim % heads or heads % kv_heads or shape.head % 2 or max(sizes) > 2**24:
        raise ModelError(f"{path} is no llama2.c checkpoint: its header says {shape}")
    parts = _parts(shape)
    wanted = 28 + 4 * sum(int(np.prod(size, dtype=object)) for size in parts.values())
    if len(data) != wanted:
        raise ModelError(
            f"{path} has {len(data)} bytes, and its header asks for {wanted}; it is cut off or of another format"
        )
    arrays, start = {}, 28
    for name, size in parts.items():
        count = int(np.prod(size))
        arrays[name] = np.frombuffer(data, "<f4", count, start).reshape(size)
        start += 4 * count
    return shape, arrays


def read_tokenizer(path: Path, vocabulary: int) -> list[tuple[bytes, float]]:
    """Bytes and score of each token, by id. Raises ModelError for another number of tokens, or no byte tokens."""
    data = _bytes(path)
    pieces: list[tuple[bytes, float]] = []
    start = 4
    while start < len(data):
        if start + 8 > len(data):
            raise ModelError(f"{path} ends inside token {len(pieces)}; it is cut off or no llama2.c tokenizer")
        score, size = struct.unpack_from("<fi", data, start)
        if size < 0 or start + 8 + size > len(data):
            raise ModelError(
                f"{path}: token {len(pieces)} says it has {size} bytes; it is cut off or no llama2.c tokenizer"
            )
        pieces.append((data[start + 8 : start + 8 + size], score))
        start += 8 + size
    if len(pieces) != vocabulary:
        raise ModelError(
            f"{path} has {len(pieces)} tokens and the checkpoint {vocabulary}; they belong to different models"
        )
    singles = [f"<0x{byte:02X}>".encode() for byte in range(256)]
    if [piece for piece, _ in pieces[_RESERVED : _RESERVED + 256]] != singles:
        raise ModelError(f"{path} has no tokens <0x00> to <0xFF> at ids 3 to 258, so it is no llama2.c tokenizer")
    return pieces


def fast_tokenizer(pieces: list[tuple[bytes, float]]) -> Any:
    """A `tokenizers.Tokenizer` that encodes as llama2.c does: a start token, a space before the text, characters
    that are no token as bytes, then the best-scored merges. Of equal ones, shorter left parts come first."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors

    names = ["<unk>", "<s>", "</s>"] + [_text(piece) for piece, _ in pieces[_RESERVED:]]
    vocabulary: dict[str, int] = {}
    for i, name in enumerate(names):
        vocabulary.setdefault(name, i)
    merges: list[tuple[float, int, tuple[str, str]]] = []
    for name, i in vocabulary.items():
        if i < _RESERVED + 256:
            continue
        splits = ((name[:k], name[k:]) for k in range(1, len(name)))
        merges += [(-pieces[i][1], i, pair) for pair in splits if pair[0] in vocabulary and pair[1] in vocabulary]
    merges.sort(key=lambda merge: merge[:2])
    model = models.BPE(vocab=vocabulary, merges=[pair for _, _, pair in merges], unk_token="<unk>", byte_fallback=True)
    made = Tokenizer(model)
    made.normalizer = normalizers.Prepend(" ")
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    made.encode_special_tokens = True
    return made


def _parts(shape: Shape) -> dict[str, tuple[int, ...]]:
    layers, dim, narrow = shape.layers, shape.dim, shape.kv_heads * shape.head
    parts: dict[str, tuple[int, ...]] = {
        "embedding": (shape.vocabulary, dim), "attention_norm": (layers, dim), "wq": (layers, dim, dim),
        "wk": (layers, narrow, dim), "wv": (layers, narrow, dim), "wo": (layers, dim, dim), "mlp_norm": (layers, dim),
        "w1": (layers, shape.hidden, dim), "w2": (layers, dim, shape.hidden), "w3": (layers, shape.hidden, dim),
        "norm": (dim,), "cosines": (shape.length, shape.head // 2), "sines": (shape.length, shape.head // 2),
    }  # fmt: skip
    return parts if shape.tied else {**parts, "output": (shape.vocabulary, dim)}


def _named(shape: Shape, arrays: dict[str, Single]) -> dict[str, Single]:
    """The arrays by transformers' names."""
    made = {"model.embed_tokens.weight": arrays["embedding"], "model.norm.weight": arrays["norm"]}
    if not shape.tied:
        made["lm_head.weight"] = arrays["output"]
    names = {"attention_norm": "input_layernorm", "wv": "self_attn.v_proj", "wo": "self_attn.o_proj",
             "mlp_norm": "post_attention_layernorm", "w1": "mlp.gate_proj", "w2": "mlp.down_proj", "w3": "mlp.up_proj",
             "wq": "self_attn.q_proj", "wk": "self_attn.k_proj"}  # fmt: skip
    for ours, theirs in names.items():
        for layer, array in enumerate(arrays[ours]):
            value = _halves(array, shape.head) if ours in ("wq", "wk") else array
            made[f"model.layers.{layer}.{theirs}.weight"] = np.ascontiguousarray(value, np.float32)
    return made


def _halves(rows: Single, head: int) -> Single:
    """Rows of each head from pairs (2i, 2i + 1) to halves (i, i + head/2)."""
    moved: Single = rows.reshape(-1, head // 2, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)
    return moved


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": shape.dim,
        "intermediate_size": shape.hidden, "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "head_dim": shape.head, "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.length, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "tie_word_embeddings": shape.tied,
        "attention_bias": False, "mlp_bias": False, "bos_token_id": 1, "eos_token_id": 2, "dtype": "float32",
    }  # fmt: skip


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", errors="replace")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
