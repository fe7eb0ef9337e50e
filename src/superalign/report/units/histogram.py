"""The distribution of a unit's non-zero activations, as a small SVG with a logarithmic count axis.

Activations have long tails: on a linear axis the windows that a page shows would be bars of no height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from superalign.report.units.tokens import brief

WIDTH, HEIGHT, FOOT, HEAD = 560, 120, 18, 14


def histogram(edges: Sequence[float], counts: Sequence[int]) -> Markup:
    """Bars with their bounds and counts on hover; nothing where there is nothing to draw."""
    usable = len(edges) == len(counts) + 1 and sum(counts) > 0 and all(map(math.isfinite, edges))
    if not usable or edges[-1] <= edges[0]:
        return Markup("")
    tallest, span = math.log1p(max(counts)), edges[-1] - edges[0]
    parts = Markup("")
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        height = HEIGHT * math.log1p(max(count, 0)) / tallest
        left, width = WIDTH * (low - edges[0]) / span, WIDTH * (high - low) / span
        bar = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
        said = f"{brief(low)} to {brief(high)}: {count:,}"
        parts += (
            bar.format(left, HEAD + HEIGHT - height, max(width - 1, 0.5), height, said) if count > 0 else Markup("")
        )
    return _frame(parts, edges, counts)


def _frame(bars: Markup, edges: Sequence[float], counts: Sequence[int]) -> Markup:
    foot = HEAD + HEIGHT
    middle = (edges[0] + edges[-1]) / 2
    places = ((0, "start", edges[0]), (WIDTH // 2, "middle", middle), (WIDTH, "end", edges[-1]))
    label = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
    labels = Markup("").join(label.format(x, foot + FOOT - 3, anchor, brief(value)) for x, anchor, value in places)
    said = (
        f"{sum(counts):,} non-zero activations from {brief(edges[0])} to {brief(edges[-1])}; "
        f"the fullest of {len(counts)} bars holds {max(counts):,}"
    )
    frame = Markup(
        '<svg class="histogram" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<text x="0" y="10">{} in the fullest bar, logarithmic</text><path d="M0 {}H{}"/>{}{}</svg>'
    )
    return frame.format(WIDTH, foot + FOOT, said, f"{max(counts):,}", foot + 0.5, WIDTH, bars, labels)
