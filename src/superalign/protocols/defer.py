"""Defer to trusted: a suspicious action of the untrusted model is replaced by the trusted model's own.

The setting is Greenblatt et al. (2023), arXiv 2312.06942; the protocol is called defer-to-trusted in the UK AISI's
control-arena. Safety costs usefulness, because the trusted model is weaker.
"""

from __future__ import annotations

from superalign.core.types import Item, Moves, Seat, Verdict
from superalign.protocols.monitoring import above, act, checked_threshold, prompts, watch
from superalign.protocols.rules import Rules


def defer(*, threshold: float = 0.5, template: str = "") -> Rules:
    """The protocol. Roles: `untrusted` (modes by `Seat.assigned`, see `monitoring`), `trusted`.

    Where the suspicion is strictly above `threshold` (on the scale of the monitor: 0 to 1 in words, nats for a
    log-loss), or missing, `trusted` acts and the verdict is its action.
    The verdict's score is the suspicion of what `untrusted` submitted.
    """
    text, limit = prompts(template), checked_threshold(threshold)

    def play(item: Item, seat: Seat) -> Moves:
        action = yield from act(text, "untrusted", item, seat)
        if action.answer is None:
            return Verdict(None, abstained=action.fault)
        suspicion = yield from watch(text, item, seat, action.text)
        if above(suspicion, limit):
            action = yield from act(text, "trusted", item, seat)
            if action.answer is None:
                return Verdict(None, score=suspicion, abstained=action.fault)
        return Verdict(action.answer, score=suspicion)

    return Rules(play, template=text.digest)
