"""Preferences as a task: an item per pair, whose choices are the two responses and whose key is the preferred one.

So a weak-to-strong study, a debate's judge and a reward model all meet the same items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from superalign.core.errors import TaskError
from superalign.core.random import stream
from superalign.core.types import Item
from superalign.tasks.pool import Pool, content_id
from superalign.tasks.preferences import Comparison


def pool(comparisons: Iterable[Comparison], name: str, *, least: float = 0.0) -> Pool:
    """The decided pairs of all comparisons, with `group` in each item's info. The order of the choices is drawn from
    their texts alone. Pairs whose scores differ by less than `least` are left out.

    Ties, empty and equal responses and copies are left out, and so are all copies of a pair that contradict each other;
    the notes count them. Raises TaskError where nothing is left.
    """
    items: dict[str, Item] = {}
    key: dict[str, int] = {}
    left: Counter[str] = Counter()
    against: set[str] = set()
    for comparison in comparisons:
        pairs = comparison.pairs(ties=True, least=least)
        left["their scores are too close"] += len(comparison.responses) * (len(comparison.responses) - 1) // 2 - len(
            pairs
        )
        for pair in pairs:
            why = _unusable(pair)
            if why is not None:
                left[why] += 1
                continue
            assert pair.preferred is not None
            item, answer = _item(pair), pair.responses[pair.preferred]
            if item.id in items:
                left["they are copies"] += 1
                if item.choices.index(answer) != key[item.id]:
                    against.add(item.id)
                continue
            items[item.id], key[item.id] = item, item.choices.index(answer)
    for name_ in against:
        del items[name_], key[name_]
    left["copies contradict them"] += len(against)
    notes = tuple(f"{n} pairs left out because {why}" for why, n in left.items() if n)
    if not items:
        raise TaskError(f"{name}: no pair can be used; {'; '.join(notes)}")
    return Pool(name, tuple(items.values()), key, notes=notes)


def _unusable(pair: Comparison) -> str | None:
    if pair.preferred is None:
        return "they tie"
    if not all(r.strip() for r in pair.responses):
        return "a response is empty"
    return "both responses are the same" if len(set(pair.responses)) < 2 else None


def _item(pair: Comparison) -> Item:
    texts = sorted(pair.responses)  # so that which of them is preferred has no part in the draw
    flipped = bool(stream(0, "tasks/preferences", pair.prompt, texts).integers(2))
    choices = (texts[1], texts[0]) if flipped else (texts[0], texts[1])
    return Item(content_id(pair.prompt, choices), pair.prompt, choices, {"group": pair.group})
