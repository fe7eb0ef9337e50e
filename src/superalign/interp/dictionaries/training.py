"""Training a dictionary on activations: reconstruction, the kind's own rule of what fires, and AuxK for what died.

Decoder directions have length 1 and the encoder starts as the decoder transposed (Bricken et al. 2023); a transcoder's
decoder starts at 0 and its lengths are free. The loss is the fraction of variance unexplained: data are brought to
centre 0 and total variance 1 first, and the weights back to the units of the data at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from superalign.core.errors import Degenerate, SpecError, nearest
from superalign.core.ports import Progress, silent
from superalign.core.random import derive
from superalign.interp.dictionaries.activity import Activity, Rule, Weights
from superalign.interp.dictionaries.auxk import auxk
from superalign.interp.dictionaries.batchtopk import BatchTopK
from superalign.interp.dictionaries.dictionary import Dictionary
from superalign.interp.dictionaries.jumprelu import JumpReLU
from superalign.interp.dictionaries.rows import Rows, Scale, Source, batches, sample, scale_of
from superalign.interp.dictionaries.sparse import decode
from superalign.interp.dictionaries.topk import TopK

Trained = Literal["topk", "batchtopk", "jumprelu"]
Watch = Callable[[int, Mapping[str, float]], None]
"""`watch(step, {"fvu", "l0", "dead"})`: of the latest batch, at every tenth of a run and at its end."""

WATCHED = 10
PACE = 5.0
"""Of thresholds, times the learning rate: they are few, and all of a kind's latents wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Options. `latents` F of which `k` fire per row: exactly (topk) or on average (batchtopk, jumprelu).

    `steps` of Adam on `batch` rows. The learning rate `lr`, by default 0.003 for up to 64 numbers a row and less by the
    root of the width beyond, rises over the first `warm_up` of the steps and falls to 0 over the last `decay`.
    A latent is dead when it has not fired for `dead_after` rows (by default a tenth of the run, 10 million at most);
    what is left of the error is then explained by dead latents with weight `aux`. `bandwidth` of jumprelu's estimate is
    in units of the data's total deviation: the paper's .001 leaves too few pre-activations near a threshold in runs of
    thousands of steps. `skip` gives a transcoder its linear path.
    """

    latents: int
    k: int
    kind: Trained = "topk"
    steps: int = 1500
    batch: int = 1024
    lr: float | None = None
    warm_up: float = 0.05
    decay: float = 0.2
    aux: float = 1 / 32
    dead_after: int | None = None
    bandwidth: float = 0.05
    skip: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Trained):
            raise SpecError(f"no dictionary of kind {self.kind!r} is trained; {nearest(self.kind, get_args(Trained))}")
        if not 1 <= self.k <= self.latents:
            raise SpecError(f"k={self.k} of latents={self.latents} cannot fire; give k from 1 to latents")
        if min(self.steps, self.batch) < 1 or (self.lr is not None and self.lr <= 0) or self.bandwidth <= 0:
            raise SpecError(f"steps={self.steps}, batch={self.batch}, lr={self.lr} and bandwidth={self.bandwidth} must "
                            "be positive")  # fmt: skip


def train(
    source: Source,
    options: Training,
    *,
    seed: int = 0,
    progress: Progress = silent,
    watch: Watch | None = None,
) -> Dictionary:
    """A dictionary of the rows of `source` (a tensor, a function that begins a stream; pairs for a transcoder).

    Runs where the rows are. The same source, options and seed give the same dictionary. Raises ModelError for rows
    that are none, SpecError for a skip without a transcoder, Degenerate for constant data and where training diverges.
    """
    x, y = sample(source, seed)
    transcode = y is not x
    if options.skip and not transcode:
        raise SpecError("a skip leads from what is read to what is given, and an autoencoder would only copy; "
                        "train on pairs (x, y), or without skip")  # fmt: skip
    scales = (read := scale_of(x)), scale_of(y) if transcode else read
    first = read.into(x[: options.batch])
    run = _Run.start(options, first, y.shape[1], seed, transcode)
    stream = batches(source, options.batch, seed)
    marks = {-(-options.steps * k // WATCHED) for k in range(1, WATCHED + 1)}
    for step in range(1, options.steps + 1):
        run.step(_scaled(next(stream), scales), step, step in marks)
        if step in marks:
            run.check(step)
            if watch is not None:
                watch(step, dict(run.told))
        progress("dictionary", step, options.steps)
    return _in_units_of_the_data(run, scales, options, transcode)


@dataclass(slots=True)
class _Run:
    options: Training
    weights: Weights
    rule: Rule
    adam: torch.optim.Optimizer
    silence: Tensor
    rate: float
    unit: bool
    told: dict[str, float] = field(default_factory=dict)

    @classmethod
    def start(cls, options: Training, first: Tensor, d_out: int, seed: int, transcode: bool) -> _Run:
        """Initial weights; `first` (n, d_in) is a batch from which thresholds start."""
        weights = _initial(options, first, d_out, seed, transcode)
        rule = _rule(options, first, weights)
        rate = options.lr or 0.003 * min(1.0, (64 / first.shape[1]) ** 0.5)
        groups = [{"params": weights.tensors, "pace": 1.0}]
        if rule.tensors:
            groups.append({"params": rule.tensors, "pace": PACE})
        # one fused kernel instead of a loop over tensors
        adam = torch.optim.Adam(groups, lr=rate, fused=first.device.type in ("cpu", "cuda"))
        silence = torch.zeros(options.latents, dtype=torch.int64, device=first.device)
        return cls(options, weights, rule, adam, silence, rate, not transcode)

    def step(self, rows: Rows, step: int, tell: bool) -> None:
        """One update."""
        (x, y), w = rows, self.weights
        active = self.rule.activate(x, w)
        guess = decode(active.values, active.rows, active.latents, w.W_dec, len(x)) + w.b_dec
        error = y - (guess if w.W_skip is None else guess + x @ w.W_skip.T)
        dead = self._dead(active, len(x))
        unexplained = error.square().sum() / len(x)
        loss = unexplained + active.penalty
        if len(dead):
            loss = loss + self.options.aux * auxk(x, error, w, dead)
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._update(step)
        if tell:
            l0 = int((active.values.detach() > 0).sum()) / len(x)
            self.told = {"fvu": float(unexplained.detach()), "l0": l0, "dead": len(dead) / self.options.latents}

    @torch.no_grad()
    def _dead(self, active: Activity, count: int) -> Tensor:
        """Latents that have been silent for too long."""
        o = self.options
        self.silence += count
        self.silence[active.latents[active.values > 0]] = 0
        patience = o.dead_after if o.dead_after is not None else min(10_000_000, o.steps * o.batch // 10)
        return (self.silence > patience).nonzero()[:, 0]

    @torch.no_grad()
    def _update(self, step: int) -> None:
        o, W_dec = self.options, self.weights.W_dec
        if self.unit and W_dec.grad is not None:  # what would only change a direction's length
            W_dec.grad -= (W_dec.grad * W_dec).sum(1, keepdim=True) * W_dec
        left = (o.steps - step + 1) / max(o.decay * o.steps, 1)
        share = min(1.0, step / max(o.warm_up * o.steps, 1), left)
        for group in self.adam.param_groups:
            group["lr"] = self.rate * share * group["pace"]
        self.adam.step()
        if self.unit:
            W_dec /= W_dec.norm(dim=1, keepdim=True).clamp(min=1e-12)

    def check(self, step: int) -> None:
        """Raises Degenerate where a weight is not finite."""
        if not all(bool(t.isfinite().all()) for t in (*self.weights.tensors, *self.rule.tensors)):
            raise Degenerate(f"training diverged by step {step} of {self.options.steps}; lower lr (now {self.rate:g})")


def _initial(options: Training, first: Tensor, d_out: int, seed: int, transcode: bool) -> Weights:
    rng = torch.Generator().manual_seed(derive(seed, "dictionaries/weights"))
    directions = torch.randn(options.latents, first.shape[1], generator=rng)
    directions /= directions.norm(dim=1, keepdim=True)

    def weight(tensor: Tensor) -> Tensor:
        return tensor.clone().to(first.device).requires_grad_()

    return Weights(
        W_enc=weight(directions),
        b_enc=weight(torch.zeros(options.latents)),
        W_dec=weight(torch.zeros(options.latents, d_out) if transcode else directions),
        b_dec=weight(torch.zeros(d_out)),
        W_skip=weight(torch.zeros(d_out, first.shape[1])) if options.skip else None,
    )


def _rule(options: Training, first: Tensor, weights: Weights) -> Rule:
    if options.kind == "topk":
        return TopK(options.k)
    if options.kind == "batchtopk":
        return BatchTopK(options.k, options.latents, options.steps)
    with torch.no_grad():
        return JumpReLU(options.k, options.bandwidth, torch.addmm(weights.b_enc, first, weights.W_enc.T))


def _scaled(rows: Rows, scales: tuple[Scale, Scale]) -> Rows:
    x = scales[0].into(rows[0])
    return x, x if rows[1] is rows[0] else scales[1].into(rows[1])


@torch.no_grad()
def _in_units_of_the_data(run: _Run, scales: tuple[Scale, Scale], options: Training, transcode: bool) -> Dictionary:
    """Activations are in the units of what is given, so directions keep their length."""
    w, (read, give) = run.weights, scales
    ratio = give.spread / read.spread
    W_enc, threshold = ratio * w.W_enc, run.rule.threshold()
    W_skip = None if w.W_skip is None else ratio * w.W_skip
    return Dictionary(
        kind=options.kind,
        W_enc=W_enc,
        b_enc=give.spread * w.b_enc - W_enc @ read.centre,
        W_dec=w.W_dec.detach().clone(),
        b_dec=give.spread * w.b_dec + give.centre - (0 if W_skip is None else W_skip @ read.centre),
        k=options.k,
        threshold=None if threshold is None else give.spread * threshold.to(W_enc),
        W_skip=W_skip,
        transcode=transcode,
    )
