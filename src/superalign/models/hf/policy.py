"""Any causal transformer as a policy: it samples, tells log-probabilities and is trained, whole or by LoRA.

Padding cannot be seen: positions are counted from the first real token and attention skips the rest, which is tried
out on every network when it is loaded. Dropout is off for good, so that the first ratio of PPO is 1. A start token
(BOS) belongs to the network and is in no row.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from superalign.core.digest import digest
from superalign.core.errors import ModelError, PluginError
from superalign.models.hf.folder import whole
from superalign.models.hf.generate import State
from superalign.models.hf.memory import keep_freed, spared
from superalign.models.hf.options import Options
from superalign.models.hf.plan import Plan, context, plan, tokenizer_of
from superalign.models.hf.source import locate
from superalign.models.hf.tokens import Tokens
from superalign.models.policy import Rows, Sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAVE = 0.75
"""Finished rows leave a batch when it falls to this share: moving the cache costs as much as a step of a few rows."""
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.2}


def hf_policy(
    argument: str,
    *,
    tune: str = "full",
    rank: int = 8,
    alpha: float = 16.0,
    targets: str | None = None,
    tokens: int | None = None,
    dtype: str = "auto",
    device: str = "auto",
    seed: int = 0,
) -> HfPolicy:
    """A policy from a local folder or a name on the hub.

    `tune`: all weights (`full`), or adapters of `rank` on `targets` (`lora`), whose start is drawn from `seed`.
    `tokens`: prompt and response together, at most; what the network can take unless given. Weights that are trained
    are float32; `dtype` is what is computed in.
    Raises ModelError for a model that cannot be found, is no decoder or cannot be padded; PluginError for a wrong option.
    """
    if tune not in ("full", "lora"):
        raise PluginError(f"tune={tune!r}: a policy is trained whole (tune=full) or by adapters (tune=lora)")
    options = Options.of({"tune": tune, "rank": rank, "alpha": alpha, "targets": targets, "tokens": tokens,
                          "dtype": dtype, "device": device})  # fmt: skip
    source = locate(argument)
    tokenizer = tokenizer_of(source)
    made = plan(source, options, tokenizer)
    if not made.causal:
        raise ModelError(f"{source.folder} is an encoder ({made.config.model_type}), which cannot write; give a decoder"
                         " (Llama, Qwen, GPT-2, ...)")  # fmt: skip
    network = _loaded(made, options, seed)
    return HfPolicy(network, tokenizer, made, options, seed)


class HfPolicy:
    """A Policy over a causal transformer of `transformers`. Made by `hf_policy`.

    `copy` copies what is trained: copies of a LoRA policy share the frozen weights, so a reference, a value network and
    the policy take the memory of one network. A LoRA policy starts as its base (B = 0), so a copy taken before training
    is the network with its adapter off. Tensors come back on the network's device.
    """

    def __init__(self, network: Any, tokenizer: Any, made: Plan, options: Options, seed: int) -> None:
        self.network, self._dtype = network, made.dtype
        takes = inspect.signature(network.forward).parameters
        if "past_key_values" not in takes or "position_ids" not in takes:
            raise ModelError(f"{type(network).__name__} takes no position ids or keeps no key-value cache, so prompts of"
                             " different lengths cannot share a batch; give a Llama, Qwen, Gemma, GPT-2, ...")  # fmt: skip
        self._keeps = "logits_to_keep" in takes
        self.vocabulary = int(network.get_output_embeddings().weight.shape[0])
        ends = network.generation_config.eos_token_id
        self._tokens = Tokens(tokenizer, self.vocabulary, ends if isinstance(ends, list) else [ends])
        self.pad, self.eos, self._prefix = self._tokens.pad, self._tokens.eos, self._tokens.prefix
        self.context = (options.tokens or context(made.config, tokenizer)) - len(self._prefix)
        trained = {"rank": options.rank, "alpha": options.alpha, "targets": options.targets, "seed": seed}
        self.identity = {
            "model": "policy", "weights": made.source.weights, "tokenizer": made.source.tokenizer, "eos": self.eos,
            "pad": self.pad, "dtype": str(made.dtype).removeprefix("torch."), "tokens": self.context,
            "tune": options.tune, **(trained if options.tune == "lora" else {}),
        }  # fmt: skip
        self.name = f"hf:{made.source.folder.name}:tune={options.tune}:{digest(self.identity)[:8]}"
        self._try_padding()

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        found: torch.device = next(self.network.parameters()).device
        return found

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._tokens.encode(text) for text in texts]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        return [self._tokens.decode(row) for row in rows]

    def logits(self, rows: Rows) -> Tensor:
        at, given = self._given(rows)
        span = slice(at, at + rows.tokens.shape[1] - rows.start)
        kept = {"logits_to_keep": torch.arange(span.start, span.stop, device=self.device)} if self._keeps else {}
        with self._precision(), spared():
            made: Tensor = self.network(**given, **kept).logits
        return (made if self._keeps else made[:, span]).float()

    def hidden(self, rows: Rows) -> Tensor:
        at, given = self._given(rows)
        with self._precision(), spared():
            states: Tensor = self.network.base_model(**given).last_hidden_state
        return states[:, at:].float()

    def generate(
        self, prompts: Rows, sampling: Sampling, generator: torch.Generator, share: Tensor | None = None
    ) -> Rows:
        shape = (len(prompts.tokens), sampling.tokens if sampling.temperature > 0 else 0)
        # drawn on the CPU for all steps: the same on every device, and a row's draws do not depend on the others
        levels = torch.rand(shape, generator=generator, dtype=torch.float64)
        if share is not None:
            prompts, levels = Rows(prompts.tokens[share], prompts.mask[share], prompts.start), levels[share]
        b, p = prompts.tokens.shape
        total = p + sampling.tokens
        self._fits(total)
        tokens = torch.full((b, total), self.pad, device=self.device)
        mask = torch.zeros(b, total, dtype=torch.bool, device=self.device)
        tokens[:, :p], mask[:, :p] = prompts.tokens.to(self.device), prompts.mask.to(self.device)
        live, going = torch.arange(b, device=self.device), torch.ones(b, dtype=torch.bool, device=self.device)
        with torch.no_grad(), spared():
            state = self._begun(Rows(tokens[:, :p], mask[:, :p], p))
            for step in range(sampling.tokens):
                drawn = _drawn(state.logits, levels[live.cpu()], sampling, step, self.eos)
                tokens[live, p + step] = torch.where(going, drawn, self.pad)
                mask[live, p + step] = going
                going = going & (drawn != self.eos)
                if step + 1 == sampling.tokens or not bool(going.any()):
                    break
                if float(going.float().mean()) <= _LEAVE:
                    state.keep(going.nonzero()[:, 0].tolist())
                    live, drawn, going = live[going], drawn[going], going[going]
                seen = torch.cat([state.mask, mask[live, p + step, None]], 1)
                state = self._step(drawn[:, None], seen, state.cache)
        return Rows(tokens, mask, p)

    def parameters(self) -> Iterator[nn.Parameter]:
        return (p for p in self.network.parameters() if p.requires_grad)

    def copy(self) -> HfPolicy:
        made = copy.copy(self)
        frozen = {id(p): p for p in self.network.parameters() if not p.requires_grad}
        made.network = copy.deepcopy(self.network, dict[int, Any](frozen))
        return made

    def state(self) -> dict[str, NDArray[Any]]:
        """What is trained, as float32 arrays; tied weights once."""
        return {name: p.detach().float().cpu().numpy().copy() for name, p in self._trained().items()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take these weights. Raises ModelError where they are not those of this network."""
        trained = self._trained()
        wrong = sorted(n for n, p in trained.items() if n not in state or np.shape(state[n]) != tuple(p.shape))
        extra = sorted(set(state) - set(trained))
        if wrong or extra:
            raise ModelError(
                f"{self.name} cannot load these weights: {len(wrong)} of {len(trained)} arrays are missing or have"
                f" another shape ({', '.join(wrong[:3])}), {len(extra)} are unknown ({', '.join(extra[:3])})"
            )
        with torch.no_grad():
            for name, p in trained.items():
                p.copy_(torch.tensor(np.asarray(state[name])))

    def save(self, folder: Path) -> None:
        """A new folder for `AutoModelForCausalLM` and `AutoTokenizer`; adapters are merged into the weights."""
        from superalign.models.hf.adapters import merged

        def write(into: Path) -> None:
            state = {name: value.detach().cpu() for name, value in merged(self.network).items()}
            self.network.save_pretrained(into, state_dict=state)
            self._tokens.tokenizer.save_pretrained(into)

        whole(Path(folder), write)

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    def _precision(self) -> AbstractContextManager[Any]:
        held = next(self.network.parameters()).dtype
        return nullcontext() if held == self._dtype else torch.autocast(self.device.type, self._dtype)

    def _fits(self, length: int) -> None:
        if length > self.context:
            raise ModelError(f"rows of {length} tokens exceed the context of {self.context} of {self.name}; shorten the"
                             " prompts, or sample fewer tokens")  # fmt: skip

    def _begin(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Ids and mask (B, k + T) with the k ids of `prefix` before the first real token of each row."""
        tokens, mask = rows.tokens.to(self.device), rows.mask.to(self.device)
        k = len(self._prefix)
        if not k:
            if not bool(mask[:, : rows.start].any(1).all()):
                raise ModelError(f"an empty prompt was put to {self.name}, which has no start token; give it a word")
            return tokens, mask
        first = mask.long().argmax(1) if rows.start else torch.zeros(len(tokens), dtype=torch.long, device=self.device)
        first = torch.where(mask.any(1), first, rows.start)
        at = first[:, None] + torch.arange(k, device=self.device)
        tokens = torch.cat([tokens.new_full((len(tokens), k), self.pad), tokens], 1)
        mask = torch.cat([mask.new_zeros(len(mask), k), mask], 1)
        begin = torch.tensor(self._prefix, device=self.device).expand_as(at)
        return tokens.scatter(1, at, begin), mask.scatter(1, at, True)

    def _given(self, rows: Rows) -> tuple[int, dict[str, Any]]:
        """The place that predicts the first response token, and what the network is called with."""
        self._fits(rows.tokens.shape[1])
        tokens, mask = self._begin(rows)
        at = rows.start + len(self._prefix)
        given: dict[str, Any] = {"input_ids": tokens, "use_cache": False}
        if not bool(mask[:, :at].all()):  # padding on the right is never seen by what comes before it
            given |= {"attention_mask": mask.long(), "position_ids": (mask.long().cumsum(1) - 1).clamp(min=0)}
        return at - 1, given

    def _begun(self, prompts: Rows) -> State:
        """The state after the prompts; equal ones are read once."""
        from transformers.cache_utils import DynamicCache

        tokens, mask = self._begin(prompts)
        both, where = torch.unique(torch.stack([tokens, mask.long()], 1), dim=0, return_inverse=True)
        state = self._step(both[:, 0], both[:, 1].bool(), DynamicCache(config=self.network.config))
        if len(both) < len(tokens) or not torch.equal(where, torch.arange(len(where), device=where.device)):
            state.keep(where.tolist())
        return state

    def _step(self, ids: Tensor, mask: Tensor, cache: Any) -> State:
        kept = {"logits_to_keep": 1} if self._keeps else {}
        places = (mask.long().cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        with self._precision():
            out = self.network(input_ids=ids, attention_mask=mask.long(), position_ids=places, past_key_values=cache,
                               use_cache=True, **kept)  # fmt: skip
        return State(out.logits[:, -1].float(), cache, mask)

    def _try_padding(self) -> None:
        """Raises ModelError for a network that answers otherwise where its prompt is padded on the left."""
        ids = torch.from_numpy(np.random.default_rng(0).integers(0, self.vocabulary, (1, 3)))
        padded = torch.cat([ids.new_full((1, 2), self.pad), ids], 1)
        with torch.no_grad():
            alone = self.logits(Rows(ids, torch.ones_like(ids, dtype=torch.bool), 2))
            beside = self.logits(Rows(padded, torch.arange(5)[None] >= 2, 4))
        apart = float((alone - beside).abs().max() / alone.abs().max().clamp(min=1))
        if not apart <= _TOLERANCE[self._dtype]:
            raise ModelError(f"{self.name} gives other logits (by {apart:.2g}) where its prompt is padded on the left, so"
                             " prompts of different lengths cannot share a batch; take another network")  # fmt: skip


def _drawn(logits: Tensor, levels: Tensor, sampling: Sampling, step: int, eos: int) -> Tensor:
    """One token per row, (B,), from logits (B, V): the distribution function inverted at `levels` (B, steps)."""
    if step < sampling.least:
        logits = logits.index_fill(1, torch.tensor([eos], device=logits.device), -torch.inf)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    wide = (logits.cpu() if logits.device.type == "mps" else logits).double()  # which has no float64
    sums = (wide / sampling.temperature).softmax(-1).cumsum(-1)
    level = levels[:, step, None].to(sums.device) * sums[:, -1:]  # below the last sum, so a banned EOS is never met
    return torch.searchsorted(sums, level, right=True)[:, 0].clamp(max=sums.shape[1] - 1).to(logits.device)


def _loaded(made: Plan, options: Options, seed: int) -> Any:
    """The network with what is trained in float32, adapters drawn from the seed."""
    from superalign.models.hf.adapters import adapt, drawn

    full = options.tune == "full"
    network = (replace(made, dtype=torch.float32) if full else made).speaker()
    if network is None:
        raise ModelError(f"{made.source.folder} has no output layer, so it cannot write; save it with"
                         " AutoModelForCausalLM.save_pretrained")  # fmt: skip
    if made.device.type == "cpu":
        keep_freed()
    if full:
        return network
    adapt(network, options)
    adapters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    start = drawn({name: p.detach().float().cpu().numpy() for name, p in adapters.items()}, seed)
    with torch.no_grad():
        for name, p in adapters.items():
            p.copy_(torch.from_numpy(start[name]))
    return network
