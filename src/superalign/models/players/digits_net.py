"""`digits-net-judge`: a trained network in place of naive Bayes, and `digits-net-player`, greedy against it.

Trained on pixels with ink alone, the network can be led astray with blank ones, which it never saw: a player with
`blank=true` shows that a judge is sound only on what it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from superalign.core.errors import ModelError
from superalign.core.ports import Inputs
from superalign.core.random import stream
from superalign.core.steps import Steps
from superalign.models.mlp import Layer, Single, descend, forward, initial, layers
from superalign.models.players.digits import DigitsJudge, DigitsPlayer, Seen, View, pictured_in
from superalign.tasks.games.digits import training

if TYPE_CHECKING:
    from superalign.core.ports import Floats

SIZES = (128, 96, 10)
"""Which of the 64 pixels are shown, and their values / 16; one hidden layer; ten digits."""

COPIES, EPOCHS, BATCH, RATE = 40, 12, 256, 3e-3
_CHUNK = 512


class Net:
    """A mind that was trained on `pixels` random pixels with ink, drawn anew for each of 40 copies of every image.

    Pixels are shown greedily: the one that moves the log-odds most, given those that are there. `blank` lets a
    player show pixels without ink.
    """

    ink = 1

    def __init__(self, steps: Steps, pixels: int, seed: int, blank: bool) -> None:
        if not 1 <= pixels <= 10:
            raise ModelError(f"the network of digits is taught with 1 to 10 pixels of each image, got {pixels}")
        self.name = f":net={pixels}:seed={seed}:blank={blank}"
        self._steps, self._pixels, self._seed, self._blank = steps, pixels, seed, blank
        self._networks: dict[int, list[Layer]] = {}

    def scores(self, split: int, seen: Sequence[Seen]) -> Floats:
        """Logits, (len(seen), 10)."""
        x = np.zeros((len(seen), 128), np.float32)
        for row, pixels in zip(x, seen, strict=True):
            _show(row, pixels)
        return forward(self._network(split), x)[-1].astype(np.float64)

    def orders(self, split: int, views: Sequence[View]) -> list[bytes]:
        """The pixels that may be shown, by the log-odds after each."""
        found: list[bytes] = []
        for start in range(0, len(views), _CHUNK):
            part = views[start : start + _CHUNK]
            odds = self._odds(split, part)
            for view, order in zip(part, np.argsort(-odds, axis=1, kind="stable").tolist(), strict=True):
                values = pictured_in(view.source)
                found.append(bytes(p for p in order if self._blank or values[p] >= self.ink))
        return found

    def _odds(self, split: int, views: Sequence[View]) -> Floats:
        """The log-odds of each view's digit against its rival after one more pixel, (len(views), 64)."""
        (weights, bias), (out, shift) = self._network(split)
        own, rival = [v.own for v in views], [v.rival for v in views]
        x = np.zeros((len(views), 128), np.float32)
        for row, view in zip(x, views, strict=True):
            _show(row, view.shown)
        values = np.frombuffer(b"".join(pictured_in(v.source) for v in views), np.uint8).reshape(-1, 64, 1)
        hidden = np.multiply(weights[64:], values / np.float32(16))  # what each pixel would add, (views, 64, width)
        hidden += weights[:64]
        hidden += (x @ weights + bias)[:, None]
        np.maximum(hidden, 0, out=hidden)
        odds = np.asarray(hidden @ (out[:, own] - out[:, rival]).T[:, :, None])[:, :, 0]
        odds += (shift[own] - shift[rival])[:, None]
        return odds

    def _network(self, split: int) -> list[Layer]:
        if split not in self._networks:
            inputs = {"split": split, "pixels": self._pixels, "seed": self._seed, "sizes": list(SIZES),
                      "training": [COPIES, EPOCHS, BATCH, RATE]}  # fmt: skip
            value = self._steps.run("digits-net", 1, inputs, lambda: {"weights": self._trained(split)})
            self._networks[split] = layers(value["weights"], SIZES)
        return self._networks[split]

    def _trained(self, split: int) -> Single:
        """1,680 Adam steps of 256 masked images, two thirds of a second."""
        images, digits = training(split)
        rng = stream(self._seed, "digits-net", split, self._pixels)
        luck = np.where(images >= self.ink, rng.random((COPIES, *images.shape)), 2)
        chosen = np.argpartition(luck, self._pixels, axis=2)[:, :, : self._pixels].reshape(-1, self._pixels)
        rows = np.tile(np.arange(len(images)), COPIES)
        x, place = np.zeros((len(rows), SIZES[0]), np.float32), np.arange(len(rows))[:, None]
        x[place, chosen], x[place, 64 + chosen] = 1, images[rows[:, None], chosen] / 16
        order = np.concatenate([rng.permutation(len(rows)) for _ in range(EPOCHS)])
        batches = order[: len(order) // BATCH * BATCH].reshape(-1, BATCH)

        def slope(step: int, outputs: Single) -> Floats:
            """The gradient of cross-entropy."""
            pull: Floats = np.exp(outputs - outputs.max(1, keepdims=True))
            pull /= pull.sum(1, keepdims=True)
            pull[np.arange(BATCH), digits[rows[batches[step]]]] -= 1
            return pull / BATCH

        flat = initial(SIZES, rng)
        descend(flat, SIZES, len(batches), RATE, lambda step: x[batches[step]], slope)
        return flat


def _show(row: Single, pixels: Seen) -> None:
    for pixel, value in pixels.items():
        row[pixel], row[64 + pixel] = 1, value / 16


def digits_net_judge(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    pixels: int = 6,
    seed: int = 0,
) -> DigitsJudge:
    """The network, taught with `pixels` pixels of each image, which is also how many it looks at when left alone."""
    return DigitsJudge("digits-net-judge", Net(steps or Steps(), pixels, seed, blank=False), pixels)


def digits_net_player(
    argument: str = "",
    *,
    inputs: Inputs | None = None,
    steps: Steps | None = None,
    choices: tuple[str, ...] = (),
    pixels: int = 6,
    seed: int = 0,
    strength: int = 0,
    blank: bool = False,
) -> DigitsPlayer:
    """The greedy player against `digits-net-judge` of the same `pixels` and `seed`.

    `strength` n shows the best of n random pixels, 0 the best of all; `blank` also those without ink.
    """
    return DigitsPlayer("digits-net-player", Net(steps or Steps(), pixels, seed, blank), strength)
