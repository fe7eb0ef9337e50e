"""A small pre-norm transformer with learned positions (GPT-2, Radford et al. 2019), in plain torch.

At two layers of width 64 most of a step is overhead, not arithmetic: one fused projection for queries, keys and
values, logits only where they are read, one cache tensor per layer while generating. A model is saved under GPT-2's
names, so `transformers` loads it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from superalign.core.digest import digest
from superalign.core.errors import ModelError
from superalign.models.hf.memory import keep_freed
from superalign.models.policy import Rows, Sampling


@dataclass(frozen=True, slots=True)
class Shape:
    """`vocabulary` tokens, `width` of the residual stream, `context` positions."""

    vocabulary: int
    layers: int = 2
    width: int = 64
    heads: int = 4
    context: int = 32


class Block(nn.Module):
    """Attention and MLP, each after a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.width
        self.heads = shape.heads
        self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: Tensor, bias: Tensor | None, cache: Tensor | None, at: int, since: int = 0) -> Tensor:
        """x (B, T, d) to (B, T - since, d): the states from position `since` on. `bias` (T, S) or (B, 1, T, S) is added
        to the scores, None where one position sees all; `cache` (2, B, H, S, d / H) holds keys and values up to position
        `at`."""
        b, t, d = x.shape
        qkv = self.qkv(self.ln_1(x))
        seen = None if bias is None else bias[..., since:, :]
        if cache is None:
            mixed: Tensor = Attention.apply(qkv, seen, self.heads)  # type: ignore[no-untyped-call]
        else:
            parts = qkv.view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
            cache[:, :, :, at : at + t] = parts[1:]
            k, v = cache[:, :, :, : at + t]
            mixed = functional.scaled_dot_product_attention(parts[0][:, :, since:], k, v, attn_mask=seen)
            mixed = mixed.transpose(1, 2).reshape(b, t - since, d)
        x = x[:, since:] + self.out(mixed)
        hidden: Tensor = x + self.down(functional.gelu(self.up(self.ln_2(x))))
        return hidden


class Attention(torch.autograd.Function):
    """softmax(q k' / sqrt(n) + bias) v for `heads` heads, from queries, keys and values in one tensor (B, T, 3 d) to
    (B, Q, d), where Q is the number of rows of `bias`: the last Q positions ask. On rows of a few dozen tokens this takes
    two thirds of the time of torch's kernel for CPUs, whose blocks are longer than the rows."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor, heads: int) -> Tensor:
        b, t, width = qkv.shape
        n, asked = width // 3 // heads, bias.shape[-2]
        q, k, v = parts = qkv.view(b, t, 3, heads, n).permute(2, 0, 3, 1, 4).reshape(3, b * heads, t, n)
        if bias.dim() == 4:
            bias = bias.expand(b, heads, asked, t).reshape(b * heads, asked, t)
        weights = torch.baddbmm(bias, q[:, t - asked :], k.transpose(1, 2), alpha=n**-0.5).softmax(-1)
        ctx.save_for_backward(parts, weights)
        return torch.bmm(weights, v).view(b, heads, asked, n).transpose(1, 2).reshape(b, asked, heads * n)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        parts, weights = ctx.saved_tensors
        (q, k, v), (rows, t, n) = parts, parts.shape[1:]
        b, asked, d = slopes[0].shape
        slope = slopes[0].view(b, asked, d // n, n).transpose(1, 2).reshape(rows, asked, n)
        inner = torch.bmm(slope, v.transpose(1, 2))
        inner = torch._softmax_backward_data(inner, weights, -1, weights.dtype).mul_(n**-0.5)
        found = torch.empty_like(parts)
        found[0, :, : t - asked] = 0
        found[0, :, t - asked :] = torch.bmm(inner, k)
        torch.bmm(inner.transpose(1, 2), q[:, t - asked :], out=found[1])
        torch.bmm(weights.transpose(1, 2), slope, out=found[2])
        return found.view(3, b, d // n, t, n).permute(1, 3, 0, 2, 4).reshape(b, t, 3 * d), None, None


class Network(nn.Module):
    """Tokens (B, T) to hidden states (B, T, d); logits are `hidden @ embedding'`."""

    def __init__(self, shape: Shape, seed: int) -> None:
        super().__init__()
        self.shape = shape
        self.wte, self.wpe = nn.Embedding(shape.vocabulary, shape.width), nn.Embedding(shape.context, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width)
        draws = torch.Generator().manual_seed(seed % 2**63)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                scale = 0.02 / (2 * shape.layers) ** 0.5 if name.endswith(("out.weight", "down.weight")) else 0.02
                weight.data.normal_(0, scale, generator=draws)
            elif name.endswith("bias"):
                weight.data.zero_()

    def forward(
        self,
        tokens: Tensor,
        places: Tensor | None,
        bias: Tensor | None,
        caches: Sequence[Tensor] | None = None,
        at: int = 0,
        since: int = 0,
    ) -> Tensor:
        """`places` (B, T) are the tokens' positions; None where row for row they are at, at + 1, ... States are wanted
        `since` a position: what the last block would compute before it is left out."""
        x = self.wte(tokens) + (self.wpe.weight[at : at + tokens.shape[1]] if places is None else self.wpe(places))
        for k, block in enumerate(self.blocks):
            x = block(x, bias, None if caches is None else caches[k], at, since if block is self.blocks[-1] else 0)
        hidden: Tensor = self.ln_f(x)
        return hidden


class GPT:
    """A Policy over the native transformer. `words` are the tokens' texts, joined by spaces; `pad` and `eos` are ids.

    Raises ModelError for equal pad and EOS ids, and for rows longer than the context.
    """

    def __init__(self, shape: Shape, words: Sequence[str], *, pad: int = 0, eos: int = 1, seed: int = 0) -> None:
        if pad == eos:
            raise ModelError(f"pad and EOS are both {pad}; they must differ, else EOS is masked out and nothing stops")
        if len(words) != shape.vocabulary:
            raise ModelError(f"{len(words)} words for a vocabulary of {shape.vocabulary}")
        self.network, self.words = Network(shape, seed), tuple(words)
        self.pad, self.eos, self.vocabulary = pad, eos, shape.vocabulary
        keep_freed()
        self._ids = {word: k for k, word in enumerate(words)}
        self.identity: Mapping[str, Any] = {
            "native": 1,
            **asdict(shape),
            "words": digest(list(words))[:16],
            "seed": seed,
        }
        self.name = f"gpt:{digest(self.identity)[:8]}"

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        unknown = next((w for text in texts for w in text.split() if w not in self._ids), None)
        if unknown is not None:
            raise ModelError(f"{unknown!r} is not one of the {self.vocabulary} words of {self.name}")
        return [[self._ids[word] for word in text.split()] for text in texts]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return [" ".join(self.words[t] for t in row if t not in (self.pad, self.eos)) for row in rows]

    def logits(self, rows: Rows) -> Tensor:
        seen = Rows(rows.tokens[:, :-1], rows.mask[:, :-1], rows.start)  # the last token predicts nothing
        return functional.linear(self.hidden(seen), self.network.wte.weight)

    def hidden(self, rows: Rows) -> Tensor:
        length = rows.tokens.shape[1]
        if length > self.network.shape.context:
            raise ModelError(
                f"rows of {length} tokens exceed the context of {self.network.shape.context}; "
                "shorten them, or make the model with Shape(context=...)"
            )
        places, bias = _places(rows.mask, rows.start)
        states: Tensor = self.network(rows.tokens, places, bias, since=rows.start - 1)
        return states

    @torch.no_grad()
    def generate(
        self, prompts: Rows, sampling: Sampling, generator: torch.Generator, share: Tensor | None = None
    ) -> Rows:
        count, own = len(prompts.tokens), slice(None) if share is None else share
        prompts = Rows(prompts.tokens[own], prompts.mask[own], prompts.start)
        shape, (b, p) = self.network.shape, prompts.tokens.shape
        if p + sampling.tokens > shape.context:
            raise ModelError(
                f"{p} tokens of prompt and {sampling.tokens} to sample exceed the context of {shape.context}; "
                "shorten them, or make the model with Shape(context=...)"
            )
        total = p + sampling.tokens
        caches = [torch.zeros(2, b, shape.heads, total, shape.width // shape.heads) for _ in range(shape.layers)]
        tokens = torch.full((b, total), self.pad)
        tokens[:, :p] = prompts.tokens
        mask = torch.zeros(b, total, dtype=torch.bool)
        mask[:, :p] = prompts.mask
        hidden, places = self._read(prompts, caches)
        alive, levels = torch.ones(b, dtype=torch.bool), torch.zeros(count, 1, dtype=torch.float64)
        for step in range(sampling.tokens):
            if sampling.temperature:
                levels.uniform_(generator=generator)
            drawn = draw(functional.linear(hidden, self.network.wte.weight), sampling, step, self.eos, levels[own])
            tokens[:, p + step] = torch.where(alive, drawn, self.pad)
            mask[:, p + step] = alive
            alive = alive & (drawn != self.eos)
            if step + 1 == sampling.tokens or not alive.any():
                break
            at = p + step
            place, seen = None, None
            if places is not None:
                place, seen = places[:, -1:] + step + 1, _bias(mask[:, None, : at + 1])
            hidden = self.network(tokens[:, at : at + 1], place, seen, caches, at)[:, -1]
        return Rows(tokens, mask, p)

    def _read(self, prompts: Rows, caches: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """The states after the prompts, (B, d), and their positions; fills the caches. Equal prompts are read once, which
        takes a third off the sampling of 8 responses to prompts of 64 tokens."""
        both, where = torch.unique(torch.stack([prompts.tokens, prompts.mask.long()], 1), dim=0, return_inverse=True)
        p = prompts.tokens.shape[1]
        once = [cache.new_empty(2, len(both), cache.shape[2], p, cache.shape[4]) for cache in caches]
        places, bias = _places(both[:, 1].bool(), p)
        states = self.network(both[:, 0], places, bias, once, since=p - 1)
        for cache, read in zip(caches, once, strict=True):
            cache[:, :, :, :p] = read[:, where]
        return states[where, -1], None if places is None else places[where]

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.network.parameters()

    def copy(self) -> GPT:
        return copy.deepcopy(self)

    def state(self) -> dict[str, np.ndarray]:
        return {k: v.detach().numpy().copy() for k, v in self.network.state_dict().items()}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state.items()})

    def save(self, folder: Path) -> None:
        """GPT-2's names and layout, and a tokenizer that splits at spaces."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        shape = self.network.shape
        config: dict[str, Any] = {
            "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": shape.vocabulary,
            "n_positions": shape.context, "n_embd": shape.width, "n_layer": shape.layers, "n_head": shape.heads,
            "activation_function": "gelu", "bos_token_id": self.eos, "eos_token_id": self.eos,
            "pad_token_id": self.pad, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
        }  # fmt: skip
        for name, content in {"config": config, **self._tokenizer()}.items():
            (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        save_file(_as_gpt2(self.network.state_dict()), folder / "model.safetensors", {"format": "pt"})

    def _tokenizer(self) -> dict[str, dict[str, Any]]:
        special = {"pad_token": self.words[self.pad], "eos_token": self.words[self.eos]}
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False) | {"special": True}
        return {
            "tokenizer": {
                "version": "1.0", "model": {"type": "WordLevel", "vocab": self._ids, "unk_token": self.words[self.pad]},
                "added_tokens": [{"id": self._ids[word], "content": word, **flags} for word in special.values()],
                "pre_tokenizer": {"type": "WhitespaceSplit"}, "normalizer": None, "post_processor": None,
                "decoder": None, "truncation": None, "padding": None,
            },
            "tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast", **special},
        }  # fmt: skip


def draw(logits: Tensor, sampling: Sampling, step: int, eos: int, levels: Tensor) -> Tensor:
    """One token per row, (B,), from logits (B, V) and uniform numbers in [0, 1), (B, 1), which temperature 0 ignores."""
    if step < sampling.least:
        logits = logits.index_fill(1, torch.tensor([eos]), -torch.inf)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    # one uniform number against the cumulated probabilities, in double precision so that nothing impossible is drawn:
    # a fifth of the time of torch.multinomial, which draws an exponential for every word
    reached = torch.softmax(logits.double() / sampling.temperature, -1).cumsum(-1)
    return torch.searchsorted(reached, levels * reached[:, -1:], right=True)[:, 0].clamp(max=logits.shape[1] - 1)


def _places(mask: Tensor, start: int) -> tuple[Tensor | None, Tensor]:
    """Positions counted from the first real token, and the attention bias. Where nothing is padded on the left positions
    are None and the bias is plainly causal (padding on the right is never seen by what comes before it)."""
    length = mask.shape[1]
    if bool(mask[:, :start].all()):
        return None, torch.full((length, length), -torch.inf).triu(1)
    places = (mask.long().cumsum(1) - 1).clamp(min=0)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    visible = causal & mask[:, None, :]
    return places, _bias(visible | torch.eye(length, dtype=torch.bool))


def _bias(visible: Tensor) -> Tensor:
    """(B, T, S) bool as an additive bias (B, 1, T, S)."""
    return torch.zeros(visible.shape).masked_fill(~visible, -torch.inf)[:, None]


_NAMES = {
    "qkv": "attn.c_attn", "out": "attn.c_proj", "up": "mlp.c_fc", "down": "mlp.c_proj", "ln_1": "ln_1", "ln_2": "ln_2",
}  # fmt: skip


def _as_gpt2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """GPT-2 keeps its linear weights transposed."""
    found = {}
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] != "blocks":
            found[f"transformer.{name}"] = value.contiguous()
            continue
        turned = value.T if value.dim() == 2 else value
        found[f"transformer.h.{parts[1]}.{_NAMES[parts[2]]}.{parts[3]}"] = turned.contiguous()
    return found
