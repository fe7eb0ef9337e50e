"""Which metrics notice a wrong label: the missing- and extra-label test of Oikarinen et al. 2025 (arXiv 2506.05774).

Take a unit and the perfect label of where it fires, and spoil the label: drop half of its positives, or add as many
wrong ones. A metric that does not fall both times cannot rank explanations: at the prevalence of real units (a
hundredth and less) balanced accuracy and AUC miss a label that is twice too broad, precision one that is half missing.
Correlation, cosine, AUPRC, F1 and IoU notice both at any prevalence; accuracy, balanced accuracy, AUC, recall,
precision, and correlation under top-and-random sampling do not. A score may be shown with the result of its metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign.core.random import stream
from superalign.interp import metrics
from superalign.interp.metrics import Metric, clusters

SOUND: dict[str, Metric] = {
    "correlation": metrics.correlation, "cosine": metrics.cosine, "auprc": metrics.auprc, "f1": metrics.f1,
    "iou": metrics.iou,
}  # fmt: skip
"""The metrics that pass `sensitivity`."""
BLIND: dict[str, Metric] = {
    "accuracy": metrics.accuracy, "balanced accuracy": metrics.balanced_accuracy, "auc": metrics.auc,
    "recall": metrics.recall, "precision": metrics.precision,
}  # fmt: skip
"""Those that do not."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What a metric does when a perfect label loses half of its positives (`missing`) or gets twice as many (`extra`):
    the mean change at each prevalence in `rates`, the smallest share of draws that fall by more than .001, and
    whether each draw does (`sound`)."""

    rates: tuple[float, ...]
    missing: tuple[float, ...]
    extra: tuple[float, ...]
    noticed: float
    sound: bool


def sensitivity(
    metric: Metric,
    *,
    top_and_random: int = 0,
    rates: Sequence[float] = (0.499, 0.1, 0.01, 0.001, 0.0001),
    rows: int = 100_000,
    draws: int = 5,
    seed: int = 0,
) -> Sensitivity:
    """The missing- and extra-label test of a metric whose range is 1 (Oikarinen et al. 2025, section 4).

    The unit fires at a share of `rows`, and the perfect label says where. With `top_and_random` the metric sees only
    that many of the strongest positions and as many random ones, as older work does.
    """
    found = np.array(
        [
            [_falls(metric, top_and_random, rate, rows, stream(seed, "sensitivity", rate, k)) for k in range(draws)]
            for rate in rates
        ]
    )  # (rates, draws, 2)
    noticed = float((found < -0.001).mean(1).min())
    missing, extra = found.mean(1).T.tolist()
    return Sensitivity(tuple(rates), tuple(missing), tuple(extra), noticed, noticed == 1)


def _falls(metric: Metric, shown: int, rate: float, rows: int, rng: np.random.Generator) -> tuple[float, float]:
    order = rng.permutation(rows)
    count = max(2, round(rate * rows))
    truth = np.zeros(rows)
    truth[order[:count]] = 1
    missing, extra = truth.copy(), truth.copy()
    missing[order[: count // 2]] = 0
    extra[order[count : 2 * count]] = 1
    seen = np.arange(rows)
    if shown:
        top = rng.permutation(order[:count])[:shown]
        seen = np.concatenate([top, rng.permutation(np.delete(seen, top))[:shown]])
    plain = clusters(np.zeros(len(seen), np.int64), replicates=0)
    perfect, less, more = (metric(truth[seen], label[seen], plain).value or 0.0 for label in (truth, missing, extra))
    return less - perfect, more - perfect
