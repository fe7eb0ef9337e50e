"""Label steps that compare each weak label with those of its neighbours in the strong model's features.

Distance is Euclidean over standardised features (each feature scaled to unit variance over the given
items; own-choice features (n, K, d) are first centred over the choices and laid side by side). An item
is never its own neighbour. Sources: EleutherAI/w2s (kNN and topological probes), Wu et al. 2020
(arXiv 2012.04835, topological filter); graph smoothing as in arXiv 2511.14166.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import Degenerate
from superalign.learners.labels import Labels, View, by_size
from superalign.learners.losses import at_least, unit

if TYPE_CHECKING:
    from superalign.core.ports import Floats, Ints

_BLOCK = 512  # rows of the distance table held at once: 512 * n * 8 bytes


def standardised(features: Floats) -> Floats:
    """Features as (n, d) in float64 with mean 0 and variance 1; constant features become 0."""
    x = np.asarray(features, np.float64)
    if x.ndim == 3:
        x = (x - x.mean(axis=1, keepdims=True)).reshape(len(x), -1)
    scale = x.std(axis=0)
    return np.asarray((x - x.mean(axis=0)) / np.where(scale > 1e-12, scale, np.inf))


def nearest_rows(x: Floats, k: int) -> Ints:
    """The k nearest other rows of each row of `x` (n, d), nearest first: (n, k).

    Brute force, O(n^2 d) time and `512 n` numbers of memory. Raises Degenerate for k >= n.
    """
    n = len(x)
    if not 1 <= k < n:
        raise Degenerate(f"{k} neighbours need at least {k + 1} items, there are {n}; type a smaller k")
    squares = (x**2).sum(axis=1)
    found = np.empty((n, k), np.int64)
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(n, start + _BLOCK))
        distance = squares[rows, None] + squares - 2 * x[rows] @ x.T
        distance[np.arange(len(rows)), rows] = np.inf
        near = np.sort(np.argpartition(distance, k - 1, axis=1)[:, :k], axis=1)
        order = np.argsort(np.take_along_axis(distance, near, axis=1), axis=1, kind="stable")
        found[rows] = np.take_along_axis(near, order, axis=1)
    return found


def neighbour_mean(soft: Floats, x: Floats, k: int) -> Floats:
    """The mean label of the k nearest other rows, (n, K)."""
    return np.asarray(soft[nearest_rows(x, k)].mean(axis=1))


def disagreement(soft: Floats, other: Floats) -> Floats:
    """Total variation between two tables of labels, (n,); `abs(y - g)` for K = 2."""
    return np.asarray(np.abs(soft - other).sum(axis=1) / 2)


def relabel_or_filter(labels: Labels, probe: Floats, do: str, drop: float, what: str) -> Labels:
    """Replace the labels by the probe's (`do=relabel`), or drop the share that disagrees most (`do=filter`)."""
    if do == "relabel":
        return labels.relabel(probe, f"{what} relabel")
    order = by_size(disagreement(labels.soft, probe), labels.items)
    return labels.keep(order[round(drop * len(order)) :], f"{what} filter drop={drop:g}")


def check_probe(do: str, drop: float) -> None:
    """Raises ValueError unless `do` is relabel or filter and `drop` is a share below 1."""
    if do not in ("relabel", "filter"):
        raise ValueError(f"do is relabel or filter, got {do!r}")
    unit("drop", drop, open_top=True)


@dataclass(frozen=True)
class Knn:
    """Compare each label with the mean of its k nearest neighbours' soft labels, its own left out.

    `do=filter` drops the share `drop` that disagrees most; `do=relabel` takes the mean instead.
    """

    do: str = "filter"
    k: int = 50
    drop: float = 0.1

    def __post_init__(self) -> None:
        check_probe(self.do, self.drop)
        at_least("k", self.k, 1)

    def __call__(self, labels: Labels, view: View) -> Labels:
        probe = neighbour_mean(labels.soft, standardised(view.features()), self.k)
        return relabel_or_filter(labels, probe, self.do, self.drop, f"knn k={self.k}")


@dataclass(frozen=True)
class Smooth:
    """`y <- (1 - mix) y + mix * (mean label of the k nearest neighbours)`."""

    mix: float = 0.5
    k: int = 20

    def __post_init__(self) -> None:
        unit("mix", self.mix)
        at_least("k", self.k, 1)

    def __call__(self, labels: Labels, view: View) -> Labels:
        probe = neighbour_mean(labels.soft, standardised(view.features()), self.k)
        return labels.relabel((1 - self.mix) * labels.soft + self.mix * probe, f"smooth mix={self.mix:g} k={self.k}")


@dataclass(frozen=True)
class Topological:
    """Keep the largest strongly connected component of each class in the graph of `kcc` neighbours.

    Edges join only items of equal hard label. Among the kept, those whose label is farthest from the mean
    of their `kzeta` kept neighbours go too, until the share `drop` is gone in all; where the components
    alone removed more, none of these. `do=relabel` labels every item by the mean of its `kzeta` nearest
    kept neighbours, itself excluded.
    """

    do: str = "filter"
    kcc: int = 20
    kzeta: int = 20
    drop: float = 0.1

    def __post_init__(self) -> None:
        check_probe(self.do, self.drop)
        at_least("kcc", self.kcc, 1)
        at_least("kzeta", self.kzeta, 1)

    def __call__(self, labels: Labels, view: View) -> Labels:
        x = standardised(view.features())
        kept = self.components(labels, x)
        probe = self.kept_mean(labels.soft, x, kept)
        if self.do == "relabel":
            return labels.relabel(probe, f"topological relabel by {len(kept)} kept")
        more = max(0, round(self.drop * len(x)) - (len(x) - len(kept)))
        members = [labels.items[i] for i in kept]
        order = by_size(disagreement(labels.soft[kept], probe[kept]), members)
        return labels.keep(kept[order[more:]], f"topological drop={self.drop:g}")

    def components(self, labels: Labels, x: Floats) -> Ints:
        """Positions of the items in their class's largest component."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        near = nearest_rows(x, self.kcc)
        source = np.repeat(np.arange(len(x)), self.kcc)
        target = near.reshape(-1)
        same = labels.hard[source] == labels.hard[target]
        shape = (len(x), len(x))
        graph = coo_array((np.ones(int(same.sum())), (source[same], target[same])), shape=shape)
        _, component = connected_components(graph.tocsr(), directed=True, connection="strong")
        kept = [_largest(np.flatnonzero(labels.hard == k), component) for k in np.unique(labels.hard)]
        return np.sort(np.concatenate(kept))

    def kept_mean(self, soft: Floats, x: Floats, kept: Ints) -> Floats:
        """The mean label (n, K) of each item's `kzeta` nearest neighbours among the kept."""
        squares = (x[kept] ** 2).sum(axis=1)
        if len(kept) <= self.kzeta:
            raise Degenerate(f"topological kept {len(kept)} items, too few for kzeta={self.kzeta}; type a larger kcc")
        means = np.empty_like(soft)
        for start in range(0, len(x), _BLOCK):
            rows = np.arange(start, min(len(x), start + _BLOCK))
            distance = squares - 2 * x[rows] @ x[kept].T
            distance[rows[:, None] == kept] = np.inf
            near = np.argpartition(distance, self.kzeta - 1, axis=1)[:, : self.kzeta]
            means[rows] = soft[kept[near]].mean(axis=1)
        return means


knn, smooth, topological = Knn, Smooth, Topological  # the names by which methods mention them


def _largest(members: Ints, component: Ints) -> Ints:
    """The members of their largest component; of equal ones, that of the earliest member."""
    names, first, size = np.unique(component[members], return_index=True, return_counts=True)
    return np.asarray(members[component[members] == names[np.lexsort((first, -size))[0]]])
