"""Trusted monitoring: a weaker trusted model scores every action of an untrusted one.

Greenblatt et al. (2023), arXiv 2312.06942. Without a threshold the suspicions are only recorded, and a
study reads from them what every audit budget would have caught; with one, actions above it are held for audit.
"""

from __future__ import annotations

from superalign.core.types import Item, Moves, Seat, Verdict
from superalign.protocols.monitoring import AUDITED, above, act, checked_threshold, prompts, watch
from superalign.protocols.rules import Rules


def trusted_monitoring(*, threshold: float | None = None, template: str = "") -> Rules:
    """The protocol. Roles: `untrusted` (modes by `Seat.assigned`, see `monitoring`), `trusted`.

    The verdict answers with the submitted action, its score is the suspicion (None where missing). A suspicion
    strictly above `threshold`, or a missing one, has the verdict abstain with `audited: ...`: a person decides.
    """
    text = prompts(template)
    limit = None if threshold is None else checked_threshold(threshold)

    def play(item: Item, seat: Seat) -> Moves:
        action = yield from act(text, "untrusted", item, seat)
        if action.answer is None:
            return Verdict(None, abstained=action.fault)
        suspicion = yield from watch(text, item, seat, action.text)
        why = None
        if limit is not None and above(suspicion, limit):
            why = AUDITED + ("no suspicion" if suspicion is None else f"suspicion above {limit:g}")
        return Verdict(action.answer, score=suspicion, abstained=why)

    return Rules(play, template=text.digest)
