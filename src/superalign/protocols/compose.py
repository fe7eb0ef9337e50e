"""Games made of games: run several at once, or serve every ask of a game in another way.

A wrapper is a protocol around a protocol (majority, hidden reasoning, swap, best-of-n); these
functions are all that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TypeVar

from superalign.core.random import derive
from superalign.core.types import Ask, Moves, Reply, Verdict

T = TypeVar("T")
Steps = Generator[Sequence[Ask], Sequence[Reply], T]
"""A part of a game: yields asks, is sent their replies, returns a value."""

Said = Sequence[Sequence[Reply]]
"""The replies of a game so far, turn by turn."""


def together(parts: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Run parts side by side and return their values in order.

    Each turn yields the asks of every part that is not finished, so parts of different lengths cost as many
    turns as the longest.
    """
    values: dict[int, T] = {}
    waiting: dict[int, Sequence[Ask]] = {}
    for k, part in enumerate(parts):
        try:
            waiting[k] = next(part)
        except StopIteration as end:
            values[k] = end.value
    while waiting:
        replies = list((yield [ask for asks in waiting.values() for ask in asks]))
        for k, asks in list(waiting.items()):
            own, replies = replies[: len(asks)], replies[len(asks) :]
            try:
                waiting[k] = parts[k].send(own)
            except StopIteration as end:
                del waiting[k]
                values[k] = end.value
    return [values[k] for k in range(len(parts))]


def intercept(moves: Moves, serve: Callable[[Ask, Said], Steps[Reply]]) -> Moves:
    """The same game, where `serve(ask, said)` takes the place of each ask: it may ask otherwise, or several times.

    `said` holds the replies of the turns before.
    """
    said: list[list[Reply]] = []
    try:
        asks = next(moves)
        while True:
            replies: list[Reply] = yield from together([serve(ask, tuple(said)) for ask in asks])
            said.append(replies)
            asks = moves.send(replies)
    except StopIteration as end:
        verdict: Verdict = end.value
        return verdict
    finally:
        moves.close()


def once(ask: Ask) -> Steps[Reply]:
    """An ask as it is."""
    replies = yield (ask,)
    return replies[0]


def draws(ask: Ask, n: int, temperature: float) -> list[Ask]:
    """The same request n times, to be sampled at this temperature. Games of different seeds draw different samples."""
    warm = replace(ask, settings=replace(ask.settings, temperature=temperature))
    return [warm if k == 0 else replace(warm, sample=derive(ask.sample, "draw", k)) for k in range(n)]
