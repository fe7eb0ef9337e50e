"""A causal transformer under study: its network, what its tokens look like, and how texts become tokens.

The start token (BOS), where the tokenizer puts one before every text, is fed to the network and is no row of data.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from superalign.core.errors import ModelError
from superalign.core.random import stream
from superalign.models.hf.llama2c import convert
from superalign.models.hf.memory import keep_freed
from superalign.models.hf.options import Options
from superalign.models.hf.plan import context, plan, tokenizer_of
from superalign.models.hf.source import Source, check, locate

if TYPE_CHECKING:
    from superalign.core.ports import Ints

_ANCHOR = "a"
_SLACK = 0.1
"""The largest share of embeddings without a token, or tokens without one: makers round a vocabulary up by up to 2 %."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model in evaluation mode, without gradients.

    `model` is called with `input_ids` (B, L). `strings[id]` is the text of a token as a reader sees it, spaces and line
    breaks included; a byte that is no character of its own is written `<0xE2>`. `start` is the id fed before every
    context, or None. `context` is the number of tokens that fit after it. `identity` is what activations depend on.
    """

    name: str
    identity: Mapping[str, Any]
    model: nn.Module
    strings: tuple[str, ...]
    start: int | None
    context: int
    tokenizer: Any = field(default=None, repr=False)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, without a start token.

        Raises ModelError for a subject without a tokenizer, and for one whose tokens the model does not have.
        """
        if self.tokenizer is None:
            raise ModelError(f"{self.name} has no tokenizer, so it reads no text; give it a corpus of token ids")
        if not texts:
            return []
        rows: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
        )["input_ids"]  # fmt: skip
        largest = max((max(row) for row in rows if row), default=0)
        if largest >= len(self.strings):
            raise ModelError(
                f"the tokenizer of {self.name} gives token {largest}, and the model has {len(self.strings)} embeddings:"
                " the tokenizer is another model's"
            )
        return rows

    def permuted(self, seed: int, keep_embeddings: bool = True) -> Subject:
        """A control: the entries of every weight matrix in random order, so their distribution is kept and nothing
        that was learned. Norms and biases stay, and with `keep_embeddings` so do the input and output embeddings
        (Heap et al., arXiv 2501.17727)."""
        model = copy.deepcopy(self.model)
        kept = _embeddings(model) if keep_embeddings else set()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.dim() < 2 or id(weight) in kept:
                    continue
                order: Ints = stream(seed, "permuted weights", name).permutation(weight.numel())
                weight.copy_(weight.flatten()[torch.from_numpy(order).to(weight.device)].view_as(weight))
        control = {"permuted": seed, "keep_embeddings": keep_embeddings}
        return replace(self, name=f"{self.name}, permuted", identity={**self.identity, **control}, model=model)


def subject(argument: str, *, device: str = "auto", dtype: str = "float32") -> Subject:
    """A decoder from a local folder, a name on the hub, or a folder with a legacy llama2.c checkpoint.

    Raises ModelError for a model that cannot be found, loaded or written with, and for a tokenizer of another model.
    """
    folder = Path(argument).expanduser()
    checkpoint = _llama2c(folder) if folder.is_dir() else None
    if checkpoint is None:
        return _loaded(locate(argument), device, dtype)
    with TemporaryDirectory() as made:
        convert(checkpoint, folder / "tokenizer.bin", Path(made) / folder.name)
        return _loaded(check(Path(made) / folder.name), device, dtype)


def token_strings(tokenizer: Any, count: int) -> tuple[str, ...]:
    """The text of ids 0 to count - 1 as a reader sees it within a text; `<id 7>` for an id that is no token."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    plain = tokenizer(_ANCHOR, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    ids = range(min(count, len(tokenizer)))
    pieces = tokenizer.convert_ids_to_tokens(list(ids))
    # read after other text: alone, a tokenizer with spaces before its words drops the one before the first
    settings = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    before = tokenizer.decode(plain, **settings)
    texts = tokenizer.batch_decode([[*plain, i] for i in ids], **settings)
    alphabet = {character: byte for byte, character in bytes_to_unicode().items()} if _byte_level(tokenizer) else None
    strings = [
        _whole(text.removeprefix(before), piece, alphabet) if piece is not None else f"<id {i}>"
        for i, text, piece in zip(ids, texts, pieces, strict=True)
    ]
    return (*strings, *(f"<id {i}>" for i in range(len(ids), count)))


def _loaded(source: Source, device: str, dtype: str) -> Subject:
    tokenizer = tokenizer_of(source)
    made = plan(source, Options.of({"device": device, "dtype": dtype}), tokenizer)
    if not made.causal:
        raise ModelError(f"{source.folder} is an encoder ({made.config.model_type}); units are read in decoders"
                         " (Llama, GPT-2, GPT-NeoX, ...)")  # fmt: skip
    model = made.speaker()
    if model is None:
        raise ModelError(f"{source.folder} has no output layer; save it with AutoModelForCausalLM.save_pretrained")
    if made.device.type == "cpu":
        keep_freed()
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    if abs(len(tokenizer) - vocabulary) > _SLACK * vocabulary:
        raise ModelError(f"{source.folder}: the tokenizer has {len(tokenizer)} tokens and the model {vocabulary}"
                         " embeddings; they belong to different models")  # fmt: skip
    start = _start(tokenizer)
    room = context(made.config, tokenizer) - (start is not None)
    identity = {"model": "subject", "weights": source.weights, "tokenizer": source.tokenizer,
                "dtype": str(made.dtype).removeprefix("torch.")}  # fmt: skip
    strings = token_strings(tokenizer, vocabulary)
    return Subject(source.folder.name, identity, model.requires_grad_(False), strings, start, room, tokenizer)


def _llama2c(folder: Path) -> Path | None:
    """The checkpoint in a folder of llama2.c files; None for any other folder."""
    if (folder / "config.json").exists() or not (folder / "tokenizer.bin").is_file():
        return None
    others = sorted(file for file in folder.glob("*.bin") if file.name != "tokenizer.bin")
    if len(others) != 1:
        raise ModelError(f"{folder} has tokenizer.bin of llama2.c and {len(others)} checkpoints (.bin); leave one")
    return others[0]


def _start(tokenizer: Any) -> int | None:
    """The id that the tokenizer puts before every text."""
    plain = list(tokenizer(_ANCHOR, add_special_tokens=False)["input_ids"])
    whole = list(tokenizer(_ANCHOR)["input_ids"])
    at = next((k for k in range(len(whole)) if whole[k : k + len(plain)] == plain), 0)
    if at > 1:
        raise ModelError(f"the tokenizer puts {at} tokens before every text; one start token at most can be read past")
    return int(whole[0]) if at else None


def _embeddings(model: nn.Module) -> set[int]:
    output = getattr(model, "get_output_embeddings", lambda: None)()
    modules = [m for m in model.modules() if isinstance(m, nn.Embedding) or m is output]
    return {id(weight) for module in modules for weight in module.parameters()}


def _byte_level(tokenizer: Any) -> bool:
    """Whether its pieces spell bytes by other characters, as GPT-2's do (a space is `Ġ`)."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and '"ByteLevel"' in json.dumps(json.loads(backend.to_str()).get("decoder"))


def _whole(text: str, piece: str, alphabet: Mapping[str, int] | None) -> str:
    """The text of a token, with bytes that are no character of their own written out."""
    if "\N{REPLACEMENT CHARACTER}" not in text:
        return text
    if alphabet is not None and all(character in alphabet for character in piece):
        read = bytes(alphabet[character] for character in piece).decode("utf-8", errors="surrogateescape")
        return re.sub("[\udc80-\udcff]", lambda match: f"<0x{ord(match[0]) - 0xDC00:02X}>", read)
    return piece  # `<0xE2>`, as tokenizers with single bytes call them
