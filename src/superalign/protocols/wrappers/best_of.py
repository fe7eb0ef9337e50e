"""Best of n: a speaker says what a preference judge finds the most convincing of n drafts.

Khan et al. (2024), arXiv 2402.06782. Every draft is rated in a fork of the game: what was said so far is
played again, the speaker says the draft, everybody else says one fixed line, and the next prompt of the judge goes
to the role `preference` instead. The draft that gives the speaker's own side the most is said in the game.
"""

from __future__ import annotations

from dataclasses import replace

from superalign.core.errors import SpecError
from superalign.core.types import Ask, Item, Moves, Protocol, Reply, Seat
from superalign.protocols.compose import Said, Steps, draws, intercept, once, together
from superalign.protocols.replies import choose
from superalign.protocols.room import judging
from superalign.protocols.rules import Rules, rules

DUMMY = "I stand by my answer."
"""What everybody in a fork says but the speaker whose draft is rated."""


def best_of(protocol: Protocol, *, n: int = 4, temperature: float = 0.8) -> Rules:
    """The protocol, each speech the best of `n` drafts drawn at `temperature`; of equals the first.

    Speakers are those who argue for an answer (`ask.item.info["assigned"]`). Roles: `preference` besides the
    protocol's own. Raises SpecError for n below 1.
    """
    if n < 1:
        raise SpecError(f"best_of draws n=1 drafts or more, got n={n}")
    inner = rules(protocol)

    def play(item: Item, seat: Seat) -> Moves:
        def serve(ask: Ask, said: Said) -> Steps[Reply]:
            if ask.choices or judging(ask.role) or _side(ask) is None:
                return (yield from once(ask))
            replies = yield draws(ask, n, temperature)
            drafts = [reply for reply in replies if reply.failure is None]
            if len(drafts) < 2:
                return (drafts or replies)[0]
            ratings = yield from together([_rated(draft, ask, inner(item, seat), said) for draft in drafts])
            return drafts[max(range(len(drafts)), key=ratings.__getitem__)]

        return intercept(inner(item, seat), serve)

    return inner.wrapped(play)


def _side(ask: Ask) -> str | None:
    return ask.item.info.get("assigned") if ask.item is not None else None


def _rated(draft: Reply, ask: Ask, fork: Moves, said: Said) -> Steps[float]:
    """What the preference judge gives to the speaker's side if the speaker says `draft` here; 0 where it decides
    nothing. Where several decisions come at once (both orders, several draws) their sum."""
    side = _side(ask)
    try:
        asks = next(fork)
        for replies in said:
            asks = fork.send(replies)
        asks = fork.send([draft if other == ask else _filler(other) for other in asks])
        while not (decisions := [a for a in asks if judging(a.role) and side in a.choices]):
            asks = fork.send((yield from together([_meanwhile(a) for a in asks])))
        replies = yield [replace(decision, role="preference") for decision in decisions]
        return sum(_given(reply, a.choices, side) for reply, a in zip(replies, decisions, strict=True))
    except StopIteration:
        return 0.0
    finally:
        fork.close()


def _meanwhile(ask: Ask) -> Steps[Reply]:
    """On the way to a decision the preference judge asks and thinks as the judge would; the others say one line."""
    if judging(ask.role) and not ask.choices:
        return (yield from once(replace(ask, role="preference")))
    return _filler(ask)


def _filler(ask: Ask) -> Reply:
    return Reply(probs=(1 / len(ask.choices),) * len(ask.choices)) if ask.choices else Reply(DUMMY)


def _given(reply: Reply, shown: tuple[str, ...], side: str | None) -> float:
    choice = choose(reply, shown)
    if choice.place is None:
        return 0.0
    return choice.probs[shown.index(str(side))] if choice.probs else float(shown[choice.place] == side)
