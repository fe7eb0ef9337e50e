"""A small transformer whose weights were set by hand, so that what every unit does is known exactly.

It reads letters, brackets, A and B, and computes fourteen features of the text in two blocks:

    block 0   attention   the previous token (ten features), and how often (, ) and A came so far
              MLP         has an A come? how many brackets are open?
    block 1   MLP         a B after some A; a ) while two or more brackets are open

A random unembedding turns them into next-token logits, so each feature has an effect on what the model says. Features
are directions of the residual stream:

    aligned      each is a coordinate: a neuron is a feature
    rotated      the same function in a random orthogonal basis: no coordinate is a feature, the directions still are
    compressed   the features share fewer dimensions than there are features: readings interfere, as in superposition
                 (Elhage et al. 2022), and what the second block computes from them is no longer exact

The construction follows Tracr (Lindner et al. 2023, arXiv 2301.05062) in spirit; there are no norms and no scaling of
attention scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from superalign.core.errors import SpecError, nearest
from superalign.core.random import stream
from superalign.interp.corpus import Corpus, Windows, build
from superalign.interp.evidence import Evidence
from superalign.interp.sites import reading
from superalign.interp.subject import Subject
from superalign.interp.units import Explanation, Simulation, Unit

Values = NDArray[Any]
Basis = Literal["aligned", "rotated", "compressed"]
BASES: tuple[Basis, ...] = ("aligned", "rotated", "compressed")

TOKENS = (*"abcdef", "(", ")", "A", "B")
_CHANCE = (0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.13, 0.13, 0.05, 0.09)
_SPOKEN = (*TOKENS, *"ghijkl")  # what the model can say; the last six never occur in the text
_START = len(_SPOKEN)
LENGTH = 24
"""Tokens of a document."""
_PLACES = LENGTH + 1  # with the start token
_SHARP = 30.0  # the logit of the place that the previous-token head looks at: e^-30 is lost elsewhere
_FAR = 100.0  # more than any count: closes a neuron of another place

FEATURES = (*(f"after {token}" for token in TOKENS), "seen A", "depth", "B after A", "deep )")
TEXTS = (
    *(f"the token after {token!r}" for token in TOKENS),
    "every token from the first 'A' on",
    "the number of brackets that are open",
    "a 'B' when an 'A' came before",
    "a ')' when two or more brackets stay open after it",
)
PROGRAMS = (
    *(f'previous in {{"{token}"}}' for token in TOKENS),
    'token in {"A"} or before in {"A"}',
    None,
    'token in {"B"} and before in {"A"}',
    None,
)
"""The features in the predicate language, which has no balance of brackets: in it a bracket that closes nothing counts
nothing, for the network it is one that will be missing."""
SITES = (*("resid.0",) * 12, *("resid.1",) * 2)
"""The first site at which each feature can be read."""
EXACT = 1e-3
"""How close the network comes to the definition of each feature, unless it is compressed."""
_SEEN, _DEPTH, _BOTH, _DEEP = 10, 11, 12, 13

# The residual stream in terms of what it means: one row of the basis each.
_TOKEN, _PLACE, _ONE = 0, len(_SPOKEN), len(_SPOKEN) + _PLACES
_OPEN, _CLOSE, _A = _ONE + 1, _ONE + 2, _ONE + 3
_FEATURE = _A + 1
_MEANINGS = _FEATURE + len(FEATURES)


class Attention(nn.Module):
    """Causal attention of two heads, without scaling."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, 2 * head, bias=False) for _ in range(3))
        self.o_proj = nn.Linear(2 * head, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, d) to (B, L, d)."""
        q, k, v = (part(x).unflatten(-1, (2, -1)).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj))
        read: Tensor = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
        added: Tensor = self.o_proj(read.transpose(1, 2).flatten(2))
        return added


class MLP(nn.Module):
    """One hidden layer of rectified units."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up_proj, self.down_proj = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, d) to (B, L, d)."""
        added: Tensor = self.down_proj(torch.relu(self.up_proj(x)))
        return added


class Block(nn.Module):
    """Attention and MLP, each added to the stream."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, _PLACES)
        self.mlp = MLP(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, d) to (B, L, d)."""
        x = x + self.self_attn(x)
        changed: Tensor = x + self.mlp(x)
        return changed


class Circuit(nn.Module):
    """The transformer; called as those of transformers are, and its sites are found in the same way."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed_tokens, self.embed_places = nn.Embedding(_START + 1, width), nn.Embedding(_PLACES, width)
        self.layers = nn.ModuleList([Block(width, 2 + _PLACES), Block(width, 3)])
        self.lm_head = nn.Linear(width, len(_SPOKEN), bias=False)
        for weight in self.parameters():
            nn.init.zeros_(weight)

    def forward(self, input_ids: Tensor, **_: Any) -> SimpleNamespace:
        """Token ids (B, L) to `.logits` (B, L, 16)."""
        x = self.embed_tokens(input_ids) + self.embed_places.weight[: input_ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return SimpleNamespace(logits=self.lm_head(x))


@dataclass(frozen=True, eq=False)
class Compiled:
    """The transformer, its text, and the truth.

    `acts` (T, 14) float32 are the features as the text defines them, worked out without the network, `labels` where
    they are above 0; `x` (T, d) is what the network holds at `resid.1`, where every feature can be read along its
    direction, `directions` (14, d).
    """

    subject: Subject
    corpus: Corpus
    basis: Basis
    acts: Values
    directions: Values
    x: Values

    @property
    def labels(self) -> NDArray[np.bool_]:
        """(T, 14) where each feature is above 0."""
        return np.asarray(self.acts > 0)

    def evidence(self, feature: int, seed: int = 0) -> Evidence:
        """What the network holds along a feature's direction, where it is above EXACT. In the aligned basis a feature is
        a neuron; otherwise `effects.written` finds it with `written_to`."""
        held = (self.x @ self.directions[feature]).astype(np.float32)
        rows = np.flatnonzero(held > EXACT)
        aligned = self.basis == "aligned"
        unit = Unit(SITES[feature], _FEATURE + feature if aligned else feature, "neuron" if aligned else "direction")
        return Evidence(unit, self.corpus, rows, held[rows], seed)

    def written_to(self) -> dict[str, tuple[str, Tensor]]:
        """The directions of the features by site, for scorers that change them; a neuron needs none."""
        rows = torch.from_numpy(self.directions)
        return {} if self.basis == "aligned" else {site: (site, rows) for site in dict.fromkeys(SITES)}


@dataclass(frozen=True, eq=False)
class Oracle:
    """A simulator that knows: the values (T,) at every row of the corpus, by the text of the explanation."""

    columns: Mapping[str, Values]
    name: str = "oracle"

    def simulate(self, asked: Sequence[tuple[Explanation, Windows]]) -> list[Simulation]:
        """The values at the rows of the windows. Raises SpecError for an explanation that it does not know."""
        found = []
        for explanation, windows in asked:
            if explanation.text not in self.columns:
                raise SpecError(f"the oracle knows no {explanation.text!r}; {nearest(explanation.text, self.columns)}")
            found.append(Simulation(self.columns[explanation.text][windows.rows], np.zeros(len(windows.rows), bool)))
        return found


def compiled(seed: int = 0, *, basis: Basis = "aligned", width: int = 10, documents: int = 1500) -> Compiled:
    """The world of a seed: text and unembedding are drawn, the circuit is always the same.

    `width` is the number of dimensions that the fourteen features share when compressed.
    """
    if basis not in BASES:
        raise SpecError(f"no basis is called {basis!r}; {nearest(basis, BASES)}")
    tokens = stream(seed, "compiled text").choice(len(TOKENS), (documents, LENGTH), p=_CHANCE)
    strings = (*_SPOKEN, "<s>")
    corpus = build(tokens.tolist(), strings, width=LENGTH, context=LENGTH)
    written = _basis(seed, basis, width)
    model = _circuit(seed, written)
    identity = {"model": "compiled", "seed": seed, "basis": basis, "width": written.shape[1]}
    subject = Subject(f"compiled, {basis}", identity, model, strings, _START, LENGTH)
    return Compiled(subject, corpus, basis, _features(tokens), written[_FEATURE:].numpy(), _stream(model, tokens))


def _features(tokens: Values) -> Values:
    """The definition of each feature, (D * L, 14)."""
    before = np.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=_START)
    previous = [before == token for token in range(len(TOKENS))]
    opened, closed, a, b = (tokens == TOKENS.index(sign) for sign in ("(", ")", "A", "B"))
    seen = a.cumsum(1) > 0
    depth = np.maximum(opened.cumsum(1) - closed.cumsum(1), 0)
    columns = [*previous, seen, depth, b & seen, closed & (depth >= 2)]
    return np.stack(columns, -1).reshape(-1, len(FEATURES)).astype(np.float32)


def _basis(seed: int, basis: Basis, width: int) -> Tensor:
    """(meanings, d): where in the stream each meaning is written, and read by the inner product."""
    if basis == "aligned":
        return torch.eye(_MEANINGS)
    rng = stream(seed, "compiled basis", basis, width)
    if basis == "rotated":
        return torch.from_numpy(np.linalg.qr(rng.standard_normal((_MEANINGS, _MEANINGS)))[0].astype(np.float32))
    written = torch.zeros(_MEANINGS, _FEATURE + width)
    written[:_FEATURE, :_FEATURE] = torch.eye(_FEATURE)
    written[_FEATURE:, _FEATURE:] = torch.from_numpy(_frame(rng.standard_normal((len(FEATURES), width))))
    return written


def _frame(directions: Values) -> Values:
    """Unit vectors with as little interference in all as their number allows: from random ones by turns to equal singular
    values and to unit length (Tropp et al. 2005). Random ones interfere three times as much, for 14 in 10 dimensions."""
    for _ in range(100):
        left, _, right = np.linalg.svd(directions, full_matrices=False)
        directions = left @ right
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions


@torch.no_grad()
def _circuit(seed: int, basis: Tensor) -> Circuit:
    """The weights. Every map is written in terms of meanings first: `reads` has a row for what a unit reads, `writes`
    a column for what it adds; the basis takes both to the stream."""
    model = Circuit(basis.shape[1])
    model.embed_tokens.weight[:_START] = basis[_TOKEN : _TOKEN + _START]
    model.embed_places.weight.copy_(basis[_PLACE : _PLACE + _PLACES] + basis[_ONE])
    first, second = (block for block in model.layers if isinstance(block, Block))
    _attention(first.self_attn, basis)
    reads, writes = torch.zeros(2 + _PLACES, _MEANINGS), torch.zeros(_MEANINGS, 2 + _PLACES)
    reads[:2, _A], reads[1, _ONE] = _PLACES, -1.0  # an A among n tokens is at least 1 / n: cut between 0 and 1
    writes[_FEATURE + _SEEN, :2] = torch.tensor([1.0, -1.0])
    for place in range(_PLACES):  # a mean over place + 1 tokens becomes a count in the neuron of that place
        reads[2 + place, [_OPEN, _CLOSE]] = torch.tensor([1.0, -1.0]) * (place + 1)
        reads[2 + place, [_PLACE + place, _ONE]] = torch.tensor([_FAR, -_FAR])
        writes[_FEATURE + _DEPTH, 2 + place] = 1.0
    _mlp(first.mlp, reads, writes, basis)
    reads, writes = torch.zeros(3, _MEANINGS), torch.zeros(_MEANINGS, 3)
    reads[0, [_FEATURE + _SEEN, TOKENS.index("B"), _ONE]] = torch.tensor([1.0, 1.0, -1.0])
    reads[1:, _FEATURE + _DEPTH], reads[1:, TOKENS.index(")")] = 1.0, _FAR
    reads[1:, _ONE] = torch.tensor([-1.0, -2.0]) - _FAR  # depth - 1 cut between 0 and 1, where the token is )
    writes[_FEATURE + _BOTH, 0] = 1.0
    writes[_FEATURE + _DEEP, 1:] = torch.tensor([1.0, -1.0])
    _mlp(second.mlp, reads, writes, basis)
    rows = stream(seed, "compiled unembedding").standard_normal((len(FEATURES), len(_SPOKEN))).astype(np.float32)
    scale = torch.full((len(FEATURES), 1), 2.0)
    scale[_DEPTH] = 0.8  # it goes up to 10
    model.lm_head.weight.copy_((torch.from_numpy(rows) * scale).T @ basis[_FEATURE:])
    return model.eval().requires_grad_(False)


def _attention(attention: Attention, basis: Tensor) -> None:
    """Head 0 copies the previous token, head 1 averages three kinds of token over all places so far."""
    q, k, v = (torch.zeros(2 * _PLACES, _MEANINGS) for _ in range(3))
    out = torch.zeros(_MEANINGS, 2 * _PLACES)
    for place in range(1, _PLACES):
        q[place, _PLACE + place] = _SHARP
        k[place, _PLACE + place - 1] = 1.0
    for token in range(len(TOKENS)):
        v[token, _TOKEN + token] = out[_FEATURE + token, token] = 1.0
    for slot, (sign, mean) in enumerate((("(", _OPEN), (")", _CLOSE), ("A", _A))):
        v[_PLACES + slot, TOKENS.index(sign)] = out[mean, _PLACES + slot] = 1.0
    for part, weight in ((attention.q_proj, q), (attention.k_proj, k), (attention.v_proj, v)):
        part.weight.copy_(weight @ basis)
    attention.o_proj.weight.copy_(basis.T @ out)


def _mlp(mlp: MLP, reads: Tensor, writes: Tensor, basis: Tensor) -> None:
    mlp.up_proj.weight.copy_(reads @ basis)
    mlp.down_proj.weight.copy_(basis.T @ writes)


@torch.no_grad()
def _stream(model: Circuit, tokens: Values) -> Values:
    """The stream after the last block at every token, (D * L, d), float32; the start token is no row."""
    start = np.full((len(tokens), 1), _START)
    found: list[Tensor] = []
    with reading(model, ["resid.1"], lambda _, x: found.append(x[:, 1:].flatten(0, 1))):
        model(torch.from_numpy(np.concatenate([start, tokens], 1)))
    return torch.cat(found).numpy()
