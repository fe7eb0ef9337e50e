"""Exact players of the built-in games: programs that take a chair, read what is put before it, and move by quoting.

A move is a quote in plain text, so a language model may sit opposite, and one quote checker guards both.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from functools import cache
from itertools import accumulate
from math import comb

from superalign.core.errors import ModelError
from superalign.core.types import Ask, Item

_VERIFIED = re.compile(r"<verified>([^<]*)</verified>")  # a tag that a prompt merely mentions opens nothing
_QUOTED = re.compile(r"<(quote|verified|near|unverified)>([^<]*)</\1>")


CLIP = 1e-4
"""No exact judge is surer than this."""


def item_of(name: str, ask: Ask) -> Item:
    """What a player is asked about. Raises ModelError where the ask is about nothing."""
    if ask.item is None:
        raise ModelError(f"{name} was asked as {ask.role!r} about no item; it plays its own game alone")
    return ask.item


def heard(ask: Ask) -> str:
    """Everything that is put before a player."""
    return ask.messages[0].content if len(ask.messages) == 1 else "\n".join(m.content for m in ask.messages)


def source_of(item: Item) -> str:
    """What a speaker may quote from; empty where it was given nothing."""
    return str(item.info.get("source", ""))


def verified(text: str) -> list[str]:
    """The quotes that the engine found in the source. No others are evidence."""
    return _VERIFIED.findall(text)


def quoted(text: str) -> list[str]:
    """All quotes, whatever the engine found."""
    return [quote for _, quote in _QUOTED.findall(text)]


def chance(*key: object) -> float:
    """A number in [0, 1), uniform over keys. Takes 2 microseconds, where a random stream takes 30."""
    drawn = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(drawn, "big") / 2**64


def best_of(n: int, there: int, luck: float) -> int:
    """The place, from 0 for the best, of the best of n things drawn without replacement from `there` ranked ones.

    `luck` in [0, 1) decides. n = 0 means all of them.
    """
    return 0 if n == 0 or n >= there else bisect_right(_shares(n, there), luck)


@cache
def _shares(n: int, there: int) -> tuple[float, ...]:
    """The probability that the best of n is among the first 1, 2, ... places: the first place has share n / there."""
    ways = (comb(there - place - 1, n - 1) for place in range(there - n + 1))
    return tuple(found / comb(there, n) for found in accumulate(ways))
