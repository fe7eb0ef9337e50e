"""Players of the digits game: `digits-judge`, a naive Bayes reader of shown pixels, and `digits-player`, who shows them.

The judge's log-odds are a sum over pixels, so the best play is exact: in turn or at once, each debater shows the
pixels that favour its digit most, and so does a consultant. What a player thinks with is a Mind; the trained
network of `digits_net` is another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from typing import Protocol as Interface

import numpy as np

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.random import stream
from superalign.core.types import Ask, Reply
from superalign.models.players import CLIP, best_of, chance, heard, item_of, quoted, source_of, verified
from superalign.tasks.games.digits import images, move, pictured, sentences, training

if TYPE_CHECKING:
    from superalign.core.ports import Floats
    from superalign.core.steps import Steps

Seen = dict[int, int]
"""Pixels (0 to 63) with their values (0 to 16)."""

_PIXEL = re.compile(r"row ([1-8]) column ([1-8]) is (1[0-6]|[0-9])\b")


@dataclass(frozen=True, slots=True)
class View:
    """What a speaker has before it: the image as its source gives it, its digit and the rival, the pixels shown."""

    source: str
    own: int
    rival: int
    shown: Seen


class Mind(Interface):
    """How a player reads pixels. `ink` is the smallest value that an unaided look may fall on."""

    name: str
    ink: int

    def scores(self, split: int, seen: Sequence[Seen]) -> Floats:
        """Log-probabilities of the ten digits up to a constant, (len(seen), 10)."""
        ...

    def orders(self, split: int, views: Sequence[View]) -> list[bytes]:
        """The pixels that may be shown next, those that help most first; some may have been shown."""
        ...


class NaiveBayes:
    """64 pixels in 5 shades of grey, min(5 x // 17, 4), counted with one added to each; all digits as likely."""

    name = ""
    ink = 4

    def scores(self, split: int, seen: Sequence[Seen]) -> Floats:
        """Sums of log-likelihoods, (len(seen), 10)."""
        owner = np.repeat(np.arange(len(seen)), [len(pixels) for pixels in seen])
        pixels = np.fromiter((p for pixels in seen for p in pixels), int, len(owner))
        values = np.fromiter((v for pixels in seen for v in pixels.values()), int, len(owner))
        total = np.zeros((len(seen), 10))
        np.add.at(total, owner, _likelihoods(split)[pixels, values])
        return total

    def orders(self, split: int, views: Sequence[View]) -> list[bytes]:
        """All pixels by log-odds; what was shown does not matter."""
        return [_ranked(split, v.source, v.own, v.rival) for v in views]


@cache
def _likelihoods(split: int) -> Floats:
    """log P(value's shade | digit) by pixel, value, digit: (64, 17, 10)."""
    taught, labels = training(split)
    shades, pixels = np.minimum(5 * taught // 17, 4), np.arange(64)
    counts = np.ones((64, 5, 10))
    np.add.at(counts, (pixels, shades, labels[:, None]), 1)
    share: Floats = np.log(counts / counts.sum(1, keepdims=True))
    return share[:, np.minimum(5 * np.arange(17) // 17, 4)]


@cache
def _ranked(split: int, source: str, own: int, rival: int) -> bytes:
    table = _likelihoods(split)[np.arange(64), list(pictured_in(source))]
    return bytes(np.argsort(table[:, rival] - table[:, own], kind="stable").tolist())


def pixels_in(text: str) -> Seen:
    """The pixels that a text names. A pixel has one value: the first one named."""
    seen: Seen = {}
    for row, column, value in _PIXEL.findall(text):
        seen.setdefault(8 * int(row) + int(column) - 9, int(value))
    return seen


@cache
def pictured_in(source: str) -> bytes:
    """The 64 values that a source gives. Raises ModelError for any other text."""
    seen = pixels_in(source)
    if len(seen) != 64:
        raise ModelError(
            f"a player of digits needs the 64 sentences of an image in info['source'], got {source[:80]!r}"
        )
    return bytes(seen[pixel] for pixel in range(64))


@cache
def _source(split: int, place: int) -> str:
    return sentences(images(split)[place].tolist())


class DigitsJudge:
    """Judges by the verified quotes that it is shown. Where there are none it looks for itself, at `pixels` random
    pixels with ink on them; where the whole source is put before it, it uses all of it.

    One image is looked at in one way whatever the choices and their order, so nine lies about it are one
    ten-way question; another `Ask.sample` is another look.
    """

    serial = True

    def __init__(self, name: str, mind: Mind, pixels: int) -> None:
        if not 1 <= pixels <= 64:
            raise ModelError(f"{name}: pixels must be from 1 to 64, got {pixels}")
        self.name, self._mind, self._pixels = f"{name}:pixels={pixels}{mind.name}", mind, pixels
        self._looks: dict[tuple[int, int, str, int], Seen] = {}

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """Probabilities over each ask's choices: even ones where these are not digits; a remark without choices."""
        for split, group in _by_split(self.name, asks).items():
            scores = self._mind.scores(split, [self._sees(asks[i], *where) for i, where in group])
            for (i, _), row in zip(group, scores.tolist(), strict=True):
                yield i, Reply(probs=believed(row, asks[i].choices)) if asks[i].choices else Reply("I have looked.")

    def _sees(self, ask: Ask, split: int, place: int) -> Seen:
        text = heard(ask)
        if _source(split, place) in text:
            return pixels_in(_source(split, place))
        return pixels_in("\n".join(verified(text))) or self._looks_itself(split, place, ask.role, ask.sample)

    def _looks_itself(self, split: int, place: int, role: str, sample: int) -> Seen:
        key = (split, place, role, sample)
        if key not in self._looks:
            image = images(split)[place].tolist()
            inked = [pixel for pixel, value in enumerate(image) if value >= self._mind.ink]
            drawn = stream(sample, "digits-judge", split, place, role).permutation(inked)[: self._pixels]
            self._looks[key] = {pixel: image[pixel] for pixel in drawn.tolist()}
        return self._looks[key]


class DigitsPlayer:
    """Speaks for `info["assigned"]` in any chair, or for what it believes: each speech quotes one pixel.

    It sees the whole image. With `strength` n it shows the best of n random pixels that nobody has shown, with 0 the
    best of all. Asked to choose, it gives its belief.
    """

    serial = True

    def __init__(self, name: str, mind: Mind, strength: int) -> None:
        if strength < 0:
            raise ModelError(f"{name}: strength must be at least 1, or 0 for the best of all pixels, got {strength}")
        self.name, self._mind, self._strength = f"{name}:strength={strength}{mind.name}", mind, strength
        self._full: dict[str, list[float]] = {}

    def answer(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Reply]]:
        """A speech for each ask without choices, probabilities for the others."""
        for split, group in _by_split(self.name, asks).items():
            speeches = [i for i, _ in group if not asks[i].choices]
            views = [self._view(split, asks[i]) for i in speeches]
            for i, view, order in zip(speeches, views, self._mind.orders(split, views), strict=True):
                yield i, Reply(self._speech(asks[i], view, order))
            for i, _ in group:
                if asks[i].choices:
                    yield i, Reply(probs=believed(self._believes(split, asks[i]), asks[i].choices))

    def _view(self, split: int, ask: Ask) -> View:
        item = item_of(self.name, ask)
        own = item.info.get("assigned")
        rivals = [choice for choice in item.choices if choice != own]
        if own is None or len(rivals) > 1:
            full = self._believes(split, ask)
            own = own or max(item.choices, key=lambda choice: full[int(choice)])
            rivals = [max((c for c in item.choices if c != own), key=lambda choice: full[int(choice)])]
        return View(source_of(item), int(own), int(rivals[0]), pixels_in("\n".join(quoted(heard(ask)))))

    def _believes(self, split: int, ask: Ask) -> list[float]:
        source = source_of(item_of(self.name, ask))
        if source not in self._full:
            self._full[source] = self._mind.scores(split, [dict(enumerate(pictured_in(source)))])[0].tolist()
        return self._full[source]

    def _speech(self, ask: Ask, view: View, order: bytes) -> str:
        left = [pixel for pixel in order if pixel not in view.shown]
        if not left:
            return f"There is nothing left to show for {view.own}."
        place = 0
        if self._strength:
            luck = chance(item_of(self.name, ask).id, view.own, ask.role, ask.sample, sorted(view.shown))
            place = best_of(self._strength, len(left), luck)
        quote = move(left[place], pictured_in(view.source)[left[place]])
        return f"<quote>{quote}</quote> speaks for {view.own} rather than {view.rival}."


def _by_split(name: str, asks: Sequence[Ask]) -> dict[int, list[tuple[int, tuple[int, int]]]]:
    """The asks, by the split that their images are of."""
    groups: dict[int, list[tuple[int, tuple[int, int]]]] = {}
    for i, ask in enumerate(asks):
        where = pictured(item_of(name, ask))
        groups.setdefault(where[0], []).append((i, where))
    return groups


def believed(scores: Sequence[float], choices: Sequence[str]) -> tuple[float, ...]:
    """Probabilities over choices, none surer than 1e-4, from log-probabilities of the ten digits.

    Even where the choices are not digits (`continue`, `end`).
    """
    if not all(len(choice) == 1 and "0" <= choice <= "9" for choice in choices):
        return (1 / len(choices),) * len(choices)
    logs = [scores[int(choice)] for choice in choices]
    top = max(logs)
    weights = [math.exp(log - top) for log in logs]
    probs = [min(max(weight / sum(weights), CLIP), 1 - CLIP) for weight in weights]
    return tuple(p / sum(probs) for p in probs)


def digits_judge(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    pixels: int = 6,
) -> DigitsJudge:
    """The naive Bayes judge; left alone it looks at `pixels` pixels."""
    return DigitsJudge("digits-judge", NaiveBayes(), pixels)


def digits_player(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    strength: int = 0,
) -> DigitsPlayer:
    """The exact player against `digits-judge`; `strength` n shows the best of n random pixels, 0 the best of all."""
    return DigitsPlayer("digits-player", NaiveBayes(), strength)
