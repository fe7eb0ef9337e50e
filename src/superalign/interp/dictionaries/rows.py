"""Where training rows come from, in which order, and in which units.

A source is a tensor (n, d), a pair of tensors for a transcoder, or a function that begins a fresh stream of either in
blocks of any length (a model that reads a corpus, say). Rows of one document are alike, so a stream is mixed: a pool of
rows is filled and half of it, drawn at random, goes out. Memory does not grow with the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from superalign.core.errors import Degenerate, ModelError
from superalign.core.random import derive
from superalign.interp.dictionaries.topk import pieces

Rows = tuple[Tensor, Tensor]
"""What is read (n, d_in) and what is to be given (n, d_out); the same tensor for an autoencoder."""

Source = Tensor | Rows | Callable[[], Iterator[Tensor | Rows]]

POOL = 256 << 20
"""Bytes of rows that wait to be mixed."""
SAMPLE = 32768
"""Rows behind the centre and scale of the data."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The geometric median (d,) of the data, and the root of its total variance. In their units every site has centre 0
    and total variance 1, so that learning rates, thresholds and losses mean the same everywhere."""

    centre: Tensor
    spread: float

    def into(self, x: Tensor) -> Tensor:
        """(n, d) in these units."""
        return (x - self.centre) / self.spread


def scale_of(x: Tensor) -> Scale:
    """The scale of rows (n, d). Raises Degenerate where all rows are equal."""
    spread = float((x - x.mean(0)).square().sum(1).mean().sqrt())
    if not spread > 1e-6 * float(x.norm(dim=1).mean()):  # rounding alone leaves less
        raise Degenerate("all activations of the site are equal, so there are no directions to find in them")
    return Scale(geometric_median(x), spread)


def geometric_median(x: Tensor, rounds: int = 100) -> Tensor:
    """(d,) the point with the smallest mean distance to rows (n, d), by Weiszfeld's iteration. A few huge rows (the
    first tokens of a text are such) move a mean, and not this."""
    point = x.mean(0)
    for _ in range(rounds):
        weights = 1 / (x - point).norm(dim=1).clamp(min=1e-12)
        after = weights @ x / weights.sum()
        moved, point = (after - point).norm(), after
        if moved <= 1e-5 * (x - point).norm(dim=1).mean():
            break
    return point


def sample(source: Source, seed: int) -> Rows:
    """Up to SAMPLE rows, drawn from a tensor, or the first of a stream."""
    if not callable(source):
        rows = rows_of(source)
        return at(rows, torch.randperm(len(rows[0]), generator=_generator(seed, "sample"))[:SAMPLE])
    held: list[Rows] = []
    for block in blocks(source):
        held.append(block)
        if sum(len(x) for x, _ in held) >= SAMPLE:
            break
    rows = _joined(held)
    return at(rows, torch.arange(min(SAMPLE, len(rows[0]))))


def at(rows: Rows, index: Tensor) -> Rows:
    """The rows at some indices; of an autoencoder both are the same tensor, as before."""
    x, y = rows
    chosen = x[index.to(x.device)]
    return chosen, chosen if y is x else y[index.to(y.device)]


def batches(source: Source, size: int, seed: int) -> Iterator[Rows]:
    """Batches without end, `size` rows each (fewer where there are no more): all rows once in random order, and again;
    the last rows of a pass that fill no batch wait for the next."""
    if callable(source):
        yield from _mixed(source, size, seed)
    else:
        rows = rows_of(source)
        total = len(rows[0])
        for epoch in count():
            order = torch.randperm(total, generator=_generator(seed, "order", epoch))
            yield from (at(rows, part) for part in pieces(order, size) if len(part) == min(size, total))


def blocks(source: Source) -> Iterator[Rows]:
    """One pass in order. Raises ModelError for what is not rows of numbers, and for an empty stream."""
    if not callable(source):
        yield rows_of(source)
        return
    empty, widths = True, None
    for block in source():
        x, y = rows_of(block)
        if widths not in (None, (x.shape[1], y.shape[1])):
            raise ModelError(f"the stream of activations changes its width from {widths} to {(x.shape[1], y.shape[1])}")
        empty, widths = False, (x.shape[1], y.shape[1])
        yield x, y
    if empty:
        raise ModelError("the stream of activations is empty; a stream is a function that begins a fresh one each call")


def rows_of(block: Tensor | Rows) -> Rows:
    """The pair in float32, checked."""
    x, y = block if isinstance(block, tuple) else (block, block)
    for tensor in (x, y) if y is not x else (x,):
        if tensor.dim() != 2 or not len(tensor) or len(x) != len(y):
            raise ModelError(f"activations are rows (n, width), as many to give as to read; got {tuple(x.shape)} and "
                             f"{tuple(y.shape)}")  # fmt: skip
        if not bool(tensor.isfinite().all()):
            raise ModelError(f"{int((~tensor.isfinite()).any(1).sum())} of {len(tensor)} rows of activations are not "
                             "finite; read the model in float32 or bfloat16")  # fmt: skip
    read = x.float()
    return read, read if y is x else y.float()


def _mixed(source: Callable[[], Iterator[Tensor | Rows]], size: int, seed: int) -> Iterator[Rows]:
    pool: list[Rows] = []
    turn = 0
    while True:
        for block in blocks(source):
            pool.append(block)
            if sum(t.nbytes for rows in pool for t in rows) >= POOL:
                turn += 1
                out, pool = _drawn(pool, size, 0.5, _generator(seed, "pool", turn))
                yield from out
        turn += 1
        out, pool = _drawn(pool, size, 1.0, _generator(seed, "pool", turn))
        yield from out


def _drawn(pool: list[Rows], size: int, share: float, rng: torch.Generator) -> tuple[list[Rows], list[Rows]]:
    """Batches of a share of the pool in random order, and what is left of it."""
    rows = _joined(pool)
    total = len(rows[0])
    order = torch.randperm(total, generator=rng)
    last = int(total * share) // size * size
    out = [at(rows, part) for part in pieces(order[:last], size)] if last else []
    return out, [at(rows, order[last:])] if last < total else []


def _joined(held: list[Rows]) -> Rows:
    x = torch.cat([x for x, _ in held])
    return x, x if all(x is y for x, y in held) else torch.cat([y for _, y in held])


def _generator(seed: int, *purpose: object) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, "dictionaries/rows", *purpose))
