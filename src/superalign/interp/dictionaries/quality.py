"""How good a dictionary is without the model: what it leaves unexplained, how sparse it is, and whether another seed
finds the same directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from superalign.core.errors import Degenerate, ModelError
from superalign.interp.dictionaries.dictionary import Dictionary
from superalign.interp.dictionaries.rows import Source, blocks
from superalign.interp.dictionaries.topk import pieces

if TYPE_CHECKING:
    from torch import Tensor

    from superalign.core.ports import Floats, Ints

DECADES = (-6.0, 0.0)
"""Of the histogram of densities: latents that fire on less than one row in a million count with those that fire on one."""


@dataclass(frozen=True)
class Quality:
    """Over `rows` rows: `fvu`, the fraction of variance unexplained, `l0`, the mean number of latents that fire on a
    row, and `counts` (F,), the number of rows on which each fires."""

    rows: int
    fvu: float
    l0: float
    counts: Ints

    @property
    def explained(self) -> float:
        """The fraction of variance explained; below 0 for what is worse than the mean."""
        return 1 - self.fvu

    @property
    def densities(self) -> Floats:
        """(F,) the share of rows on which each latent fires."""
        return self.counts / self.rows

    @property
    def dead(self) -> float:
        """The share of latents that never fire on these rows."""
        return float((self.counts == 0).mean())

    @property
    def histogram(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """(edges, counts) of log10 of the densities of latents that fire at all, four bins a decade."""
        edges = np.linspace(*DECADES, int(4 * (DECADES[1] - DECADES[0])) + 1)
        alive = np.log10(self.densities[self.counts > 0]).clip(*DECADES)
        return tuple(edges.tolist()), tuple(np.histogram(alive, edges)[0].tolist())


@torch.no_grad()
def quality(dictionary: Dictionary, source: Source) -> Quality:
    """Measured over one pass of the source: a tensor, or a stream (see `rows`); pairs for a transcoder.

    Raises ModelError where the source does not fit the dictionary, Degenerate where all rows are equal.
    """
    counts = torch.zeros(dictionary.width, dtype=torch.int64)
    sums = _Sums(dictionary.b_dec)
    for x, y in blocks(source):
        if (y is not x) != dictionary.transcode or y.shape[1] != dictionary.d_out:
            wants = "pairs of what is read and given" if dictionary.transcode else "one tensor of rows"
            raise ModelError(f"this dictionary is measured on {wants}, {dictionary.d_out} numbers wide")
        for part, target in zip(pieces(x, 8192), pieces(y, 8192), strict=True):
            values, index = dictionary.encode(part)
            counts += torch.bincount(index[values > 0], minlength=dictionary.width).cpu()
            made = dictionary.decode(values, index)
            if dictionary.W_skip is not None:
                made.addmm_(part.to(made), dictionary.W_skip.T)
            sums.add(target.to(made), made)
    if not sums.variance > 0:
        raise Degenerate(f"all {sums.rows} rows are equal, so there is no variance to explain")
    return Quality(sums.rows, sums.error / sums.variance, int(counts.sum()) / sums.rows, counts.numpy())


def match(a: Dictionary, b: Dictionary) -> tuple[Ints, Floats]:
    """For each latent of `a` (F,) its partner in `b` and the cosine of their directions, partners chosen one to one so
    that the sum of cosines is largest (the Hungarian method); -1 and 0 for those of a larger `a` that get none.

    Of random directions in few dimensions many are close: 1,024 in 64 match with a mean cosine of 0.38, which is
    what a match is to be compared with. Time grows with the cube of F. Raises ModelError for other widths.
    """
    from scipy.optimize import linear_sum_assignment

    if a.d_out != b.d_out:
        raise ModelError(f"directions of {a.d_out} and of {b.d_out} numbers cannot be matched; train both on one site")
    cosines = (_unit(a.W_dec) @ _unit(b.W_dec).T).cpu().numpy()
    rows, columns = linear_sum_assignment(-cosines)
    partner, cosine = np.full(a.width, -1), np.zeros(a.width)
    partner[rows], cosine[rows] = columns, cosines[rows, columns]
    return partner, cosine


def _unit(directions: Tensor) -> Tensor:
    return torch.nn.functional.normalize(directions, dim=1)


class _Sums:
    """Squared error and total variance in one pass, in double precision; sums are taken around `near` (d,), because
    squares of values far from 0 lose the digits of their spread."""

    def __init__(self, near: Tensor) -> None:
        self.near, self.rows, self.error, self._squares = near, 0, 0.0, 0.0
        self._total = torch.zeros_like(near, dtype=torch.float64)

    def add(self, y: Tensor, made: Tensor) -> None:
        centred = (y - self.near).double()
        self.rows += len(y)
        self.error += float((y - made).double().square().sum())
        self._squares += float(centred.square().sum())
        self._total += centred.sum(0)

    @property
    def variance(self) -> float:
        spread = self._squares - float(self._total.square().sum()) / self.rows
        return spread if spread > 1e-12 * self._squares else 0.0  # what rounding leaves of equal rows
