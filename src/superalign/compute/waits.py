"""How long requests wait, when some are not answered yet.

Those that still wait have waited at least so long. To leave them out would make a pool that never answers look quick,
so the share that still waits is estimated by the product limit (Kaplan and Meier 1958).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def still_waiting(waits: Sequence[tuple[float, bool]]) -> list[tuple[float, Fraction]]:
    """At each time at which a request was answered, the estimated share that waits longer.

    `waits`: how long each has waited, and whether it was answered then. At equal times those answered come first, so
    the others count as waiting longer. In fractions, since a quantile falls on a step that floats would miss.
    """
    share, curve = Fraction(1), []
    for time in sorted({wait for wait, answered in waits if answered}):
        waiting = sum(wait >= time for wait, _ in waits)
        share *= 1 - Fraction(sum(answered and wait == time for wait, answered in waits), waiting)
        curve.append((time, share))
    return curve


def quantile(waits: Sequence[tuple[float, bool]], share: Fraction) -> float | None:
    """After how long `share` of the requests are answered; None where so many have not been yet, or there are none."""
    return next((time for time, left in still_waiting(waits) if left <= 1 - share), None)
